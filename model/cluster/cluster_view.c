// SPDX-License-Identifier: Apache-2.0
#include "model/cluster/cluster_view.h"

#include "base/hash.h"
#include "model/cluster/zone_factors.h"

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

enum { EPOCHS_MOST = 64 }; /* the newest */
/* From a time on the same members take part. Factors of zones, for 2 and 3 replicas. */
struct zone_epoch { int64_t from; double *factors[CLUSTER_REPLICAS_MAX - 1]; };

static void view_sort_times(struct cluster_view *v)
{
    int64_t *times = ARENA_ARRAY(&v->arena, int64_t, 3 * v->n + 1);
    for (size_t i = 0; i < v->n; i++) {
        times[v->_n_times++] = v->members[i].from;
        times[v->_n_times++] = v->members[i].until;
        if (v->members[i].gone)
            times[v->_n_times++] = v->members[i].place_until;
    }
    qsort(times, v->_n_times, sizeof *times, compare_changes);
    v->_times = times;
}

static bool takes_part(const struct cluster_member *m, int64_t time) { return m->from <= time && time < m->until; }

/* ---- zones ---- */

static int compare_zone_members(const void *a, const void *b)
{
    const struct cluster_member *const *x = a, *const *y = b;
    return str_cmp((*x)->zone, (*y)->zone);
}

/* Members that join know nothing of those that are gone. */
static void view_end_places(struct cluster_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cluster_member *gone = &members[i];
        if (!gone->gone)
            continue;
        gone->place_until = gone->place_until > gone->until ? gone->place_until : gone->until;
        for (size_t k = 0; k < n; k++)
            if (members[k].from > gone->until && members[k].from < gone->place_until)
                gone->place_until = members[k].from;
    }
}

/* A member that is gone, whose place is kept. */
static bool is_ghost(const struct cluster_member *m, int64_t time)
{
    return m->gone && m->until <= time && time < m->place_until;
}
static bool has_place(const struct cluster_member *m, int64_t time) { return takes_part(m, time) || is_ghost(m, time); }

static void view_number_zones(struct cluster_view *v)
{
    uint32_t *zones = ARENA_ARRAY(&v->arena, uint32_t, v->n + 1);
    const struct cluster_member **sorted = ARENA_ARRAY(&v->arena, const struct cluster_member *, v->n + 1);
    for (size_t i = 0; i < v->n; i++)
        sorted[i] = &v->members[i];
    qsort(sorted, v->n, sizeof *sorted, compare_zone_members);
    for (size_t i = 0; i < v->n; i++) {
        v->_n_zones += i == 0 || !str_eq(sorted[i]->zone, sorted[i - 1]->zone);
        zones[sorted[i] - v->members] = (uint32_t)(v->_n_zones - 1);
    }
    v->_zones = zones;
}

static void view_make_epoch(struct cluster_view *v, struct zone_epoch *e, int64_t from)
{
    double weights[ZONES_MOST] = {0};
    e->from = from;
    for (size_t i = 0; i < v->n; i++)
        if (has_place(&v->members[i], from))
            weights[v->_zones[i]] += v->members[i].weight;
    for (unsigned r = 0; r < LEN(e->factors); r++) {
        e->factors[r] = ARENA_ARRAY(&v->arena, double, v->_n_zones);
        zone_factors(weights, v->_n_zones, r + 2, e->factors[r]);
    }
}

static void view_make_epochs(struct cluster_view *v)
{
    size_t end = v->_n_times, n = 0, begin;
    while (end > 0 && v->_times[end - 1] == INT64_MAX)
        end--;
    for (begin = end; begin > 0 && n < EPOCHS_MOST; begin--)
        n += begin < 2 || v->_times[begin - 2] != v->_times[begin - 1];
    struct zone_epoch *epochs = ARENA_ARRAY(&v->arena, struct zone_epoch, n + 1);
    for (size_t i = begin; i < end; i++)
        if (i == begin || v->_times[i] != v->_times[i - 1])
            view_make_epoch(v, &epochs[v->_n_epochs++], v->_times[i]);
    v->_epochs = epochs;
}

