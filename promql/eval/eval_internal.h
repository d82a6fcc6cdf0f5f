// SPDX-License-Identifier: Apache-2.0
/* Internal interfaces of the evaluator. Each node function works on ev->grid and fills *out, whose type the caller
 * has set.
 *
 *   engine.c            promql_eval: preprocess, select, evaluate, result; error handling
 *   preprocess.c        copies the tree and resolves what is known before evaluation
 *   collect_selects.c   collects its selectors
 *   eval.c              dispatcher
 *   fetched.c           results of servers, and steps from several origins
 *   selector.c          series -> instant vectors; smoothed.c: the same, interpolated
 *   histogram_stats.c   histograms read without their buckets
 *   lazy_rows.c         rows computed one at a time, for aggregations
 *   range.c             calls on range vectors, range_window.c: their windows; call.c: all other calls
 *   binary.c            operators on elements; match_labels.c, vector_match.c, set.c: between vectors
 *   aggregate.c         sum ... stddev; quantile.c; topk.c: topk ... limit_ratio; count_values.c
 *   result.c            drops names, detects duplicates, sorts, converts to points
 */
#ifndef PROMQL_EVAL_EVAL_INTERNAL_H
#define PROMQL_EVAL_EVAL_INTERNAL_H

#include "promql/functions/function_impl.h"

/* --- preprocess.c: what is known before evaluation ---------------------------------------------------------------- */
/* Copies the tree: durations computed, start()/end()/range()/step() and @ start()/end() replaced by their values,
 * parentheses around arguments removed, step-invariant parts marked. */
struct expr *prepare_tree(struct eval *ev, const struct expr *e);
/* The selects of a preprocessed tree (collect_selects.c). */
struct select *prepare_selects(struct eval *ev, struct expr *e, size_t *n); /* sets u.selector.select in e */
double prepare_duration(struct eval *ev, const struct duration_expr *d); /* seconds */

/* The limit of times, as distance from the epoch, so that offsets and ranges (at most 292 years) can be added without
 * overflow. */
#define TIME_MAX (INT64_C(1) << 61)

/* --- grids and windows -------------------------------------------------------------------------------------------- */
/* The grid of a subquery's inner expression within a grid (promql/ast/grid.h); ERR_LIMIT if it has too many. */
struct grid subquery_grid(struct eval *ev, const struct grid *g, const struct expr *subquery);

/* --- range_window.c: the windows of one series for a range function ----------------------------------------------- */
struct range_window { /* buffers for one series, reused for the next; starts zeroed */
    struct sample *samples; size_t samples_cap;
    struct hist_sample *hists; size_t hists_cap;
    int64_t *times; size_t times_cap;  /* timestamps for which the bounds were computed */
    uint32_t n_times;
    struct window_bounds *bounds;
    uint64_t in_windows, pattern;
    void *state;
    bool drop_buckets; /* histograms without buckets */
    /* of a series that several replicas hold (replica_windows.c) */
    struct series series;
    uint32_t *replica_of;              /* per window; series.n_replicas: the merged samples */
    bool several;                      /* windows use different replicas */
    double *spare;                     /* a spare column */
    struct range_window *of_replica; size_t of_replica_cap; /* one each, and the merged samples' */
    uint32_t n_of_replica;
    /* of one of these: the samples in its windows */
    struct sample *visible; size_t visible_cap;
    struct hist_sample *visible_hists; size_t visible_hists_cap;
};
/* Index of the first sample after t; n when there is none. */
uint32_t samples_first_after(const struct sample *s, uint32_t n, int64_t t);
/* A window sees the samples from its end - back (exclusive) to its end + ahead. */
struct window_reach { int64_t back, ahead; };
struct window_reach window_reach(const struct range_input *in);
/* Loads series i and sets in->labels, samples and hists visible to the windows (already set); false when there are
 * none. When f->several is true afterwards, only in->labels and f->series are set. Valid until the next call with this
 * window or set. */
bool range_window_series(struct eval *ev, struct range_window *f, struct series_set *set, size_t i,
                         struct range_input *in);
/* The same for samples already loaded. */
bool feed_samples(struct eval *ev, struct range_window *f, const struct series *s, struct range_input *in);
/* The same from a row of a subquery with grid g. */
bool range_window_row(struct eval *ev, struct range_window *f, const struct row *row, const struct grid *g,
                      struct range_input *in);

