// SPDX-License-Identifier: Apache-2.0
/* Access to a stripe. A lane must not wait for a query, whose worker may be descheduled in the middle of its slice; a
 * query must see every batch that was acknowledged before it began.
 *
 * 1. The lane tries the lock. Usually it is free: the batch is appended.
 * 2. Otherwise the batch is copied and pushed to a list (`staged`, newest first) without a lock.
 * 3. The next holder of the lock, a query at its start and between its slices, or the lane with its next batch, first
 *    appends the staged batches, oldest first. So batches are appended in order, and before any later read.
 * 4. When STAGED_MAX bytes are staged the lane waits after all, for one slice at most: queries queue for `queries`, so
 *    that only one of them can be ahead of the lane at `next` and `lock`.
 */
#include "writer/recent/stripe.h"

#include "base/text/duration.h"

enum { STAGED_MAX = 8 << 20 };

struct staged_batch {
    struct staged_batch *older;
    int64_t now;
    size_t n;
    char bytes[];
};

#define INTAKE_STATS(X)                                                                                                \
    X(BATCHES_STAGED, "sluice_recent_batches_staged_total", STATS_COUNTER,                                             \
      "Batches deferred because a query was reading the recent store")
enum intake_stat { INTAKE_STATS(STATS_ID) };
struct stats_group recent_intake_stats = STATS_GROUP(INTAKE_STATS);
static const double wait_bounds[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1};
struct stats_histogram recent_lock_waits = {
    .name = "sluice_recent_lock_wait_seconds", .help = "Time that a lane waited for queries to let a batch in",
    .bounds = wait_bounds, .n_bounds = LEN(wait_bounds)};

/* --- staging --- -------------------------------------------------------------------------------------------------- */

static void stage_batch(struct stripe *p, struct str bytes, int64_t now)
{
    struct staged_batch *b = mem_alloc(offsetof(struct staged_batch, bytes) + bytes.n);
    *b = (struct staged_batch){.now = now, .n = bytes.n, .older = atomic_load_explicit(&p->staged,
                                                                                       memory_order_relaxed)};
    memcpy(b->bytes, bytes.p, bytes.n);
    atomic_fetch_add_explicit(&p->staged_bytes, bytes.n, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&p->staged, &b->older, b, memory_order_release, memory_order_relaxed))
        ;
    stats_add(&recent_intake_stats, BATCHES_STAGED, 1);
}

static struct staged_batch *oldest_first(struct staged_batch *b)
{
    struct staged_batch *oldest = NULL, *older;
    for (; b; b = older) {
        older = b->older;
        b->older = oldest;
        oldest = b;
    }
    return oldest;
}

static void take_staged(struct stripe *p)
{
    if (atomic_load_explicit(&p->staged, memory_order_relaxed) == NULL)
        return;
    struct staged_batch *next, *b = oldest_first(atomic_exchange_explicit(&p->staged, NULL, memory_order_acquire));
    for (; b; b = next) {
        next = b->older;
        stripe_take(p, str_n(b->bytes, b->n), b->now);
        atomic_fetch_sub_explicit(&p->staged_bytes, b->n, memory_order_relaxed);
        mem_free(b);
    }
}

void stripe_free_staged(struct stripe *p)
{
    for (struct staged_batch *b = atomic_exchange(&p->staged, NULL), *older; b; b = older) {
        older = b->older;
        mem_free(b);
    }
}

/* --- the lock ----------------------------------------------------------------------------------------------------- */

void stripe_lock(struct stripe *p)
{
    mutex_lock(&p->queries);
    mutex_lock(&p->next);
    mutex_lock(&p->lock);
    mutex_unlock(&p->next);
    take_staged(p);
}

void stripe_unlock(struct stripe *p)
{
    stripe_publish(p);
    mutex_unlock(&p->lock);
    mutex_unlock(&p->queries);
}

static void wait_for_lock(struct stripe *p)
{
    int64_t start = clock_mono_ns();
    mutex_lock(&p->next);
    mutex_lock(&p->lock);
    mutex_unlock(&p->next);
    stats_observe(&recent_lock_waits, (double)(clock_mono_ns() - start) / 1e9);
}

void stripe_give(struct stripe *p, struct str bytes, int64_t now)
{
    if (mutex_try(&p->lock)) {
        stats_observe(&recent_lock_waits, 0);
    } else if (atomic_load_explicit(&p->staged_bytes, memory_order_relaxed) + bytes.n <= STAGED_MAX) {
        stats_observe(&recent_lock_waits, 0);
        stage_batch(p, bytes, now);
        return;
    } else {
        wait_for_lock(p);
    }
    take_staged(p);
    stripe_take(p, bytes, now);
    stripe_publish(p);
    mutex_unlock(&p->lock);
}
