// SPDX-License-Identifier: Apache-2.0
/* Counters of server groups. */
#ifndef GATEWAY_UPSTREAM_STATS_H
#define GATEWAY_UPSTREAM_STATS_H

#include "gateway/upstream/upstream.h"

#define UPSTREAM_STATS(X)                                                                    \
    X(RECENT_ALONE, "sluice_upstream_recent_alone_total", STATS_COUNTER,                     \
      "Queries served by the recent store because no server of a group responded")           \
    X(FILTER_READINGS, "sluice_upstream_filter_readings_total", STATS_COUNTER,               \
      "Readings of label values for the label_filter of a group")                             \
    X(FILTER_FAILED, "sluice_upstream_filter_readings_failed_total", STATS_COUNTER,          \
      "Such readings to which not every server of the group responded completely")            \
    X(FILTERED, "sluice_upstream_filtered_total", STATS_COUNTER,                             \
      "Times that the label_filter of a group kept a selector from its servers")               \
    X(SHARDS_SKIPPED, "sluice_upstream_shards_skipped_total", STATS_COUNTER,                 \
      "Times that a group was not queried since the labels of a selector place its series elsewhere") \
    X(REQUESTS_JOINED, "sluice_upstream_requests_joined_total", STATS_COUNTER,               \
      "Requests that were not sent because an equal one of another query was in flight")    \
    X(PUSHED, "sluice_upstream_pushed_total", STATS_COUNTER, "Sub-expressions that servers evaluated") \
    X(PUSH_ABANDONED, "sluice_upstream_push_abandoned_total", STATS_COUNTER,                 \
      "Queries evaluated from raw samples because a pushed sub-expression failed or was in doubt") \
    X(PUSH_CHECKED, "sluice_upstream_push_checks_total", STATS_COUNTER,                      \
      "Pushed sub-expressions that were checked against an evaluation from raw samples of the server") \
    X(PUSH_DISPROVED_BY_CHECK, "sluice_upstream_push_checks_failed_total", STATS_COUNTER,    \
      "Checks whose results differed; the expression is no longer pushed to this version of the server")
enum upstream_stat { UPSTREAM_STATS(STATS_ID) };

#endif
