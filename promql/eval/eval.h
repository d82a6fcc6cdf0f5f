// SPDX-License-Identifier: Apache-2.0
/* The contract inside the evaluator: between the tree walk (eval.c, selector.c, binary.c, aggregate.c, ...) and the
 * functions (promql/functions/).
 *
 * Columns, not steps. A query has one grid of n points; every node gives rows, each with one column over the whole
 * grid, and works through a row in one loop. A range function sees one series at a time, all of its samples at once,
 * and fills one row with sliding windows: O(samples + steps), and only one series' samples in memory.
 *
 * Memory: all in the query's arena. A value belongs to whoever got it: arguments may be overwritten and handed on as
 * the result. Histograms are immutable and shared.
 *
 * Errors leave by eval_fail, which jumps to promql_eval; nothing here returns an error. So does the arena when its
 * budget is spent. Whoever holds something that is not in the arena registers it (eval_on_end).
 */
#ifndef PROMQL_EVAL_EVAL_H
#define PROMQL_EVAL_EVAL_H

#include "promql/ast/ast.h"
#include "promql/ast/functions.h"
#include "promql/promql.h"

#include <setjmp.h>

struct grid { int64_t start, step; uint32_t n; };      /* ms; step is > 0 even when n is 1 */
static inline int64_t grid_time(const struct grid *g, uint32_t i) { return g->start + (int64_t)i * g->step; }
static inline int64_t grid_end(const struct grid *g) { return grid_time(g, g->n - 1); }

/* A step without a value holds the bits of the stale marker: no evaluation can produce them, since stale samples never
 * get past the selectors. */
static inline bool is_absent(double v) { return is_stale(v); }
static inline double absent_value(void) { return stale_nan(); }

struct row {
    struct labels labels;
    double *v;                  /* grid.n values; 0 where a histogram stands, so that is_absent alone tells presence */
    const struct histogram **h; /* NULL: no histogram in the whole row; else grid.n pointers */
    bool drop_name;             /* delayed name removal: the name goes at the end */
};
static inline const struct histogram *row_hist(const struct row *r, uint32_t i) { return r->h ? r->h[i] : NULL; }

struct value {
    enum value_type type;
    struct row *rows; size_t n, _cap; /* VECTOR: label sets may repeat until the result is checked. Row order is the
                                         order of an instant query's answer */
    double *scalar;                   /* SCALAR: grid.n values */
    struct str string;                /* STRING */
};

struct eval_end { void (*fn)(void *arg); void *arg; struct eval_end *next; };
struct eval {
    struct query_ctx *q;
    struct arena *arena;              /* q->arena */
    struct source *source;
    const struct promql_params *params;
    struct str text;                  /* of the query: positions in notes */
    struct grid grid;                 /* of the node being evaluated; subqueries and @ change it for inner nodes */
    struct grid outer;                /* of the query: start(), end(), range(), step() */
    int64_t lookback;
    bool delayed_names;
    struct series_set *sets;          /* one a leaf: expr->u.selector.leaf */
    uint64_t live, max_samples;       /* samples held now, and how many may be */
    struct promql_stats stats;
    uint64_t *per_step;               /* outer.n counters, or NULL */
    struct forced *forced;            /* functions/histogram.c: what histogram_quantile() had to fix so far */
    struct eval_end *ends;
    int64_t until_check;              /* work left until the deadline is looked at again */
    struct err *err;
    jmp_buf stop;
};

/* --- for functions ------------------------------------------------------------------------------------------------ */

struct window_bounds { uint32_t from, to; }; /* samples [from, to) */

/* One series for a range function. The window of step i is (window_end(i) - range, window_end(i)]. */
struct range_input {
    const struct expr *call;             /* the call; call->u.call.args[...]->pos for notes */
    const struct expr *arg;              /* the matrix selector or subquery */
    const struct value *args;            /* all arguments, evaluated; the range argument's own slot is empty */
    struct labels labels;                /* with the name: for notes */
    /* Ascending, without stale markers: all that any window can see (and a lookback before when anchored; before and
     * behind when smoothed). */
    const struct sample *samples; uint32_t n_samples;
    const struct hist_sample *hists; uint32_t n_hists;
    const struct window_bounds *bounds;  /* of each window among the samples */
    uint64_t in_windows;                 /* samples in all windows together */
    uint64_t times;                      /* another number when the samples have other times than the series before */
    void **kept;                         /* the function's own, from one series of a call to the next: NULL at first */
    int64_t first_end, stride, range;    /* ms; stride is 0 when @ holds the window still */
    int64_t lookback;
    bool anchored, smoothed;
    bool subquery;
};
static inline int64_t window_end(const struct range_input *in, uint32_t i)
{
    return in->first_end + (int64_t)i * in->stride;
}

/* Slides along: after window_move(in, i, &w) the samples [from, to) and histograms [hist_from, hist_to) are those
 * in window i. Start with a zeroed struct; i must not decrease. */
struct window { uint32_t from, to, hist_from, hist_to; };
static inline void window_slide(const struct range_input *in, uint32_t i, struct window *w) /* without bounds */
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

struct call { /* a call whose arguments are all evaluated */
    const struct expr *expr;             /* EXPR_CALL */
    struct value *args;                  /* as many as written: the function's own to overwrite */
    size_t n_args;
};

