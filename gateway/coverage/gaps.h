// SPDX-License-Identifier: Apache-2.0
/* The scrapes of one target on the replicas of a group, compared: where each replica has a gap.
 *
 * 1. A scrape is good when `up` is 1 and `scrape_samples_post_metric_relabeling` of the same timestamp is not below all
 *    values that a sibling has within 1.5 intervals. (A sibling whose values nearby are all larger kept series that
 *    this replica dropped; where the number of series changes, the two see it one scrape apart.)
 * 2. Good scrapes at most 1.5 intervals apart form a run. The interval is the replica's own, so that replicas may have
 *    different ones.
 * 3. Between its runs a replica is absent. A stretch of an absence in which siblings have runs is a gap when it is
 *    longer than 1.5 intervals, or when the siblings' runs begin and end inside it. So two scrapers that see a target
 *    begin or end one scrape apart have no gap, and neither has a replica while the target is down for all.
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
    struct coverage_span before;                    /* its latest run so far; to is COVERAGE_NEVER: none */
    /* The end of the run before that one, COVERAGE_NEVER: none. Siblings may show only now that they had scrapes
     * between the two. */
    int64_t absent_since;
    int64_t interval;                               /* median, ms; 0 = not known */
};
struct target_gaps { /* of one replica */
    struct coverage_span *runs; size_t n_runs;      /* ascending; `before` is the first of them, perhaps prolonged */
    struct coverage_span *gaps; size_t n_gaps;
};
/* `until`: how far the samples have been read. */
void gaps_find(struct arena *a, const struct target_scrapes *replicas, size_t n, int64_t until,
               struct target_gaps *out);
/* Median distance of n ascending samples, of the last 16 of them; 0 below two. */
int64_t gaps_interval(const struct sample *samples, size_t n);

#endif
