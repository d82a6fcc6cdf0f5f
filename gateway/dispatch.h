// SPDX-License-Identifier: Apache-2.0
/* Connects the HTTP server to services and workers: sets up the context of each request and runs the handlers of slow
 * routes on workers. */
#ifndef GATEWAY_DISPATCH_H
#define GATEWAY_DISPATCH_H

#include "base/telemetry/stats.h"
#include "gateway/http/http.h"

#define DISPATCH_STATS(X)                                                     \
    X(SLOW_QUERIES, "vm_slow_queries_total", STATS_COUNTER,                   \
      "Queries that took longer than --query.slow-threshold")
enum dispatch_stat { DISPATCH_STATS(STATS_ID) };
extern struct stats_group dispatch_stats;
extern const struct http_hooks dispatch_hooks; /* require http_server_conf.services */

#endif
