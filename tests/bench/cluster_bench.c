// SPDX-License-Identifier: Apache-2.0
/* What a change of the members costs each of them, simulated: which targets it scrapes, before and after, for 10 members
 * of 1,000,000 targets and for 1,000 of 10,000,000. Prints balance, targets that move, CPU and memory of one member, and
 * the requests that etcd gets. */
#include "base/hash.h"
#include "base/text/duration.h"
#include "model/cluster/cluster_view.h"

#include <stdio.h>
#include <time.h>

enum { NOW = 1000000, LEASE_S = 10, RENEWALS = 3, CHECK_S = 5, ZONES = 3, COUNTED_MOST = 1000000 };

struct fleet { struct arena arena; struct cluster_member *members; size_t n; };

static void make_fleet(struct fleet *f, size_t n, bool zones)
{
    arena_init(&f->arena, 0);
    f->n = n;
    f->members = ARENA_ARRAY(&f->arena, struct cluster_member, n);
    for (size_t i = 0; i < n; i++)
        f->members[i] = (struct cluster_member){
            .id = arena_printf(&f->arena, "sluice-%zu", i), .address = arena_printf(&f->arena, "http://sluice-%zu:8429", i),
            .zone = zones ? arena_printf(&f->arena, "zone-%zu", i % ZONES) : STR_NONE, .weight = 1, .from = 0,
            .until = INT64_MAX};
}

static struct cluster_view *view_of(const struct fleet *f, size_t n) { return cluster_view_new(f->members, n, f->members[0].id, 1); }

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t key_of(size_t i) { return hash_bytes(&i, sizeof i); }

/* Smallest and largest share of a member relative to the mean, over all owners. */
static void print_balance(const struct cluster_view *v, size_t targets, size_t replicas)
{
    unsigned *counts = mem_zalloc(v->n * sizeof *counts);
    size_t owners[CLUSTER_REPLICAS_MAX], same_zone = 0;
    for (size_t i = 0; i < targets; i++) {
        size_t n = cluster_view_owners(v, key_of(i), NOW, replicas, owners);
        for (size_t r = 0; r < n; r++)
            counts[owners[r]]++;
        same_zone += n > 1 && v->members[owners[0]].zone.n > 0 && str_eq(v->members[owners[0]].zone, v->members[owners[1]].zone);
    }
    unsigned least = counts[0], most = counts[0];
    for (size_t m = 1; m < v->n; m++) {
        least = counts[m] < least ? counts[m] : least;
        most = counts[m] > most ? counts[m] : most;
    }
    double mean = (double)targets * (double)replicas / (double)v->n;
    printf("  %zu targets, %zu owner%s: shares %.3f to %.3f of the mean", targets, replicas, replicas > 1 ? "s" : "",
           least / mean, most / mean);
    if (replicas > 1)
        printf("; owners in the same zone: %zu", same_zone);
    printf("\n");
    mem_free(counts);
}

static bool owned_before(const struct cluster_view *v, const size_t *owners, size_t n, struct str id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v->members[owners[i]].id, id))
            return true;
    return false;
}

static void print_moves(const struct fleet *f, size_t targets, size_t replicas)
{
    struct cluster_view *before = view_of(f, f->n - 1), *after = view_of(f, f->n);
    size_t moved = 0, elsewhere = 0, first = 0;
    for (size_t i = 0; i < targets; i++) {
        size_t a[CLUSTER_REPLICAS_MAX], b[CLUSTER_REPLICAS_MAX];
        size_t n = cluster_view_owners(before, key_of(i), NOW, replicas, a), m = cluster_view_owners(after, key_of(i), NOW, replicas, b);
        first += !str_eq(before->members[a[0]].id, after->members[b[0]].id);
        for (size_t r = 0; r < m; r++) {
            struct str id = after->members[b[r]].id;
            bool same = owned_before(before, a, n, id);
            moved += !same;
            elsewhere += !same && !str_eq(id, f->members[f->n - 1].id);
        }
    }
    double all = (double)targets * (double)replicas;
    printf("  member %zu joins: %.4f of the owners are others (1/%zu = %.4f), %.4f neither it nor owners before; %.4f of the "
           "first owners\n", f->n, (double)moved / all, f->n, 1.0 / (double)f->n, (double)elsewhere / all,
           (double)first / (double)targets);
    cluster_view_unref(before);
    cluster_view_unref(after);
}

/* What one member does when the view changes. */
static void print_change(const struct cluster_view *v, size_t targets, unsigned replicas)
{
    size_t owned = 0;
    double before = cpu_seconds();
    for (size_t i = 0; i < targets; i++) {
        struct cluster_span s = cluster_view_span(v, key_of(i), NOW, replicas);
        owned += s.from < s.until;
    }
    double s = cpu_seconds() - before;
    printf("  a change at one member: %.2f s of CPU for %zu targets (%.0f ns each), of which it owns %zu; its view %zu KiB\n", s,
           targets, s / (double)targets * 1e9, owned, v->arena.used >> 10);
}

static void simulate(size_t members, size_t targets, bool zones, unsigned replicas)
{
    struct fleet f;
    size_t counted = targets < COUNTED_MOST ? targets : COUNTED_MOST;
    make_fleet(&f, members + 1, zones);
    struct cluster_view *v = view_of(&f, members);
    printf("%zu members, %zu targets%s, replication_factor %u\n", members, targets, zones ? ", 3 zones" : "", replicas);
    if (members <= 100) {
        print_balance(v, counted, replicas);
        print_moves(&f, counted, replicas);
    }
    print_change(v, targets, replicas);
    printf("  etcd: %.0f requests a second, whatever the number of targets\n",
           (double)members * ((double)RENEWALS / LEASE_S + 1.0 / CHECK_S));
    cluster_view_unref(v);
    arena_free(&f.arena);
}

int main(void)
{
    simulate(10, 1000000, false, 1);
    simulate(10, 1000000, true, 2);
    simulate(10, 1000000, true, 3);
    simulate(20, 1000000, true, 2);
    simulate(1000, 10000000, false, 1);
    return 0;
}
