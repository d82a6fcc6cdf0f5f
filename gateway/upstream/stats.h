// SPDX-License-Identifier: Apache-2.0
/* Counters of what happens between servers, groups and the recent store. */
#ifndef GATEWAY_UPSTREAM_STATS_H
#define GATEWAY_UPSTREAM_STATS_H

#include "gateway/upstream/upstream.h"

#define UPSTREAM_STATS(X)                                                                    \
    X(REPLICAS_MISSED, "sluice_upstream_replicas_missed_total", STATS_COUNTER,               \
      "Replicas that did not answer where another one did")                                  \
    X(SAMPLES_FILLED, "sluice_upstream_samples_filled_total", STATS_COUNTER,                 \
      "Samples that were taken from another replica, because the base of the series lacked them")                      \
    X(RECENT_ALONE, "sluice_upstream_recent_alone_total", STATS_COUNTER,                     \
      "Answers of the recent store for a group of which no server answered")                 \
    X(PUSHED, "sluice_upstream_pushed_total", STATS_COUNTER, "Sub-expressions that servers evaluated")          \
    X(PUSH_ABANDONED, "sluice_upstream_push_abandoned_total", STATS_COUNTER,                 \
      "Queries evaluated from raw samples because a pushed sub-expression failed or was in doubt")             \
    X(GROUPS_FAILED, "sluice_upstream_groups_failed_total", STATS_COUNTER, "Times a group could not answer")
enum upstream_stat { UPSTREAM_STATS(STATS_ID) };

#endif
