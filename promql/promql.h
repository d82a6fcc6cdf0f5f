// SPDX-License-Identifier: Apache-2.0
/* The PromQL engine: parses a query and evaluates it over series read from a source. No I/O, no clock, no globals.
 * One query belongs to one thread; all its memory is in the arena of its query_ctx.
 *
 *   parse -> (print, JSON, or) preprocess -> select all series at once -> evaluate -> result
 *
 * Errors: a syntax error is ERR_BAD_DATA with Prometheus' "LINE:COL: parse error: ..."; a failed evaluation ERR_EXEC;
 * a limit ERR_LIMIT ("query processing would load too many samples into memory in query execution"); a deadline
 * ERR_TIMEOUT. When the arena's budget is exceeded at any point, the query ends with ERR_LIMIT: promql_eval sets the
 * arena's on_full while it runs.
 *
 * Reference: https://prometheus.io/docs/prometheus/latest/querying/basics/ and the tests of the latest release.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "model/source.h"

struct expr;
struct promql_syntax { /* enabled language features; zero = all that cannot change the meaning of a valid query */
    bool no_experimental_functions;
};

/* --- text and trees ---------------------------------------------------------------------------------------------- */
struct expr *promql_parse(struct arena *a, struct str text, const struct promql_syntax *syntax,
                          struct err *err) MUST_USE;
/* Parses one vector selector, as in match[], into its matchers. The caller checks whether at least one matcher
 * rejects the empty value. */
bool promql_parse_selector(struct arena *a, struct str text, const struct matcher **out, size_t *n,
                           struct err *err) MUST_USE;
void promql_free(struct expr *e);                            /* frees the regexes; the tree is freed with its arena */
void promql_print(struct buf *out, const struct expr *e);    /* in one line, as Prometheus prints it */
void promql_pretty(struct buf *out, const struct expr *e);   /* in several lines, as /api/v1/format_query returns it */
void promql_json(struct buf *out, const struct expr *e);     /* the tree as /api/v1/parse_query returns it */
bool promql_equal(const struct expr *a, const struct expr *b); /* same tree, ignoring positions */
enum promql_type { PROMQL_SCALAR, PROMQL_VECTOR, PROMQL_MATRIX, PROMQL_STRING };
enum promql_type promql_type(const struct expr *e);
/* Calls `visit` for everything that the language has a name for; aggregations count as operators. */
enum promql_word { PROMQL_FUNCTION, PROMQL_OPERATOR, PROMQL_KEYWORD };
void promql_words(void (*visit)(void *arg, enum promql_word kind, const char *name), void *arg);
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
/* Points in ascending time: t[i] has the histogram h[i] or the float v[i]; no value where v[i] is a stale marker and
 * h[i] NULL. All series of a grid (range queries, subqueries) share one t; in an instant vector n is 1. Every series
 * has at least one value. */
struct promql_series {
    struct labels labels;
    const int64_t *t;                 /* ms */
    const double *v;                  /* not a stale marker where h is set */
    const struct histogram *const *h; /* NULL: floats only */
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
    struct promql_series *series; size_t n;  /* sorted by labels; VECTOR: unless the query sorts */
    int64_t t;                               /* SCALAR, STRING */
    double scalar;
    struct str string;
    struct promql_stats stats;
};
/* Evaluates a parsed tree; annotations (with positions) are added to q->notes. Range queries of strings and matrices
 * are ERR_BAD_DATA `invalid expression type "range vector" for range query, must be Scalar or instant Vector`. */
bool promql_eval(struct expr *e, struct str text, const struct promql_params *p, struct source *src,
                 struct query_ctx *q, struct promql_result *out, struct err *err) MUST_USE;

/* The API's JSON form of a histogram: {"count":"7","sum":"5","buckets":[[...]]}. */
void promql_histogram_json(struct buf *out, const struct histogram *h);

#endif
