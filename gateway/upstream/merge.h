// SPDX-License-Identifier: Apache-2.0
/* The samples of one series from several replicas, made into one sequence. Pure; results in the arena.
 *
 * Two sequences are folded: the longer one is the base (the earlier one when they are equal) and all of its samples
 * stay; the other fills holes of the base wider than twice the buffer, and what lies before and behind it. The buffer
 * is how far two samples may be apart and still be the same scrape, seen by two servers. With the automatic buffer,
 * replicas that hold copies of one stream (most of what both have stands at equal times) are united by time: no
 * sample of either is lost.
 */
#ifndef GATEWAY_UPSTREAM_MERGE_H
#define GATEWAY_UPSTREAM_MERGE_H

#include "model/series.h"

enum { MERGE_DEFAULT_MS = 10000 };
struct merge_rule {
    int64_t ms;      /* the buffer */
    bool automatic;  /* half of the interval that the samples show; ms where they show none */
    bool prefer_max; /* of two samples within the buffer the larger one */
};

/* `into` takes what `more` has besides. `first` is the earlier replica; either may be without samples. Its array is
 * the arena's, or one of theirs. *filled counts samples that came from the shorter one. */
void merge_series(const struct merge_rule *rule, struct arena *a, struct series *into, const struct series *more,
                  uint64_t *filled);
/* As above for samples of one stream that came in pieces: by time, those of `into` first where both have one. */
void merge_pieces(struct arena *a, struct series *into, const struct series *more);

#endif
