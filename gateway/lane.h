// SPDX-License-Identifier: Apache-2.0
/* A lane: one thread with one loop, and what it serves: its HTTP daemon, its sink, its share of targets and shards.
 * It shares nothing; others post to its loop.
 */
#ifndef GATEWAY_LANE_H
#define GATEWAY_LANE_H

#include "base/telemetry/stats.h"
#include "gateway/services/services.h"

extern struct stats_histogram lane_turns; /* registered by metrics_start */

struct lane {
    unsigned id;
    struct loop *loop;
    struct thread *thread;
    struct http_server *http;
    struct lane_services *services; /* &services.lanes[id] */
};
/* All on the main thread, in this order; between them the workers, the writer and the scraper are stopped. */
/* The thread runs when it returns; NULL when the system has no thread or descriptors for it. Sets services.lanes[id]'s
 * loop. */
struct lane *lane_start(unsigned id, struct services *s, const struct listener_conf *http, struct err *err) MUST_USE;
void lane_cancel(struct lane *l);   /* its HTTP requests under way are canceled, new ones refused */
void lane_join(struct lane *l);     /* closes the HTTP daemon, ends the loop, joins; the loop is still there */
void lane_free(struct lane *l);

#endif
