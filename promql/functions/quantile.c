// SPDX-License-Identifier: Apache-2.0
/* quantile_over_time() and mad_over_time(): keep the window sorted while it slides. */
#include "promql/functions/functions_internal.h"

/* Updates the sorted values from the window `old` to `w`. Each insertion or removal moves the values above it. */
static void sorted_move(struct eval *ev, struct sorted_window *sorted, const struct range_input *in,
                        const struct window *old, const struct window *w)
{
    for (uint32_t s = old->from; s < w->from && s < old->to; s++) {
        eval_charge(ev, 8 + sorted->n / 16);
        sorted_remove(sorted, in->samples[s].v);
    }
    for (uint32_t s = old->to > w->from ? old->to : w->from; s < w->to; s++) {
        eval_charge(ev, 8 + sorted->n / 16);
        sorted_add(sorted, in->samples[s].v);
    }
}

/* Annotates the quantiles outside [0, 1] that produced a value. */
static void check_used(struct eval *ev, const struct range_input *in, const struct row *out)
{
    const double *q = in->args[0].scalar;
    double last = 0.5;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        if (is_absent(out->v[i]) || double_bits(q[i]) == double_bits(last))
            continue;
        eval_check_quantile(ev, in->call->u.call.args[0], q[i]);
        last = q[i];
    }
}

static void quantile_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct arena_mark mark = arena_mark(ev->arena);
    struct sorted_window sorted = {.v = ARENA_ARRAY(ev->arena, double, in->n_samples)};
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        struct window old = w;
        window_move(in, i, &w);
        sorted_move(ev, &sorted, in, &old, &w);
        if (w.to == w.from)
            continue;
        if (w.hist_to > w.hist_from)
            notes |= NOTE_IGNORED;
        row_set(out, i, sorted_quantile(&sorted, in->args[0].scalar[i]));
    }
    arena_release(ev->arena, mark);
    check_used(ev, in, out);
    fn_annotate(ev, in, notes);
}

/* The distances from the median, merged outwards from it: those below are descending, those above ascending. */
static double median_distance(const struct sorted_window *sorted, double *distances)
{
    double median = sorted_quantile(sorted, 0.5);
    if (sorted->nans > 0)
        return NAN;
    uint32_t low = 0;
    while (low < sorted->n && sorted->v[low] < median)
        low++;
    uint32_t high = low, n = 0;
    while (low > 0 || high < sorted->n) {
        double down = low > 0 ? median - sorted->v[low - 1] : INFINITY,
               up = high < sorted->n ? sorted->v[high] - median : INFINITY;
        if (high == sorted->n || (low > 0 && down <= up)) {
            distances[n++] = down;
            low--;
        } else {
            distances[n++] = up;
            high++;
        }
    }
    return sorted_quantile(&(struct sorted_window){distances, n, 0}, 0.5);
}

static void mad_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct arena_mark mark = arena_mark(ev->arena);
    struct sorted_window sorted = {.v = ARENA_ARRAY(ev->arena, double, in->n_samples)};
    double *distances = ARENA_ARRAY(ev->arena, double, in->n_samples);
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        struct window old = w;
        window_move(in, i, &w);
        sorted_move(ev, &sorted, in, &old, &w);
        if (w.to == w.from)
            continue;
        if (w.hist_to > w.hist_from)
            notes |= NOTE_IGNORED;
        eval_charge(ev, 2 * (uint64_t)(w.to - w.from));
        row_set(out, i, median_distance(&sorted, distances));
    }
    arena_release(ev->arena, mark);
    fn_annotate(ev, in, notes);
}

const struct function_impl fn_quantile_over_time = {.range = quantile_row};
const struct function_impl fn_mad_over_time = {.range = mad_row};
