// SPDX-License-Identifier: Apache-2.0
/* changes() and resets(): floats and histograms of a series form one sequence of points. Differences between
 * consecutive points are found once; each window is the difference of two running counts. */
#include "promql/functions/functions_internal.h"

struct changes_point { int64_t t; double v; const struct histogram *h; };
typedef bool differs_fn(struct eval *ev, const struct changes_point *now, const struct changes_point *before);

/* counts[i]: differences among points 1..i */
struct change_counts { struct changes_point *points; uint32_t *counts, n; };

static struct change_counts change_counts_make(struct eval *ev, const struct range_input *in, differs_fn *differs)
{
    struct change_counts t = {.n = in->n_samples + in->n_hists};
    t.points = ARENA_ARRAY(ev->arena, struct changes_point, t.n);
    t.counts = ARENA_ARRAY(ev->arena, uint32_t, t.n);
    for (uint32_t i = 0, f = 0, h = 0; i < t.n; i++) {
        if (h == in->n_hists || (f < in->n_samples && in->samples[f].t < in->hists[h].t)) {
            t.points[i] = (struct changes_point){in->samples[f].t, in->samples[f].v, NULL};
            f++;
        } else {
            t.points[i] = (struct changes_point){in->hists[h].t, 0, in->hists[h].h};
            h++;
        }
        eval_charge(ev, t.points[i].h ? CHARGE_HISTOGRAM : 1);
        if (i > 0)
            t.counts[i] = t.counts[i - 1] + differs(ev, &t.points[i], &t.points[i - 1]);
    }
    return t;
}

/* An anchored window starts with the last point at or before its start, when that is within the lookback, and is
 * empty when no point follows. */
static void changes_count_row(struct eval *ev, const struct range_input *in, struct row *out, differs_fn *differs)
{
    struct arena_mark mark = arena_mark(ev->arena);
    struct change_counts t = change_counts_make(ev, in, differs);
    uint32_t from = 0, to = 0;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        int64_t end = window_end(in, i), start = end - in->range;
        while (to < t.n && t.points[to].t <= end)
            to++;
        while (from < to && t.points[from].t <= start)
            from++;
        if (from == to)
            continue;
        uint32_t first = from;
        if (in->anchored && from > 0 && t.points[from - 1].t > start - in->lookback)
            first--;
        row_set(out, i, t.counts[to - 1] - t.counts[first]);
    }
    arena_release(ev->arena, mark);
}

static bool changed(struct eval *ev, const struct changes_point *now, const struct changes_point *before)
{
    (void)ev;
    if (now->h && before->h)
        return !histogram_equal(now->h, before->h);
    if (now->h || before->h)
        return true;
    return now->v != before->v && !(isnan(now->v) && isnan(before->v));
}

static bool was_reset(struct eval *ev, const struct changes_point *now, const struct changes_point *before)
{
    if (now->h && before->h)
        return histogram_was_reset(ev->arena, now->h, before->h);
    return now->h || before->h || now->v < before->v;
}

static void changes(struct eval *ev, const struct range_input *in, struct row *out)
{
    changes_count_row(ev, in, out, changed);
}
static void resets(struct eval *ev, const struct range_input *in, struct row *out)
{
    changes_count_row(ev, in, out, was_reset);
}

const struct function_impl fn_changes = {.range = changes, .anchored_safe = true};
const struct function_impl fn_resets = {.range = resets, .anchored_safe = true};
