// SPDX-License-Identifier: Apache-2.0
/* Counters of server groups. */
#ifndef GATEWAY_UPSTREAM_STATS_H
#define GATEWAY_UPSTREAM_STATS_H

#include "gateway/upstream/upstream.h"

#define UPSTREAM_STATS(X)                                                                    \
    X(REPLICAS_MISSED, "sluice_upstream_replicas_missed_total", STATS_COUNTER,               \
      "Replicas that failed while another one responded")                                    \
    X(SAMPLES_FILLED, "sluice_upstream_samples_filled_total", STATS_COUNTER,                 \
      "Samples filled from another replica, because the base of a series lacked them")       \
    X(RECENT_ALONE, "sluice_upstream_recent_alone_total", STATS_COUNTER,                     \
      "Queries served by the recent store because no server of a group responded")           \
    X(PUSHED, "sluice_upstream_pushed_total", STATS_COUNTER, "Sub-expressions that servers evaluated") \
    X(PUSH_ABANDONED, "sluice_upstream_push_abandoned_total", STATS_COUNTER,                 \
      "Queries evaluated from raw samples because a pushed sub-expression failed or was in doubt") \
    X(PARTIAL, "sluice_upstream_partial_results_total", STATS_COUNTER,                       \
      "Results without a group that failed and was allowed to fail")                         \
    X(GROUPS_FAILED, "sluice_upstream_groups_failed_total", STATS_COUNTER, "Queries that a group failed to serve")
enum upstream_stat { UPSTREAM_STATS(STATS_ID) };

#endif
