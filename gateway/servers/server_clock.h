// SPDX-License-Identifier: Apache-2.0
/* How far the clock of a server is from this host's, by the Date of its HTTP responses.
 *
 * A server with another clock has its samples at other times than its siblings, and evaluates "now" at another time.
 * Date has whole seconds, and is of some time between the request and the head of the response: this gives a range of
 * differences. The least of them counts, 0 if the clocks may be equal; but a clock that is known to be wrong keeps its
 * difference as long as it is in the range: a slow response is no evidence that the clock is right.
 *
 * Any thread; one thread's measurement replaces another's.
 */
#ifndef GATEWAY_SERVERS_SERVER_CLOCK_H
#define GATEWAY_SERVERS_SERVER_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SERVER_CLOCK_MS = 10000,      /* beyond it a clock is wrong: scrapes of independent replicas may be as far apart */
    SERVER_CLOCK_AGAIN_MS = 5000, /* a wrong one is measured again */
};

struct server_clock { /* zeroed: unknown */
    _Atomic int64_t off;           /* ms; positive: ahead */
    _Atomic int64_t at;            /* clock_mono_ms of the measurement; 0 = never */
};
/* date: of a response whose request was sent at `sent`, and whose head arrived at `head`; all Unix ms. True: the clock
 * has become wrong, or right. */
bool server_clock_take(struct server_clock *c, int64_t date, int64_t sent, int64_t head, int64_t now_mono);
void server_clock_forget(struct server_clock *c); /* the responses have no Date */
static inline bool server_clock_wrong(const struct server_clock *c)
{
    int64_t off = atomic_load(&c->off);
    return off > SERVER_CLOCK_MS || off < -SERVER_CLOCK_MS;
}
static inline bool server_clock_right(const struct server_clock *c)
{
    return atomic_load(&c->at) != 0 && !server_clock_wrong(c);
}
/* Whether a wrong clock is to be measured again: such a server gets no queries. */
static inline bool server_clock_due(const struct server_clock *c, int64_t now_mono)
{
    return server_clock_wrong(c) && now_mono - atomic_load(&c->at) >= SERVER_CLOCK_AGAIN_MS;
}

#endif
