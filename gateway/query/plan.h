// SPDX-License-Identifier: Apache-2.0
/* Push-down: which sub-expressions of a query the servers evaluate, and which are evaluated here from raw samples.
 *
 * The planner gets the prepared tree of a query and what it may know of the server groups, and returns a tree in which
 * the largest sub-expressions that servers can evaluate are EXPR_FETCHED, and the requests that fetch them. It is pure:
 * no I/O, no clock; everything is in the arena.
 *
 * What is pushed. A node's value over all groups is made of its values in each group:
 *   one group can have matching series      the group's value is the node's value
 *   several, distinguished by their times   for each step, the value of the group that has all its samples
 *   several, distinguished by their labels  the union of their values, for functions of each single series
 *                                           (DISTRIBUTES_EACH) and of series that share labels which distinguish
 *                                           the groups (by (region), a / b, histogram_quantile)
 *   several that may share series           the same union, for functions of each series that keep its labels: a series
 *                                           of two groups is then seen in the results, and is an error
 *   several, and an aggregation             their values, aggregated again (DISTRIBUTES_GROUP): sum, count, min, max,
 *                                           group, topk, bottomk; avg is sum and count, fetched in one request
 * Everything else is evaluated here, over the largest parts that can be pushed.
 *
 * Groups show other labels than their servers have (gateway/view). Matchers on them are answered here or translated
 * (view_route); in the lists of by, without, on and ignoring they are replaced by those that the servers have; the
 * results get them where they belong.
 *
 * A function of ranges, alone, is not pushed where its values at many steps are more to compute and transfer than the
 * compressed samples.
 *
 * Where it is pushed. For every step the first server of a group that has no gap in what the step reads; consecutive
 * steps with the same servers are one request. Steps for which a group has no such server are evaluated here
 * (EXPR_CUT), unless the group can be divided by targets so that each part has such a server, or each of its targets has
 * one at each step: then several servers evaluate the part by target, and the caller picks the values. Gaps are the caller's: what
 * a server is not known to have complete, and what must be merged here anyway. Instant selectors of scraped series read
 * the newest scrape only: a gap before it does no harm (plan_newest.c).
 */
#ifndef GATEWAY_QUERY_PLAN_H
#define GATEWAY_QUERY_PLAN_H

#include "gateway/view/view.h"
#include "promql/plan.h"

enum { PLAN_MAX_SELECTORS = 64, PLAN_MAX_REQUESTS = 512 }; /* of a piece; of a plan, which is empty beyond it */
enum { PLAN_PARTS_OF_GROUP = 3, PLAN_NO_CELL = 255 };
enum { PLAN_MAX_RUNS = 16 }; /* of a cut; where gaps would make more of them, everything is evaluated here */

struct plan_span { int64_t from, to; };                     /* Unix ms, both included */
struct plan_gaps { /* of one server */
    const struct plan_span *spans; size_t n;
    /* Likewise, parts of them in which another server may have a newer scrape, and those that no scrape of the server is known to
     * end. At a time in no outdated one, and with no lasting one in the window before it, it has the newest scrape of
     * each target. */
    const struct plan_span *outdated; size_t n_outdated;
    const struct plan_span *lasting; size_t n_lasting;
};
struct plan_known {
    const char *why;         /* the reason for gaps */
    bool scraped;            /* each selected series has a sample at each scrape of its target, until it ends with a
                              * stale marker */
};

/* The order in which the servers of a group are preferred: the first `of` of them in turn, beginning with `first`.
 * Zeroed: their configured order. */
struct plan_turn { size_t first, of; };
static inline size_t plan_turn_at(struct plan_turn t, size_t i) { return i < t.of ? (t.first + i) % t.of : i; }

