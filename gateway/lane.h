// SPDX-License-Identifier: Apache-2.0
/* A lane: a thread with a loop that owns an HTTP server, a sink and a share of the targets and shards. It shares
 * nothing with other lanes; they post tasks to its loop.
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
/* All on the main thread, in this order; workers, writer and scraper are stopped in between. */
/* Starts the thread and sets the loop of services.lanes[id]. NULL: no thread or descriptor left. */
struct lane *lane_start(unsigned id, struct services *s, const struct http_server_conf *http, struct err *err) MUST_USE;
void lane_cancel(struct lane *l);   /* cancels HTTP requests in flight and refuses new ones */
void lane_join(struct lane *l);     /* closes the HTTP server, ends the loop and joins the thread; keeps the loop */
void lane_free(struct lane *l);

#endif
