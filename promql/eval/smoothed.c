// SPDX-License-Identifier: Apache-2.0
/* `selector smoothed`: the value at a step is interpolated between the nearest samples before and after it, each at
 * most a lookback away; after the last sample its value continues. */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

struct around { struct window w; struct range_input in; }; /* window i is (t - lookback, t + lookback] */

static void smooth_float(const struct around *a, int64_t now, struct row *row, uint32_t i)
{
    const struct sample *s = a->in.samples;
    uint32_t next = a->w.from;
    while (next < a->w.to && s[next].t < now)
        next++;
    if (next < a->w.to && s[next].t == now)
        row_set(row, i, s[next].v);
    else if (next > a->w.from && next < a->w.to) {
        const struct sample *p = &s[next - 1], *q = &s[next];
        row_set(row, i, p->v + (q->v - p->v) * (double)(now - p->t) / (double)(q->t - p->t));
    } else if (next > a->w.from)
        row_set(row, i, s[next - 1].v);
}

static void note_flags(struct eval *ev, const struct expr *at, struct labels labels, unsigned flags,
                       const char *operation)
{
    if (flags & HISTOGRAM_INCOMPATIBLE)
        eval_warn(ev, at,
                  "vector contains a mix of histograms with exponential and custom buckets schemas "
                  "for metric name %s",
                  eval_quoted(ev, labels_name(labels)));
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        eval_info(ev, at, "mismatched custom buckets were reconciled during %s", operation);
}

static const struct histogram *smoothed_histogram_between(struct eval *ev, const struct expr *at, struct labels labels,
                                                          const struct hist_sample *p,
                                                          const struct hist_sample *q, int64_t now)
{
    double fraction = (double)(now - p->t) / (double)(q->t - p->t);
    bool gauge = p->h->hint == RESET_GAUGE && q->h->hint == RESET_GAUGE;
    if (!gauge && histogram_was_reset(ev->arena, q->h, p->h)) /* counters start at zero after a reset */
        return histogram_mul(ev->arena, q->h, fraction);
    unsigned flags = 0;
    const struct histogram *h = histogram_sub(ev->arena, q->h, p->h, &flags);
    note_flags(ev, at, labels, flags, "subtraction");
    if (h == NULL)
        return NULL;
    flags = 0;
    h = histogram_add(ev->arena, histogram_mul(ev->arena, h, fraction), p->h, &flags);
    note_flags(ev, at, labels, flags, "addition");
    return h;
}

static void smooth_histogram(struct eval *ev, const struct around *a, int64_t now, struct row *row, uint32_t i)
{
    const struct hist_sample *s = a->in.hists;
    uint32_t next = a->w.hist_from;
    const struct histogram *h = NULL;
    while (next < a->w.hist_to && s[next].t < now)
        next++;
    if (next < a->w.hist_to && s[next].t == now)
        h = s[next].h;
    else if (next > a->w.hist_from && next < a->w.hist_to) {
        if (histogram_is_custom(s[next - 1].h) != histogram_is_custom(s[next].h))
            note_flags(ev, a->in.arg, row->labels, HISTOGRAM_INCOMPATIBLE, "");
        else
            h = smoothed_histogram_between(ev, a->in.arg, row->labels, &s[next - 1], &s[next], now);
    } else if (next > a->w.hist_from)
        /* The hint refers to the previous sample, not to the interpolated value. */
        h = histogram_hinted(ev->arena, s[next - 1].h, RESET_UNKNOWN);
    if (h)
        row_set_hist(ev, row, i, h);
}

static void smooth_row(struct eval *ev, struct around *a, struct row *row)
{
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(&a->in, i, &a->w);
        eval_charge(ev, a->w.to - a->w.from + 1 + CHARGE_HISTOGRAM * (a->w.hist_to > a->w.hist_from));
        int64_t now = window_end(&a->in, i) - ev->lookback;
        bool floats = a->w.to > a->w.from, hists = a->w.hist_to > a->w.hist_from;
        if (floats && hists)
            eval_warn(ev, a->in.arg, "encountered a mix of histograms and floats for metric name %s",
                      eval_quoted(ev, labels_name(row->labels)));
        else if (hists)
            smooth_histogram(ev, a, now, row, i);
        else if (floats)
            smooth_float(a, now, row, i);
        if (!is_absent(row->v[i]))
            eval_count_read(ev, i, row_hist(row, i) ? histogram_mem_estimate(row->h[i]) : 1);
    }
}

void eval_smoothed(struct eval *ev, const struct expr *selector, struct series_set *set, struct value *out)
{
    struct eval_times times = eval_times_shifted(&ev->grid, &selector->u.selector.shift);
    struct range_window window = {0};
    for (size_t i = 0; i < set->n; i++) {
        struct around a = {.in = {.arg = selector, .first_end = times.first + ev->lookback, .stride = times.stride,
                                  .range = 2 * ev->lookback}};
        if (range_window_series(ev, &window, set, i, &a.in) &&
            (!window.several || feed_samples(ev, &window, &window.series, &a.in)))
            smooth_row(ev, &a, value_add_row(ev, out, a.in.labels));
    }
    value_drop_empty(out, ev->grid.n);
    eval_hold(ev, value_mem_estimate(out, &ev->grid));
}
