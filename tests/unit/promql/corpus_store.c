// SPDX-License-Identifier: Apache-2.0
/* Series in arrays, as a source. Each is lent one at a time, in memory that is given back with the next: a reader
 * that keeps samples is caught by AddressSanitizer. */
#include "corpus.h"

#include "model/histogram/histogram_math.h"

#include <stdlib.h>

static bool load_one(struct series_set *set, size_t i, struct series *out, struct err *err);
static bool select_all(struct source *s, struct query_ctx *q, const struct select *sel, size_t n,
                       struct series_set *out, struct err *err);
static const struct source_ops ops = {.select = select_all};

void corpus_store_init(struct corpus_store *s)
{
    *s = (struct corpus_store){.source = {&ops}};
    arena_init(&s->arena, 0);
}

void corpus_store_clear(struct corpus_store *s)
{
    bool exact = s->exact;
    corpus_store_free(s);
    corpus_store_init(s);
    s->exact = exact;
}

void corpus_store_free(struct corpus_store *s)
{
    arena_free(&s->arena);
    mem_free(s->lent);
    s->lent = NULL;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static struct stored *stored_series(struct corpus_store *s, struct labels l)
{
    for (size_t i = 0; i < s->n; i++)
        if (labels_equal(s->series[i].labels, l))
            return &s->series[i];
    arena_grow(&s->arena, &s->series, &s->_cap, s->n + 1, sizeof *s->series);
    s->series[s->n] = (struct stored){.labels = labels_copy(&s->arena, l)};
    return &s->series[s->n++];
}

static void add_histogram(struct corpus_store *s, struct stored *to, int64_t t, const struct histogram *h)
{
    arena_grow(&s->arena, &to->hists, &to->_cap_hists, to->n_hists + 1, sizeof *to->hists);
    to->hists[to->n_hists++] = (struct hist_sample){t, histogram_copy(&s->arena, h)};
}

static void add_float(struct corpus_store *s, struct stored *to, int64_t t, double v)
{
    arena_grow(&s->arena, &to->samples, &to->_cap_samples, to->n_samples + 1, sizeof *to->samples);
    to->samples[to->n_samples++] = (struct sample){t, v};
}

void corpus_store_add(struct corpus_store *s, const struct corpus_series *series, int64_t step, int64_t start)
{
    struct stored *to = stored_series(s, series->labels);
    for (size_t i = 0; i < series->n; i++) {
        const struct corpus_value *v = &series->values[i];
        if (v->h)
            add_histogram(s, to, start + (int64_t)i * step, v->h);
        else if (!v->omitted)
            add_float(s, to, start + (int64_t)i * step, v->v);
    }
}

static int by_time(const void *a, const void *b) /* both kinds of samples begin with the time */
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* What a chunk of Prometheus would say of sample i, by the one before it. It is sure of "no reset" within a chunk
 * only; a reset begins a new one, whose first sample is "unknown"
 * (https://github.com/prometheus/prometheus/issues/15346). */
static enum reset_hint stored_hint(struct arena *a, const struct stored *s, size_t i)
{
    const struct histogram *h = s->hists[i].h, *before = i ? s->hists[i - 1].h : NULL;
    if (h->hint == RESET_GAUGE)
        return RESET_GAUGE;
    bool apart = before == NULL || before->hint == RESET_GAUGE || histogram_is_stale(before) || histogram_is_stale(h);
    for (size_t f = 0; !apart && f < s->n_samples; f++)
        apart = s->samples[f].t > s->hists[i - 1].t && s->samples[f].t < s->hists[i].t;
    apart = apart || h->hint == RESET_YES || before->schema != h->schema || before->zero_threshold != h->zero_threshold;
    return apart || histogram_was_reset(a, histogram_hinted(a, h, RESET_UNKNOWN), before) ? RESET_UNKNOWN : RESET_NO;
}

void corpus_store_seal(struct corpus_store *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct stored *x = &s->series[i];
        if (x->n_samples > 0)
            qsort(x->samples, x->n_samples, sizeof *x->samples, by_time);
        if (x->n_hists > 0)
            qsort(x->hists, x->n_hists, sizeof *x->hists, by_time);
        for (size_t k = 0; k < x->n_hists; k++)
            x->hists[k].h = histogram_hinted(&s->arena, x->hists[k].h, stored_hint(&s->arena, x, k));
    }
}

/* --- selecting ---------------------------------------------------------------------------------------------------- */

struct selection { struct corpus_store *store; struct select select; const struct stored **found; };

static size_t first_not_before(const void *items, size_t n, size_t size, int64_t t)
{
    size_t i = 0;
    while (i < n && *(const int64_t *)((const char *)items + i * size) < t)
        i++;
    return i;
}

/* Only what the query said can matter, so that a wrong t_min or t_max shows. */
static void lend(struct selection *s, const struct stored *x, struct series *out)
{
    size_t from = first_not_before(x->samples, x->n_samples, sizeof *x->samples, s->select.t_min);
    size_t to = first_not_before(x->samples, x->n_samples, sizeof *x->samples, s->select.t_max + 1);
    size_t hist_from = first_not_before(x->hists, x->n_hists, sizeof *x->hists, s->select.t_min);
    size_t hist_to = first_not_before(x->hists, x->n_hists, sizeof *x->hists, s->select.t_max + 1);
    size_t n = to > from ? to - from : 0, n_hists = hist_to > hist_from ? hist_to - hist_from : 0;
    mem_free(s->store->lent);
    struct sample *room = mem_alloc((n + n_hists + 1) * sizeof *room); /* both kinds are 16 bytes */
    s->store->lent = room;
    struct hist_sample *hists = (void *)(room + n);
    if (n > 0)
        memcpy(room, x->samples + from, n * sizeof *room);
    if (n_hists > 0)
        memcpy(hists, x->hists + hist_from, n_hists * sizeof *hists);
    *out = (struct series){.labels = x->labels, .samples = room, .n_samples = (uint32_t)n,
                           .hists = hists, .n_hists = (uint32_t)n_hists};
}

static bool load_one(struct series_set *set, size_t i, struct series *out, struct err *err)
{
    (void)err;
    struct selection *s = set->impl;
    lend(s, s->found[i], out);
    return true;
}

/* The value at each step, worked out the slow way. */
static struct series exact_series(struct arena *a, const struct stored *x, const struct select *sel)
{
    size_t steps = (size_t)((sel->end - sel->start) / sel->step) + 1;
    struct sample *samples = ARENA_ARRAY(a, struct sample, steps);
    struct hist_sample *hists = ARENA_ARRAY(a, struct hist_sample, steps);
    int64_t *origins = ARENA_ARRAY(a, int64_t, steps);
    struct series out = {.labels = x->labels, .samples = samples, .hists = hists, .origins = origins};
    for (int64_t t = sel->start; t <= sel->end; t += sel->step) {
        size_t f = first_not_before(x->samples, x->n_samples, sizeof *x->samples, t + 1);
        size_t h = first_not_before(x->hists, x->n_hists, sizeof *x->hists, t + 1);
        int64_t ft = f ? x->samples[f - 1].t : INT64_MIN, ht = h ? x->hists[h - 1].t : INT64_MIN;
        if (ft <= t - sel->window && ht <= t - sel->window)
            continue;
        if (ht > ft && !histogram_is_stale(x->hists[h - 1].h)) {
            hists[out.n_hists++] = (struct hist_sample){t, x->hists[h - 1].h};
        } else if (ft >= ht && !is_stale(x->samples[f - 1].v)) {
            origins[out.n_samples] = ft;
            samples[out.n_samples++] = (struct sample){t, x->samples[f - 1].v};
        }
    }
    return out;
}

static void select_one(struct corpus_store *store, struct arena *a, const struct select *sel, struct series_set *out)
{
    struct selection *s = ARENA_NEW(a, struct selection);
    *s = (struct selection){store, *sel, ARENA_ARRAY(a, const struct stored *, store->n + 1)};
    bool exact = store->exact && sel->kind == SELECT_INSTANT;
    *out = (struct series_set){.series = ARENA_ARRAY(a, struct series, store->n + 1), .impl = s, .exact = exact,
                               .load = exact ? NULL : load_one};
    for (size_t i = 0; i < store->n; i++) {
        const struct stored *x = &store->series[i];
        if (!matchers_match(sel->matchers, sel->n_matchers, x->labels))
            continue;
        s->found[out->n] = x;
        out->series[out->n++] = exact ? exact_series(a, x, sel) : (struct series){.labels = x->labels};
    }
}

static bool select_all(struct source *s, struct query_ctx *q, const struct select *sel, size_t n,
                       struct series_set *out, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < n; i++)
        select_one((struct corpus_store *)s, q->arena, &sel[i], &out[i]);
    return true;
}
