// SPDX-License-Identifier: Apache-2.0
/* Counters of server groups. */
#ifndef GATEWAY_UPSTREAM_STATS_H
#define GATEWAY_UPSTREAM_STATS_H

#include "gateway/upstream/upstream.h"

#define UPSTREAM_STATS(X)                                                                    \
    X(RECENT_ALONE, "sluice_upstream_recent_alone_total", STATS_COUNTER,                     \
      "Queries served by the recent store because no server of a group responded")           \
    X(PUSHED, "sluice_upstream_pushed_total", STATS_COUNTER, "Sub-expressions that servers evaluated") \
    X(PUSH_ABANDONED, "sluice_upstream_push_abandoned_total", STATS_COUNTER,                 \
      "Queries evaluated from raw samples because a pushed sub-expression failed or was in doubt")
enum upstream_stat { UPSTREAM_STATS(STATS_ID) };

#endif
