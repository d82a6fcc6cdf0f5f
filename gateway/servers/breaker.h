// SPDX-License-Identifier: Apache-2.0
/* The circuit breaker of a downstream server: whether queries are sent to it while other servers can respond.
 *
 *   CLOSED      queries are sent to it
 *   OPEN        it is not queried until a pause has passed
 *   HALF_OPEN   the pause has passed: a check in the background (gateway/background/breaker_checks.h) decides
 *
 *   CLOSED -- BREAKER_PATIENCE failures in a row, or breaker_trip --> OPEN -- pause --> HALF_OPEN
 *   HALF_OPEN -- the check fails --> OPEN, for twice as long; any success --> CLOSED
 *
 * One that opens again within BREAKER_RELAPSE_MS after it closed takes one more success in a row each time to close, up to
 * BREAKER_MOST_SUCCESSES: a server that fails every second time is not queried in between.
 *
 * A failure is one to reach the server; one that responds with an error is reachable. A server that was late is
 * suspected: it is checked at once, and queried meanwhile; if the check fails, its breaker opens. A server that did not
 * respond to a check hangs: queries wait for it no longer than for another check. Pauses vary by a quarter, so that servers
 * which failed together are not checked together. Any thread; times are clock_mono_ms.
 */
#ifndef GATEWAY_SERVERS_BREAKER_H
#define GATEWAY_SERVERS_BREAKER_H

#include "base/str.h"

#include <stdatomic.h>

enum { BREAKER_PATIENCE = 3, BREAKER_PAUSE_MS = 1000, BREAKER_LONGEST_PAUSE_MS = 10000 };
enum { BREAKER_RELAPSE_MS = 60000, BREAKER_MOST_SUCCESSES = 4 };
enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker { /* zeroed: closed */
    atomic_uint failures;          /* in a row */
    _Atomic int64_t pause_ends;    /* while it is not closed */
    atomic_uint needed, passed;    /* successes in a row to close it, less one; those since it opened */
    _Atomic int64_t closed_at;     /* 0: it has not been open */
    atomic_bool suspected;
    atomic_bool hangs;             /* it did not respond to the last check; breaker_hangs() */
};

enum breaker_state breaker_state(const struct breaker *b, int64_t now);
const char *breaker_state_name(enum breaker_state state);
static inline bool breaker_closed(const struct breaker *b) { return atomic_load(&b->failures) < BREAKER_PATIENCE; }
static inline bool breaker_failing(const struct breaker *b) { return atomic_load(&b->failures) > 0; }
static inline bool breaker_hangs(const struct breaker *b) { return !breaker_closed(b) && atomic_load(&b->hangs); }
void breaker_succeed(struct breaker *b, int64_t now);
void breaker_fail(struct breaker *b, int64_t now);
/* A check failed: opens a closed one, and begins the next pause of another. hangs: there was no response, as opposed to
 * a refused connection. */
void breaker_trip(struct breaker *b, int64_t now, bool hangs);
void breaker_suspect(struct breaker *b);
/* Whether the server is to be checked now: it is half-open or suspected. */
bool breaker_needs_check(const struct breaker *b, int64_t now);

#endif
