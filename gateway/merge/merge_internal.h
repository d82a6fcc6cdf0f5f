// SPDX-License-Identifier: Apache-2.0
/* What merge.c and complete.c share: the replicas of one series while they are merged. */
#ifndef GATEWAY_MERGE_MERGE_INTERNAL_H
#define GATEWAY_MERGE_MERGE_INTERNAL_H

#include "gateway/merge/merge.h"
#include "gateway/merge/sequence.h"

struct replica {
    struct sequence s;       /* without the markers that others overrule */
    struct sequence whole;
    bool measured;           /* the rest is known */
    int64_t least, most;     /* between neighbours, ms */
    int64_t interval;        /* median */
    bool own_interval;       /* seen in its own samples */
    bool markers;
};
struct merging {
    struct merge_job *job;
    struct replica *replicas; size_t n; /* in the order in which they are preferred, once they are measured */
    int64_t from, to;
};

static inline int64_t merge_max_gap(int64_t t) { return t + t / 2; }
/* As long as a sample is younger than 1.1 intervals, the next one is not overdue; rate() extends to an edge so near. */
static inline int64_t near_interval(int64_t interval) { return interval + (interval > 0 ? (interval - 1) / 10 : 0); }

/* complete.c: fills into->replicas. */
void complete_replicas(const struct merging *m, struct series *into);

#endif
