// SPDX-License-Identifier: Apache-2.0
/* double_exponential_smoothing(): Holt's method, with a smoothed value and a smoothed trend updated at each sample.
 * https://en.wikipedia.org/wiki/Exponential_smoothing */
#include "promql/functions/functions_internal.h"

static double smooth(const struct sample *s, uint32_t n, double smoothing, double trending)
{
    double before = 0, level = s[0].v, trend = s[1].v - s[0].v;
    for (uint32_t i = 1; i < n; i++) {
        if (i > 1)
            trend = trending * (level - before) + (1 - trending) * trend;
        before = level;
        level = smoothing * s[i].v + (1 - smoothing) * (level + trend);
    }
    return level;
}

static void check_factor(struct eval *ev, const char *name, double v)
{
    if (isinf(v))
        eval_fail(ev, ERR_EXEC, "invalid %s factor. Expected: 0 < %cf < 1, got: %s", name, name[0],
                  eval_number_text(ev, v));
    if (v <= 0 || v >= 1)
        eval_fail(ev, ERR_EXEC, "invalid %s factor. Expected: 0 < %cf < 1, got: %f", name, name[0], v);
}

static void smoothing_row(struct eval *ev, const struct range_input *in, struct row *out)
{
    struct window w = {0};
    unsigned notes = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        window_move(in, i, &w);
        if (w.to == w.from && w.hist_to == w.hist_from)
            continue;
        eval_charge(ev, 2 * (uint64_t)(w.to - w.from));
        check_factor(ev, "smoothing", in->args[1].scalar[i]);
        check_factor(ev, "trend", in->args[2].scalar[i]);
        if (w.to > w.from && w.hist_to > w.hist_from)
            notes |= NOTE_IGNORED;
        if (w.to - w.from >= 2)
            row_set(out, i, smooth(in->samples + w.from, w.to - w.from, in->args[1].scalar[i], in->args[2].scalar[i]));
    }
    fn_annotate(ev, in, notes);
}

const struct function_impl fn_double_exponential_smoothing = {.range = smoothing_row};
