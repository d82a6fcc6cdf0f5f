// SPDX-License-Identifier: Apache-2.0
/* Evaluates a selector's series as an instant vector: at each step the latest sample in the left-open window (t -
 * lookback, t], unless that sample is a stale marker. Exact sets already have their values at the steps. */
#include "promql/eval/eval_internal.h"

/* Iterates over the floats and histograms of a series together, in the order of time. */
struct selector_cursor {
    const struct series *s;
    uint32_t floats, hists; /* number of samples not after the current time */
};

static void cursor_move_to(struct selector_cursor *c, int64_t t)
{
    while (c->floats < c->s->n_samples && c->s->samples[c->floats].t <= t)
        c->floats++;
    while (c->hists < c->s->n_hists && c->s->hists[c->hists].t <= t)
        c->hists++;
}

/* The latest sample at or before the current time; false when there is none or it is stale. */
static bool newest(const struct selector_cursor *c, int64_t *t, double *v, const struct histogram **h)
{
    const struct sample *f = c->floats ? &c->s->samples[c->floats - 1] : NULL;
    const struct hist_sample *hs = c->hists ? &c->s->hists[c->hists - 1] : NULL;
    if (hs && (f == NULL || hs->t > f->t)) {
        *t = hs->t;
        *h = hs->h;
        *v = 0;
        return !histogram_is_stale(hs->h);
    }
    *h = NULL;
    if (f == NULL)
        return false;
    *t = f->t;
    *v = f->v;
    return !is_stale(f->v);
}

static int64_t origin(const struct selector_cursor *c, const struct histogram *h, int64_t t)
{
    return h == NULL && c->s->origins ? c->s->origins[c->floats - 1] : t;
}

/* Fast path of most series: floats only, values requested. Returns the number of steps with a value. */
static uint64_t fill_floats(struct eval *ev, double *v, const struct series *s, struct eval_times times, int64_t window)
{
    const struct sample *next = s->samples, *end = next + s->n_samples;
    uint64_t found = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        int64_t now = times.first + (int64_t)i * times.stride;
        while (next < end && next->t <= now)
            next++;
        bool seen = next > s->samples && next[-1].t > now - window && !is_stale(next[-1].v);
        v[i] = seen ? next[-1].v : absent_value();
        found += seen;
    }
    ev->stats.samples += found;
    return found;
}

static void fill_any(struct eval *ev, struct row *row, const struct series *s, struct eval_times times, int64_t window,
                     enum sample_field part)
{
    struct selector_cursor c = {.s = s};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        int64_t now = times.first + (int64_t)i * times.stride, t;
        const struct histogram *h;
        double v;
        cursor_move_to(&c, now);
        row_clear(row, i);
        if (!newest(&c, &t, &v, &h) || t <= now - window)
            continue;
        eval_count_read(ev, i, h && part == SAMPLE_VALUE ? histogram_mem_estimate(h) : 1);
        if (part == SAMPLE_INFO_TIME && h)
            eval_fail(ev, ERR_EXEC, "this should be an info metric, with float samples: %.*s",
                      STR_ARG(labels_quoted(ev, s->labels)));
        if (part != SAMPLE_VALUE)
            row_set(row, i, (double)origin(&c, h, t) / 1000);
        else if (h)
            row_set_hist(ev, row, i, h);
        else
            row_set(row, i, v);
    }
}

/* Writes every step of the row, whose column may be uninitialized; returns its size in samples. */
static uint64_t selector_fill_row(struct eval *ev, struct row *row, const struct series *s, struct eval_times times,
                                  int64_t window, enum sample_field part)
{
    if (part == SAMPLE_VALUE && s->n_samples > 0 && s->n_hists == 0 && ev->per_step == NULL)
        return fill_floats(ev, row->v, s, times, window);
    fill_any(ev, row, s, times, window, part);
    return row_mem_estimate(row, ev->grid.n);
}

/* Whether the labels that an operation drops with the name include more than the name. */
static bool selector_name_alone(struct labels l, struct str *name)
{
    static const struct str type = {"__type__", 8}, unit = {"__unit__", 8};
    struct labels_iter it = labels_iter(l);
    *name = STR_NONE;
    for (struct label pair; labels_next(&it, &pair) && str_cmp(pair.name, unit) <= 0;) {
        if (str_eq(pair.name, STR(METRIC_NAME)))
            *name = pair.value;
        else if (str_eq(pair.name, type) || str_eq(pair.name, unit))
            return false;
    }
    return true;
}

bool set_differs_without_names(struct eval *ev, const struct series_set *set)
{
    struct str first = STR_NONE, name;
    for (size_t i = 0; i < set->n; i++) {
        eval_charge(ev, CHARGE_LABELS / 2);
        if (!selector_name_alone(set->series[i].labels, &name) || (i > 0 && !str_eq(name, first)))
            return false;
        first = name;
    }
    return true;
}

static void selector_drop_buckets(struct eval *ev, struct series *s)
{
    struct hist_sample *copy = ARENA_ARRAY(ev->arena, struct hist_sample, s->n_hists);
    memcpy(copy, s->hists, s->n_hists * sizeof *copy);
    histograms_drop_buckets(ev, copy, s->n_hists);
    s->hists = copy;
}

struct instant instant_begin(struct eval *ev, const struct expr *selector, struct series_set *set,
                             enum sample_field part)
{
    return (struct instant){
        .set = set, .part = part, .drop_buckets = selector->u.selector.drop_buckets && !set->exact,
        .times = eval_times_shifted(&ev->grid, &selector->u.selector.shift),
        .window = set->exact ? 1 : ev->lookback, /* exact: only the sample at the step itself */
    };
}

uint64_t instant_row(struct eval *ev, const struct instant *in, size_t i, struct row *row)
{
    struct series s;
    eval_charge(ev, CHARGE_SERIES);
    if (!series_set_get(in->set, i, &s, ev->err))
        eval_stop(ev);
    eval_charge(ev, (uint64_t)s.n_samples + s.n_hists);
    if (in->drop_buckets && s.n_hists > 0)
        selector_drop_buckets(ev, &s);
    row->labels = s.labels;
    uint64_t bytes = selector_fill_row(ev, row, &s, in->times, in->window, in->part);
    eval_hold(ev, bytes);
    return bytes;
}

void eval_instant(struct eval *ev, const struct expr *selector, struct series_set *set, enum sample_field part,
                  struct value *out)
{
    struct instant in = instant_begin(ev, selector, set, part);
    struct row spare = {0}; /* an empty series leaves its column for the next */
    for (size_t i = 0; i < set->n; i++) {
        if (spare.v == NULL)
            spare.v = arena_alloc(ev->arena, ev->grid.n * sizeof *spare.v);
        if (instant_row(ev, &in, i, &spare) == 0)
            continue;
        arena_grow(ev->arena, &out->rows, &out->_cap, out->n + 1, sizeof *out->rows);
        out->rows[out->n++] = spare;
        spare = (struct row){0};
    }
}
