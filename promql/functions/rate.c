// SPDX-License-Identifier: Apache-2.0
/* rate(), increase() and delta(): the increase between the first and the last sample of a window, extrapolated to the
 * window's boundaries.
 *
 * 1. Samples are rarely on the boundaries. When the first sample is at most 1.1 average intervals after the start,
 *    the series is assumed to cover the start, and the increase is extrapolated to it; otherwise the series is
 *    assumed to begin half an interval before its first sample. A counter is never extrapolated below zero. The end
 *    is treated alike.
 * 2. A counter that decreases was reset: the value before the reset is added. Resets are found once for all windows.
 */
#include "promql/functions/functions_internal.h"

/* Indexes of the samples that are lower than the previous one, ascending. */
struct falls { uint32_t *at, n; };

static struct falls falls_find(struct eval *ev, const struct range_input *in)
{
    const struct sample *s = in->samples;
    uint32_t n = 0;
    for (uint32_t i = 1; i < in->n_samples; i++)
        n += s[i].v < s[i - 1].v;
    struct falls f = {ARENA_ARRAY(ev->arena, uint32_t, n), 0};
    for (uint32_t i = 1; f.n < n; i++)
        if (s[i].v < s[i - 1].v)
            f.at[f.n++] = i;
    return f;
}

/* Intervals of a window in ms: from its start to the first sample, to the last sample, to its end. */
struct edges { int64_t before, sampled, after; uint32_t samples; };

static struct edges edges_of(const struct range_input *in, uint32_t i, int64_t first, int64_t last, uint32_t samples)
{
    int64_t end = window_end(in, i);
    return (struct edges){first - (end - in->range), last - first, end - last, samples};
}

/* The part that depends only on timestamps. */
struct spread {
    double sampled, to_start, to_end; /* seconds from the first sample to the last; extrapolation on both sides */
    double factor;                    /* multiplied with the increase */
};

static double factor_of(const struct rate_kind *kind, const struct range_input *in, const struct spread *s,
                        double to_start)
{
    double factor = s->sampled != 0 ? (s->sampled + to_start + s->to_end) / s->sampled : 1;
    return kind->per_second ? factor / ((double)in->range / 1000) : factor;
}

static struct spread spread_of(const struct rate_kind *kind, const struct range_input *in, const struct edges *e)
{
    double sampled = (double)e->sampled / 1000, gap = sampled / (e->samples - 1), near = gap * 1.1;
    double to_start = (double)e->before / 1000, to_end = (double)e->after / 1000;
    struct spread s = {sampled, to_start >= near ? gap / 2 : to_start, to_end >= near ? gap / 2 : to_end, 0};
    s.factor = factor_of(kind, in, &s, s.to_start);
    return s;
}

/* The factor of the increase between the samples. */
static inline double rate_factor(const struct spread *s, const struct rate_kind *kind, const struct range_input *in,
                                 double first, double gain)
{
    if (!kind->counter || !(gain > 0) || !(first >= 0))
        return s->factor;
    if (s->sampled * first > 2 * s->to_start * gain) /* far from zero, even with rounding errors */
        return s->factor;
    double to_zero = s->sampled * (first / gain);
    return to_zero < s->to_start ? factor_of(kind, in, s, to_zero) : s->factor;
}

/* The spread of every step. Divisions dominate the cost of a rate, so spreads are recomputed only for a series with
 * other timestamps than the previous one, and within a series only where the edges differ. */
struct spreads { uint64_t times; struct spread *at; };

static void spreads_fill(struct eval *ev, const struct rate_kind *kind, const struct range_input *in, struct spread *at)
{
    struct edges last = {0};
    struct spread s = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        struct window_bounds w = in->bounds[i];
        if (w.to - w.from < 2)
            continue;
        struct edges e = edges_of(in, i, in->samples[w.from].t, in->samples[w.to - 1].t, w.to - w.from);
        if (e.samples != last.samples || e.before != last.before || e.sampled != last.sampled || e.after != last.after)
            s = spread_of(kind, in, &e);
        at[i] = s;
        last = e;
    }
}

static const struct spread *spreads_of(struct eval *ev, const struct rate_kind *kind, const struct range_input *in)
{
    struct spreads *s = *in->state;
    if (s == NULL) {
        *in->state = s = ARENA_NEW(ev->arena, struct spreads);
        s->at = ARENA_ARRAY(ev->arena, struct spread, ev->grid.n);
    }
    if (s->times != in->times) {
        spreads_fill(ev, kind, in, s->at);
        s->times = in->times;
    }
    return s->at;
}