/* NULL: they are not corrected. */
static const double *view_zone_factors(const struct cluster_view *v, int64_t time, size_t replicas)
{
    size_t low = 0, high = v->_n_epochs; /* the first one after `time` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->_epochs[middle].from > time)
            high = middle;
        else
            low = middle + 1;
    }
    return low == 0 ? NULL : v->_epochs[low - 1].factors[replicas - 2];
}

/* ---- life ---- */

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
    view_end_places(copy, n);
    for (size_t i = 0; i < n; i++) {
        seeds[i] = hash_bytes(copy[i].id.p, copy[i].id.n);
        if (!copy[i].gone && str_eq(copy[i].id, self))
            v->self = i;
        v->_weighted = v->_weighted || copy[i].weight != copy[0].weight;
        v->_zoned = v->_zoned || !str_eq(copy[i].zone, copy[0].zone);
        v->_ghosts = v->_ghosts || (copy[i].gone && copy[i].until < copy[i].place_until);
    }
    v->members = copy;
    v->_seeds = seeds;
    view_sort_times(v);
    if (v->_zoned)
        view_number_zones(v);
    if (v->_zoned && v->_n_zones <= ZONES_MOST)
        view_make_epochs(v);
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

/* The second and third owners in other zones are chosen by another hash: the best members but for the first one are no
 * longer a fair choice once the weights are corrected. */
enum member_choice { CHOICE_FIRST, CHOICE_LATER };
static const uint64_t choice_salts[] = {0, 0x9e3779b97f4a7c15ull};
struct member_rank { uint64_t hash; double score; size_t member; };

/* The hash is a number in (0, 1). */
static double rank_score(double weight, uint64_t hash) { return -weight / log(((double)(hash >> 11) + 0.5) * 0x1p-53); }

static struct member_rank rank_for(const struct cluster_view *v, size_t i, uint64_t target, enum member_choice choice)
{
    struct member_rank r = {.hash = mix_bits(target ^ v->_seeds[i] ^ choice_salts[choice]), .member = i};
    if (v->_weighted)
        r.score = rank_score(v->members[i].weight, r.hash);
    return r;
}

static struct member_rank rank_member(const struct cluster_view *v, size_t i, uint64_t target)
{
    return rank_for(v, i, target, CHOICE_FIRST);
}

static bool ranks_before(const struct cluster_view *v, const struct member_rank *a, const struct member_rank *b)
{
    if (v->_weighted && a->score != b->score)
        return a->score > b->score;
    return a->hash != b->hash ? a->hash > b->hash : a->member < b->member;
}

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

/* The best member of all zones without an owner, the scores of which are multiplied by their factors: the best one of
 * each zone first, so that equal weights need one logarithm a zone. v->n: there is none. */
static size_t next_zone_owner(const struct cluster_view *v, uint64_t target, int64_t time, const double *factors,
                              const size_t *owners, size_t n)
{
    struct member_rank best[ZONES_MOST], *most = NULL;
    for (size_t z = 0; z < v->_n_zones; z++)
        best[z].member = v->n;
    for (size_t i = 0; i < v->n; i++) {
        struct member_rank *b = &best[v->_zones[i]];
        if (!has_place(&v->members[i], time))
            continue;
        struct member_rank r = rank_for(v, i, target, CHOICE_LATER);
        if (b->member == v->n || ranks_before(v, &r, b))
            *b = r;
    }
    for (size_t i = 0; i < n; i++)
        best[v->_zones[owners[i]]].member = v->n;
    for (size_t z = 0; z < v->_n_zones; z++) {
        if (best[z].member == v->n)
            continue;
        best[z].score = factors[z] * (v->_weighted ? best[z].score : rank_score(1, best[z].hash));
        if (most == NULL || best[z].score > most->score)
            most = &best[z];
    }
    return most ? most->member : v->n;
}

/* The best member that `may` own the target and does not yet, of a zone without an owner if new_zone; v->n: there is
 * none. */
static size_t next_owner(const struct cluster_view *v, uint64_t target, int64_t time,
                         bool (*may)(const struct cluster_member *m, int64_t time), bool new_zone, const size_t *owners,
                         size_t n)
{
    struct member_rank best = {.member = v->n};
    for (size_t i = 0; i < v->n; i++) {
        if (!may(&v->members[i], time) || owns_already(i, owners, n) || (new_zone && zone_is_taken(v, i, owners, n)))
            continue;
        struct member_rank r = rank_member(v, i, target);
        if (best.member == v->n || ranks_before(v, &r, &best))
            best = r;
    }
    return best.member;
}

/* Those that are gone and keep their place are chosen, but not counted. With very many of them the rest is chosen as if
 * they had none: a target must have owners. */
size_t cluster_view_owners(const struct cluster_view *v, uint64_t target, int64_t time, size_t most, size_t *out)
{
    enum { CHOSEN_MOST = CLUSTER_REPLICAS_MAX + 8 };
    size_t chosen[CHOSEN_MOST], n = 0, owners = 0;
    most = most < CLUSTER_REPLICAS_MAX ? most : CLUSTER_REPLICAS_MAX;
    const double *factors = most > 1 ? view_zone_factors(v, time, most) : NULL;
    bool (*may)(const struct cluster_member *m, int64_t time) = v->_zoned ? has_place : takes_part;
    while (owners < most && n < CHOSEN_MOST) {
        size_t next = !v->_zoned || n == 0 ? v->n
                      : factors ? next_zone_owner(v, target, time, factors, chosen, n)
                                : next_owner(v, target, time, may, true, chosen, n);
        if (next == v->n)
            next = next_owner(v, target, time, may, false, chosen, n);
        if (next == v->n)
            break;
        chosen[n++] = next;
        if (takes_part(&v->members[next], time))
            out[owners++] = next;
    }
    while (n == CHOSEN_MOST && owners < most) {
        size_t next = next_owner(v, target, time, takes_part, false, out, owners);
        if (next == v->n)
            break;
        out[owners++] = next;
    }
    return owners;
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
    if (!v->_zoned || (replicas == 1 && !v->_ghosts))
        return count_better(v, target, time, replicas);
    size_t n = cluster_view_owners(v, target, time, replicas, owners);
    for (size_t i = 0; i < n; i++)
        if (owners[i] == v->self)
            return (unsigned)i;
    return replicas;
}

static int compare_choices(const void *a, const void *b)
{
    const struct cluster_choice *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->member < y->member ? -1 : 1;
}

void cluster_view_explain(const struct cluster_view *v, uint64_t target, int64_t time, size_t most,
                          struct cluster_choice *out)
{
    size_t owners[CLUSTER_REPLICAS_MAX], n = cluster_view_owners(v, target, time, most, owners);
    const double *factors = v->_zoned && most > 1 ? view_zone_factors(v, time, most) : NULL;
    for (size_t i = 0; i < v->n; i++) {
        const struct cluster_member *m = &v->members[i];
        uint64_t hash = rank_member(v, i, target).hash;
        out[i] = (struct cluster_choice){.member = i, .hash = hash, .score = rank_score(m->weight, hash)};
        if (factors)
            out[i].later_score = factors[v->_zones[i]] * rank_score(m->weight, rank_for(v, i, target, CHOICE_LATER).hash);
        for (size_t k = 0; k < n; k++)
            out[i].owner = owners[k] == i ? (unsigned)k + 1 : out[i].owner;
    }
    qsort(out, v->n, sizeof *out, compare_choices);
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

/* Whether this process is one of the first `most` owners, of `replicas`. */
static bool is_owner(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas, unsigned most)
{
    return cluster_view_rank(v, target, time, v->_ghosts ? replicas : most) < most;
}

/* A change of the rank among the first `most` ends no span: scrapes until the span is computed again would be lost. */
static struct cluster_span view_span(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas,
                                     unsigned most)
{
    struct cluster_span span = {0};
    for (int64_t at = time; at < INT64_MAX; at = cluster_view_next_change(v, at)) {
        bool owned = is_owner(v, target, at, replicas, most), begun = span.from < span.until;
        if (owned && !begun)
            span = (struct cluster_span){at == time ? INT64_MIN : at, INT64_MAX};
        else if (!owned && begun)
            return (struct cluster_span){span.from, at};
    }
    return span;
}

struct cluster_span cluster_view_span(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas)
{
    return view_span(v, target, time, replicas, replicas);
}

struct cluster_span cluster_view_lead(const struct cluster_view *v, uint64_t target, int64_t time, int64_t since,
                                      unsigned replicas)
{
    struct cluster_span s = view_span(v, target, since, replicas, 1);
    while (s.from < s.until && s.until <= time)
        s = view_span(v, target, s.until, replicas, 1);
    return s;
}

bool cluster_view_move(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas,
                       struct cluster_move *out)
{
    size_t before[CLUSTER_REPLICAS_MAX], after[CLUSTER_REPLICAS_MAX];
    if (cluster_view_owners(v, target, time - 1, replicas, before) == 0 ||
        cluster_view_owners(v, target, time, replicas, after) == 0)
        return false;
    *out = (struct cluster_move){before[0], after[0]};
    return before[0] != after[0] && !v->members[before[0]].gone;
}

size_t cluster_view_registered(const struct cluster_view *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        n += !v->members[i].gone;
    return n;
}
