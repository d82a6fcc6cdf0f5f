// SPDX-License-Identifier: Apache-2.0
/* Scrape times. Each target has a fixed offset in every interval of the wall clock, which survives restarts; targets
 * are spread evenly over slots, whose targets are scraped together. Pure; milliseconds.
 *
 * Slots. Samples with equal timestamps compress better, and scrapes that begin together share wake-ups: with 100
 * targets of 1,000 series at 5 s, slots of 200 ms take a seventh less CPU than a time for each target. */
#ifndef SCRAPER_SCHEDULE_H
#define SCRAPER_SCHEDULE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* The length of a slot for a lane with so many targets, whatever their intervals: some tens of targets a slot, at most
 * a second and a fifteenth of the interval, and of a length that divides a second; 0: each target has its own time. */
int64_t schedule_slot(int64_t interval, size_t targets);
/* The offset in the interval, a multiple of `slot` (0: any): `place` is a fraction of 2^64; a fixed offset (>= 0) takes
 * precedence. */
int64_t schedule_offset(int64_t interval, int64_t slot, uint64_t place, int64_t fixed);
/* The first tick after `now`, but not within half an interval after the last one (0: none): the offset may have changed,
 * or the timer may have fired slightly early relative to the wall clock. */
int64_t schedule_next(int64_t now, int64_t interval, int64_t offset, int64_t last);
/* The timestamp for samples scraped at `now` for `tick`: the tick itself, which keeps series regular, unless it was
 * missed by more than a tenth of the interval. */
int64_t schedule_time(int64_t tick, int64_t now, int64_t interval);

#endif
