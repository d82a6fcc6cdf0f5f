/* Annotations as Prometheus words them: `PromQL warning: what (line:column)`. */
#include "promql/walk.h"

#include <stdio.h>

enum { NOTE_MAX = 4096 - 64 }; /* bytes; a longer one (a huge label value in it) is cut */

struct place { unsigned line, column; };

static struct place place_of(const struct eval *ev, const struct expr *at)
{
    size_t start = 0, pos = at->pos < ev->text.n ? at->pos : ev->text.n;
    unsigned line = 1;
    for (size_t i = 0; i < pos; i++) {
        if (ev->text.p[i] != '\n')
            continue;
        start = i + 1;
        line++;
    }
    return (struct place){line, (unsigned)(pos - start) + 1};
}

struct words { char text[NOTE_MAX]; size_t n; };

static void word(struct words *w, const char *kind, const char *format, va_list args)
{
    int head = snprintf(w->text, sizeof w->text, "PromQL %s: ", kind);
    int n = vsnprintf(w->text + head, sizeof w->text - (size_t)head, format, args);
    w->n = (size_t)head + (n < 0 ? 0 : (size_t)n);
    if (w->n > sizeof w->text - 1)
        w->n = sizeof w->text - 1;
}

/* Of notes that differ in nothing but their place Prometheus keeps one, with the place where it was said last. */
static void say(struct eval *ev, struct note_list *list, const struct expr *at, const struct words *w, size_t same)
{
    char said[NOTE_MAX + 32];
    struct place p = place_of(ev, at);
    int n = snprintf(said, sizeof said, "%.*s (%u:%u)", (int)w->n, w->text, p.line, p.column);
    notes_replace(ev->q->notes, list, str_n(said, (size_t)n), same < w->n ? same : w->n + 2);
}

void eval_warn(struct eval *ev, const struct expr *at, const char *format, ...)
{
    struct words w;
    va_list args;
    va_start(args, format);
    word(&w, "warning", format, args);
    va_end(args);
    say(ev, &ev->q->notes->warnings, at, &w, w.n);
}

void eval_info(struct eval *ev, const struct expr *at, const char *format, ...)
{
    struct words w;
    va_list args;
    va_start(args, format);
    word(&w, "info", format, args);
    va_end(args);
    say(ev, &ev->q->notes->infos, at, &w, w.n);
}

void eval_info_anew(struct eval *ev, const struct expr *at, const char *until, const char *format, ...)
{
    struct words w;
    va_list args;
    va_start(args, format);
    word(&w, "info", format, args);
    va_end(args);
    say(ev, &ev->q->notes->infos, at, &w, str_find_str(str_n(w.text, w.n), str_n(until, strlen(until))));
}
