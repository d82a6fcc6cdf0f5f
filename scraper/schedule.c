// SPDX-License-Identifier: Apache-2.0
/* Scrape times: offset, next tick, and timestamp (schedule.h). */
#include "scraper/schedule.h"

int64_t schedule_slot(int64_t interval, size_t targets)
{
    enum { TARGETS_A_SLOT = 64, SLOTS_AT_LEAST = 15 };
    static const int64_t lengths[] = {1000, 500, 200, 100, 50, 20, 10};
    for (size_t i = 0; i < LEN(lengths); i++)
        if (lengths[i] <= interval / SLOTS_AT_LEAST
            && (targets == 0 || (size_t)lengths[i] <= (size_t)interval * TARGETS_A_SLOT / targets))
            return lengths[i];
    return 0;
}

int64_t schedule_offset(int64_t interval, int64_t slot, uint64_t place, int64_t fixed)
{
    if (fixed >= 0)
        return fixed % interval;
    int64_t length = slot > 0 && slot <= interval ? slot : 1;
    return (int64_t)(((unsigned __int128)place * (uint64_t)(interval / length)) >> 64) * length;
}

int64_t schedule_next(int64_t now, int64_t interval, int64_t offset, int64_t last)
{
    int64_t since = (now - offset) % interval; /* negative before 1970: the clock is not set yet */
    if (since < 0)
        since += interval;
    int64_t next = now - since + interval;
    return next >= last && next - last < interval / 2 + 1 ? next + interval : next;
}

int64_t schedule_time(int64_t tick, int64_t now, int64_t interval)
{
    int64_t off = now > tick ? now - tick : tick - now;
    return off <= interval / 10 ? tick : now;
}
