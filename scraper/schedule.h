// SPDX-License-Identifier: Apache-2.0
/* When a target is scraped: at its place in every interval of the wall clock, the same after a restart, spread evenly
 * over all targets. Pure; milliseconds.
 */
#ifndef SCRAPER_SCHEDULE_H
#define SCRAPER_SCHEDULE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* Where in the interval: `place` is a part of 2^64; a fixed offset (>= 0) wins. */
int64_t schedule_offset(int64_t interval, uint64_t place, int64_t fixed);
/* The first tick after `now`. */
int64_t schedule_next(int64_t now, int64_t interval, int64_t offset);
/* The timestamp of samples taken at `now` for `tick`: the tick itself, which makes series regular, unless it was
 * missed by more than a tenth of the interval. */
int64_t schedule_time(int64_t tick, int64_t now, int64_t interval);

#endif
