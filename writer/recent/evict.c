// SPDX-License-Identifier: Apache-2.0
/* Eviction removes a span of time of all series, not single series, so that the store is complete from its edge on and
 * can serve as a replica: the oldest eighth of the time that a stripe covers.
 *
 *   1. A sweep visits all series, drops chunks that are not newer than its edge, and computes the time that the rest
 *      covers. It is done in steps, one with each batch (stripe_sweep), in proportion to the batch: no step depends on
 *      the number of series. A sweep starts every SWEEP_MS, for samples older than the retention, and whenever less
 *      than a sixteenth of the budget is left.
 *   2. The oldest eighth may be nearly empty if most samples have the same time. So a sweep also counts the bytes that
 *      can be evicted next by eighths; if it has not freed enough, the next one starts at once, with the first edge
 *      that does.
 *   3. If the budget is reached nevertheless, sweeps use larger steps until a sixteenth is free (stripe_evict). A small
 *      store is within its budget after one step; a large one may exceed it by the samples of a few dozen batches.
 *
 * Only sealed chunks can be evicted. So a sweep seals all open ones whenever a stripe has grown by a quarter of its
 * share: otherwise, with few samples of many series, the oldest slice would be everything.
 */
#include "writer/recent/stripe.h"

enum { SLICES = 4, SWEEP_MS = 10000, DROP_WORK = 16, INDEX_ROOM = 1 << 16, EVICT_WORK = 4096 /* 0.5 ms */,
       SERIES_BYTES = 512 /* of one with a sample: itself, its chunk and its share of the index, about */ };

/* The store is complete after the evicted time. */
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

static int64_t edge_at(struct time_span t, unsigned eighths)
{
    if (eighths == EIGHTHS || t.oldest >= t.newest)
        return t.newest;
    return (int64_t)((uint64_t)t.oldest + ((uint64_t)t.newest - (uint64_t)t.oldest) / EIGHTHS * eighths);
}

/* The first eighth whose edge is not before the time. */
static unsigned eighth_of(struct time_span span, int64_t t)
{
    uint64_t length = ((uint64_t)span.newest - (uint64_t)span.oldest) / EIGHTHS;
    if (t >= span.newest || length == 0)
        return EIGHTHS;
    uint64_t eighth = t <= span.oldest ? 1 : ((uint64_t)t - (uint64_t)span.oldest + length - 1) / length;
    return eighth < 1 ? 1 : eighth > EIGHTHS ? EIGHTHS : (unsigned)eighth;
}

/* Bytes of the store above which samples must be evicted. */
static size_t enough_room(const struct recent *r)
{
    size_t budget = atomic_load(&r->budget);
    return budget - budget / 16;
}

/* ---- a sweep ---- */

static void sweep_start(struct stripe *p, struct sweep s)
{
    p->cover = span_union(p->cover, p->since);
    p->since = s.found = (struct time_span){INT64_MAX, INT64_MIN};
    s.on = true;
    s.stalest = INT64_MAX;
    s.began_with = p->cover;
    p->sweep = s;
}

/* Its first chunk can go next, or all of it. */
static void sweep_keep_series(struct stripe *p, struct recent_series *s)
{
    struct sweep *w = &p->sweep;
    bool part = s->first && s->first->t_max < s->newest;
    w->found = span_union(w->found, (struct time_span){recent_series_oldest(p, s), s->newest});
    if (s->newest < w->stalest && s->newest > INT64_MIN)
        w->stalest = s->newest;
    if (w->makes_room)
        w->next[eighth_of(w->began_with, part ? s->first->t_max : s->newest) - 1] +=
            part ? chunk_memory(s->first) : SERIES_BYTES + s->label_bytes;
}

/* Removes chunks and late samples that end before the edge, and the series if its last sample is before it. Returns the
 * newest removed time; INT64_MIN: none. */
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
        sweep_keep_series(p, s);
    return gone;
}

/* Edge of the next sweep, up to which an eighth of the bytes needed can be evicted; INT64_MIN: nothing to evict. */
static int64_t next_edge(const struct stripe *p)
{
    const struct sweep *w = &p->sweep;
    size_t held = atomic_load(&p->store->bytes), enough = enough_room(p->store), sum = 0;
    if (held <= enough)
        return INT64_MIN;
    unsigned eighth = 0;
    do
        sum += w->next[eighth++];
    while (eighth < EIGHTHS && sum <= (held - enough) / 8);
    return edge_at(w->began_with, eighth);
}

static void sweep_end(struct stripe *p)
{
    p->room_edge = p->sweep.makes_room ? next_edge(p) : INT64_MIN;
    p->sweep.on = false;
    p->cover = p->sweep.found;
    p->stalest = p->sweep.stalest;
    if (p->sweep.seals || p->sealed_bytes > p->bytes)
        p->sealed_bytes = p->bytes;
}

/* Returns the work that is left: 0, unless the sweep has ended. */
static size_t sweep_some(struct stripe *p, size_t work)
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
    return work;
}

static int64_t retention_edge(const struct stripe *p, int64_t now)
{
    int64_t retention = atomic_load(&p->store->retention);
    return retention ? now - retention : INT64_MIN;
}

static bool sweep_begin(struct stripe *p, int64_t now)
{
    size_t budget = atomic_load(&p->store->budget);
    bool due = now - p->last_age_check >= SWEEP_MS || now < p->last_age_check;
    struct sweep s = {.edge = retention_edge(p, now),
                      .makes_room = atomic_load(&p->store->bytes) > enough_room(p->store),
                      .seals = p->bytes >= p->sealed_bytes + budget / p->store->n_stripes / SLICES};
    if (!s.makes_room)
        p->room_edge = INT64_MIN;
    if (!due && !s.makes_room && !s.seals)
        return false;
    if (s.makes_room) {
        int64_t edge = p->room_edge > INT64_MIN ? p->room_edge : edge_at(span_union(p->cover, p->since), 1);
        s.edge = edge > s.edge ? edge : s.edge;
    }
    p->last_age_check = now;
    sweep_start(p, s);
    return true;
}

/* `work`: number of series to visit; dropping one counts as DROP_WORK. */
void stripe_sweep(struct stripe *p, int64_t now, size_t work)
{
    if (p->sweep.on || sweep_begin(p, now))
        sweep_some(p, work);
}

void stripe_evict(struct stripe *p, int64_t now)
{
    for (size_t work = EVICT_WORK; work > 0 && p->n_alive > 0 && atomic_load(&p->store->bytes) > enough_room(p->store);)
        if (p->sweep.on || sweep_begin(p, now))
            work = sweep_some(p, work);
}
