// SPDX-License-Identifier: Apache-2.0
/* The interface between the evaluator and the functions: what a function gets, and the table through which the
 * evaluator calls it. */
#ifndef PROMQL_FUNCTIONS_FUNCTION_IMPL_H
#define PROMQL_FUNCTIONS_FUNCTION_IMPL_H

#include "promql/ast/functions.h"
#include "promql/runtime/runtime.h"

struct window_bounds { uint32_t from, to; }; /* samples [from, to) */

/* One series for a range function. The window of step i is (window_end(i) - range, window_end(i)]. */
struct range_input {
    const struct expr *call;             /* the call; call->u.call.args[...]->pos for annotations */
    const struct expr *arg;              /* the matrix selector or subquery */
    const struct value *args;            /* all arguments, evaluated; the range argument's own entry is empty */
    struct labels labels;                /* with the name: for annotations */
    /* Ascending, without stale markers: all samples visible to any window (plus a lookback before it when anchored,
     * before and after it when smoothed). */
    const struct sample *samples; uint32_t n_samples;
    const struct hist_sample *hists; uint32_t n_hists;
    const struct window_bounds *bounds;  /* per window: its range of samples */
    uint64_t in_windows;                 /* sum of the samples of all windows */
    uint64_t times;                      /* changes whenever the timestamps differ from those of the previous series */
    void **state;                         /* the function's private state across the series of a call: NULL at first */
    int64_t first_end, stride, range;    /* ms; stride is 0 when @ fixes the window */
    int64_t lookback;
    bool anchored, smoothed;
    bool subquery;
};
static inline int64_t window_end(const struct range_input *in, uint32_t i)
{
    return in->first_end + (int64_t)i * in->stride;
}

/* A sliding window: after window_move(in, i, &w) the samples [from, to) and histograms [hist_from, hist_to) are those
 * in window i. Starts zeroed; i must not decrease. */
struct window { uint32_t from, to, hist_from, hist_to; };
/* moves without using bounds */
static inline void window_slide(const struct range_input *in, uint32_t i, struct window *w)
{
    int64_t end = window_end(in, i), start = end - in->range;
    while (w->to < in->n_samples && in->samples[w->to].t <= end)
        w->to++;
    while (w->from < w->to && in->samples[w->from].t <= start)
        w->from++;
    while (w->hist_to < in->n_hists && in->hists[w->hist_to].t <= end)
        w->hist_to++;
    while (w->hist_from < w->hist_to && in->hists[w->hist_from].t <= start)
        w->hist_from++;
}
static inline void window_move(const struct range_input *in, uint32_t i, struct window *w)
{
    if (in->n_hists > 0) {
        window_slide(in, i, w);
    } else {
        w->from = in->bounds[i].from;
        w->to = in->bounds[i].to;
    }
}

struct call { /* a call with all arguments evaluated */
    const struct expr *expr;             /* EXPR_CALL */
    struct value *args;                  /* as written in the query; the function may overwrite them */
    size_t n_args;
};

/* The implementation of a function. Exactly one of range, rows and walk is set.
 *   range: called for each series of the range vector argument. `out` has its final labels and drop_name, all steps
 *          absent, h NULL (row_need_hist allocates it). The caller drops rows left empty. finish, if set, gets all rows
 *          afterwards (absent_over_time).
 *   rows:  gets vectors, scalars and strings; fills *out (its type is set to the function's). Scalar results are in
 *          out->scalar.
 *   walk:  gets the tree and evaluates its arguments itself (ev->nodes), as info does. */
struct function_impl {
    void (*range)(struct eval *ev, const struct range_input *in, struct row *out);
    void (*finish)(struct eval *ev, const struct expr *call, struct value *out);
    void (*rows)(struct eval *ev, const struct call *c, struct value *out);
    void (*walk)(struct eval *ev, const struct expr *call, struct value *out);
    bool keeps_name;    /* range: last_over_time, first_over_time */
    bool sets_labels;   /* rows: label_replace, label_join: equal label sets are merged or rejected at once */
    bool anchored_safe, smoothed_safe;
};
/* Never NULL. timestamp(selector) is handled by the evaluator. */
const struct function_impl *function_impl(enum function_id id);

#endif
