// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/merge/: the replicas of one series while they are merged. */
#ifndef GATEWAY_MERGE_MERGE_INTERNAL_H
#define GATEWAY_MERGE_MERGE_INTERNAL_H

#include "gateway/merge/merge.h"
#include "gateway/merge/sequence.h"

struct replica {
    struct sequence s;       /* without stale markers that other replicas contradict */
    struct sequence whole;
    bool measured;           /* the rest is known */
    int64_t least, most;     /* between neighbours, ms */
    int64_t interval;        /* median */
    bool own_interval;       /* seen in its own samples */
    bool markers;
};
struct merging {
    struct merge_job *job;
    struct replica *replicas; size_t n; /* in order of preference, after they are measured */
    int64_t from, to;
};

static inline int64_t merge_max_gap(int64_t t) { return t + t / 2; }
/* The next sample is overdue 1.1 intervals after one; rate() extrapolates to an edge that near. */
static inline int64_t near_interval(int64_t interval) { return interval + (interval > 0 ? (interval - 1) / 10 : 0); }

/* complete.c: fills into->replicas. */
void complete_replicas(const struct merging *m, struct series *into);

#endif
