// SPDX-License-Identifier: Apache-2.0
/* Number and duration of a server's completed requests by call and outcome, for promxy's metric
 * server_group_request_duration_seconds. Workers count, any thread reads. Requests that a query canceled do not count.
 */
#ifndef GATEWAY_SERVERS_LATENCY_H
#define GATEWAY_SERVERS_LATENCY_H

#include "base/telemetry/stats.h"

#include <stdatomic.h>

enum latency_call {
    LATENCY_QUERY, LATENCY_QUERY_RANGE, LATENCY_EXPORT, LATENCY_READ, LATENCY_LABEL_NAMES, LATENCY_LABEL_VALUES,
    LATENCY_SERIES, LATENCY_EXEMPLARS, LATENCY_METADATA, LATENCY_STATUS, LATENCY_CALLS
};
struct latency { struct { atomic_uint_fast64_t requests, ms; } of[LATENCY_CALLS][2]; }; /* [call][succeeded] */

void latency_count(struct latency *l, const char *path, bool succeeded, int64_t took_ms); /* path NULL: remote_read */
/* _sum and _count of what has been counted. labels: n of them, and room for two more. */
void latency_collect(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n);
extern const char latency_family[];

#endif
