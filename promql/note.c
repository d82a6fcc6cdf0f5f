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

void eval_warn(struct eval *ev, const struct expr *at, const char *format, ...)
{
    char text[NOTE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct place p = place_of(ev, at);
    notes_warn(ev->q->notes, "PromQL warning: %s (%u:%u)", text, p.line, p.column);
}

void eval_info(struct eval *ev, const struct expr *at, const char *format, ...)
{
    char text[NOTE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct place p = place_of(ev, at);
    notes_info(ev->q->notes, "PromQL info: %s (%u:%u)", text, p.line, p.column);
}
