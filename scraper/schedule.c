// SPDX-License-Identifier: Apache-2.0
/* Scrape times: offset, next tick, and timestamp (schedule.h). */
#include "scraper/schedule.h"

int64_t schedule_offset(int64_t interval, uint64_t place, int64_t fixed)
{
    if (fixed >= 0)
        return fixed % interval;
    return (int64_t)(((unsigned __int128)place * (uint64_t)interval) >> 64);
}

int64_t schedule_next(int64_t now, int64_t interval, int64_t offset)
{
    int64_t since = (now - offset) % interval; /* negative before 1970: the clock is not set yet */
    if (since < 0)
        since += interval;
    return now - since + interval;
}

int64_t schedule_time(int64_t tick, int64_t now, int64_t interval)
{
    int64_t off = now > tick ? now - tick : tick - now;
    return off <= interval / 10 ? tick : now;
}
