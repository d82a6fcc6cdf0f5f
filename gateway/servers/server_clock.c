// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/server_clock.h"

bool server_clock_take(struct server_clock *c, int64_t date, int64_t sent, int64_t head, int64_t now_mono)
{
    enum { SECOND = 1000 };
    bool was = server_clock_wrong(c);
    int64_t off = date > head ? date - head : date + SECOND < sent ? date + SECOND - sent : 0;
    atomic_store(&c->off, off);
    atomic_store(&c->at, now_mono);
    return server_clock_wrong(c) != was;
}
