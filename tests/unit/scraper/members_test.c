// SPDX-License-Identifier: Apache-2.0
/* Changes of the cluster's members: each time, a scraper has the targets of one that starts with these members. */
#include "scraper/scraper.h"

#include "scraper_fixture.h"

enum { MEMBERS = 6, ROUNDS = 60, ADDRESSES = 40, HOUR = 3600000 };

static uint64_t members_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

/* Two groups that have targets in common, some that relabel_configs drop, and some whose port is invalid. */
static void members_apply(struct scraper_fixture *f, unsigned replicas, bool by_rack)
{
    struct err err;
    struct buf text = {0};
    struct config *c = mem_zalloc(sizeof *c);
    c->fixture = f;
    buf_add_z(&text, "job_name: j\nrelabel_configs:\n"
              "- {source_labels: [__address__], regex: '.*7:9100', action: drop}\n"
              "- {source_labels: [__address__], regex: '(.*5):9100', target_label: __address__, "
              "replacement: '$1:x'}\n");
    if (by_rack) /* equal targets may have different owners then */
        buf_add_z(&text, "- {source_labels: [rack], target_label: __tmp_rack}\n");
    buf_add_z(&text, "- {regex: rack, action: labeldrop}\nstatic_configs:\n");
    for (int group = 0; group < 2; group++) {
        buf_printf(&text, "- labels: {rack: r%d}\n  targets: [", group);
        for (int i = 0; i < ADDRESSES; i++)
            buf_printf(&text, "%s'10.0.0.%d:9100'", i > 0 ? ", " : "", i + group * ADDRESSES / 2);
        buf_add_z(&text, "]\n");
    }
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    job->cluster = (struct scrape_cluster){.by_view = true, .replicas = replicas, .hands_over = true,
                                           .standby = replicas > 1,
                                           .keep_ms = 25000, .keep_bytes = 1 << 20};
    buf_free(&text);
    assert_true(scraper_apply(f->scraper, job, 1, &prometheus_globals, release, c, &err));
    f->applied++;
}

static void members_set(struct scraper_fixture *f, struct cluster_view *v)
{
    scraper_set_view(f->scraper, v);
    turns(f, 3);
}

/* Random members, of which "m0" is this process, and may be missing. Some begin or end later. */
static struct cluster_view *random_members(uint64_t *state, int64_t now)
{
    struct arena a = {0};
    struct cluster_member members[MEMBERS];
    size_t n = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (members_random(state) % 4 == 0)
            continue;
        bool joins = members_random(state) % 4 == 0, leaves = members_random(state) % 4 == 0;
        members[n++] = (struct cluster_member){
            .id = arena_printf(&a, "m%zu", i), .zone = arena_printf(&a, "z%zu", i % 2), .weight = 1,
            .from = joins ? now + HOUR + (int64_t)(members_random(state) % 3000) : 0,
            .until = leaves ? now + HOUR + (int64_t)(members_random(state) % 3000) : INT64_MAX};
    }
    struct cluster_view *v = cluster_view_new(members, n, STR("m0"), 1);
    arena_free(&a);
    return v;
}

static int order_lines(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

/* A line for each target, sorted. */
static void list_targets(struct scraper_fixture *f, struct buf *out)
{
    struct arena a = {0};
    struct scraper_targets t;
    must_read_targets(f->scraper, f->loop, &a, &t);
    size_t n = 0;
    struct str *lines = ARENA_ARRAY(&a, struct str, t.n_active + t.n_dropped + 1);
    for (size_t i = 0; i < t.n_active; i++)
        lines[n++] = arena_printf(&a, "%.*s%s", STR_ARG(t.active[i].url), t.active[i].standby ? " standby" : "");
    for (size_t i = 0; i < t.n_dropped; i++)
        lines[n++] = arena_printf(&a, "%.*s: %s%.*s", STR_ARG(labels_get(t.dropped[i].discovered, STR("__address__"))),
                                  t.dropped[i].invalid ? "invalid: " : "", STR_ARG(t.dropped[i].error));
    qsort(lines, n, sizeof *lines, order_lines);
    assert_int_equal(t.n_pools, 1);
    buf_printf(out, "dropped %zu, invalid %zu\n", t.pools[0].dropped, t.pools[0].invalid);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%.*s\n", STR_ARG(lines[i]));
    arena_free(&a);
}

static void must_be_as_new(struct scraper_fixture *f, struct cluster_view *v, unsigned replicas, bool by_rack)
{
    struct scraper_fixture new;
    struct buf now = {0}, as_new = {0};
    fixture_open(&new);
    new.ms = f->ms;
    new.wall_offset = f->wall_offset;
    members_set(&new, v);
    members_apply(&new, replicas, by_rack);
    turns(&new, 3);
    list_targets(f, &now);
    list_targets(&new, &as_new);
    if (!str_eq(buf_str(&now), buf_str(&as_new))) {
        fprintf(stderr, "%s\na new scraper has:\n%s\n", buf_z(&now), buf_z(&as_new));
        fail();
    }
    buf_free(&now);
    buf_free(&as_new);
    fixture_close(&new);
}

static void members_change(unsigned replicas, bool by_rack)
{
    struct scraper_fixture f;
    uint64_t state = 1;
    fixture_open(&f);
    f.wall_offset = clock_wall_ms() - f.ms; /* the owners that pages name are those of the present */
    members_apply(&f, replicas, by_rack);
    for (int i = 0; i < ROUNDS; i++) {
        struct cluster_view *v = random_members(&state, loop_now(f.loop));
        if (i % 5 == 4) /* a reload without a change, which the targets that were found survive */
            members_apply(&f, replicas, by_rack);
        if (i % 3 == 2) /* another change before the targets of the last one are built */
            scraper_set_view(f.scraper, v);
        members_set(&f, v);
        must_be_as_new(&f, v, replicas, by_rack);
        cluster_view_unref(v);
    }
    fixture_close(&f);
}

static void targets_follow_the_members(void **state UNUSED) { members_change(1, false); }
static void standbys_follow_the_members(void **state UNUSED) { members_change(2, false); }
static void equal_targets_with_other_owners(void **state UNUSED) { members_change(1, true); }

/* The last of these is built when its time has come. */
static void targets_follow_announced_times(void **state UNUSED)
{
    struct scraper_fixture f;
    fixture_open(&f);
    members_apply(&f, 1, false);
    struct cluster_member members[] = {{.id = STR("m0"), .weight = 1, .until = INT64_MAX},
                                       {.id = STR("m1"), .weight = 1, .until = f.ms + 2000}};
    struct cluster_view *v = cluster_view_new(members, 2, STR("m0"), 1);
    members_set(&f, v);
    must_be_as_new(&f, v, 1, false);
    advance_clock(&f, 3000);
    turns(&f, 3);
    must_be_as_new(&f, v, 1, false);
    cluster_view_unref(v);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_follow_the_members),
        cmocka_unit_test(standbys_follow_the_members),
        cmocka_unit_test(equal_targets_with_other_owners),
        cmocka_unit_test(targets_follow_announced_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
