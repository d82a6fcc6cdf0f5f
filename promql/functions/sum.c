// SPDX-License-Identifier: Apache-2.0
/* sum_over_time() and avg_over_time().
 *
 * 1. A window is summed with Kahan-Neumaier compensation, anew for each step: a sum carried along would keep the
 *    rounding errors of samples that left the window.
 * 2. Where windows overlap much that is slow. Then running sums are computed once, as pairs of doubles (hi + lo,
 *    about 106 bits), and a window is the difference of two. Its error is at most ERROR times the sum of all absolute
 *    values so far.
 * 3. Where that error could affect the 53 bits of the result (the window is tiny compared with the samples before
 *    it), the window is summed as in 1.
 * 4. Values that are not finite, or very large, rule out running sums for their series.
 */
#include "promql/functions/functions_internal.h"

/* hi + lo: sum of the previous samples; all: sum of their absolute values */
struct running { double hi, lo, all; uint32_t nonzero; };
struct running_sums {
    struct eval *ev;
    const struct sample *samples;
    struct running *before;
    uint32_t n;
    struct arena_mark mark;
};

static struct running running_add(struct running r, double v)
{
    double sum = r.hi + v, back = sum - r.hi, error = (r.hi - (sum - back)) + (v - back) + r.lo, hi = sum + error;
    return (struct running){hi, error - (hi - sum), r.all + fabs(v), r.nonzero + (v != 0)};
}

/* before[i] for all i up to n; NULL when windows must be summed separately. Scratch memory until sums_end: no
 * histogram may be created meanwhile. */
static struct running_sums sums_make(struct eval *ev, const struct range_input *in)
{
    enum { OVERLAP = 4 }; /* minimum average number of windows per sample */
    static const double largest = 1e300;
    struct running_sums s = {.ev = ev, .samples = in->samples, .n = in->n_samples, .mark = arena_mark(ev->arena)};
    if (in->n_hists > 0 || in->stride <= 0 || in->range / OVERLAP < in->stride)
        return s;
    struct running *before = ARENA_ARRAY(ev->arena, struct running, (size_t)s.n + 1);
    for (uint32_t i = 0; i < s.n; i++)
        before[i + 1] = running_add(before[i], s.samples[i].v);
    if (before[s.n].all < largest) /* false for NaN */
        s.before = before;
    else
        arena_release(ev->arena, s.mark);
    return s;
}

static void sums_end(struct eval *ev, const struct running_sums *s)
{
    if (s->before)
        arena_release(ev->arena, s->mark);
}

static double sum_samples(const struct sample *s, uint32_t n)
{
    double sum = 0, c = 0;
    for (uint32_t i = 0; i < n; i++)
        kahan_add(s[i].v, &sum, &c);
    return isinf(sum) ? sum : sum + c;
}

/* Continues from sample i, where the sum would overflow, as a running mean. */
static double mean_on(const struct sample *s, uint32_t n, uint32_t i, double mean, double c)
{
    for (; i < n; i++) {
        double count = i + 1.0, keep = (count - 1) / count;
        mean *= keep;
        c *= keep;
        kahan_add(s[i].v / count, &mean, &c);
    }
    return mean + c;
}

static double mean_up(const struct sample *s, uint32_t n)
{
    double sum = s[0].v, c = 0;
    for (uint32_t i = 1; i < n; i++) {
        double next = sum, next_c = c;
        kahan_add(s[i].v, &next, &next_c);
        if (isinf(next))
            return mean_on(s, n, i, sum / i, c / i);
        sum = next;
        c = next_c;
    }
    return sum / n + c / n;
}

/* The window's sum from running sums; false when it would not be precise enough. */
static bool difference(const struct running_sums *s, const struct window *w, double *sum)
{
    static const double error = 0x1p-103, visible = 0x1p-55;
    if (s->before == NULL)
        return false;
    const struct running *from = &s->before[w->from], *to = &s->before[w->to];
    double hi = to->hi - from->hi, back = hi - to->hi;
    *sum = hi + ((to->hi - (hi - back)) - (from->hi + back) + (to->lo - from->lo));
    if (to->nonzero == from->nonzero)
        *sum = 0;
    return to->nonzero == from->nonzero || s->n * to->all * error <= fabs(*sum) * visible;
}

static double sum_floats(const struct running_sums *s, const struct window *w)
{
    double sum;
    if (difference(s, w, &sum))
        return sum;
    eval_charge(s->ev, w->to - w->from);
    return sum_samples(s->samples + w->from, w->to - w->from);
}

static double mean_floats(const struct running_sums *s, const struct window *w)
{
    double sum;
    uint32_t n = w->to - w->from;
    if (difference(s, w, &sum))
        return sum / n;
    eval_charge(s->ev, n);
    return mean_up(s->samples + w->from, n);
}

/* The differences between the two functions. */
struct summing {
    double (*floats)(const struct running_sums *s, const struct window *w);
    void (*add)(struct histogram_sum *s, const struct histogram *h, unsigned *flags);
    struct histogram *(*result)(const struct histogram_sum *s, struct arena *out);
};

/* NULL: the histograms are incompatible. */
static const struct histogram *sum_hists(struct eval *ev, const struct range_input *in, const struct window *w,
                                         const struct summing *how, struct histogram_sum *s, unsigned *notes)
{
    unsigned flags = 0;
    eval_charge(ev, CHARGE_HISTOGRAM * (uint64_t)(w->hist_to - w->hist_from));
    histogram_sum_start(s, ev->arena);
    for (uint32_t i = w->hist_from; i < w->hist_to; i++)
        how->add(s, in->hists[i].h, &flags);
    if (flags & HISTOGRAM_INCOMPATIBLE) {
        *notes |= NOTE_SCHEMAS;
        return NULL;
    }
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        *notes |= NOTE_BOUNDS_AGG;
    if (flags & HISTOGRAM_HINT_COLLISION)
        *notes |= NOTE_HINTS_AGG;
    return how->result(s, ev->arena);
}

static void sum_row(struct eval *ev, const struct range_input *in, struct row *out, const struct summing *how)
{
    struct window w = {0};
    struct histogram_sum sum = {0};
    struct running_sums sums = sums_make(ev, in);
    const struct histogram *h;
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        bool floats = w.to > w.from, hists = w.hist_to > w.hist_from;
        if (floats && hists)
            notes |= NOTE_MIXED;
        else if (floats)
            row_set(out, i, how->floats(&sums, &w));
        else if (hists && (h = sum_hists(ev, in, &w, how, &sum, &notes)) != NULL)
            row_set_hist(ev, out, i, h);
    }
    sums_end(ev, &sums);
    fn_annotate(ev, in, notes);
}

static void sum_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    static const struct summing sum = {sum_floats, histogram_sum_add, histogram_sum_total};
    sum_row(ev, in, out, &sum);
}

static void avg_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    static const struct summing mean = {mean_floats, histogram_mean_add, histogram_sum_mean};
    sum_row(ev, in, out, &mean);
}

const struct function_impl fn_sum_over_time = {.range = sum_over_time};
const struct function_impl fn_avg_over_time = {.range = avg_over_time};
