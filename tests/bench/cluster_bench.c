// SPDX-License-Identifier: Apache-2.0
/* What a change of the members costs each of them, simulated: which targets it scrapes, before and after, for 10 members
 * of 1,000,000 targets and for 1,000 of 10,000,000. Prints balance, targets that move, CPU and memory of one member, and
 * the requests that etcd gets; then what the control thread of one of three members needs for 100,000 targets. */
#include "base/hash.h"
#include "base/text/duration.h"
#include "model/cluster/cluster_view.h"
#include "scraper/scraper.h"

#include <stdio.h>
#include <stdlib.h>
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

/* ---- a scraper ---- */

static enum sink_status begin(struct sink *s UNUSED, const struct sink_batch *b UNUSED) { return SINK_OK; }
static void series(struct sink *s UNUSED, const struct series_in *in UNUSED) {}
static void metadata(struct sink *s UNUSED, const struct metadata *m UNUSED) {}
static void commit(struct sink *s UNUSED, void (*done)(void *, bool), void *arg)
{
    if (done)
        done(arg, true);
}
static const struct sink_ops no_sink = {begin, series, metadata, commit, NULL};
static void set_flag(void *flag) { *(bool *)flag = true; }

static void bench_job(struct arena *a, size_t targets, unsigned replicas, struct scrape_job *job)
{
    struct buf text = {0};
    struct conf_context c = {.arena = a, .file = "bench"};
    struct scrape_globals globals = {.scrape_interval = 3600000, .scrape_timeout = 1000};
    struct err err;
    globals.cluster = (struct scrape_cluster){.by_view = true, .replicas = replicas, .standby = replicas > 1,
                                              .keep_ms = 25000, .keep_bytes = 1 << 20};
    buf_add_z(&text, "job_name: bench\nrelabel_configs:\n- {source_labels: [__address__], target_label: node}\n"
              "- {source_labels: [rack], regex: (r)(.*), target_label: row, replacement: $2}\n"
              "- {regex: unused_(.+), action: labelmap}\nstatic_configs:\n");
    for (size_t i = 0; i < targets; i += 20) {
        buf_printf(&text, "- labels: {rack: r%zu, team: shop}\n  targets: [", i / 20);
        for (size_t k = i; k < i + 20; k++)
            buf_printf(&text, "%s'10.%zu.%zu.%zu:9100'", k > i ? ", " : "", k >> 16, k >> 8 & 255, k & 255);
        buf_add_z(&text, "]\n");
    }
    struct yaml *y = yaml_parse(a, buf_str(&text), "bench", &err);
    if (y == NULL || !conf_load(&c, &scrape_job_section, y, job, &err) ||
        !scrape_job_finish(&c, y, job, &globals, &err))
        exit((fprintf(stderr, "%s\n", err.text), 1));
    buf_free(&text);
}

static void bench_view(struct scraper *s, struct loop *loop, const struct cluster_member *members, size_t n,
                       const char *event)
{
    struct cluster_view *v = cluster_view_new(members, n, members[0].id, 1);
    double before = cpu_seconds();
    scraper_set_view(s, v);
    double control = cpu_seconds() - before;
    for (int i = 0; i < 1000; i++)
        loop_turn(loop, 0);
    printf("  %s: %.1f ms of CPU at once, %.1f ms in slices (targets that are built, lanes)\n", event, control * 1e3,
           (cpu_seconds() - before - control) * 1e3);
    cluster_view_unref(v);
}

/* The member 0, when others leave and come back. */
static void scraper_changes(size_t targets, unsigned replicas)
{
    struct fleet f;
    struct arena a = {0};
    struct err err;
    bool released = false, stopped = false;
    struct loop *loop = loop_new();
    struct sink sink = {.ops = &no_sink}, *sinks = &sink;
    struct scrape_job *job = ARENA_NEW(&a, struct scrape_job);
    struct scraper *s = scraper_new(&(struct scraper_env){.main = loop, .lanes = &loop, .n_lanes = 1, .sinks = &sinks});
    bench_job(&a, targets, replicas, job);
    make_fleet(&f, 4, false);
    printf("one of 3 members, %zu targets, replication_factor %u\n", targets, replicas);
    scraper_set_fence(s, 0);
    if (!scraper_apply(s, job, 1, &(struct scrape_globals){0}, set_flag, &released, &err))
        exit((fprintf(stderr, "%s\n", err.text), 1));
    bench_view(s, loop, f.members, 3, "this member joins");
    int64_t now = loop_now(loop);
    f.members[3].from = now + 2000;
    bench_view(s, loop, f.members, 4, "another announces that it joins");
    f.members[3].from = 0;
    bench_view(s, loop, f.members, 4, "it has joined");
    f.members[3].until = now + 2000;
    bench_view(s, loop, f.members, 4, "it announces that it leaves");
    bench_view(s, loop, f.members, 3, "it has left");
    bench_view(s, loop, f.members, 2, "another crashes");
    scraper_stop(s, set_flag, &stopped);
    while (!stopped)
        loop_turn(loop, 0);
    scraper_free(s);
    loop_free(loop);
    arena_free(&f.arena);
    arena_free(&a);
}

int main(void)
{
    simulate(10, 1000000, false, 1);
    simulate(10, 1000000, true, 2);
    simulate(10, 1000000, true, 3);
    simulate(20, 1000000, true, 2);
    simulate(1000, 10000000, false, 1);
    scraper_changes(100000, 1);
    scraper_changes(100000, 2);
    return 0;
}