/* What a function does. Exactly one of range, rows and walk is set.
 *  range: the argument of type range vector is walked series by series. `out` comes with labels and drop_name as they
 *         should be, all steps absent, h NULL (row_need_hist makes it). Rows left empty are dropped by the caller.
 *         finish, when set, sees all rows afterwards (absent_over_time).
 *  rows:  vectors, scalars and strings in; fills *out (its type is set to the function's). Scalar results: out->scalar.
 *  walk:  gets the tree and evaluates its arguments itself with eval_expr (info). */
struct function_impl {
    void (*range)(struct eval *ev, const struct range_input *in, struct row *out);
    void (*finish)(struct eval *ev, const struct expr *call, struct value *out);
    void (*rows)(struct eval *ev, const struct call *c, struct value *out);
    void (*walk)(struct eval *ev, const struct expr *call, struct value *out);
    bool keeps_name;    /* range: last_over_time, first_over_time */
    bool sets_labels;   /* rows: label_replace, label_join: equal label sets are merged, or refused, at once */
    bool anchored_safe, smoothed_safe;
};
/* Never NULL. timestamp(selector) is eval's own and does not get here. */
const struct function_impl *function_impl(enum function_id id);

/* --- what eval offers --------------------------------------------------------------------------------------------- */
void eval_expr(struct eval *ev, const struct expr *e, struct value *out); /* on ev->grid */

_Noreturn void eval_fail(struct eval *ev, enum err_kind kind, const char *format, ...) PRINTF(3, 4);
_Noreturn void eval_stop(struct eval *ev); /* ev->err is filled already */
void eval_check(struct eval *ev);          /* deadline and cancellation */
/* The same every 65,536 units of work, a millisecond at the most: `n` are about to be done. A unit is a handful of
 * nanoseconds: a value that is looked at. Every loop whose length data or the query decide is charged, so that a query
 * ends within 100 ms of its deadline. It may not return: what is not in the arena is registered before. */
enum { CHARGE_LABELS = 32, CHARGE_TEXT = 64, CHARGE_HISTOGRAM = 128 }; /* to make a label set, print a number, add up */
static inline void eval_charge(struct eval *ev, uint64_t n)
{
    ev->until_check -= (int64_t)n;
    if (ev->until_check < 0)
        eval_check(ev);
}
void eval_on_end(struct eval *ev, void (*fn)(void *arg), void *arg);
struct buf *eval_buf(struct eval *ev); /* freed at the end; buf_free may come before */

/* Annotations: "PromQL warning: " / "PromQL info: " in front and " (line:column)" of `at` behind are put in here.
 * Equal texts are one note (`at` is then the last one), but formatting costs: note once a row, not once a step, where
 * that is possible. */
void eval_warn(struct eval *ev, const struct expr *at, const char *format, ...) PRINTF(3, 4);
void eval_info(struct eval *ev, const struct expr *at, const char *format, ...) PRINTF(3, 4);
/* In place of the one that reads the same up to the words `until`. */
void eval_info_replace(struct eval *ev, const struct expr *at, const char *until, const char *format, ...) PRINTF(4, 5);
const char *eval_quoted(struct eval *ev, struct str s); /* "..." with escapes, NUL-terminated, in the arena */
const char *eval_number_text(struct eval *ev, double v);     /* as %g of Go */
/* " for metric name "x"", empty when names are dropped at once. */
const char *eval_for_metric(struct eval *ev, struct labels l);
void eval_check_quantile(struct eval *ev, const struct expr *at, double q);

struct row *value_add_row(struct eval *ev, struct value *v, struct labels labels); /* all absent, h NULL */
double *eval_column(struct eval *ev);                             /* grid.n values, all absent */
void column_clear(double *v, uint32_t n);
void row_need_hist(struct eval *ev, struct row *r);               /* makes h when it is NULL */
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
/* __name__, __type__, __unit__: now, or by the flag when names are delayed. */
void row_drop_name(struct eval *ev, struct row *r);
struct labels labels_without_name(struct arena *a, struct labels l);
void value_drop_empty(struct value *v, uint32_t n); /* rows without any value go; the order stays */

/* Rows with equal labels become one; ERR_EXEC "vector cannot contain metrics with the same labelset" when two have
 * a value at the same step. */
void value_merge(struct eval *ev, struct value *v);
bool value_repeats_labels(struct eval *ev, const struct value *v); /* there is something to merge, perhaps */

/* The instant vector of a selector's series (staleness, lookback) on ev->grid; `selector` is EXPR_SELECTOR. Or the
 * values are the samples' own times in seconds: SAMPLE_TIME for timestamp(), SAMPLE_INFO_TIME for info(), where a
 * histogram is an error. */
enum sample_field { SAMPLE_VALUE, SAMPLE_TIME, SAMPLE_INFO_TIME };
void eval_instant(struct eval *ev, const struct expr *selector, struct series_set *set, enum sample_field part,
                  struct value *out);
/* One more select while evaluating (info()). `out` is in the arena; the set is released at the end of the query. */
void eval_select(struct eval *ev, const struct select *sel, struct series_set *out);

#endif
