// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/server_clock.h"

bool server_clock_take(struct server_clock *c, int64_t date, int64_t sent, int64_t head, int64_t now_mono)
{
    enum { SECOND = 1000 };
    bool was = server_clock_wrong(c);
    int64_t low = date - head, high = date + SECOND - sent, off = atomic_load(&c->off);
    if (!was || off < low || off > high)
        off = low > 0 ? low : high < 0 ? high : 0;
    atomic_store(&c->off, off);
    atomic_store(&c->at, now_mono);
    return server_clock_wrong(c) != was;
}

void server_clock_forget(struct server_clock *c)
{
    atomic_store(&c->off, 0);
    atomic_store(&c->at, 0);
}
