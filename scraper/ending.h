// SPDX-License-Identifier: Apache-2.0
/* Ends all series of a failed or removed target: writes stale markers and releases the entries of its scrape cache. Up
 * to a few hundred series end at once. Those of a larger target are queued and end in slices of some milliseconds,
 * before the next page is parsed, so that no marker follows a newer sample. */
#ifndef SCRAPER_ENDING_H
#define SCRAPER_ENDING_H

#include "scraper/target.h"

struct scrape_lane;

/* On the target's lane. Ends the target's cached series at time t (ms); t->last is empty afterwards. */
void ending_add(struct target *target, int64_t t);
/* The same for series that a stream has written, which are *written and then empty, and if `last` for the cached ones. */
void ending_add_stream(struct target *target, struct scrape_cache *written, bool last, int64_t t);
/* Works until clock_mono_ns() reaches `until`; false: more is left. */
bool endings_work(struct scrape_lane *l, int64_t until);
size_t endings_series(const struct scrape_lane *l); /* of the endings that are left; some may have markers */

#endif
