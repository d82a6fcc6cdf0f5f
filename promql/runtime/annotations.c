// SPDX-License-Identifier: Apache-2.0
/* Annotations in Prometheus' wording: `PromQL warning: text (line:column)`. */
#include "promql/runtime/runtime.h"
#include "promql/ast/quote.h"

#include "base/text/num.h"

#include <stdio.h>

enum { NOTE_MAX = 4096 - 64 }; /* bytes; a longer one (with a huge label value) is truncated */

struct source_position { unsigned line, column; };

static struct source_position annotation_position(const struct eval *ev, const struct expr *at)
{
    size_t start = 0, pos = at->pos < ev->text.n ? at->pos : ev->text.n;
    unsigned line = 1;
    for (size_t i = 0; i < pos; i++) {
        if (ev->text.p[i] != '\n')
            continue;
        start = i + 1;
        line++;
    }
    return (struct source_position){line, (unsigned)(pos - start) + 1};
}

/* Of annotations that differ only in their position Prometheus keeps one, with the position of the last; with `until`
 * also of those that differ only after this text. */
static void annotate(struct eval *ev, struct note_list *list, const char *kind, const struct expr *at,
                     const char *until, const char *format, va_list args)
{
    char text[NOTE_MAX], positioned[NOTE_MAX + 32];
    size_t head = (size_t)snprintf(text, NOTE_MAX, "PromQL %s: ", kind);
    int added = vsnprintf(text + head, NOTE_MAX - head, format, args);
    size_t whole = head + (added < 0 ? 0 : (size_t)added);
    struct str words = str_n(text, whole < NOTE_MAX ? whole : NOTE_MAX - 1);
    size_t same = until ? str_find_str(words, str_n(until, strlen(until))) : words.n;
    struct source_position p = annotation_position(ev, at);
    int n = snprintf(positioned, sizeof positioned, "%.*s (%u:%u)", STR_ARG(words), p.line, p.column);
    notes_replace(ev->q->notes, list, str_n(positioned, (size_t)n), same < words.n ? same : words.n + 2);
}

void eval_warn(struct eval *ev, const struct expr *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    annotate(ev, &ev->q->notes->warnings, "warning", at, NULL, format, args);
    va_end(args);
}

void eval_info(struct eval *ev, const struct expr *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    annotate(ev, &ev->q->notes->infos, "info", at, NULL, format, args);
    va_end(args);
}

void eval_info_replace(struct eval *ev, const struct expr *at, const char *until, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    annotate(ev, &ev->q->notes->infos, "info", at, until, format, args);
    va_end(args);
}

const char *eval_quoted(struct eval *ev, struct str s)
{
    struct buf *b = eval_buf(ev);
    quote_text(b, s);
    const char *z = arena_z(ev->arena, buf_str(b));
    buf_free(b);
    return z;
}

const char *eval_number_text(struct eval *ev, double v)
{
    char text[NUM_MAX];
    return arena_z(ev->arena, str_n(text, num_format_go(text, v)));
}

const char *eval_for_metric(struct eval *ev, struct labels l)
{
    struct str name = ev->delayed_names ? labels_name(l) : STR_NONE;
    return name.n == 0 ? "" : arena_printf(ev->arena, " for metric name %s%c", eval_quoted(ev, name), 0).p;
}

void eval_check_quantile(struct eval *ev, const struct expr *at, double q)
{
    if (!(q >= 0 && q <= 1))
        eval_warn(ev, at, "quantile value should be between 0 and 1, got %s", eval_number_text(ev, q));
}
