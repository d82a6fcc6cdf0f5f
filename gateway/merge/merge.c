// SPDX-License-Identifier: Apache-2.0
/* Follows promxy's rule: with L the last sample of the base before a gap, N the first one after it, and B the buffer,
 * samples of the other replica with L + B < t < N - B fill the gap. The differences avoid doubled counts and false
 * counter resets:
 *   - a gap is defined by the base's median interval, and must be wide compared with the other's spacing there: a
 *     target whose interval was raised has no gaps
 *   - the base is the first replica, not the longest one, which depends on the window
 *   - the edges of the window are no gaps unless a sample is overdue there
 *   - a stale marker belongs to one replica only. At a marker nothing is doubled: the other's samples are used from the
 *     marker on, and one of them may be nearer to N than the buffer
 */
#include "gateway/merge/merge_internal.h"

#include "base/median.h"

enum { ENOUGH_GAPS = 3, MOST_GAPS = 64 };
enum { CLOCKS_MS = 2000 }; /* tolerated difference of clocks: the order of samples nearer to each other is uncertain */
static const int64_t FAR = SERIES_FAR;

struct distances {
    int64_t buffer;
    int64_t gap;   /* a gap of the base is wider */
    int64_t late;  /* at an edge there is a gap only if the other has a sample this far beyond the base's */
    int64_t slack; /* a gap that ends with a marker is wider by this: markers are up to an interval late */
};

/* --- intervals ---------------------------------------------------------------------------------------------------- */

/* The usual kind, at a third of the cost. */
static void measure_gaps_of_floats(struct replica *r)
{
    const struct sample *s = (const struct sample *)(const void *)r->s.items;
    int64_t least = INT64_MAX, most = 0;
    bool markers = r->s.n > 0 && is_stale(s[0].v);
    for (size_t i = 1; i < r->s.n; i++) {
        int64_t gap = s[i].t - s[i - 1].t;
        least = gap < least ? gap : least;
        most = gap > most ? gap : most;
        markers |= is_stale(s[i].v);
    }
    r->least = least;
    r->most = most;
    r->markers = markers;
}

static void measure_gaps(struct replica *r)
{
    r->measured = true;
    if (r->s.kind == SEQUENCE_FLOATS) {
        measure_gaps_of_floats(r);
        return;
    }
    r->least = INT64_MAX;
    r->most = 0;
    r->markers = r->s.n > 0 && sequence_stale(&r->s, 0);
    for (size_t i = 1; i < r->s.n; i++) {
        int64_t gap = sequence_time(&r->s, i) - sequence_time(&r->s, i - 1);
        r->least = gap < r->least ? gap : r->least;
        r->most = gap > r->most ? gap : r->most;
        r->markers = r->markers || sequence_stale(&r->s, i);
    }
}

static size_t sample_gaps(const struct sequence *s, int64_t *gaps, size_t n)
{
    size_t stride = s->n / MOST_GAPS + 1; /* samples gaps over the complete sequence */
    for (size_t i = 1; i < s->n && n < MOST_GAPS; i += stride)
        if (sequence_time(s, i) > sequence_time(s, i - 1))
            gaps[n++] = sequence_time(s, i) - sequence_time(s, i - 1);
    return n;
}

/* With too few samples, the intervals of all replicas are used; without any, twice the configured buffer. */
static void find_interval(struct merging *m, struct replica *r)
{
    int64_t gaps[MOST_GAPS];
    r->own_interval = r->s.n > ENOUGH_GAPS;
    if (r->own_interval && r->most <= near_interval(r->least)) {
        r->interval = (sequence_last(&r->s) - sequence_first(&r->s)) / (int64_t)(r->s.n - 1);
        return;
    }
    size_t n = 0;
    if (r->own_interval)
        n = sample_gaps(&r->s, gaps, n);
    else
        for (size_t i = 0; i < m->n; i++)
            n = sample_gaps(&m->replicas[i].s, gaps, n);
    r->interval = n > 0 ? upper_median(gaps, n) : 2 * m->job->rule->ms;
}

