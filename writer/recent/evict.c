// SPDX-License-Identifier: Apache-2.0
/* Whole time goes and not single series, so that the store stays complete from its edge on, which is what makes it a
 * replica that can be trusted. An eighth of the time that a stripe covers goes at once, the oldest.
 *
 *   1. A sweep looks at all series: it drops what is not newer than its edge and finds what time the rest covers. It is
 *      done in steps, one with each batch (stripe_sweep), as large as the batch: no step depends on how many series
 *      there are. One begins every SWEEP_MS, for what is older than the retention, and whenever less than a sixteenth of
 *      the budget is left.
 *   2. When series come faster than the sweep, or all are of the same time, the budget is reached. It is a bound: eighths
 *      go at once until a sixteenth is free (stripe_evict).
 *
 * Only sealed chunks can go. So all open ones are sealed, in a sweep, whenever a stripe has grown by a quarter of its
 * share: with few samples of many series the oldest slice would else be everything.
 */
#include "writer/recent/stripe.h"

enum { SLICES = 4, SWEEP_MS = 10000, DROP_WORK = 16, INDEX_ROOM = 1 << 16 };

/* The store is whole behind what went. */
static void move_edge(struct recent *r, int64_t to)
{
    long long from = atomic_load(&r->from), next = to < INT64_MAX ? to + 1 : INT64_MAX;
    while (next > from && !atomic_compare_exchange_weak(&r->from, &from, next))
        ;
}

static struct time_span span_union(struct time_span a, struct time_span b)
{
    return (struct time_span){a.oldest < b.oldest ? a.oldest : b.oldest, a.newest > b.newest ? a.newest : b.newest};
}

static int64_t edge_at(struct time_span t, unsigned eighth)
{
    if (eighth == 8 || t.oldest >= t.newest)
        return t.newest;
    return (int64_t)((uint64_t)t.oldest + ((uint64_t)t.newest - (uint64_t)t.oldest) / 8 * eighth);
}

/* ---- a sweep ---- */

static void sweep_start(struct stripe *p, struct sweep s)
{
    p->cover = span_union(p->cover, p->since);
    p->since = s.found = (struct time_span){INT64_MAX, INT64_MIN};
    s.on = true;
    p->sweep = s;
}

/* Whole chunks that end before the edge go, late samples, and the series if it fell silent before it. The newest that
 * went; INT64_MIN: none. */
static int64_t sweep_series(struct stripe *p, struct recent_series *s, bool *dropped)
{
    struct sweep *w = &p->sweep;
    *dropped = s->newest <= w->edge;
    if (s->open && (w->seals || *dropped || (w->makes_room && s->open->t_min <= w->edge)))
        recent_series_seal(p, s);
    int64_t gone = recent_series_drop_until(p, s, w->edge);
    if (*dropped)
        stripe_drop_series(p, s);
    else
        w->found = span_union(w->found, (struct time_span){recent_series_oldest(p, s), s->newest});
    return gone;
}

static void sweep_end(struct stripe *p)
{
    p->sweep.on = false;
    p->cover = p->sweep.found;
    if (p->sweep.seals || p->sealed_bytes > p->bytes)
        p->sealed_bytes = p->bytes;
}

static void sweep_some(struct stripe *p, size_t work)
{
    struct sweep *w = &p->sweep;
    int64_t newest = INT64_MIN;
    uint64_t before = p->samples;
    p->index.room = INDEX_ROOM;
    for (; w->at < p->n && work > 0; w->at++) {
        struct recent_series *s = p->series[w->at];
        bool dropped = false;
        int64_t gone = s ? sweep_series(p, s, &dropped) : INT64_MIN;
        size_t cost = dropped ? DROP_WORK : 1;
        newest = gone > newest ? gone : newest;
        work -= cost < work ? cost : work;
    }
    p->evicted_samples += before - p->samples;
    if (before > p->samples)
        move_edge(p->store, newest);
    if (w->at >= p->n)
        sweep_end(p);
}

static int64_t retention_edge(const struct stripe *p, int64_t now)
{
    int64_t retention = atomic_load(&p->store->retention);
    return retention ? now - retention : INT64_MIN;
}

static bool sweep_begin(struct stripe *p, int64_t now)
{
    size_t budget = atomic_load(&p->store->budget), held = atomic_load(&p->store->bytes);
    bool due = now - p->last_age_check >= SWEEP_MS || now < p->last_age_check;
    struct sweep s = {.edge = retention_edge(p, now), .makes_room = held > budget - budget / 16,
                      .seals = p->bytes >= p->sealed_bytes + budget / p->store->n_stripes / SLICES};
    if (!due && !s.makes_room && !s.seals)
        return false;
    if (s.makes_room) {
        int64_t edge = edge_at(span_union(p->cover, p->since), 1);
        s.edge = edge > s.edge ? edge : s.edge;
    }
    p->last_age_check = now;
    sweep_start(p, s);
    return true;
}

/* `work`: series to look at; dropping one counts as DROP_WORK. */
void stripe_sweep(struct stripe *p, int64_t now, size_t work)
{
    if (p->sweep.on || sweep_begin(p, now))
        sweep_some(p, work);
}

/* ---- at once ---- */

static void sweep_whole(struct stripe *p, struct sweep s)
{
    sweep_start(p, s);
    while (p->sweep.on)
        sweep_some(p, SIZE_MAX);
}

void stripe_evict(struct stripe *p, int64_t now)
{
    struct recent *r = p->store;
    p->last_age_check = now;
    sweep_whole(p, (struct sweep){.edge = retention_edge(p, now)});
    struct time_span t = p->cover;
    size_t budget = atomic_load(&r->budget), enough = budget - budget / 16;
    for (unsigned eighth = 1; eighth <= 8 && p->n_alive > 0 && atomic_load(&r->bytes) > enough; eighth++)
        sweep_whole(p, (struct sweep){.edge = edge_at(t, eighth), .makes_room = true});
}
