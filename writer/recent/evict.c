// SPDX-License-Identifier: Apache-2.0
/* Eviction by time.
 *
 * Complete time ranges are evicted, not single series, so that the store stays complete from its edge on: that makes it
 * a trustworthy replica. When the budget is reached, eighths of the time that a stripe covers are dropped, oldest
 * first, until a sixteenth of the budget is free; the scan over all series is amortized by what was appended since.
 *
 * Only sealed chunks can be dropped. So all open ones are sealed whenever a stripe has grown by a quarter of its share:
 * otherwise, with few samples of many series, the oldest slice would be everything.
 */
#include "writer/recent/stripe.h"

enum { SLICES = 4, LEAST_GONE = 64 };

void stripe_seal_slice(struct stripe *p)
{
    if (p->bytes < p->sealed_bytes + p->store->budget / p->store->n_stripes / SLICES)
        return;
    for (size_t i = 0; i < p->n; i++)
        if (p->series[i])
            recent_series_seal(p, p->series[i]);
    p->sealed_bytes = p->bytes;
}

/* The store is complete after the newest dropped sample. */
static void move_edge(struct recent *r, int64_t to)
{
    long long from = atomic_load(&r->from), next = to < INT64_MAX ? to + 1 : INT64_MAX;
    while (next > from && !atomic_compare_exchange_weak(&r->from, &from, next))
        ;
}

/* Drops everything not newer than `edge`: complete chunks that end before it, late samples, and series without newer
 * samples. */
static void drop_until(struct stripe *p, int64_t edge)
{
    int64_t newest = INT64_MIN;
    uint64_t before = p->samples;
    for (size_t i = 0; i < p->n; i++) {
        struct recent_series *s = p->series[i];
        if (s == NULL)
            continue;
        if (s->newest <= edge)
            recent_series_seal(p, s);
        int64_t gone = recent_series_drop_until(p, s, edge);
        newest = gone > newest ? gone : newest;
        if (s->newest <= edge)
            stripe_drop_series(p, s);
    }
    p->evicted_samples += before - p->samples;
    if (before > p->samples)
        move_edge(p->store, newest);
    if (p->n_alive == 0 || (p->n_dropped > LEAST_GONE && p->n_dropped > p->n / 8))
        stripe_prune(p);
}

static void seal_open_before(struct stripe *p, int64_t edge)
{
    for (size_t i = 0; i < p->n; i++) {
        struct recent_series *s = p->series[i];
        if (s && s->open && s->open->t_min <= edge)
            recent_series_seal(p, s);
    }
}

struct cover { int64_t oldest, newest; };

static struct cover covered(struct stripe *p)
{
    struct cover t = {INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < p->n; i++) {
        struct recent_series *s = p->series[i];
        if (s == NULL)
            continue;
        int64_t oldest = recent_series_oldest(p, s);
        t.oldest = oldest < t.oldest ? oldest : t.oldest;
        t.newest = s->newest > t.newest ? s->newest : t.newest;
    }
    return t;
}

static int64_t edge_at(struct cover t, unsigned eighth)
{
    if (eighth == 8 || t.oldest >= t.newest)
        return t.newest;
    return (int64_t)((uint64_t)t.oldest + ((uint64_t)t.newest - (uint64_t)t.oldest) / 8 * eighth);
}

void stripe_evict(struct stripe *p, int64_t now)
{
    struct recent *r = p->store;
    p->last_age_check = now;
    int64_t retention = atomic_load(&r->retention);
    if (retention)
        drop_until(p, now - retention);
    if (atomic_load(&r->bytes) > r->budget) {
        struct cover t = covered(p);
        size_t budget = atomic_load(&r->budget), enough = budget - budget / 16;
        for (unsigned eighth = 1; eighth <= 8 && p->n_alive > 0 && atomic_load(&r->bytes) > enough; eighth++) {
            seal_open_before(p, edge_at(t, eighth));
            drop_until(p, edge_at(t, eighth));
        }
    }
    if (p->sealed_bytes > p->bytes)
        p->sealed_bytes = p->bytes;
    stripe_seal_slice(p);
}
