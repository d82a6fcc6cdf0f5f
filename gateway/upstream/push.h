// SPDX-License-Identifier: Apache-2.0
/* Push-down over server groups: which expressions may be pushed to which group (gateway/query/plan.h plans the query),
 * the requests, and their results as series sets.
 *
 * A pushed expression must have the value that evaluation from merged raw samples has. If a response does not prove
 * that, the plan is abandoned and the query is evaluated from raw samples: after any failure, native histograms
 * (incomplete in JSON), a series that two groups have, points at other times than requested.
 */
#ifndef GATEWAY_UPSTREAM_PUSH_H
#define GATEWAY_UPSTREAM_PUSH_H

#include "gateway/query/plan.h"
#include "gateway/upstream/group_request.h"
#include "gateway/upstream/source.h"

/* --- push_plan.c --- */
#define PUSH_HISTOGRAMS "a response has native histograms, whose JSON is incomplete" /* why a plan is abandoned */
/* Plans the query of q. False: nothing is pushed. recent_from: time of the recent store's oldest sample; INT64_MAX:
 * none. */
bool push_plan(struct upstream *u, struct query_ctx *q, const struct plan_question *question, int64_t recent_from,
               struct source_plan *out);

/* --- push.c --- */
struct push_call; /* of one execution, in the query's arena */
/* Sends the requests of a plan, equal ones once; they run in batch_wait. */
struct push_call *push_start(struct upstream *u, struct request_batch *batch, const struct source_plan *plan);
void push_stop(struct push_call *c); /* after batch_wait, also if that failed */
/* Fills the plan's sets. EXEC_DOUBT: the reason is traced and counted. Between push_start and batch_end. */
enum exec_outcome push_collect(struct push_call *c, struct err *err);

#endif
