// SPDX-License-Identifier: Apache-2.0
/* The end of all series of a target that failed or went: stale markers, and the references of its last page are given
 * back. A few thousand series end at once. Those of a larger target stand in line and end some milliseconds a turn,
 * before any page that is not yet begun, so that no series has its marker behind a newer sample.
 */
#ifndef SCRAPER_ENDING_H
#define SCRAPER_ENDING_H

#include "scraper/target.h"

struct scrape_lane;

/* On the target's lane: what it showed last ends at time t (ms); t->last is empty afterwards. */
void ending_add(struct target *target, int64_t t);
/* Goes on until clock_mono_ns() is `until`; false: something is left. */
bool endings_work(struct scrape_lane *l, int64_t until);

#endif