/* --- replica_windows.c: series of independent scrapers ------------------------------------------------------------ */
struct range_call;
struct series series_of_replica(const struct series *s, uint32_t replica);
/* Fills f->replica_of; true when all windows use the same replica. */
bool replica_windows_find(struct eval *ev, struct range_window *f, const struct series *s,
                          const struct range_input *in);
/* Fills a row whose column is absent, each step from the replica of its window. */
void replica_windows_fill(struct eval *ev, struct range_call *c, struct row *row);
/* range.c: counts the windows of one replica as read, or with replica_of NULL all, and calls the function. */
void range_fill_windows(struct eval *ev, struct range_call *c, const uint32_t *replica_of, uint32_t replica,
                        struct row *row);

/* --- range.c ------------------------------------------------------------------------------------------------------ */
/* A call of a range function, with the state reused for each of its series. */
struct range_call {
    const struct function_impl *impl;
    struct range_input in;
    struct range_window window;
    struct series_set *set;            /* NULL: the argument is a subquery */
};
void range_begin(struct eval *ev, const struct expr *e, struct range_call *c); /* evaluates the other arguments */
/* Fills the row of series i, whose column is absent, and returns the number of samples that it holds. Not for
 * subqueries. */
uint64_t range_row(struct eval *ev, struct range_call *c, size_t i, struct row *row);
uint64_t input_mem_estimate(const struct range_input *in); /* in samples of 16 bytes */
size_t range_argument(const struct expr *call); /* index of the range vector argument; n_args: none */

/* --- selector.c --------------------------------------------------------------------------------------------------- */
struct instant { /* a selector and its evaluation times */
    struct series_set *set;
    enum sample_field part;
    bool drop_buckets;
    struct eval_times times;
    int64_t window;
};
struct instant instant_begin(struct eval *ev, const struct expr *selector, struct series_set *set,
                             enum sample_field part);
/* Whether the label sets remain different without the names (labels_without_name): all series have the same name. */
bool set_differs_without_names(struct eval *ev, const struct series_set *set);
/* Writes every step of the row of series i, whose column may be uninitialized; returns the number of samples that it
 * holds. */
uint64_t instant_row(struct eval *ev, const struct instant *in, size_t i, struct row *row);

/* --- lazy_rows.c: rows computed on demand ------------------------------------------------------------------------- */
struct lazy_rows {
    const struct instant *instant; /* one of the two */
    struct range_call *call;
    double *column;                /* of the last row computed, reused */
};
/* NULL: `e` is not a selector or a range function of one, or its rows must be merged first; use eval_expr. Otherwise
 * *out gets the rows without columns. */
struct lazy_rows *lazy_rows_begin(struct eval *ev, const struct expr *e, struct value *out);
/* Computes row i; false when it has no value. The next row reuses its column, unless the row has histograms. */
bool lazy_row(struct eval *ev, struct lazy_rows *l, size_t i, struct row *row);

/* --- nodes -------------------------------------------------------------------------------------------------------- */
void eval_call(struct eval *ev, const struct expr *e, struct value *out);
void eval_range_call(struct eval *ev, const struct expr *e, struct value *out);
void eval_subquery(struct eval *ev, const struct expr *e, struct value *out, struct grid *inner); /* rows on *inner */
void eval_fetched(struct eval *ev, const struct expr *e, struct value *out);
void eval_cut(struct eval *ev, const struct expr *e, struct value *out);
void eval_smoothed(struct eval *ev, const struct expr *selector, struct series_set *set, struct value *out);
void eval_chain(struct eval *ev, const struct expr *e, struct value *out); /* a + b + c: e and its complete left side */
void eval_join(struct eval *ev, const struct expr *e, struct value *left, struct value *right, struct value *out);
void eval_set_operator(struct eval *ev, const struct expr *e, struct value *left, struct value *right,
                       struct value *out);
/* b is an `or` of e's chain, *acc its left side: adds the right sides of b and of the consecutive `or` operations
 * after it, and returns the last of these. live: the samples held besides *acc. */
const struct expr *eval_or_chain(struct eval *ev, const struct expr *b, const struct expr *e, uint64_t live,
                                 struct value *acc);
void eval_aggregate(struct eval *ev, const struct expr *e, struct value *out);
void eval_topk(struct eval *ev, const struct expr *e, struct value *in, const double *param, struct value *out);
void eval_quantile(struct eval *ev, const struct expr *e, struct value *in, const double *q, struct value *out);
void eval_count_values(struct eval *ev, const struct expr *e, struct value *in, struct str label, struct value *out);

