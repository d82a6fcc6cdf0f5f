// SPDX-License-Identifier: Apache-2.0
/* What all nodes and functions share while a query is evaluated: its state, rows and columns, errors, deadline,
 * accounting and annotations. Knows neither nodes (promql/eval/) nor functions (promql/functions/), which both build on
 * it; a function that evaluates parts of the tree reaches the nodes through eval.nodes.
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
 *
 *   state.c         errors, deadline, resources, samples held and read
 *   rows.c          rows and their columns
 *   annotations.c   warnings and infos
 */
#ifndef PROMQL_RUNTIME_RUNTIME_H
#define PROMQL_RUNTIME_RUNTIME_H

#include "model/query_work.h"
#include "promql/ast/ast.h"
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

/* Values can also be the timestamps of the samples in seconds: SAMPLE_TIME for timestamp(), SAMPLE_INFO_TIME for
 * info(), where a histogram is an error. */
enum sample_field { SAMPLE_VALUE, SAMPLE_TIME, SAMPLE_INFO_TIME };
struct eval;
struct eval_nodes { /* the evaluator, for functions that evaluate parts of the tree or select series by themselves */
    void (*expr)(struct eval *ev, const struct expr *e, struct value *out); /* on ev->grid */
    /* Evaluates a selector's series (staleness, lookback) as an instant vector on ev->grid; `selector` is
     * EXPR_SELECTOR. */
    void (*instant)(struct eval *ev, const struct expr *selector, struct series_set *set, enum sample_field part,
                    struct value *out);
};

struct eval_end { void (*fn)(void *arg); void *arg; struct eval_end *next; };
struct eval {
    struct query_ctx *q;
    struct arena *arena;              /* q->arena */
    struct source *source;
    const struct eval_nodes *nodes;
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
    struct query_work work;           /* see eval_charge */
    struct err *err;
    jmp_buf stop;
};

/* --- errors, deadline, resources (state.c) ------------------------------------------------------------------------ */
_Noreturn void eval_fail(struct eval *ev, enum err_kind kind, const char *format, ...) PRINTF(3, 4);
_Noreturn void eval_stop(struct eval *ev); /* ev->err must be set */
void eval_check(struct eval *ev);          /* deadline and cancellation */
/* query_charge (model/query_work.h): `n` units of work are about to be done, a unit being the reading of one value. The
 * call may not return: register resources outside the arena before. */
static inline void eval_charge(struct eval *ev, uint64_t n)
{
    if (!query_charge(&ev->work, n, ev->err))
        eval_stop(ev);
}
/* making a label set, formatting a number, adding a histogram, loading a series beyond its samples */
enum { CHARGE_LABELS = QUERY_CHARGE_LABELS, CHARGE_TEXT = 64, CHARGE_HISTOGRAM = 128, CHARGE_SERIES = 512 };
void eval_on_end(struct eval *ev, void (*fn)(void *arg), void *arg);
struct buf *eval_buf(struct eval *ev); /* freed at the end; may be freed earlier by buf_free */

/* Selects series during the evaluation (info()). `out` is in the arena; the set is released at the end of the query. */
void eval_select(struct eval *ev, const struct select *sel, struct series_set *out);

/* --- samples held and read (state.c) ------------------------------------------------------------------------------ */
void eval_hold(struct eval *ev, uint64_t samples);  /* adds samples held by the query; ERR_LIMIT over the limit */
/* Counts `samples` as read at step i of ev->grid. */
void eval_count_read(struct eval *ev, uint32_t i, uint64_t samples);
/* Suspends and resumes counting of samples read; resume returns the number suspended. Prometheus counts a
 * step-invariant expression once per step, and a subquery by the samples in its outer windows, not by those that its
 * inner expression reads. */
struct sample_budget { uint64_t samples, *per_step; };
struct sample_budget sample_budget_pause(struct eval *ev);
uint64_t sample_budget_resume(struct eval *ev, struct sample_budget t);

/* --- annotations.c ------------------------------------------------------------------------------------------------ */
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

/* --- rows.c ------------------------------------------------------------------------------------------------------- */
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
/* {__name__="up", job="a"}: the form of label sets in error messages. */
struct str labels_quoted(struct eval *ev, struct labels l);

uint64_t histogram_mem_estimate(const struct histogram *h); /* in samples of 16 bytes */
uint64_t row_mem_estimate(const struct row *row, uint32_t n);
uint64_t value_mem_estimate(const struct value *v, const struct grid *g);

#endif
