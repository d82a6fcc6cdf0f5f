// SPDX-License-Identifier: Apache-2.0
/* PromQL: text and series in, values out. No I/O, no clock, no globals: whatever is read comes through a source.
 * One query belongs to one thread; everything it makes lives in the arena of its query_ctx.
 *
 *   parse -> (printed, shown as JSON, or) prepare -> select all leaves at once -> evaluate -> result
 *
 * Errors: a text that cannot be parsed is ERR_BAD_DATA with "LINE:COL: parse error: ..." as Prometheus words it; an
 * evaluation that fails is ERR_EXEC, a limit ERR_LIMIT ("query processing would load too many samples into memory in
 * query execution"), time ERR_TIMEOUT. When the arena's budget is spent the query ends with ERR_LIMIT, wherever it is:
 * promql_eval sets the arena's on_full for its time.
 *
 * Source of the semantics: https://prometheus.io/docs/prometheus/latest/querying/basics/ and the newest release's
 * tests.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "model/source.h"

struct expr;
struct promql_syntax { /* which parts of the language are on; zero = all that cannot change a valid query's meaning */
    bool no_experimental_functions;
};

/* --- text and trees ---------------------------------------------------------------------------------------------- */
struct expr *promql_parse(struct arena *a, struct str text, const struct promql_syntax *syntax,
                          struct err *err) MUST_USE;
/* One vector selector, as match[] has: its matchers. Whether one of them refuses the empty value is the caller's to
 * ask. */
bool promql_parse_selector(struct arena *a, struct str text, const struct matcher **out, size_t *n,
                           struct err *err) MUST_USE;
void promql_free(struct expr *e);                            /* the regexes; the tree goes with its arena */
void promql_print(struct buf *out, const struct expr *e);    /* one line, as Prometheus prints it */
void promql_pretty(struct buf *out, const struct expr *e);   /* as /api/v1/format_query does */
void promql_json(struct buf *out, const struct expr *e);     /* as /api/v1/parse_query does */
bool promql_equal(const struct expr *a, const struct expr *b); /* same tree, positions aside */
enum promql_type { PROMQL_SCALAR, PROMQL_VECTOR, PROMQL_MATRIX, PROMQL_STRING };
enum promql_type promql_type(const struct expr *e);
/* The matchers of every selector in the expression, for exemplars. */
size_t promql_selectors(struct arena *a, const struct expr *e, const struct matcher *const **sets,
                        const size_t **sizes);

/* --- evaluation -------------------------------------------------------------------------------------------------- */
struct promql_params {
    int64_t start, end, step;   /* ms; an instant query has start == end and step 0 */
    bool range;                 /* query_range: the result is a matrix over the grid */
    int64_t lookback;           /* ms; 0 = 5 m */
    int64_t subquery_step;      /* default step of subqueries; 0 = 1 m */
    uint64_t max_samples;       /* 0 = 50,000,000 */
    bool delayed_name_removal;  /* feature promql-delayed-name-removal */
    bool per_step_stats;
};
/* What stands at t[i], ascending: the histogram h[i], the float v[i], or, where that is a stale marker, nothing. All
 * series of a grid (range queries, subqueries) share one t; of an instant vector n is 1. None is without any point. */
struct promql_series {
    struct labels labels;
    const int64_t *t;                 /* ms */
    const double *v;                  /* anything but a stale marker where h stands */
    const struct histogram *const *h; /* NULL: floats alone */
    size_t n;
};
static inline bool promql_has(const struct promql_series *s, size_t i) { return !is_stale(s->v[i]); }
static inline const struct histogram *promql_hist(const struct promql_series *s, size_t i)
{
    return s->h ? s->h[i] : NULL;
}
struct promql_stats {
    uint64_t samples, peak_samples;          /* totalQueryableSamples, peakSamples */
    const uint64_t *per_step; size_t n_steps;
    int64_t prepare_ns, select_ns, eval_ns, sort_ns;
};
struct promql_result {
    enum promql_type type;
    struct promql_series *series; size_t n;  /* sorted by labels; VECTOR: unless the query decides */
    int64_t t;                               /* SCALAR, STRING */
    double scalar;
    struct str string;
    struct promql_stats stats;
};
/* Evaluates a parsed tree; notes of the evaluation (with positions) go to q->notes. Range queries of strings and
 * matrices are ERR_BAD_DATA `invalid expression type "range vector" for range query, must be Scalar or instant Vector`.
 */
bool promql_eval(struct expr *e, struct str text, const struct promql_params *p, struct source *src,
                 struct query_ctx *q, struct promql_result *out, struct err *err) MUST_USE;

/* The API's JSON of one histogram: {"count":"7","sum":"5","buckets":[[...]]}. */
void promql_histogram_json(struct buf *out, const struct histogram *h);

#endif
