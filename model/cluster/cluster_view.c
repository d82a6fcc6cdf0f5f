// SPDX-License-Identifier: Apache-2.0
#include "model/cluster/cluster_view.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

static int compare_member_ids(const void *a, const void *b)
{
    return str_cmp(((const struct cluster_member *)a)->id, ((const struct cluster_member *)b)->id);
}

static int compare_changes(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void view_sort_times(struct cluster_view *v)
{
    int64_t *times = ARENA_ARRAY(&v->arena, int64_t, 2 * v->n + 1);
    for (size_t i = 0; i < v->n; i++) {
        times[2 * i] = v->members[i].from;
        times[2 * i + 1] = v->members[i].until;
    }
    qsort(times, 2 * v->n, sizeof *times, compare_changes);
    v->_times = times;
    v->_n_times = 2 * v->n;
}

struct cluster_view *cluster_view_new(const struct cluster_member *members, size_t n, struct str self, uint64_t revision)
{
    struct cluster_view *v = mem_zalloc(sizeof *v);
    refs_init(&v->refs);
    arena_init(&v->arena, 0);
    v->revision = revision;
    v->n = v->self = n;
    struct cluster_member *copy = ARENA_ARRAY(&v->arena, struct cluster_member, n + 1);
    uint64_t *seeds = ARENA_ARRAY(&v->arena, uint64_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = members[i];
        copy[i].id = arena_str(&v->arena, members[i].id);
        copy[i].address = arena_str(&v->arena, members[i].address);
        copy[i].zone = arena_str(&v->arena, members[i].zone);
    }
    qsort(copy, n, sizeof *copy, compare_member_ids);
    for (size_t i = 0; i < n; i++) {
        seeds[i] = hash_bytes(copy[i].id.p, copy[i].id.n);
        if (!copy[i].gone && str_eq(copy[i].id, self))
            v->self = i;
        v->_weighted = v->_weighted || copy[i].weight != copy[0].weight;
        v->_zoned = v->_zoned || !str_eq(copy[i].zone, copy[0].zone);
    }
    v->members = copy;
    v->_seeds = seeds;
    view_sort_times(v);
    return v;
}

struct cluster_view *cluster_view_ref(struct cluster_view *v)
{
    refs_take(&v->refs);
    return v;
}

void cluster_view_unref(struct cluster_view *v)
{
    if (v == NULL || !refs_drop(&v->refs))
        return;
    arena_free(&v->arena);
    mem_free(v);
}

/* ---- scores ---- */

/* The finalizer of splitmix64 (https://prng.di.unimi.it/splitmix64.c): each bit of the input changes each of the output. */
static uint64_t mix_bits(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

struct member_rank { uint64_t hash; double score; size_t member; };

static struct member_rank rank_member(const struct cluster_view *v, size_t i, uint64_t target)
{
    struct member_rank r = {.hash = mix_bits(target ^ v->_seeds[i]), .member = i};
    if (v->_weighted) /* the hash as a number in (0, 1) */
        r.score = -v->members[i].weight / log(((double)(r.hash >> 11) + 0.5) * 0x1p-53);
    return r;
}

static bool ranks_before(const struct cluster_view *v, const struct member_rank *a, const struct member_rank *b)
{
    if (v->_weighted && a->score != b->score)
        return a->score > b->score;
    return a->hash != b->hash ? a->hash > b->hash : a->member < b->member;
}

static bool takes_part(const struct cluster_member *m, int64_t time) { return m->from <= time && time < m->until; }

/* ---- owners ---- */

/* Whether an owner found so far is in the zone of the member. */
static bool zone_is_taken(const struct cluster_view *v, size_t member, const size_t *owners, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v->members[owners[i]].zone, v->members[member].zone))
            return true;
    return false;
}

static bool owns_already(size_t member, const size_t *owners, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (owners[i] == member)
            return true;
    return false;
}

/* The best member that is no owner yet, of a zone without an owner if new_zone; v->n: there is none. */
static size_t next_owner(const struct cluster_view *v, uint64_t target, int64_t time, bool new_zone, const size_t *owners,
                         size_t n)
{
    struct member_rank best = {.member = v->n};
    for (size_t i = 0; i < v->n; i++) {
        if (!takes_part(&v->members[i], time) || owns_already(i, owners, n) ||
            (new_zone && zone_is_taken(v, i, owners, n)))
            continue;
        struct member_rank r = rank_member(v, i, target);
        if (best.member == v->n || ranks_before(v, &r, &best))
            best = r;
    }
    return best.member;
}

size_t cluster_view_owners(const struct cluster_view *v, uint64_t target, int64_t time, size_t most, size_t *out)
{
    size_t n = 0;
    while (n < most && n < CLUSTER_REPLICAS_MAX) {
        size_t next = v->_zoned && n > 0 ? next_owner(v, target, time, true, out, n) : v->n;
        if (next == v->n)
            next = next_owner(v, target, time, false, out, n);
        if (next == v->n)
            break;
        out[n++] = next;
    }
    return n;
}

/* Without zones. Ends at the `replicas`-th better member, of N the logarithm on average: 10,000,000 targets of 1,000
 * members in about a second. */
static unsigned count_better(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas)
{
    struct member_rank own = rank_member(v, v->self, target);
    unsigned better = 0;
    for (size_t i = 0; i < v->n && better < replicas; i++) {
        if (i == v->self || !takes_part(&v->members[i], time))
            continue;
        struct member_rank r = rank_member(v, i, target);
        better += ranks_before(v, &r, &own);
    }
    return better;
}

unsigned cluster_view_rank(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas)
{
    size_t owners[CLUSTER_REPLICAS_MAX];
    if (v->self == v->n || !takes_part(&v->members[v->self], time))
        return replicas;
    if (!v->_zoned || replicas == 1)
        return count_better(v, target, time, replicas);
    size_t n = cluster_view_owners(v, target, time, replicas, owners);
    for (size_t i = 0; i < n; i++)
        if (owners[i] == v->self)
            return (unsigned)i;
    return replicas;
}

/* ---- times ---- */

int64_t cluster_view_next_change(const struct cluster_view *v, int64_t time)
{
    size_t low = 0, high = v->_n_times; /* the first one after `time` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->_times[middle] > time)
            high = middle;
        else
            low = middle + 1;
    }
    return low < v->_n_times ? v->_times[low] : INT64_MAX;
}

/* A change of the rank alone ends no span: scrapes until the span is computed again would be lost. */
struct cluster_span cluster_view_span(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas)
{
    struct cluster_span span = {0};
    for (int64_t at = time; at < INT64_MAX; at = cluster_view_next_change(v, at)) {
        bool owned = cluster_view_rank(v, target, at, replicas) < replicas, begun = span.from < span.until;
        if (owned && !begun)
            span = (struct cluster_span){at == time ? INT64_MIN : at, INT64_MAX};
        else if (!owned && begun)
            return (struct cluster_span){span.from, at};
    }
    return span;
}

struct cluster_span cluster_view_lead(const struct cluster_view *v, uint64_t target, int64_t time, int64_t since)
{
    struct cluster_span s = cluster_view_span(v, target, since, 1);
    while (s.from < s.until && s.until <= time)
        s = cluster_view_span(v, target, s.until, 1);
    return s;
}

size_t cluster_view_registered(const struct cluster_view *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        n += !v->members[i].gone;
    return n;
}
