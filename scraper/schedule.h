// SPDX-License-Identifier: Apache-2.0
/* Scrape times. Each target has a fixed offset in every interval of the wall clock, which survives restarts; targets
 * are spread evenly. Pure; milliseconds. */
#ifndef SCRAPER_SCHEDULE_H
#define SCRAPER_SCHEDULE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* The offset in the interval: `place` is a fraction of 2^64; a fixed offset (>= 0) takes precedence. */
int64_t schedule_offset(int64_t interval, uint64_t place, int64_t fixed);
/* The first tick after `now`. */
int64_t schedule_next(int64_t now, int64_t interval, int64_t offset);
/* The timestamp for samples scraped at `now` for `tick`: the tick itself, which keeps series regular, unless it was
 * missed by more than a tenth of the interval. */
int64_t schedule_time(int64_t tick, int64_t now, int64_t interval);

#endif
