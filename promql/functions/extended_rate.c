// SPDX-License-Identifier: Apache-2.0
/* rate(), increase() and delta() of anchored and smoothed selectors, which use samples outside the window.
 *
 *   anchored  the value at the start is the last sample at or before it; the value at the end that of the last sample
 *   smoothed  the values at start and end are interpolated between the samples on both sides
 *
 * Nothing is extrapolated. Between two samples of a counter that was reset, the line rises from zero.
 */
#include "promql/functions/functions_internal.h"

struct extended {
    const struct rate_kind *kind;
    const struct range_input *in;
    int64_t start, end;         /* of the window itself */
    unsigned notes;
};

/* The samples used: from the anchor, or the one before the start, to the last, or the one after the end. */
struct sample_range { uint32_t first, last; };

static bool extended_float_range(const struct extended *x, const struct sample *f, uint32_t n,
                                 struct sample_range *out)
{
    uint32_t last = n - 1, first = 0;
    while (first < last && f[first].t <= x->start)
        first++;
    out->first = first > 0 ? first - 1 : 0;
    for (uint32_t i = 0; x->in->smoothed && i < last; i++)
        if (f[i].t >= x->end)
            last = i;
    out->last = last;
    return f[last].t > x->start && !(x->in->smoothed && f[out->first].t > x->end);
}

static double extended_interpolate(const struct extended *x, const struct sample *a, const struct sample *b, int64_t t)
{
    double from = x->kind->counter && b->v < a->v ? 0 : a->v;
    return from + (b->v - from) * (double)(t - a->t) / (double)(b->t - a->t);
}

static void extended_float_step(struct extended *x, uint32_t i, const struct sample *f, uint32_t n, struct row *out)
{
    struct sample_range s;
    if (!extended_float_range(x, f, n, &s))
        return;
    bool smooth = x->in->smoothed;
    double left = smooth && f[s.first].t < x->start ? extended_interpolate(x, &f[s.first], &f[s.first + 1],
                                                                           x->start) : f[s.first].v;
    double right =
        smooth && s.last > 0 && f[s.last].t > x->end ? extended_interpolate(x, &f[s.last - 1], &f[s.last],
                                                                            x->end) : f[s.last].v;
    double gain = right - left, before = left;
    /* samples inside the window */
    uint32_t from = s.first + (f[s.first].t <= x->start), to = s.last + (f[s.last].t < x->end);
    for (uint32_t j = from; x->kind->counter && j <= to; j++) {
        double v = j < to ? f[j].v : right;
        if (v < before)
            gain += before;
        before = v;
    }
    row_set(out, i, x->kind->per_second ? gain / ((double)x->in->range / 1000) : gain);
}

static bool extended_hist_range(const struct extended *x, const struct hist_sample *h, uint32_t n,
                                struct sample_range *out)
{
    uint32_t last = n - 1, first = 0;
    while (first < last && h[first].t <= x->start)
        first++;
    out->first = first > 0 ? first - 1 : 0;
    for (uint32_t i = 0; x->in->smoothed && i < last; i++)
        if (h[i].t >= x->end)
            last = i;
    out->last = last;
    return h[last].t > x->start && !(x->in->smoothed && h[out->first].t > x->end);
}

static bool usable(struct extended *x, const struct hist_sample *h, const struct sample_range *s)
{
    bool custom = histogram_is_custom(h[s->first].h);
    for (uint32_t i = s->first; i <= s->last; i++) {
        if (histogram_is_custom(h[i].h) != custom) {
            x->notes |= NOTE_SCHEMAS;
            return false;
        }
        if (x->kind->counter && h[i].h->hint == RESET_GAUGE)
            x->notes |= NOTE_NOT_COUNTER;
    }
    return true;
}