/* State of one row. */
struct rate {
    struct eval *ev;
    const struct rate_kind *kind;
    const struct range_input *in;
    struct falls falls;
    uint32_t fall;              /* the first reset that may be in the window */
    bool *reset;                /* per histogram: whether it was reset since the previous one */
    struct histogram_sum sum;
    const struct spread *spreads; /* of the floats, per step */
    unsigned notes;
};

/* Adds the values lost by resets between the samples [from, to). */
static double add_falls(struct rate *r, double gain, uint32_t from, uint32_t to)
{
    while (r->fall < r->falls.n && r->falls.at[r->fall] <= from)
        r->fall++;
    uint32_t f = r->fall;
    for (; f < r->falls.n && r->falls.at[f] < to; f++)
        gain += r->in->samples[r->falls.at[f] - 1].v;
    eval_charge(r->ev, f - r->fall);
    return gain;
}

static inline void float_rate(struct rate *r, uint32_t i, struct row *out)
{
    const struct sample *s = r->in->samples;
    struct window_bounds w = r->in->bounds[i];
    if (w.to - w.from < 2)
        return;
    double first = s[w.from].v, gain = s[w.to - 1].v - first;
    if (r->falls.n > 0)
        gain = add_falls(r, gain, w.from, w.to);
    row_set(out, i, gain * rate_factor(&r->spreads[i], r->kind, r->in, first, gain));
}

static void find_resets(struct eval *ev, struct rate *r)
{
    const struct range_input *in = r->in;
    r->reset = ARENA_ARRAY(ev->arena, bool, in->n_hists);
    eval_charge(ev, CHARGE_HISTOGRAM * (uint64_t)in->n_hists);
    for (uint32_t i = 1; r->kind->counter && i < in->n_hists; i++)
        r->reset[i] = histogram_was_reset(ev->arena, in->hists[i].h, in->hists[i - 1].h);
}

/* Checks that all buckets have one kind of schema, and finds the coarsest schema for counters. A first histogram
 * before a reset is ignored. */
static bool window_schema(struct rate *r, const struct window *w, int32_t *schema)
{
    const struct hist_sample *h = r->in->hists;
    uint32_t from = w->hist_from + (r->kind->counter && r->reset[w->hist_from + 1]), last = w->hist_to - 1;
    bool custom = histogram_is_custom(h[from].h);
    *schema = h[last].h->schema < h[from].h->schema ? h[last].h->schema : h[from].h->schema;
    bool mixed = histogram_is_custom(h[last].h) != custom;
    for (uint32_t i = from; r->kind->counter && i < last; i++) {
        mixed |= histogram_is_custom(h[i].h) != custom;
        if (h[i].h->schema < *schema)
            *schema = h[i].h->schema;
    }
    if (mixed)
        r->notes |= NOTE_SCHEMAS;
    return !mixed;
}

static void note_hints(struct rate *r, const struct window *w)
{
    const struct hist_sample *h = r->in->hists;
    bool gauge = h[w->hist_from].h->hint == RESET_GAUGE && h[w->hist_to - 1].h->hint == RESET_GAUGE;
    if (!r->kind->counter && !gauge)
        r->notes |= NOTE_NOT_GAUGE;
    for (uint32_t i = w->hist_from; r->kind->counter && i < w->hist_to; i++)
        if (h[i].h->hint == RESET_GAUGE)
            r->notes |= NOTE_NOT_COUNTER;
}

