// SPDX-License-Identifier: Apache-2.0
/* The scrapes of one target on the replicas of a group, compared: where each replica has a gap.
 *
 * 1. A target is alive on a replica when `up` is 1. The scrape is good when, besides, there is a
 *    scrape_samples_post_metric_relabeling of the same timestamp that is not below all values that a sibling has within
 *    1.5 intervals. (A sibling whose values nearby are all larger kept series that this replica dropped; where the
 *    number of series changes, the two see it one scrape apart.)
 * 2. Such scrapes at most 1.5 intervals apart form a run, of good ones and of a live target. The interval is the
 *    replica's own, so that replicas may have different ones.
 * 3. Between its runs of good scrapes a replica is absent. A stretch of an absence in which the target is alive on a
 *    sibling is a gap when it is longer than 1.5 intervals, or when the siblings' runs begin and end inside it. So two
 *    scrapers that see a target begin or end one scrape apart have no gap, and neither has a replica while the target
 *    is down for all. A replica that is itself alive but has no good scrapes has a gap wherever a sibling is alive.
 * 4. A gap that ends because the siblings' run does is prolonged by the 1.5 intervals in which their last sample
 *    stands.
 *
 * Pure functions over arrays; results in the arena.
 */
#ifndef GATEWAY_COVERAGE_GAPS_H
#define GATEWAY_COVERAGE_GAPS_H

#include "gateway/coverage/coverage.h"
#include "model/series.h"

static const int64_t COVERAGE_NEVER = INT64_MIN / 4; /* earlier than any time; sums of a few stay in range */

struct target_scrapes { /* of one replica, ascending in time */
    bool ignored;                                   /* the replica takes no part: nothing is known of it */
    const struct sample *up; size_t n_up;
    const struct sample *kept; size_t n_kept;       /* scrape_samples_post_metric_relabeling */
    /* The latest runs so far, of good scrapes and of a live target; to is COVERAGE_NEVER: none. */
    struct coverage_span before, alive_before;
    /* The end of the run before `before`, COVERAGE_NEVER: none. Siblings may show only now that they had scrapes
     * between the two. */
    int64_t absent_since;
    int64_t interval;                               /* median, ms; 0 = not known */
};
struct target_gaps { /* of one replica */
    struct coverage_span *runs; size_t n_runs;      /* ascending; `before` is the first of them, perhaps prolonged */
    struct coverage_span *alive; size_t n_alive;    /* the same of a live target */
    struct coverage_span *gaps; size_t n_gaps;
};
/* `until`: how far the samples have been read. */
void gaps_find(struct arena *a, const struct target_scrapes *replicas, size_t n, int64_t until,
               struct target_gaps *out);
/* Median distance of n ascending samples, of the last 16 of them; 0 below two. */
int64_t gaps_interval(const struct sample *samples, size_t n);

#endif
