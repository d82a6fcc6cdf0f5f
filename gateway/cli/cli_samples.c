// SPDX-License-Identifier: Apache-2.0
/* Series are found by a hash map while lines are read; then the samples of each are sorted by time. */
#include "gateway/cli/cli_samples.h"

#include "base/map.h"
#include "model/exposition/exposition.h"

#include <stdlib.h>

struct line_sample { struct sample sample; size_t line; };
struct stored { struct labels labels; struct line_sample *lines; struct sample *samples; size_t n, cap; };
struct samples {
    struct source source;
    struct arena *arena;
    struct stored *series; size_t n, cap;
    struct map by_labels; /* label bytes -> index in series + 1 */
};

/* ---- reading ---- */

static struct stored *stored_for(struct samples *s, struct labels l)
{
    struct str key = str_n(l.p, l.n);
    struct map_entry *known = map_find(&s->by_labels, key);
    if (known)
        return &s->series[known->value.u - 1];
    bool added;
    struct labels copy = labels_copy(s->arena, l);
    arena_grow(s->arena, &s->series, &s->cap, s->n + 1, sizeof *s->series);
    s->series[s->n++] = (struct stored){.labels = copy};
    map_add(&s->by_labels, str_n(copy.p, copy.n), &added)->value.u = s->n;
    return &s->series[s->n - 1];
}

static bool add_line(struct samples *s, const struct exposition *page, struct labels_builder *b, struct err *err)
{
    if (!page->has_t)
        return err_set(err, ERR_BAD_DATA, "`%.*s`: missing timestamp after the value (Unix milliseconds)",
                       STR_ARG(page->series));
    if (!exposition_labels(page->series, false, b, err))
        return err_wrap(err, "`%.*s`", STR_ARG(page->series));
    struct stored *to = stored_for(s, builder_labels(b, s->arena));
    arena_grow(s->arena, &to->lines, &to->cap, to->n + 1, sizeof *to->lines);
    to->lines[to->n] = (struct line_sample){{page->t, page->value}, to->n};
    to->n++;
    return true;
}

static bool read_lines(struct samples *s, struct str text, struct err *err)
{
    struct exposition page;
    struct labels_builder b = {.scratch = s->arena};
    enum exposition_kind kind;
    bool ok = true;
    exposition_start(&page, text);
    while (ok && (kind = exposition_next(&page)) != EXPOSITION_END) {
        if (kind == EXPOSITION_ERROR) {
            *err = page.err;
            ok = false;
        } else if (kind == EXPOSITION_SERIES) {
            ok = add_line(s, &page, &b, err);
        }
    }
    builder_free(&b);
    map_free(&s->by_labels);
    return ok;
}

static int by_time(const void *a, const void *b)
{
    const struct line_sample *x = a, *y = b;
    if (x->sample.t != y->sample.t)
        return x->sample.t < y->sample.t ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static void put_in_order(struct arena *a, struct stored *s)
{
    size_t kept = 0;
    qsort(s->lines, s->n, sizeof *s->lines, by_time);
    s->samples = ARENA_ARRAY(a, struct sample, s->n);
    for (size_t i = 0; i < s->n; i++) {
        if (kept > 0 && s->samples[kept - 1].t == s->lines[i].sample.t)
            kept--;
        s->samples[kept++] = s->lines[i].sample;
    }
    s->n = kept;
}

/* ---- selecting ---- */

static struct series samples_between(const struct stored *s, int64_t t_min, int64_t t_max)
{
    size_t from = 0, to = s->n;
    while (from < to && s->samples[from].t < t_min)
        from++;
    while (to > from && s->samples[to - 1].t > t_max)
        to--;
    return (struct series){.labels = s->labels, .samples = s->samples + from, .n_samples = (uint32_t)(to - from)};
}

static bool samples_select(struct source *source, struct query_ctx *q, const struct select *sel, size_t n,
                           struct series_set *out, struct err *err UNUSED)
{
    const struct samples *s = CONTAINER(source, struct samples, source);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct series_set){.series = ARENA_ARRAY(q->arena, struct series, s->n)};
        for (size_t k = 0; k < s->n; k++)
            if (matchers_match(sel[i].matchers, sel[i].n_matchers, s->series[k].labels))
                out[i].series[out[i].n++] = samples_between(&s->series[k], sel[i].t_min, sel[i].t_max);
    }
    return true;
}

struct source *cli_samples(struct arena *a, struct str text, int64_t *newest, struct err *err)
{
    static const struct source_ops ops = {.select = samples_select};
    struct samples *s = ARENA_NEW(a, struct samples);
    *s = (struct samples){.source.ops = &ops, .arena = a};
    if (!read_lines(s, text, err))
        return NULL;
    for (size_t i = 0; i < s->n; i++) {
        put_in_order(a, &s->series[i]);
        int64_t last = s->series[i].samples[s->series[i].n - 1].t;
        if (i == 0 || last > *newest)
            *newest = last;
    }
    return &s->source;
}