/* a + (b - a) * part, or b * part when b was reset. All buckets have the same kind of schema here. */
static const struct histogram *hist_between(struct eval *ev, struct extended *x, const struct hist_sample *a,
                                            const struct hist_sample *b, int64_t t)
{
    if (t == a->t || t == b->t)
        return t == a->t ? a->h : b->h;
    double part = (double)(t - a->t) / (double)(b->t - a->t);
    if (x->kind->counter && histogram_was_reset(ev->arena, b->h, a->h))
        return histogram_mul(ev->arena, b->h, part);
    unsigned sub = 0, add = 0;
    const struct histogram *rise = histogram_mul(ev->arena, histogram_sub(ev->arena, b->h, a->h, &sub), part);
    const struct histogram *sum = histogram_add(ev->arena, rise, a->h, &add);
    if (sub & HISTOGRAM_BOUNDS_RECONCILED)
        x->notes |= NOTE_BOUNDS_SUB;
    if (add & HISTOGRAM_BOUNDS_RECONCILED)
        x->notes |= NOTE_BOUNDS_ADD;
    return sum;
}

struct ends { const struct histogram *left, *right; };

/* Adds the values lost by resets inside. A boundary equal to a sample is not compared with it; a reset across which
 * the left boundary was interpolated is included already. */
static void add_resets(struct eval *ev, struct extended *x, const struct hist_sample *h, struct sample_range s,
                       const struct ends *e, struct histogram_sum *sum)
{
    const struct histogram *before = e->left;
    uint32_t j = s.first + 1;
    unsigned add = 0;
    if (x->in->smoothed && h[s.first].t < x->start && histogram_was_reset(ev->arena, h[s.first + 1].h, h[s.first].h))
        before = h[j++].h;
    if (j > s.last)
        return;
    for (; j <= s.last; j++) {
        const struct histogram *now = j < s.last ? h[j].h : e->right;
        if (histogram_was_reset(ev->arena, now, before))
            histogram_sum_add(sum, before, &add);
        before = now;
    }
    if (add & HISTOGRAM_BOUNDS_RECONCILED)
        x->notes |= NOTE_BOUNDS_ADD;
}

static void extended_hist_step(struct eval *ev, struct extended *x, uint32_t i, const struct hist_sample *h, uint32_t n,
                               struct row *out)
{
    struct sample_range s;
    if (!extended_hist_range(x, h, n, &s) || !usable(x, h, &s))
        return;
    bool smooth = x->in->smoothed;
    struct ends e = {h[s.first].h, h[s.last].h};
    if (smooth && h[s.first].t < x->start)
        e.left = hist_between(ev, x, &h[s.first], &h[s.first + 1], x->start);
    if (smooth && s.last > 0 && h[s.last].t > x->end)
        e.right = hist_between(ev, x, &h[s.last - 1], &h[s.last], x->end);
    if (!x->kind->counter && (e.left->hint != RESET_GAUGE || e.right->hint != RESET_GAUGE))
        x->notes |= NOTE_NOT_GAUGE;
    struct histogram_sum sum = {0};
    unsigned flags = 0;
    histogram_sum_start(&sum, ev->arena);
    histogram_sum_add(&sum, e.right, &flags);
    histogram_sum_sub(&sum, e.left, &flags);
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        x->notes |= NOTE_BOUNDS_SUB;
    if (x->kind->counter)
        add_resets(ev, x, h, s, &e, &sum);
    if (x->kind->per_second)
        histogram_sum_mul(&sum, 1 / ((double)x->in->range / 1000));
    struct histogram *result = histogram_sum_total(&sum, ev->arena);
    result->hint = RESET_GAUGE;
    row_set_hist(ev, out, i, result);
}

void fn_extended_rate(struct eval *ev, const struct rate_kind *kind, const struct range_input *in, struct row *out)
{
    struct range_input wide = *in; /* the range that the modifier may read */
    wide.range += in->lookback + (in->smoothed ? in->lookback : 0);
    wide.first_end += in->smoothed ? in->lookback : 0;
    struct extended x = {.kind = kind, .in = in};
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_slide(&wide, i, &w);
        eval_charge(ev, w.to - w.from + CHARGE_HISTOGRAM * (uint64_t)(w.hist_to - w.hist_from));
        x.end = window_end(in, i);
        x.start = x.end - in->range;
        if (w.to > w.from && w.hist_to > w.hist_from)
            x.notes |= NOTE_MIXED;
        else if (w.to > w.from)
            extended_float_step(&x, i, in->samples + w.from, w.to - w.from, out);
        else if (w.hist_to > w.hist_from)
            extended_hist_step(ev, &x, i, in->hists + w.hist_from, w.hist_to - w.hist_from, out);
    }
    fn_annotate(ev, in, x.notes);
}
