// SPDX-License-Identifier: Apache-2.0
/* The origin of samples for queries. The gateway implements it for server groups, the recent store for its chunks,
 * tests for arrays; PromQL reads through it.
 *
 * Called by a query worker, which may block until the response has arrived. All results are in the query's arena or
 * valid until source_release. All selectors of a query are requested in one call, so that they are fetched
 * concurrently.
 */
#ifndef MODEL_SOURCE_H
#define MODEL_SOURCE_H

#include "model/matcher.h"
#include "model/notes.h"
#include "model/series.h"

#include <stdatomic.h>

/* The context of every call: deadline, cancellation, arena and notes. */
struct query_trace;
enum partial_response { PARTIAL_AS_CONFIGURED, PARTIAL_ALLOWED, PARTIAL_DENIED }; /* when a source fails */
struct query_ctx {
    struct arena *arena;
    struct notes *notes;
    int64_t deadline_mono;        /* clock_mono_ms; 0 = none */
    const atomic_bool *canceled;  /* its client has left; may be NULL */
    const atomic_bool *stopped;   /* an operator has canceled it; may be NULL */
    enum partial_response partial;
    unsigned turn;                /* another one for each query: which of several servers is preferred */
    void *user;                   /* the gateway's own state of this query; its sources know the type */
    void *remembered;             /* what a source remembers of this query between calls; its own, in the arena */
    struct query_trace *trace;    /* what sources tell of their work, for explain; NULL: nothing is told */
};
/* True when the query must end: fills err with ERR_TIMEOUT ("query timed out in " where) or ERR_CANCELED. */
bool query_ended(const struct query_ctx *q, const char *where, struct err *err);

enum select_kind {
    /* a vector selector: the latest sample in (t - lookback, t] at every grid point, unless it is stale */
    SELECT_INSTANT,
    SELECT_RANGE,   /* a matrix selector: all samples in (t - range, t] at every grid point */
};
struct select {
    enum select_kind kind;
    const struct matcher *matchers; size_t n_matchers;
    int64_t t_min, t_max;           /* range of samples (ms) that can affect the result */
    /* The evaluation grid in the selector's own time (offset and @ applied). start == end: one point. */
    int64_t start, end, step;
    int64_t window;                 /* lookback (INSTANT) or range (RANGE), ms */
    /* used by timestamp(): when the result is exact, series.origins must be set */
    bool wants_origin;
    const char *func;               /* the enclosing function, "" when none: a hint */
};

struct series_set {
    struct series *series; size_t n; /* no duplicate label sets; any order */
    /* false: raw samples including stale markers; lookback is not applied yet. true (INSTANT only): the sample at t
     * is the value at grid point t; no sample means no value. */
    bool exact;
    /* When load is set, series[i] has only its labels, and load returns the samples on demand, in memory that the
     * next load may overwrite (out->samples; histograms live until the query ends). An evaluator can then process
     * 10,000 series in one small buffer. */
    bool (*load)(struct series_set *set, size_t i, struct series *out, struct err *err);
    void (*release)(struct series_set *set); /* may be NULL; called once at the end of the query */
    void *impl;
};
/* by load, or from the array */
bool series_set_get(struct series_set *set, size_t i, struct series *out, struct err *err) MUST_USE;
static inline void series_set_release(struct series_set *set)
{
    if (set->release)
        set->release(set);
    set->release = NULL;
}

struct series_query { /* labels, values, series, metadata, exemplars */
    const struct matcher *const *sets; const size_t *set_sizes; size_t n_sets; /* match[]: any of them; 0 sets = all */
    int64_t t_min, t_max;     /* INT64_MIN, INT64_MAX = open */
    size_t limit;             /* 0 = none; a result may be larger: the caller truncates it */
};
struct str_set { struct str *items; size_t n; bool truncated; };
struct labels_set { struct labels *items; size_t n; bool truncated; };
struct metadata_set { struct metadata *items; size_t n; };
struct exemplar_series { struct labels labels; struct str *exemplars; size_t n; };
struct exemplar_set { struct exemplar_series *items; size_t n; };

/* Push-down: a source that can have parts of an expression evaluated elsewhere cuts them out of the prepared tree
 * (promql/plan.h), and fetches them together with the selectors that remain. */
struct expr;
struct plan_question {
    const struct expr *tree;               /* not to be changed */
    struct str text;                       /* of the query, to which the positions of nodes refer */
    int64_t start, step; uint32_t n_steps; /* ms; its grid. An instant query has one step */
    int64_t lookback, subquery_step;       /* ms; the latter of subqueries without one */
};
struct source_plan {
    struct expr *tree;                     /* to be evaluated instead; it shares unchanged nodes with the original */
    void *impl;
};
/* EXEC_DOUBT: what was fetched may differ from the value that raw samples give; the query is to do without the plan. */
enum exec_outcome { EXEC_DONE, EXEC_DOUBT, EXEC_FAILED };

struct source;
struct source_ops {
    bool (*select)(struct source *s, struct query_ctx *q, const struct select *sel, size_t n, struct series_set *out,
                   struct err *err);
    bool (*label_names)(struct source *s, struct query_ctx *q, const struct series_query *sq, struct str_set *out,
                        struct err *err);
    bool (*label_values)(struct source *s, struct query_ctx *q, struct str name, const struct series_query *sq,
                         struct str_set *out, struct err *err);
    bool (*series)(struct source *s, struct query_ctx *q, const struct series_query *sq, struct labels_set *out,
                   struct err *err);
    bool (*metadata)(struct source *s, struct query_ctx *q, struct str metric, size_t limit, struct metadata_set *out,
                     struct err *err);
    /* may be NULL */
    bool (*exemplars)(struct source *s, struct query_ctx *q, const struct series_query *sq, struct exemplar_set *out,
                      struct err *err);
    /* plan and exec: both or none are NULL. plan: false when nothing is cut out. exec: fetches everything for a plan's
     * tree at once: n selectors, as `select` does, and what the plan cut out. */
    bool (*plan)(struct source *s, struct query_ctx *q, const struct plan_question *question, struct source_plan *out);
    enum exec_outcome (*exec)(struct source *s, struct query_ctx *q, struct source_plan *plan, const struct select *sel,
                              size_t n, struct series_set *out, struct err *err);
};
struct source { /* first member of the implementation's struct */
    const struct source_ops *ops;
    /* Its series are those of several servers, or computed by them: their order means nothing, and where the order of a
     * result depends on it, it is that of labels. Otherwise it is that of an index. */
    bool united;
};

#endif