struct plan_group {
    struct str name;
    struct labels labels;    /* added to its series */
    const struct label_view *view; /* what else it changes, with these labels; NULL: nothing */
    size_t n_servers;        /* to choose from; 1 where any of them may respond */
    struct plan_turn turn;
    const char *refusal;     /* why nothing may be pushed to it; NULL: it may */
    uint64_t old;            /* bits: servers that are Prometheus 2, to which less may be pushed (plan_old.c) */
    uint64_t shortsighted;   /* those of them whose lookback is not known to be as long as the query's */
    bool subqueries;         /* its servers evaluate subqueries as we do */
    bool compact;            /* raw samples of it are fetched compressed */
    bool aligned;            /* its servers evaluate ranges at multiples of the step only */
    bool limited;            /* it is read for samples in `window` only */
    struct plan_span window;
    bool disjoint;           /* declared to share no series with other groups */
    const struct str *target_labels; size_t n_target_labels; /* that series have in common with the `up` of their target */
};

struct plan_read { const struct matcher *matchers; size_t n; int64_t from, to; }; /* by a selector, as servers get it */
/* The targets of a group that some servers have not complete, as values of one label of its servers; ascending. */
struct plan_division { struct str label; const struct str *values; size_t n; };

struct plan_env {
    const struct plan_group *groups; size_t n_groups;
    /* Whether the group is read for a selector with these matchers (as the user gave them) and samples within
     * [from, to]. NULL: it always is. */
    bool (*admits)(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to);
    /* The gaps of each server of a group in what a selector with these matchers (as the servers get them) needs within
     * [from, to]: fills out[n_servers]. */
    void (*gaps)(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to,
                 struct plan_gaps *out, struct plan_known *known);
    /* By which targets the group can be divided for these reads so that parts may have servers without gaps where the
     * group has none. False: it cannot. NULL: it never can. */
    bool (*divide)(void *arg, size_t group, const struct plan_read *reads, size_t n, struct plan_division *out);
    /* The matcher for one of these values of the label; negative: for none of them. False: there is none. */
    bool (*match)(void *arg, struct str label, const struct str *values, size_t n, bool negative, struct matcher *out);
    /* Whether all servers of the group that may be chosen have this experimental function and compute it as we do. NULL:
     * they have none. */
    bool (*has_function)(void *arg, size_t group, const struct function *fn);
    void *arg;
};

/* A sub-expression that is fetched. Its sets are those of EXPR_FETCHED nodes, filled by the caller. */
struct plan_piece {
    struct series_set *sets; /* 2 */
    bool average;            /* sums in sets[0], counts in sets[1]: by PLAN_PART_LABEL of a series */
    bool aggregated;         /* groups may have equal label sets, which are aggregated again; otherwise it is an error */
    struct grid steps;
    size_t first_request, n_requests; /* one a group, or one for each server of its cells */
};
#define PLAN_PART_LABEL "__part__" /* value: PLAN_PART_SUM, PLAN_PART_COUNT */
#define PLAN_PART_SUM "sum"
#define PLAN_PART_COUNT "count"

/* Of a part whose targets have different servers: the server of each value of the label (ascending) and step. */
struct plan_cells { struct str label; const struct str *values; size_t n; const uint8_t *servers; };

struct plan_request {
    size_t piece, group, server;
    const struct plan_cells *cells; /* the same for all requests of the part; the others' values are dropped. NULL: none */
    uint64_t others;         /* bits: servers that could evaluate it, too, if that one is late or fails */
    struct str text;         /* for the server */
    const struct str *metrics; size_t n_metrics; /* whose native histograms the result may have */
    const struct function *const *experimental; size_t n_experimental; /* functions in the text that servers may lack */
    struct label_view view;  /* of the results' labels */
};

/* Where a node of the query is evaluated, and why, for explain. */
struct plan_decision {
    struct str text;         /* the node */
    enum plan_where { PLAN_PUSHED, PLAN_CUT, PLAN_RAW, PLAN_LOCAL } where;
    struct str why;          /* empty: it is pushed as it is */
};

struct plan {
    struct expr *tree;       /* shares nothing that will be changed with the original */
    int64_t lookback;        /* of all requests, ms */
    struct plan_piece *pieces; size_t n_pieces, _cap_pieces;
    struct plan_request *requests; size_t n_requests, _cap_requests;
    struct plan_decision *decisions; size_t n_decisions, _cap_decisions; /* in the order in which they were made */
};

/* Plans a prepared tree. The tree is not changed. */
void plan_make(struct arena *a, const struct plan_question *question, const struct plan_env *env, struct plan *out);

#endif
