// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/breaker.h"

#include <sys/random.h>

enum breaker_state breaker_state(const struct breaker *b, int64_t now)
{
    if (breaker_closed(b))
        return BREAKER_CLOSED;
    return now < atomic_load(&b->pause_ends) ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_HALF_OPEN] = "half-open", [BREAKER_OPEN] = "open"};
    return names[state];
}

/* Between three and five quarters of the time. */
static int64_t breaker_vary(int64_t ms)
{
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return ms;
    return ms * 3 / 4 + ms / 2 * random / UINT16_MAX;
}

static void breaker_pause(struct breaker *b, unsigned failures, int64_t now)
{
    unsigned doubled = failures > BREAKER_PATIENCE ? failures - BREAKER_PATIENCE : 0;
    int64_t pause = doubled > 5 ? BREAKER_LONGEST_PAUSE_MS : (int64_t)BREAKER_PAUSE_MS << doubled;
    if (pause > BREAKER_LONGEST_PAUSE_MS)
        pause = BREAKER_LONGEST_PAUSE_MS;
    atomic_store(&b->pause_ends, now + breaker_vary(pause));
}

/* Most of the time there is nothing to write to what all workers read. */
void breaker_succeed(struct breaker *b, int64_t now)
{
    if (atomic_load(&b->suspected))
        atomic_store(&b->suspected, false);
    if (atomic_load(&b->failures) == 0)
        return;
    if (!breaker_closed(b)) {
        if (atomic_fetch_add(&b->passed, 1) < atomic_load(&b->needed)) {
            atomic_store(&b->pause_ends, now + breaker_vary(BREAKER_PAUSE_MS));
            return;
        }
        atomic_store(&b->closed_at, now);
    }
    atomic_store(&b->failures, 0);
    atomic_store(&b->hangs, false);
}

/* How many successes close it again. */
static void breaker_open(struct breaker *b, int64_t now)
{
    int64_t closed_at = atomic_load(&b->closed_at);
    bool relapse = closed_at > 0 && now - closed_at < BREAKER_RELAPSE_MS;
    unsigned needed = atomic_load(&b->needed);
    atomic_store(&b->needed, !relapse ? 0 : needed + 1 < BREAKER_MOST_SUCCESSES ? needed + 1 : needed);
}

/* A query that was sent before the pause may fail within it: that does not lengthen the pause. */
void breaker_fail(struct breaker *b, int64_t now)
{
    atomic_store(&b->passed, 0);
    if (breaker_state(b, now) == BREAKER_OPEN)
        return;
    breaker_pause(b, atomic_load(&b->failures) + 1, now);
    unsigned before = atomic_fetch_add(&b->failures, 1);
    if (before == BREAKER_PATIENCE - 1)
        breaker_open(b, now);
}

void breaker_trip(struct breaker *b, int64_t now, bool hangs)
{
    unsigned failures = atomic_load(&b->failures);
    while (failures + 1 < BREAKER_PATIENCE)
        if (atomic_compare_exchange_weak(&b->failures, &failures, BREAKER_PATIENCE - 1))
            break;
    atomic_store(&b->hangs, hangs);
    breaker_fail(b, now);
    atomic_store(&b->suspected, false);
}

void breaker_suspect(struct breaker *b) { atomic_store(&b->suspected, true); }

bool breaker_needs_check(const struct breaker *b, int64_t now)
{
    return atomic_load(&b->suspected) || breaker_state(b, now) == BREAKER_HALF_OPEN;
}
