// SPDX-License-Identifier: Apache-2.0
/* Checks in the background what servers evaluate: one of PUSH_SAMPLED pushed expressions of each server is evaluated once
 * more, by the server and here from the raw samples of the same server. If the values differ, twice, this expression is no
 * longer pushed to this version of the server (gateway/servers/push_samples.h), which is logged and counted.
 *
 * Both are evaluated at the steps of the query less PUSH_CHECK_AGE_MS, so that samples that arrive in between change
 * nothing. One check runs at a time, and the next one begins when its CPU time is less than a hundredth of what the
 * process has used meanwhile.
 *
 * Called on the main thread, in its loop. A check has a reference to the upstream, so that a reload need not wait for it.
 */
#ifndef GATEWAY_BACKGROUND_PUSH_CHECKS_H
#define GATEWAY_BACKGROUND_PUSH_CHECKS_H

#include "gateway/query/service.h"
#include "gateway/query/worker.h"
#include "gateway/upstream/upstream.h"

enum { PUSH_CHECK_AGE_MS = 300000, PUSH_CHECK_MS = 60000 /* deadline */, PUSH_CHECK_SHARE = 100 };

struct push_checks;
struct push_checks *push_checks_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
struct push_checks_setup {
    struct workers *workers;
    struct budget *memory;          /* of queries */
    size_t query_memory;            /* of one query */
    struct query_service settings;  /* but for the source */
};
/* Checks the servers of u from now on, and keeps a reference. */
void push_checks_use(struct push_checks *c, struct upstream *u, const struct push_checks_setup *setup);
void push_checks_stop(struct push_checks *c); /* ends a check soon, begins none */
void push_checks_free(struct push_checks *c); /* after workers_stop */

#endif