/* --- histogram_stats.c: histograms without buckets ---------------------------------------------------------------- */
/* Removes buckets and resolves the reset hints. */
void histograms_drop_buckets(struct eval *ev, struct hist_sample *hists, uint32_t n);
/* Whether the histograms in e need buckets in any case. */
bool expr_needs_buckets(const struct expr *e);

/* --- operators on elements (binary.c) ----------------------------------------------------------------------------- */
/* Annotations of an element; all but ELEMENT_BOUNDS mean that there is no value. Prometheus reports only the last one
 * of a step. */
enum element_note {
    ELEMENT_OK, ELEMENT_FLOAT_FLOAT, ELEMENT_FLOAT_HISTOGRAM, ELEMENT_HISTOGRAM_FLOAT, ELEMENT_HISTOGRAM_HISTOGRAM,
    ELEMENT_SCHEMAS, ELEMENT_HINTS, ELEMENT_BOUNDS
};
struct element {
    double v;
    const struct histogram *h;
    bool keep; /* false for a comparison that is false */
    enum element_note note;
};
/* False: no result, with the reason in x.note. */
bool binary_element(struct eval *ev, enum binary_op op, double lv, const struct histogram *lh, double rv,
                    const struct histogram *rh, struct element *out);
/* notes: a bit set of 1 << enum element_note. */
void binary_annotate(struct eval *ev, const struct expr *at, unsigned notes);
double binary_float(enum binary_op op, double l, double r);       /* comparisons give 1 or 0 */
/* Such operators drop the metric name. */
static inline bool binary_changes_meaning(enum binary_op op) { return op <= OP_ATAN2; }

/* --- matching (match_labels.c) ------------------------------------------------------------------------------------ */
/* Rows of both sides with equal matching labels have the same group number. */
struct match_groups {
    size_t n;
    uint32_t *left, *right;      /* group number of each row */
    struct labels *labels;       /* per group: its matching labels */
};
/* The same for any number of sides, in sequence. */
struct names { const struct str *items; size_t n; };  /* label names: sorted, without duplicates */
struct match_keys {
    const struct matching *m;
    struct names names;
    struct map *known;
    struct labels *labels; size_t n, _cap; /* per group */
};
void match_keys_begin(struct eval *ev, const struct matching *m, struct match_keys *k);
uint32_t *match_keys_of(struct eval *ev, struct match_keys *k, const struct value *side); /* group number of each row */
void match_keys_end(struct match_keys *k);
void match_groups(struct eval *ev, const struct matching *m, const struct value *left, const struct value *right,
                  struct match_groups *out);

/* --- label names and groups of rows (grouping.c) ------------------------------------------------------------------ */
/* one_more: an additional name, "" for none */
struct names names_sorted(struct eval *ev, const struct str *items, size_t n, struct str one_more);
struct grouping { struct names names; bool without; };  /* without(): includes the metric name */
struct grouping grouping_of(struct eval *ev, const struct expr *aggregate, struct str one_more_by);
struct labels grouping_labels(struct eval *ev, const struct grouping *g, struct labels l);
struct row_groups {
    size_t n, n_rows;
    struct labels *labels;       /* per group */
    uint32_t *of;                /* per row: its group */
    uint32_t *rows;              /* row numbers ordered by group, then by row */
    uint32_t *start;             /* n + 1: group g has rows[start[g] .. start[g + 1]) */
};
void group_rows(struct eval *ev, const struct grouping *g, const struct value *in, struct row_groups *out);

/* --- eval.c ------------------------------------------------------------------------------------------------------- */
extern const struct eval_nodes eval_nodes;
void eval_expr(struct eval *ev, const struct expr *e, struct value *out); /* eval_nodes.expr */
void eval_instant(struct eval *ev, const struct expr *selector, struct series_set *set, enum sample_field part,
                  struct value *out); /* eval_nodes.instant; selector.c */

/* --- result.c ----------------------------------------------------------------------------------------------------- */
void make_result(struct eval *ev, const struct expr *e, struct promql_result *out); /* also evaluates e */

static inline struct value *arguments(struct eval *ev, size_t n)
{
    return ARENA_ARRAY(ev->arena, struct value, n ? n : 1);
}

#endif
