// SPDX-License-Identifier: Apache-2.0
/* Compares the scrapes of one target on the replicas of a group, and finds the gaps of each replica.
 *
 * 1. A target is scraped on a replica when it has a sample of `up`, and alive when that is 1. The scrape is good when,
 *    besides, there is a scrape_samples_post_metric_relabeling of the same timestamp that is not below all values that
 *    a sibling has within 1.5 intervals. (A sibling whose values nearby are all larger kept series that this replica
 *    dropped; where the number of series changes, the two see it one scrape apart.)
 * 2. Such scrapes at most 1.5 intervals apart form runs: of a scraped target, of a live one, of good scrapes. The
 *    interval is the replica's own, so that replicas may have different ones.
 * 3. A replica is absent between its runs of scrapes; it has a gap where a sibling scrapes the target meanwhile. It is
 *    also absent between its runs of good scrapes; it has a gap where the target is alive on a sibling meanwhile. Up to
 *    1.1 intervals at the start or end of an absence are not a gap: two scrapers see a target start and end that far
 *    apart.
 * 4. A scrape that is not good is a gap, from the previous good one to the next, if the target is alive on a sibling at
 *    that time, whose next scrape neither fails nor is overdue: then the target was not the cause.
 * 5. A gap that ends with the siblings' run is extended by the 1.5 intervals for which their last sample is valid. If no
 *    scrape of the replica ends its absence, it is a lasting gap, like one that ends with the reading.
 * 6. Replicas whose scrapes have equal times hold copies of one stream. There every scrape, and every stale marker, that
 *    a sibling has is a gap of a replica that has none within half an interval. What such a gap lacks is known: only
 *    the time from the first to the last of these scrapes is missed. A window beside them has all its samples.
 *
 * So a target that is down for all replicas has no gap, except for the first failed scrape of the replica that sees it
 * first, and a replica without good scrapes has a gap wherever the target is alive on a sibling.
 *
 * Pure functions over arrays; results in the arena.
 */
#ifndef GATEWAY_COVERAGE_GAPS_H
#define GATEWAY_COVERAGE_GAPS_H

#include "gateway/coverage/coverage.h"
#include "model/series.h"

static const int64_t COVERAGE_NEVER = INT64_MIN / 4; /* earlier than any time; sums of a few stay in range */

/* The latest run of a kind, and the end of the one before: scrapes of siblings between the two may arrive later.
 * COVERAGE_NEVER: there is none. */
struct latest_run { struct coverage_span run; int64_t previous; };
struct target_latest { struct latest_run scraped, alive, good; };
static const struct target_latest COVERAGE_NO_RUNS = {{{0, COVERAGE_NEVER}, COVERAGE_NEVER},
                                                      {{0, COVERAGE_NEVER}, COVERAGE_NEVER},
                                                      {{0, COVERAGE_NEVER}, COVERAGE_NEVER}};

struct target_scrapes { /* of one replica, ascending in time */
    bool ignored;                                   /* nothing is known of the replica */
    const struct sample *up; size_t n_up;
    const struct sample *kept; size_t n_kept;       /* scrape_samples_post_metric_relabeling */
    struct target_latest before;                    /* from earlier readings */
    int64_t interval;                               /* median, ms; 0 = unknown */
};
struct target_gaps { /* of one replica */
    struct target_latest latest;                    /* `before`, continued by these samples */
    struct gap_spans { struct coverage_span *items; size_t n, cap; } gaps,
        outdated, /* the parts of them in which a sibling has a newer scrape: a gap begins after the last scrape */
        lasting,  /* those that no good scrape of the replica is known to end */
        missed;   /* the parts of them whose samples of scrapes may be missing */
    bool alive;                                     /* the target was alive in these samples */
};
/* read: the time for which samples have been read. */
void gaps_find(struct arena *a, const struct target_scrapes *replicas, size_t n, struct coverage_span read,
               struct target_gaps *out);
/* Median distance of n ascending samples, of the last 16 of them; 0 below two. */
int64_t gaps_interval(const struct sample *samples, size_t n);

#endif