static struct distances base_distances(const struct merging *m, const struct replica *base)
{
    const struct merge_rule *rule = m->job->rule;
    int64_t wide = merge_max_gap(base->interval);
    if (rule->automatic)
        return (struct distances){base->interval / 2, wide, base->interval, base->interval};
    return (struct distances){rule->ms, base->own_interval && wide > 2 * rule->ms ? wide : 2 * rule->ms, rule->ms, 0};
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

static bool same_samples(const struct sequence *x, const struct sequence *y)
{
    return x->kind == SEQUENCE_FLOATS && x->n == y->n && memcmp(x->items, y->items, x->n * x->size) == 0;
}

/* 0: it has too few gaps. */
static int64_t copy_interval(const struct sequence *s)
{
    int64_t gaps[MOST_GAPS];
    size_t n = sample_gaps(s, gaps, 0);
    return n >= ENOUGH_GAPS ? upper_median(gaps, n) : 0;
}

/* Whether the other copy continues where this one has a marker: it has a live sample at `next` and one shortly before,
 * not farther apart than samples of a live series. Both have the interval of their stream, which only seems longer
 * where samples are missing. The time of a marker that was derived from two responses is an estimate. */
static bool copy_goes_on(const struct sequence *this, const struct sequence *other, size_t next)
{
    if (next == 0 || next == other->n || sequence_stale(other, next - 1) || sequence_stale(other, next))
        return false;
    int64_t apart = sequence_time(other, next) - sequence_time(other, next - 1), interval = copy_interval(this);
    return apart <= merge_max_gap(copy_interval(other)) && (interval == 0 || apart <= merge_max_gap(interval));
}

static bool copies_disagree(const struct sequence *x, size_t i, const struct sequence *y, size_t k)
{
    return x->kind == SEQUENCE_FLOATS && y->kind == SEQUENCE_FLOATS && !sequence_stale(x, i) && !sequence_stale(y, k) &&
           memcmp((const char *)x->items + i * x->size, (const char *)y->items + k * y->size, x->size) != 0;
}

/* *disagreed is increased by the number of times at which both have a sample, with different values. */
static struct sequence unite_copies(struct arena *a, struct sequence x, struct sequence y, uint64_t *disagreed)
{
    if (x.n == 0 || y.n == 0)
        return x.n == 0 ? y : x;
    struct sequence_out out = sequence_new(a, &x, x.n + y.n);
    for (size_t i = 0, k = 0; i < x.n || k < y.n;) {
        int64_t tx = i < x.n ? sequence_time(&x, i) : INT64_MAX, ty = k < y.n ? sequence_time(&y, k) : INT64_MAX;
        bool mine = k == y.n || (i < x.n && (tx < ty || (tx == ty && !sequence_stale(&x, i))));
        const struct sequence *from = mine ? &x : &y;
        size_t at = mine ? i : k;
        *disagreed += tx == ty && copies_disagree(&x, i, &y, k);
        if (tx == ty || !sequence_stale(from, at) || !(mine ? copy_goes_on(&x, &y, k) : copy_goes_on(&y, &x, i)))
            sequence_put(&out, from, at);
        i += tx <= ty && i < x.n;
        k += ty <= tx && k < y.n;
    }
    return sequence_of(&out);
}

/* --- stale markers ------------------------------------------------------------------------------------------------ */

static const int64_t NOWHERE = INT64_MAX;

/* Time from which a marker at t is valid according to another replica: t, if it has no opinion; NOWHERE, if the series
 * is alive there; otherwise when its next sample is overdue, or its own marker. *at moves forward to the other's first
 * sample after t. */
static int64_t other_opinion(const struct merging *m, const struct replica *other, int64_t t, size_t *at)
{
    const struct sequence *s = &other->whole;
    while (*at < s->n && sequence_time(s, *at) <= t)
        (*at)++;
    bool seen = *at > 0, follows = *at < s->n;
    int64_t next = follows ? sequence_time(s, *at) : INT64_MAX;
    int64_t due = seen ? sequence_time(s, *at - 1) + merge_max_gap(other->interval) : t;
    bool next_stale = follows && sequence_stale(s, *at);
    if (seen && !sequence_stale(s, *at - 1) && due >= t) {
        if (next <= due)
            return next_stale ? next : NOWHERE;
        return due > m->to ? NOWHERE : due;
    }
    return follows && !next_stale && next - t <= other->interval / 2 ? NOWHERE : t;
}

static int64_t marker_time(const struct merging *m, const struct replica *r, size_t i, size_t *cursors)
{
    int64_t t = sequence_time(&r->whole, i), place = t;
    for (size_t k = 0; k < m->n; k++) {
        if (&m->replicas[k] == r)
            continue;
        int64_t says = other_opinion(m, &m->replicas[k], t, &cursors[k]);
        place = says > place ? says : place;
    }
    bool back = i + 1 < r->whole.n && sequence_time(&r->whole, i + 1) <= place;
    return place > t && back ? NOWHERE : place;
}

static void overrule_markers(struct merging *m, struct replica *r)
{
    size_t *cursors = ARENA_ARRAY(m->job->arena, size_t, m->n);
    struct sequence_out out = sequence_new(m->job->arena, &r->whole, r->whole.n);
    for (size_t i = 0; i < r->whole.n; i++) {
        if (!sequence_stale(&r->whole, i)) {
            sequence_put(&out, &r->whole, i);
            continue;
        }
        int64_t t = marker_time(m, r, i, cursors);
        if (t != NOWHERE)
            sequence_put_at(&out, &r->whole, i, t);
    }
    r->s = sequence_of(&out);
    measure_gaps(r);
}

/* --- gaps --------------------------------------------------------------------------------------------------------- */

/* begins, ends: whether there is a base sample, and its time; ended: it is a marker. beside: the wider one of the
 * adjacent gaps; 0: none. */
struct gap { int64_t after, before, beside; bool begins, ends, ended; };

static bool gap_is_wide(const struct distances *d, const struct gap *g)
{
    return g->before - g->after > d->gap + (g->ends && g->ended ? d->slack : 0);
}

static bool gap_is_visited(const struct distances *d, const struct gap *g, bool stale)
{
    return (stale && !(g->ends && g->ended)) || g->before - g->after > d->gap;
}

/* Whether the gap is wide compared with adjacent ones or with the other's spacing there. If not, the interval was
 * raised. */
static bool gap_stands_out(const struct gap *g, const struct sequence *other, size_t i)
{
    int64_t t = sequence_time(other, i), width = g->before - g->after;
    int64_t back = i > 0 ? t - sequence_time(other, i - 1) : FAR;
    int64_t on = i + 1 < other->n ? sequence_time(other, i + 1) - t : FAR;
    int64_t near = back < on ? back : on;
    return near == FAR || width > merge_max_gap(near) || (g->beside > 0 && width > merge_max_gap(g->beside));
}

/* Whether this sample of the other fills the gap. stale: the merged sequence so far ends with a marker. A gap that is
 * only as wide as a late marker is not filled with live samples of a live series. */
static bool sample_fills(const struct distances *d, const struct gap *g, const struct sequence *other, size_t i,
                         bool stale)
{
    int64_t left = g->ends ? g->before - sequence_time(other, i) : FAR;
    if (sequence_stale(other, i))
        return !stale && (g->ended || left > d->buffer);
    return stale || (left > d->buffer && gap_is_wide(d, g) && gap_stands_out(g, other, i));
}

/* The other's samples in a gap. *at moves forward. */
static size_t fill_gap(const struct distances *d, const struct gap *g, const struct sequence *other, size_t *at,
                       bool stale, struct sequence_out *out)
{
    size_t before = out->n;
    int64_t low = g->begins ? g->after + (stale ? 0 : d->buffer) : g->after - 1;
    int64_t high = g->ends ? g->before - (d->buffer < CLOCKS_MS ? d->buffer : CLOCKS_MS) : FAR;
    bool lone = g->begins && !g->ends && (other->n == 0 || sequence_last(other) <= g->after + d->late);
    if (!stale && lone)
        return 0;
    while (*at < other->n && sequence_time(other, *at) <= low)
        (*at)++;
    bool early = *at < other->n && sequence_time(other, *at) < g->before - d->late;
    if (g->ends && !g->begins && !early)
        return 0;
    for (; *at < other->n && sequence_time(other, *at) < high; (*at)++)
        if (sample_fills(d, g, other, *at, stale)) {
            stale = sequence_stale(other, *at);
            sequence_put(out, other, *at);
        }
    return out->n - before;
}

static int64_t gap_beside(const struct sequence *s, size_t i)
{
    int64_t back = i > 1 ? sequence_time(s, i - 1) - sequence_time(s, i - 2) : 0;
    int64_t on = i + 1 < s->n ? sequence_time(s, i + 1) - sequence_time(s, i) : 0;
    return back > on ? back : on;
}

/* The base with its gaps filled from the other. */
static size_t fill_gaps(const struct merging *m, const struct distances *d, const struct sequence *base,
                        const struct sequence *other, struct sequence_out *out)
{
    struct gap g = {.after = m->from, .ends = true};
    size_t at = 0, filled = 0, copied = 0;
    bool stale = false;
    for (size_t i = 0; i < base->n; i++) {
        g.before = sequence_time(base, i);
        g.ended = sequence_stale(base, i);
        if (gap_is_visited(d, &g, stale)) {
            sequence_put_range(out, base, copied, i);
            copied = i;
            g.beside = gap_beside(base, i);
            filled += fill_gap(d, &g, other, &at, stale, out);
        }
        if (!g.ended)
            i = sequence_skip_regular(base, i + 1, d->gap) - 1;
        g.after = sequence_time(base, i);
        g.begins = true;
        stale = g.ended;
    }
    sequence_put_range(out, base, copied, base->n);
    g.before = m->to;
    g.ends = g.ended = false;
    g.beside = gap_beside(base, base->n);
    if (gap_is_visited(d, &g, stale))
        filled += fill_gap(d, &g, other, &at, stale, out);
    return filled;
}

/* --- the base ----------------------------------------------------------------------------------------------------- */

static bool merge_is_gapless(const struct merging *m, const struct replica *r)
{
    int64_t near = near_interval(r->interval);
    return r->s.n > 0 && !r->markers && r->most <= near && sequence_first(&r->s) - m->from <= near &&
           m->to - sequence_last(&r->s) <= near;
}

/* Estimates whether the other's samples may be clearly closer together than this interval. */
static bool may_be_denser(const struct sequence *other, int64_t interval)
{
    if (other->n < 2)
        return false;
    int64_t mean = (sequence_last(other) - sequence_first(other)) / (int64_t)(other->n - 1);
    int64_t start = sequence_time(other, 1) - sequence_first(other);
    int64_t end = sequence_last(other) - sequence_time(other, other->n - 2);
    int64_t least = mean < start ? mean : start;
    return merge_max_gap(least < end ? least : end) < interval;
}

/* The usual case, checked first: the first replica is complete, and no other one is denser. */
static bool first_is_complete(struct merging *m)
{
    struct replica *r = &m->replicas[0];
    measure_gaps(r);
    find_interval(m, r);
    if (!r->own_interval || !merge_is_gapless(m, r))
        return false;
    for (size_t i = 1; i < m->n; i++)
        if (may_be_denser(&m->replicas[i].s, r->interval))
            return false;
    return true;
}

/* Replicas that scrape clearly less often than another one, or have no samples, are last. */
static void sort_sparse_last(struct merging *m)
{
    int64_t least = INT64_MAX;
    struct replica *sorted = ARENA_ARRAY(m->job->arena, struct replica, m->n);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        least = m->replicas[i].s.n > 0 && m->replicas[i].interval < least ? m->replicas[i].interval : least;
    for (unsigned rank = 0; rank < 3; rank++)
        for (size_t i = 0; i < m->n; i++) {
            const struct replica *r = &m->replicas[i];
            if (rank == (r->s.n == 0 ? 2 : r->interval > merge_max_gap(least)))
                sorted[n++] = *r;
        }
    m->replicas = sorted;
}

/* Uses the larger value of two samples of one scrape. */
static void prefer_larger(struct sequence_out *out, const struct sequence *other, int64_t buffer)
{
    struct sample *mine = (struct sample *)(void *)out->items;
    size_t at = 0;
    for (size_t i = 0; i < out->n; i++) {
        struct sample theirs;
        while (at < other->n && sequence_time(other, at) < mine[i].t && mine[i].t - sequence_time(other, at) >= buffer)
            at++;
        if (at == other->n)
            return;
        memcpy(&theirs, other->items + at * other->size, sizeof theirs);
        if ((theirs.t == mine[i].t || theirs.t - mine[i].t < buffer) && theirs.v > mine[i].v)
            mine[i].v = theirs.v;
    }
}

static struct sequence merge_independent(struct merging *m)
{
    const struct replica *base = &m->replicas[0];
    struct distances d = base_distances(m, base);
    struct sequence all = base->s;
    bool larger = m->job->rule->prefer_max && all.kind == SEQUENCE_FLOATS;
    if (all.n == 0 || (!larger && merge_is_gapless(m, base)))
        return all;
    for (size_t i = 1; i < m->n && m->replicas[i].s.n > 0; i++) {
        const struct sequence *other = &m->replicas[i].s;
        struct sequence_out out = sequence_new(m->job->arena, &all, all.n + other->n);
        m->job->filled += fill_gaps(m, &d, &all, other, &out);
        if (larger)
            prefer_larger(&out, other, d.buffer);
        all = sequence_of(&out);
    }
    return all;
}

/* --- all together ------------------------------------------------------------------------------------------------- */

static void add_replica(struct merging *m, struct sequence s, unsigned stream, unsigned *streams)
{
    for (size_t i = 0; i < m->n; i++)
        if (streams[i] == stream) {
            struct sequence *have = &m->replicas[i].s;
            if (same_samples(have, &s))
                return;
            size_t before = have->n;
            *have = unite_copies(m->job->arena, *have, s, &m->job->disagreed);
            m->job->filled += have->n - before;
            return;
        }
    streams[m->n] = stream;
    m->replicas[m->n++].s = s;
}

static void measure_all(struct merging *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!m->replicas[i].measured)
            measure_gaps(&m->replicas[i]);
        m->replicas[i].whole = m->replicas[i].s;
    }
    for (size_t i = 0; i < m->n; i++)
        find_interval(m, &m->replicas[i]);
    for (size_t i = 0; i < m->n; i++)
        if (m->replicas[i].markers)
            overrule_markers(m, &m->replicas[i]);
    sort_sparse_last(m);
}

