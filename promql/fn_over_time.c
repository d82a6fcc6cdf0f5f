/* The ..._over_time functions that look at a window as a whole. Sums run over each window anew: a sum carried along from
 * window to window would keep the rounding errors of samples that are gone.
 */
#include "promql/fn.h"

/* A window with floats, with histograms, or (noted, no result) with both. */
enum window_kind { WINDOW_EMPTY, WINDOW_FLOATS, WINDOW_HISTS, WINDOW_MIXED };

static enum window_kind window_kind(const struct window *w)
{
    if (w->to > w->from)
        return w->hist_to > w->hist_from ? WINDOW_MIXED : WINDOW_FLOATS;
    return w->hist_to > w->hist_from ? WINDOW_HISTS : WINDOW_EMPTY;
}

static double sum_floats(const struct sample *s, uint32_t n)
{
    double sum = 0, c = 0;
    for (uint32_t i = 0; i < n; i++)
        kahan_add(s[i].v, &sum, &c);
    return isinf(sum) ? sum : sum + c;
}

/* From sample i on, where the sum would overflow, as a running mean. */
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

static double mean_floats(const struct sample *s, uint32_t n)
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

typedef void accumulate_fn(struct histogram_sum *s, const struct histogram *h, unsigned *flags);

static bool accumulate(struct eval *ev, const struct range_input *in, const struct window *w, accumulate_fn *add, struct histogram_sum *s, unsigned *notes)
{
    unsigned flags = 0;
    histogram_sum_start(s, ev->arena);
    for (uint32_t i = w->hist_from; i < w->hist_to; i++)
        add(s, in->hists[i].h, &flags);
    if (flags & HISTOGRAM_INCOMPATIBLE) {
        *notes |= NOTE_SCHEMAS;
        return false;
    }
    if (flags & HISTOGRAM_BOUNDS_RECONCILED)
        *notes |= NOTE_BOUNDS_AGG;
    if (flags & HISTOGRAM_HINT_COLLISION)
        *notes |= NOTE_HINTS_AGG;
    return true;
}

static void sum_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    struct histogram_sum sum = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        enum window_kind kind = window_kind(&w);
        if (kind == WINDOW_MIXED)
            notes |= NOTE_MIXED;
        else if (kind == WINDOW_FLOATS)
            row_set(out, i, sum_floats(in->samples + w.from, w.to - w.from));
        else if (kind == WINDOW_HISTS && accumulate(ev, in, &w, histogram_sum_add, &sum, &notes))
            row_set_hist(ev, out, i, histogram_sum_total(&sum, ev->arena));
    }
    fn_say(ev, in, notes);
}

static void avg_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    struct histogram_sum sum = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        enum window_kind kind = window_kind(&w);
        if (kind == WINDOW_MIXED)
            notes |= NOTE_MIXED;
        else if (kind == WINDOW_FLOATS)
            row_set(out, i, mean_floats(in->samples + w.from, w.to - w.from));
        else if (kind == WINDOW_HISTS && accumulate(ev, in, &w, histogram_mean_add, &sum, &notes))
            row_set_hist(ev, out, i, histogram_sum_mean(&sum, ev->arena));
    }
    fn_say(ev, in, notes);
}

static void count_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        uint32_t n = w.to - w.from + w.hist_to - w.hist_from;
        if (n > 0)
            row_set(out, i, n);
    }
}

static void present_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (window_kind(&w) != WINDOW_EMPTY)
            row_set(out, i, 1);
    }
}

static void first_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        bool hist = w.hist_to > w.hist_from, is_float = w.to > w.from;
        if (is_float && (!hist || in->samples[w.from].t < in->hists[w.hist_from].t))
            row_set(out, i, in->samples[w.from].v);
        else if (hist)
            row_set_hist(ev, out, i, in->hists[w.hist_from].h);
    }
}

static void last_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        bool hist = w.hist_to > w.hist_from, is_float = w.to > w.from;
        if (is_float && (!hist || in->hists[w.hist_to - 1].t < in->samples[w.to - 1].t))
            row_set(out, i, in->samples[w.to - 1].v);
        else if (hist)
            row_set_hist(ev, out, i, in->hists[w.hist_to - 1].h);
    }
}

static void ts_of_first_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        int64_t t = w.to > w.from ? in->samples[w.from].t : INT64_MAX;
        if (w.hist_to > w.hist_from && in->hists[w.hist_from].t < t)
            t = in->hists[w.hist_from].t;
        if (t < INT64_MAX)
            row_set(out, i, (double)t / 1000);
    }
}

static void ts_of_last_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        int64_t t = w.to > w.from ? in->samples[w.to - 1].t : INT64_MIN;
        if (w.hist_to > w.hist_from && in->hists[w.hist_to - 1].t > t)
            t = in->hists[w.hist_to - 1].t;
        if (t > INT64_MIN)
            row_set(out, i, (double)t / 1000);
    }
}

/* Welford's method, compensated. */
static double variance(const struct sample *s, uint32_t n)
{
    double mean = 0, mean_c = 0, squares = 0, squares_c = 0;
    for (uint32_t i = 0; i < n; i++) {
        double delta = s[i].v - (mean + mean_c);
        kahan_add(delta / (i + 1.0), &mean, &mean_c);
        kahan_add(delta * (s[i].v - (mean + mean_c)), &squares, &squares_c);
    }
    return (squares + squares_c) / n;
}

static void stdvar_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (window_kind(&w) == WINDOW_MIXED)
            notes |= NOTE_IGNORED;
        if (w.to > w.from)
            row_set(out, i, variance(in->samples + w.from, w.to - w.from));
    }
    fn_say(ev, in, notes);
}

static void stddev_over_time(struct eval *ev, const struct range_input *in, struct row *out)
{
    stdvar_over_time(ev, in, out);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (!is_absent(out->v[i]))
            out->v[i] = sqrt(out->v[i]);
}

const struct function_impl fn_sum_over_time = {.range = sum_over_time};
const struct function_impl fn_avg_over_time = {.range = avg_over_time};
const struct function_impl fn_count_over_time = {.range = count_over_time};
const struct function_impl fn_present_over_time = {.range = present_over_time};
const struct function_impl fn_first_over_time = {.range = first_over_time, .keeps_name = true};
const struct function_impl fn_last_over_time = {.range = last_over_time, .keeps_name = true};
const struct function_impl fn_ts_of_first_over_time = {.range = ts_of_first_over_time};
const struct function_impl fn_ts_of_last_over_time = {.range = ts_of_last_over_time};
const struct function_impl fn_stdvar_over_time = {.range = stdvar_over_time};
const struct function_impl fn_stddev_over_time = {.range = stddev_over_time};
