// SPDX-License-Identifier: Apache-2.0
/* The query service: parses and evaluates PromQL for the API and the command line, independent of HTTP. Memory,
 * deadline and cancellation of a query are in its struct query_ctx, which on a worker is that of a query_session
 * (session.h). A query belongs to one thread.
 */
#ifndef GATEWAY_QUERY_SERVICE_H
#define GATEWAY_QUERY_SERVICE_H

#include "promql/promql.h"

struct query_service {             /* where queries read from, and the program's settings for all of them */
    struct source *source;
    int64_t lookback;              /* ms; 0 = 5 m */
    int64_t subquery_step;         /* ms; 0 = 1 m */
    uint64_t max_samples;          /* 0 = 50,000,000 */
    bool delayed_name_removal;
    bool per_step_stats;           /* queries may request them */
};
struct query_params {              /* of one query */
    struct str text;
    struct expr *tree;             /* of text, owned by the caller; NULL: query_run parses it */
    bool range;                    /* at start, start + step ... end; otherwise at start */
    int64_t start, end, step;      /* ms */
    int64_t lookback;              /* ms; 0 = the service's */
    size_t limit;                  /* maximum series; further ones are dropped with a warning. 0 = no limit */
    bool per_step_stats;
};
struct query_result { struct promql_result value; };

/* Value and statistics are in the query's arena; annotations are appended to q->notes. Errors as in promql.h. */
bool query_run(const struct query_service *s, struct query_ctx *q, const struct query_params *params,
               struct query_result *result, struct err *err) MUST_USE;
/* Parses a text; the tree is freed with the query's arena. NULL: err has the parser's error. */
struct expr *query_parse(struct query_ctx *q, struct str text, struct err *err);
void query_note_truncated(struct query_ctx *q); /* the warning about a limit */

#endif
