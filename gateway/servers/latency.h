// SPDX-License-Identifier: Apache-2.0
/* Number and duration of a server's completed requests: by call and outcome for promxy's metric
 * server_group_request_duration_seconds, by call and HTTP status, and as a histogram. Workers count, any thread reads.
 * Requests that a query canceled do not count.
 */
#ifndef GATEWAY_SERVERS_LATENCY_H
#define GATEWAY_SERVERS_LATENCY_H

#include "base/telemetry/stats.h"

#include <stdatomic.h>

enum latency_call {
    LATENCY_QUERY, LATENCY_QUERY_RANGE, LATENCY_EXPORT, LATENCY_READ, LATENCY_LABEL_NAMES, LATENCY_LABEL_VALUES,
    LATENCY_SERIES, LATENCY_EXEMPLARS, LATENCY_METADATA, LATENCY_STATUS, LATENCY_CALLS
};
enum { LATENCY_CODES = 14, LATENCY_BUCKETS = 9, LATENCY_UNKNOWN = -1 };
struct latency {
    struct { atomic_uint_fast64_t requests, ms; } of[LATENCY_CALLS][2]; /* [call][succeeded] */
    _Atomic int64_t usual_us[LATENCY_CALLS];                            /* of those that succeeded */
    atomic_uint_fast64_t codes[LATENCY_CALLS][LATENCY_CODES];           /* by latency_codes[] */
    atomic_uint_fast64_t buckets[LATENCY_BUCKETS];                      /* by latency_bounds[]; the last is +Inf */
};

enum latency_call latency_call_of(const char *path); /* NULL: remote_read */
/* path NULL: remote_read. status: of HTTP, 0 without a complete response. */
void latency_count(struct latency *l, const char *path, int status, bool succeeded, int64_t took_ms);

/* What a request that succeeds takes: the mean, in which the last 16 requests weigh most. LATENCY_UNKNOWN: none has. */
int64_t latency_usual_ms(const struct latency *l, enum latency_call call);

/* Values of one family each; labels: n of them, and room for two more. */
extern const char latency_family[], latency_codes_family[], latency_histogram_family[];
void latency_collect(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n); /* _sum, _count */
void latency_collect_codes(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n);
void latency_collect_histogram(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n);

#endif