void merge_replicas(struct merge_job *job, const struct series *const *replicas, const unsigned *streams, size_t n,
                    struct series *into)
{
    struct arena *a = job->arena;
    struct merging m = {.job = job, .replicas = ARENA_ARRAY(a, struct replica, n)};
    unsigned *seen = ARENA_ARRAY(a, unsigned, n);
    enum sequence_kind kind = sequence_kind_of(replicas, n);
    for (size_t i = 0; i < n; i++)
        if (replicas[i]->n_samples + replicas[i]->n_hists > 0)
            add_replica(&m, sequence_from(a, replicas[i], kind), streams[i], seen);
    m.from = job->from > -FAR ? job->from : -FAR;
    m.to = job->to < FAR ? job->to : FAR;
    for (size_t i = 0; i < m.n; i++)
        m.to = sequence_last(&m.replicas[i].s) > m.to ? sequence_last(&m.replicas[i].s) : m.to;
    into->replicas = NULL;
    into->n_replicas = 0;
    if (m.n == 0) {
        sequence_to(a, (struct sequence){.kind = kind, .size = sizeof(struct sample)}, into);
    } else if (m.n == 1 || (!job->rule->prefer_max && first_is_complete(&m))) {
        sequence_to(a, m.replicas[0].s, into);
    } else {
        measure_all(&m);
        sequence_to(a, merge_independent(&m), into);
        if (!job->rule->prefer_max)
            complete_replicas(&m, into);
    }
}

void merge_pieces(struct arena *a, struct series *into, const struct series *more)
{
    const struct series *both[] = {into, more};
    enum sequence_kind kind = sequence_kind_of(both, 2);
    into->replicas = NULL; /* none of them is complete */
    into->n_replicas = 0;
    uint64_t disagreed = 0;
    sequence_to(a, unite_copies(a, sequence_from(a, into, kind), sequence_from(a, more, kind), &disagreed), into);
}
