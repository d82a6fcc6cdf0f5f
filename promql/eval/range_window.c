// SPDX-License-Identifier: Apache-2.0
/* Prepares a series for a range function: its samples without stale markers, limited to those visible to the windows,
 * and the first and last sample of each window. */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

uint32_t samples_first_after(const struct sample *s, uint32_t n, int64_t t)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s[mid].t <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint32_t first_hist_after(const struct hist_sample *s, uint32_t n, int64_t t)
{
    uint32_t i = 0;
    while (i < n && s[i].t <= t)
        i++;
    return i;
}

static void window_load_floats(struct eval *ev, struct range_window *f, const struct series *s, int64_t after,
                               int64_t last, struct range_input *in)
{
    uint32_t from = samples_first_after(s->samples, s->n_samples, after);
    uint32_t to = samples_first_after(s->samples, s->n_samples, last);
    uint32_t stale = from;
    while (stale < to && !is_stale(s->samples[stale].v))
        stale++;
    in->samples = from < to ? s->samples + from : NULL; /* arithmetic on NULL is undefined */
    in->n_samples = to - from;
    if (stale == to)
        return;
    arena_grow(ev->arena, &f->samples, &f->samples_cap, to - from, sizeof *f->samples);
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        if (!is_stale(s->samples[i].v))
            f->samples[n++] = s->samples[i];
    in->samples = f->samples;
    in->n_samples = n;
}

static void window_load_hists(struct eval *ev, struct range_window *f, const struct series *s, int64_t after,
                              int64_t last, struct range_input *in)
{
    uint32_t from = first_hist_after(s->hists, s->n_hists, after), to = first_hist_after(s->hists, s->n_hists, last);
    uint32_t n = 0;
    in->hists = NULL;
    in->n_hists = 0;
    if (from == to)
        return;
    arena_grow(ev->arena, &f->hists, &f->hists_cap, to - from, sizeof *f->hists);
    for (uint32_t i = from; i < to; i++)
        if (!histogram_is_stale(s->hists[i].h))
            f->hists[n++] = s->hists[i];
    if (f->drop_buckets)
        histograms_drop_buckets(ev, f->hists, n);
    in->hists = f->hists;
    in->n_hists = n;
}

/* The series of a target are scraped together and have the same timestamps: the bounds found for one series hold for
 * the next. */
static bool same_times(const struct range_window *f, const struct range_input *in)
{
    if (f->bounds == NULL || f->n_times != in->n_samples)
        return false;
    for (uint32_t i = 0; i < f->n_times; i++)
        if (f->times[i] != in->samples[i].t)
            return false;
    return true;
}

static void slide(struct eval *ev, struct range_window *f, const struct range_input *in)
{
    struct range_input floats = *in;
    struct window w = {0};
    floats.n_hists = 0;
    f->in_windows = 0;
    eval_charge(ev, in->n_samples + ev->grid.n);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_slide(&floats, i, &w);
        f->bounds[i] = (struct window_bounds){w.from, w.to};
        f->in_windows += w.to - w.from;
    }
}

static void find_bounds(struct eval *ev, struct range_window *f, struct range_input *in)
{
    if (!same_times(f, in)) {
        if (f->bounds == NULL)
            f->bounds = ARENA_ARRAY(ev->arena, struct window_bounds, ev->grid.n);
        arena_grow(ev->arena, &f->times, &f->times_cap, in->n_samples, sizeof *f->times);
        f->n_times = in->n_samples;
        for (uint32_t i = 0; i < in->n_samples; i++)
            f->times[i] = in->samples[i].t;
        f->pattern++;
        slide(ev, f, in);
    }
    in->times = f->pattern;
    in->state = &f->state;
    in->bounds = f->bounds;
    in->in_windows = f->in_windows;
}

struct window_reach window_reach(const struct range_input *in)
{
    bool before = in->anchored || in->smoothed;
    return (struct window_reach){in->range + (before ? in->lookback : 0), in->smoothed ? in->lookback : 0};
}

bool feed_samples(struct eval *ev, struct range_window *f, const struct series *s, struct range_input *in)
{
    struct window_reach reach = window_reach(in);
    int64_t after = in->first_end - reach.back, last = window_end(in, ev->grid.n - 1) + reach.ahead;
    in->labels = s->labels;
    window_load_floats(ev, f, s, after, last, in);
    window_load_hists(ev, f, s, after, last, in);
    find_bounds(ev, f, in);
    return in->n_samples + in->n_hists > 0;
}

bool range_window_series(struct eval *ev, struct range_window *f, struct series_set *set, size_t i,
                         struct range_input *in)
{
    struct series s;
    eval_charge(ev, CHARGE_SERIES);
    if (!series_set_get(set, i, &s, ev->err))
        eval_stop(ev);
    eval_charge(ev, (uint64_t)s.n_samples + s.n_hists);
    f->several = false;
    if (s.n_replicas > 0) {
        f->several = !replica_windows_find(ev, f, &s, in);
        f->series = s;
        in->labels = s.labels;
        if (f->several)
            return true;
        s = series_of_replica(&s, f->replica_of[0]);
    }
    return feed_samples(ev, f, &s, in);
}

/* The steps of a subquery's row as samples. Reset hints are cleared: they refer to neighbours that may be missing or
 * repeated here. */
bool range_window_row(struct eval *ev, struct range_window *f, const struct row *row, const struct grid *g,
                      struct range_input *in)
{
    arena_grow(ev->arena, &f->samples, &f->samples_cap, g->n, sizeof *f->samples);
    arena_grow(ev->arena, &f->hists, &f->hists_cap, row->h ? g->n : 0, sizeof *f->hists);
    in->n_samples = in->n_hists = 0;
    eval_charge(ev, g->n);
    for (uint32_t i = 0; i < g->n; i++) {
        const struct histogram *h = row_hist(row, i);
        if (h && (h->hint == RESET_YES || h->hint == RESET_NO))
            h = histogram_hinted(ev->arena, h, RESET_UNKNOWN);
        if (h) {
            f->hists[in->n_hists++] = (struct hist_sample){grid_time(g, i), h};
        } else if (!is_absent(row->v[i])) {
            f->samples[in->n_samples++] = (struct sample){grid_time(g, i), row->v[i]};
        }
    }
    in->labels = row->labels;
    in->samples = f->samples;
    in->hists = f->hists;
    find_bounds(ev, f, in);
    return in->n_samples + in->n_hists > 0;
}
