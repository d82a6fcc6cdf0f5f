// SPDX-License-Identifier: Apache-2.0
/* The samples of one series from several replicas, merged into one sequence. Pure; results in the arena.
 *
 * 1. Replicas that hold copies of one stream (copies.h) are united by timestamp: no sample of either is lost, and a
 *    live sample takes precedence over a stale marker at the same time. A marker that only one of them has is dropped
 *    where the other continues: live samples on both sides, at most 1.5 intervals apart.
 * 2. The remaining replicas scraped independently. A stale marker of one replica is dropped while another is alive: its
 *    latest sample is live and not overdue.
 * 3. The first replica in the group's order is the base; one that scrapes clearly less often than another is last.
 * 4. The others fill gaps of the base in that order. A gap is wider than 1.5 intervals and twice the buffer. Samples
 *    within the buffer of its ends are the same scrape and are skipped. This also holds between window edge and base,
 *    so that an edge never admits another replica's copy of a scrape beyond it.
 * 5. A base with gaps is accompanied by all replicas and the spans in which they are complete (complete.c): a range
 *    function sees the first that is complete over its window, and the merged sequence only where none is.
 *
 * The buffer is half of the base's median interval, or the configured number of milliseconds. Floats and histograms of
 * a series are one sequence in time.
 */
#ifndef GATEWAY_MERGE_MERGE_H
#define GATEWAY_MERGE_MERGE_H

#include "model/series.h"

enum { MERGE_DEFAULT_MS = 10000 };
struct merge_rule {
    int64_t ms;      /* the buffer */
    bool automatic;  /* half of the median interval; ms only where no interval is seen */
    bool prefer_max; /* use the larger of two samples within the buffer, and no window of one replica (complete.c) */
};
struct merge_job {
    const struct merge_rule *rule;
    struct arena *arena;
    int64_t from, to;  /* where a replica's samples are expected, ms: the window, but not beyond now */
    uint64_t filled;   /* samples taken from another replica than the base */
    uint64_t disagreed; /* floats of copies with equal times and different values: the first one's are taken */
};

/* replicas[i] are in the group's order, n > 0. Replicas with equal streams[i] hold copies. *into keeps its labels; its
 * arrays are the arena's, or those of a replica. */
void merge_replicas(struct merge_job *job, const struct series *const *replicas, const unsigned *streams, size_t n,
                    struct series *into);
/* Samples of one stream in pieces: by time, those of `into` first where both have one. */
void merge_pieces(struct arena *a, struct series *into, const struct series *more);

#endif
