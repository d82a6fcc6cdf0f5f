/* deriv() and predict_linear(): the least-squares line through the floats of a window. */
#include "promql/functions/fn.h"

struct line { double slope, at_origin; };

static bool all_equal(const struct sample *s, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (s[i].v != s[0].v)
            return false;
    return true;
}

/* Times count from `origin`, near the samples, so that their squares stay small. */
static struct line regression(const struct sample *s, uint32_t n, int64_t origin)
{
    double x_sum = 0, x_c = 0, y_sum = 0, y_c = 0, xy_sum = 0, xy_c = 0, xx_sum = 0, xx_c = 0;
    if (all_equal(s, n))
        return isinf(s[0].v) ? (struct line){NAN, NAN} : (struct line){0, s[0].v};
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)(s[i].t - origin) / 1e3;
        kahan_add(x, &x_sum, &x_c);
        kahan_add(s[i].v, &y_sum, &y_c);
        kahan_add(x * s[i].v, &xy_sum, &xy_c);
        kahan_add(x * x, &xx_sum, &xx_c);
    }
    x_sum += x_c;
    y_sum += y_c;
    xy_sum += xy_c;
    xx_sum += xx_c;
    double covariance = xy_sum - x_sum * y_sum / n, variance = xx_sum - x_sum * x_sum / n,
           slope = covariance / variance;
    return (struct line){slope, y_sum / n - slope * x_sum / n};
}

/* True when the window has a line. */
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
        if (enough(&w, &notes))
            row_set(out, i, regression(in->samples + w.from, w.to - w.from, in->samples[w.from].t).slope);
    }
    fn_say(ev, in, notes);
}

static void predict_linear(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (!enough(&w, &notes))
            continue;
        struct line line = regression(in->samples + w.from, w.to - w.from, grid_time(&ev->grid, i));
        row_set(out, i, line.slope * in->args[1].scalar[i] + line.at_origin);
    }
    fn_say(ev, in, notes);
}

const struct function_impl fn_deriv = {.range = deriv};
const struct function_impl fn_predict_linear = {.range = predict_linear};