/* The increase of a window with at least two histograms, in r->sum. */
static bool hist_gain(struct eval *ev, struct rate *r, const struct window *w)
{
    const struct hist_sample *h = r->in->hists;
    int32_t schema;
    if (!window_schema(r, w, &schema))
        return false;
    note_hints(r, w);
    const struct histogram *last = h[w->hist_to - 1].h;
    unsigned add = 0, sub = 0;
    eval_charge(ev, CHARGE_HISTOGRAM + (uint64_t)(w->hist_to - w->hist_from));
    histogram_sum_start(&r->sum, ev->arena);
    histogram_sum_add(&r->sum, last->schema > schema ? histogram_reduce(ev->arena, last, schema) : last, &add);
    bool first_reset = r->kind->counter && r->reset[w->hist_from + 1];
    if (!first_reset)
        histogram_sum_sub(&r->sum, h[w->hist_from].h, &sub);
    for (uint32_t i = w->hist_from + 1 + first_reset; r->kind->counter && i < w->hist_to; i++)
        if (r->reset[i] && (eval_charge(ev, CHARGE_HISTOGRAM), true))
            histogram_sum_add(&r->sum, h[i - 1].h, &add);
    if (add & HISTOGRAM_BOUNDS_RECONCILED)
        r->notes |= NOTE_BOUNDS_ADD;
    if (sub & HISTOGRAM_BOUNDS_RECONCILED)
        r->notes |= NOTE_BOUNDS_SUB;
    return true;
}

static void hist_rate(struct eval *ev, struct rate *r, uint32_t i, const struct window *w, struct row *out)
{
    const struct hist_sample *h = r->in->hists;
    uint32_t n = w->hist_to - w->hist_from;
    if (n < 2 || !hist_gain(ev, r, w))
        return;
    struct edges e = edges_of(r->in, i, h[w->hist_from].t, h[w->hist_to - 1].t, n);
    struct spread s = spread_of(r->kind, r->in, &e);
    double first = h[w->hist_from].h->count, gain = histogram_sum_count(&r->sum);
    histogram_sum_mul(&r->sum, rate_factor(&s, r->kind, r->in, first, gain));
    struct histogram *result = histogram_sum_total(&r->sum, ev->arena);
    result->hint = RESET_GAUGE;
    row_set_hist(ev, out, i, result);
}

static bool is_counter_name(struct str name)
{
    return name.n == 0 || str_ends(name, STR("_total")) || str_ends(name, STR("_sum")) ||
           str_ends(name, STR("_count")) || str_ends(name, STR("_bucket"));
}

static bool any_float(const struct eval *ev, const struct row *row)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (!is_absent(row->v[i]) && row_hist(row, i) == NULL)
            return true;
    return false;
}

static void float_rates(struct eval *ev, struct rate *r, struct row *out)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        float_rate(r, i, out);
}

static void mixed_rates(struct eval *ev, struct rate *r, struct row *out)
{
    struct window w = {0};
    find_resets(ev, r);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(r->in, i, &w);
        if (w.to > w.from && w.hist_to > w.hist_from)
            r->notes |= NOTE_MIXED;
        else if (w.to > w.from)
            float_rate(r, i, out);
        else
            hist_rate(ev, r, i, &w, out);
    }
}

static void rates(struct eval *ev, struct rate *r, struct row *out)
{
    r->spreads = spreads_of(ev, r->kind, r->in);
    struct arena_mark mark = arena_mark(ev->arena);
    if (r->kind->counter)
        r->falls = falls_find(ev, r->in);
    if (r->in->n_hists > 0) {
        mixed_rates(ev, r, out);
    } else {
        float_rates(ev, r, out);
        arena_release(ev->arena, mark); /* floats need no memory beyond the row */
    }
}

static void rate_row(struct eval *ev, const struct range_input *in, struct row *out, const struct rate_kind *kind)
{
    struct rate r = {.ev = ev, .kind = kind, .in = in};
    if (in->anchored || in->smoothed)
        fn_extended_rate(ev, kind, in, out);
    else
        rates(ev, &r, out);
    if (kind->counter && !is_counter_name(labels_name(in->labels)) && any_float(ev, out))
        r.notes |= NOTE_ODD_NAME;
    fn_annotate(ev, in, r.notes);
}

static void rate(struct eval *ev, const struct range_input *in, struct row *out)
{
    rate_row(ev, in, out, &(struct rate_kind){.counter = true, .per_second = true});
}

static void increase(struct eval *ev, const struct range_input *in, struct row *out)
{
    rate_row(ev, in, out, &(struct rate_kind){.counter = true});
}

static void delta(struct eval *ev, const struct range_input *in, struct row *out)
{
    rate_row(ev, in, out, &(struct rate_kind){.counter = false});
}

const struct function_impl fn_rate = {.range = rate, .anchored_safe = true, .smoothed_safe = true};
const struct function_impl fn_increase = {.range = increase, .anchored_safe = true, .smoothed_safe = true};
const struct function_impl fn_delta = {.range = delta, .anchored_safe = true, .smoothed_safe = true};
