// SPDX-License-Identifier: Apache-2.0
/* The interface between the evaluator (eval.c, selector.c, binary.c, aggregate.c, ...) and the functions
 * (promql/functions/).
 *
 * Columns instead of steps. A query has one grid of n points; every node returns rows, each with one column over the
 * complete grid, and processes a row in one loop. A range function gets one series at a time with all of its samples,
 * and fills one row with sliding windows: O(samples + steps), with only one series' samples in memory.
 *
 * Memory is in the query's arena. The receiver of a value owns it: arguments may be overwritten and returned as the
 * result. Histograms are immutable and shared.
 *
 * Errors are raised by eval_fail, which jumps to promql_eval; no function here returns an error. The arena does the
 * same when its budget is exceeded. Resources outside the arena must be registered (eval_on_end).
 */
#ifndef PROMQL_EVAL_EVAL_H
#define PROMQL_EVAL_EVAL_H

#include "promql/ast/ast.h"
#include "promql/ast/functions.h"
#include "promql/ast/grid.h"
#include "promql/promql.h"

#include <setjmp.h>

/* A step without a value has the bits of the stale marker: no evaluation can produce them, since selectors remove
 * stale samples. */
static inline bool is_absent(double v) { return is_stale(v); }
static inline double absent_value(void) { return stale_nan(); }

struct row {
    struct labels labels;
    double *v; /* grid.n values; 0 where there is a histogram, so that is_absent alone decides presence */
    const struct histogram **h; /* NULL: no histogram in the row; else grid.n pointers */
    bool drop_name;             /* delayed name removal: drop the name from the result */
};
static inline const struct histogram *row_hist(const struct row *r, uint32_t i) { return r->h ? r->h[i] : NULL; }

struct value {
    enum value_type type;
    /* VECTOR: label sets may repeat until the result is checked. The order of rows is the order of an instant query's
     * result */
    struct row *rows; size_t n, _cap;
    double *scalar;                   /* SCALAR: grid.n values */
    struct str string;                /* STRING */
};

struct eval_end { void (*fn)(void *arg); void *arg; struct eval_end *next; };
struct eval {
    struct query_ctx *q;
    struct arena *arena;              /* q->arena */
    struct source *source;
    const struct promql_params *params;
    struct str text;                  /* of the query: positions in annotations */
    struct grid grid;                 /* of the node being evaluated; subqueries and @ change it for inner nodes */
    struct grid outer;                /* of the query: start(), end(), range(), step() */
    int64_t lookback;
    bool delayed_names;
    struct series_set *sets;          /* one per select: expr->u.selector.select */
    uint64_t live, max_samples;       /* samples held, and their limit */
    struct promql_stats stats;
    uint64_t *per_step;               /* outer.n counters, or NULL */
    struct forced *forced;            /* functions/histogram.c: buckets that histogram_quantile() had to fix so far */
    struct eval_end *ends;
    int64_t until_check;              /* units of work until the deadline is checked again */
    struct err *err;
    jmp_buf stop;
};

/* --- interface for functions -------------------------------------------------------------------------------------- */

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
 *   walk:  gets the tree and evaluates its arguments itself with eval_expr (info). */
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

/* --- services of the evaluator ------------------------------------------------------------------------------------ */
void eval_expr(struct eval *ev, const struct expr *e, struct value *out); /* on ev->grid */

_Noreturn void eval_fail(struct eval *ev, enum err_kind kind, const char *format, ...) PRINTF(3, 4);
_Noreturn void eval_stop(struct eval *ev); /* ev->err must be set */
void eval_check(struct eval *ev);          /* deadline and cancellation */
/* Checks them every 65,536 units of work, at most about a millisecond; `n` units are about to be done. A unit is a
 * few nanoseconds: reading one value. Every loop whose length depends on data or the query is charged, so that a
 * query ends within 100 ms of its deadline. The call may not return: register resources outside the arena before. */
/* making a label set, formatting a number, adding a histogram */
enum { CHARGE_LABELS = 32, CHARGE_TEXT = 64, CHARGE_HISTOGRAM = 128 };
static inline void eval_charge(struct eval *ev, uint64_t n)
{
    ev->until_check -= (int64_t)n;
    if (ev->until_check < 0)
        eval_check(ev);
}
void eval_on_end(struct eval *ev, void (*fn)(void *arg), void *arg);
struct buf *eval_buf(struct eval *ev); /* freed at the end; may be freed earlier by buf_free */

/* Annotations: adds the prefix "PromQL warning: " or "PromQL info: " and the position " (line:column)" of `at`. Equal
 * texts are one annotation (with the last position), but formatting has a cost: annotate once per row, not once per
 * step, where possible. */
void eval_warn(struct eval *ev, const struct expr *at, const char *format, ...) PRINTF(3, 4);
void eval_info(struct eval *ev, const struct expr *at, const char *format, ...) PRINTF(3, 4);
/* Replaces the annotation with the same text up to `until`. */
void eval_info_replace(struct eval *ev, const struct expr *at, const char *until, const char *format, ...) PRINTF(4, 5);
const char *eval_quoted(struct eval *ev, struct str s); /* quoted as by Go's %q, NUL-terminated, in the arena */
const char *eval_number_text(struct eval *ev, double v);     /* as by Go's %g */
/* " for metric name "x"", empty when names are dropped immediately. */
const char *eval_for_metric(struct eval *ev, struct labels l);
void eval_check_quantile(struct eval *ev, const struct expr *at, double q);

struct row *value_add_row(struct eval *ev, struct value *v, struct labels labels); /* all absent, h NULL */
double *eval_column(struct eval *ev);                             /* grid.n values, all absent */
void column_clear(double *v, uint32_t n);
void row_need_hist(struct eval *ev, struct row *r);               /* allocates h when it is NULL */
static inline void row_set_hist(struct eval *ev, struct row *r, uint32_t i, const struct histogram *h)
{
    if (r->h == NULL)
        row_need_hist(ev, r);
    r->h[i] = h;
    r->v[i] = 0;
}
static inline void row_set(struct row *r, uint32_t i, double v)
{
    r->v[i] = v;
    if (r->h)
        r->h[i] = NULL;
}
static inline void row_clear(struct row *r, uint32_t i) { row_set(r, i, absent_value()); }
/* Drops __name__, __type__, __unit__: immediately, or by the flag when name removal is delayed. */
void row_drop_name(struct eval *ev, struct row *r);
struct labels labels_without_name(struct arena *a, struct labels l);
void value_drop_empty(struct value *v, uint32_t n); /* removes rows without values, keeping the order */

/* Merges rows with equal labels; ERR_EXEC "vector cannot contain metrics with the same labelset" when two have a
 * value at the same step. */
void value_merge(struct eval *ev, struct value *v);
bool value_repeats_labels(struct eval *ev, const struct value *v); /* whether label sets may repeat */

/* Evaluates a selector's series (staleness, lookback) as an instant vector on ev->grid; `selector` is EXPR_SELECTOR.
 * Values can also be the timestamps of the samples in seconds: SAMPLE_TIME for timestamp(), SAMPLE_INFO_TIME for
 * info(), where a histogram is an error. */
enum sample_field { SAMPLE_VALUE, SAMPLE_TIME, SAMPLE_INFO_TIME };
void eval_instant(struct eval *ev, const struct expr *selector, struct series_set *set, enum sample_field part,
                  struct value *out);
/* Selects series during the evaluation (info()). `out` is in the arena; the set is released at the end of the query. */
void eval_select(struct eval *ev, const struct select *sel, struct series_set *out);

#endif
