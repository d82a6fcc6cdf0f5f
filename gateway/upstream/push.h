// SPDX-License-Identifier: Apache-2.0
/* Push-down over server groups: what may be pushed to which group (gateway/query/plan.h decides about the query), the
 * requests for what is pushed, and their results as series sets.
 *
 * The value of what is pushed is that of the raw samples merged here; anything in its responses that does not show
 * that puts the whole plan in doubt, and the query is evaluated from raw samples: a failure of any kind, native
 * histograms (JSON does not carry them whole), a series that two groups have, points at other times than requested.
 */
#ifndef GATEWAY_UPSTREAM_PUSH_H
#define GATEWAY_UPSTREAM_PUSH_H

#include "gateway/query/plan.h"
#include "gateway/upstream/group_request.h"
#include "gateway/upstream/source.h"

/* Plans the query of q. False: nothing is pushed. recent_from: since when the recent store has samples; INT64_MAX. */
bool push_plan(struct upstream *u, struct query_ctx *q, const struct plan_question *question, int64_t recent_from,
               struct source_plan *out);

struct push_call; /* of one execution, in the query's arena */
/* Sends the requests of a plan, equal ones once; they run in batch_wait. */
struct push_call *push_start(struct upstream *u, struct request_batch *batch, const struct source_plan *plan);
void push_stop(struct push_call *c); /* after batch_wait, however it ended */
/* Fills the plan's sets. EXEC_DOUBT: why is traced and counted. Within push_start and batch_end. */
enum exec_outcome push_collect(struct push_call *c, struct err *err);

#endif
