// SPDX-License-Identifier: Apache-2.0
/* Values and names of labels from the index: the same as from the labels of all series, whatever happens between slices. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/recent/iterate.h"
#include "model/remote_write.h"

#include <stdio.h>

enum { BUDGET = 256 << 20, SERIES = 3000, LENGTH = 100000 };

static struct recent *store;
static struct arena arena;
static struct notes notes;
static struct query_ctx query;
static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static int open_store(void **state UNUSED)
{
    seed = 7;
    arena_init(&arena, 0);
    notes = (struct notes){.arena = &arena};
    query = (struct query_ctx){.arena = &arena, .notes = &notes};
    store = recent_new(&(struct recent_conf){.budget = BUDGET, .retention = LENGTH}, 2, 0);
    return 0;
}

static int close_store(void **state UNUSED)
{
    recent_unref(store);
    arena_free(&arena);
    return 0;
}

static void add_series(struct buf *b, const char *instance, const char *label, const char *value, int64_t t)
{
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("instance"), str_of(instance)}, {str_of(label), str_of(value)}};
    rw_append_series(b, labels_from(&arena, items, LEN(items)), &(struct sample){t, 1}, 1);
}

/* Every series has its own instance and one of 40 other labels with one of 10 values; samples at one or two times. */
static void fill_store(void)
{
    struct buf b = {0};
    char instance[16], label[16], value[16];
    for (int i = 0; i < SERIES; i++) {
        snprintf(instance, sizeof instance, "i%d", i);
        snprintf(label, sizeof label, "l%d", (int)(next_random() % 40));
        snprintf(value, sizeof value, "v%d", (int)(next_random() % 10));
        int64_t t = (int64_t)(next_random() % LENGTH);
        buf_clear(&b);
        add_series(&b, instance, label, value, t);
        if (i % 3 == 0)
            add_series(&b, instance, label, value, (int64_t)(next_random() % LENGTH)); /* perhaps late */
        recent_take(store, (unsigned)i % 2, buf_str(&b), 0);
    }
    buf_free(&b);
}

static struct str_set list(struct str name, struct series_query sq)
{
    struct str_set out;
    struct err err;
    struct source *s = recent_source(store);
    assert_true(name.n > 0 ? s->ops->label_values(s, &query, name, &sq, &out, &err)
                           : s->ops->label_names(s, &query, &sq, &out, &err));
    return out;
}

/* A matcher that all series fulfil has them visited one by one. */
static size_t assert_same_list(struct str name, int64_t t_min, int64_t t_max)
{
    struct matcher all;
    struct err err;
    assert_true(matcher_init(&all, &arena, MATCH_EQ, STR(METRIC_NAME), STR("m"), &err));
    const struct matcher *sets[] = {&all};
    struct str_set visited = list(name, (struct series_query){.sets = sets, .set_sizes = (size_t[]){1}, .n_sets = 1,
                                                              .t_min = t_min, .t_max = t_max});
    struct str_set indexed = list(name, (struct series_query){.t_min = t_min, .t_max = t_max});
    assert_int_equal(indexed.n, visited.n);
    for (size_t i = 0; i < indexed.n; i++)
        assert_true(str_eq(indexed.items[i], visited.items[i]));
    matchers_free(&all, 1);
    return indexed.n;
}

static void lists_are_those_of_the_series(void **state UNUSED)
{
    char label[16];
    size_t found = 0;
    fill_store();
    assert_int_equal(assert_same_list(STR_NONE, INT64_MIN, INT64_MAX), 42);
    assert_int_equal(assert_same_list(STR("instance"), INT64_MIN, INT64_MAX), SERIES);
    assert_int_equal(assert_same_list(STR("absent"), INT64_MIN, INT64_MAX), 0);
    assert_int_equal(assert_same_list(STR_NONE, LENGTH + 1, INT64_MAX), 0);
    for (int i = 0; i < 60; i++) {
        int64_t t_min = (int64_t)(next_random() % LENGTH), t_max = t_min + (int64_t)(next_random() % (i % 2 ? 300 : 20000));
        snprintf(label, sizeof label, "l%d", i % 40);
        found += assert_same_list(str_of(label), t_min, t_max);
        assert_same_list(STR("instance"), t_min, t_max);
        assert_same_list(STR_NONE, t_min, t_max);
    }
    assert_true(found > 60);
}

/* --- between slices ----------------------------------------------------------------------------------------------- */

/* A batch that arrives while the lock is taken is staged, and appended when the walk releases the lock. */
struct disturbed { struct buf batch; int64_t now; unsigned counted; size_t found; };

static bool count_and_disturb(struct recent_series *s UNUSED, void *arg)
{
    struct disturbed *d = arg;
    if (d->counted++ == 10 && d->batch.n > 0)
        recent_take(store, 0, buf_str(&d->batch), d->now);
    return true;
}

static void count_found(struct str text UNUSED, void *arg) { ((struct disturbed *)arg)->found++; }

static bool walk_disturbed(struct disturbed *d)
{
    struct err err;
    bool complete;
    struct index_visit visit = {count_and_disturb, {0, 0}, count_found, d};
    assert_true(stripe_visit_index(&store->stripes[0], &query, STR("instance"), &visit, &complete, &err));
    buf_free(&d->batch);
    return complete;
}

static void series_may_arrive_during_the_walk(void **state UNUSED)
{
    struct disturbed d = {0};
    char instance[16];
    fill_store();
    for (int i = 0; i < 4 * SERIES; i++) {
        snprintf(instance, sizeof instance, "new%d", i);
        add_series(&d.batch, instance, "x", "y", LENGTH);
    }
    assert_true(walk_disturbed(&d));
    assert_true(d.found >= SERIES / 2); /* all of the stripe, some perhaps twice */
    assert_int_equal(assert_same_list(STR("instance"), INT64_MIN, INT64_MAX), 5 * SERIES);
}

static void a_walk_during_an_eviction_is_not_complete(void **state UNUSED)
{
    struct disturbed d = {.now = 10 * LENGTH};
    fill_store();
    add_series(&d.batch, "late", "x", "y", 10 * LENGTH);
    assert_false(walk_disturbed(&d));
    assert_true(assert_same_list(STR("instance"), INT64_MIN, INT64_MAX) < SERIES);
}

static void a_query_that_ended_ends_the_walk(void **state UNUSED)
{
    atomic_bool canceled = true;
    struct err err;
    struct str_set out;
    struct source *s = recent_source(store);
    struct series_query sq = {.t_min = INT64_MIN, .t_max = INT64_MAX};
    fill_store();
    query.canceled = &canceled;
    assert_false(s->ops->label_values(s, &query, STR("instance"), &sq, &out, &err));
    assert_int_equal(err.kind, ERR_CANCELED);
    struct disturbed d = {0};
    struct index_visit visit = {count_and_disturb, {0, 0}, count_found, &d};
    bool complete;
    assert_false(stripe_visit_index(&store->stripes[0], &query, STR("instance"), &visit, &complete, &err));
    assert_true(d.counted < SERIES / 2);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)

/* Both limits are lifted under the lock and checked between slices. */
static void memory_is_limited_between_slices(void **state UNUSED)
{
    enum { LIMIT = 64 << 10, PLENTY = 64 << 20 };
    const struct series_query all = {.t_max = LENGTH};
    struct budget of_all_queries = {.max = LIMIT};
    struct labels_set found;
    struct err err = {0};
    fill_store();
    struct arena limited;
    arena_init(&limited, LIMIT);
    query.arena = &limited;
    assert_false(recent_series(recent_source(store), &query, &all, &found, &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    arena_free(&limited);
    arena_init(&limited, PLENTY);
    assert_true(arena_charge(&limited, &of_all_queries));
    assert_false(recent_series(recent_source(store), &query, &all, &found, &err));
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_true(limited.used < 8 * LIMIT);
    arena_free(&limited);
}

/* An exemplar at this time; the series may have no sample. */
static void add_bare_series(struct buf *b, const char *instance, int64_t t)
{
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("instance"), str_of(instance)}};
    struct buf message = {0};
    rw_append_exemplar(&message, (struct labels){0}, 1, t);
    struct str exemplar = buf_str(&message);
    rw_append_full(b, labels_from(&arena, items, LEN(items)), &(struct rw_contents){.exemplars = &exemplar, .n_exemplars = 1});
    buf_free(&message);
}

/* Whether all series of a stripe have samples in a window is known without reading them, if they all have recent ones:
 * series that end, have late samples or none at all, are removed, or arrive during a sweep must not be mistaken for those.
 * Times move by a tenth of the retention, and a sweep begins every 10 s. */
static void series_that_end_are_not_listed(void **state UNUSED)
{
    enum { ROUNDS = 400, NAMES = 30, STEP = LENGTH / 10 };
    struct buf b = {0};
    char instance[16];
    size_t known = 0, unknown = 0, missing = 0;
    int64_t now = 0;
    for (int i = 0; i < ROUNDS; i++) {
        now += (int64_t)(next_random() % STEP);
        buf_clear(&b);
        for (unsigned k = 0; k < NAMES; k++) {
            snprintf(instance, sizeof instance, "i%u", k);
            int64_t t = now - (int64_t)(next_random() % 8 ? 0 : next_random() % LENGTH);
            if (i % 100 < 50 || k % 7 > 0 || next_random() % 16 == 0)
                add_series(&b, instance, "l", "v", t);
        }
        snprintf(instance, sizeof instance, "bare%d", i);
        if (i % 50 == 0)
            add_bare_series(&b, instance, now);
        recent_take(store, (unsigned)i % 2, buf_str(&b), now);
        for (unsigned lane = 0; lane < 2; lane++) {
            const struct stripe *p = &store->stripes[lane];
            if (p->n_alive == p->n_bare)
                continue;
            bool knows = stripe_all_overlap(p, p->stalest, INT64_MAX);
            known += knows;
            unknown += !knows;
            assert_false(stripe_all_overlap(p, p->stalest + 1, INT64_MAX));
            assert_false(stripe_all_overlap(p, INT64_MIN, p->stalest - 1));
            missing += assert_same_list(STR("instance"), p->stalest + 1, INT64_MAX) < NAMES;
            assert_same_list(STR("instance"), p->stalest, INT64_MAX);
            assert_same_list(STR_NONE, p->stalest, now);
        }
        assert_same_list(STR("instance"), INT64_MIN, INT64_MAX);
        assert_same_list(STR("instance"), now - STEP, now);
    }
    assert_true(known > ROUNDS && unknown > 0 && missing > ROUNDS / 10);
    buf_free(&b);
}

static void take_series(int first, int end, int64_t t, int64_t now)
{
    struct buf b = {0};
    char instance[16];
    for (int i = first; i < end; i++) {
        snprintf(instance, sizeof instance, "i%d", i);
        add_series(&b, instance, "l", "v", t);
    }
    recent_take(store, 0, buf_str(&b), now);
    buf_free(&b);
}

/* A new series may get the id of a removed one that the sweep has passed. */
static void a_series_may_arrive_behind_a_sweep(void **state UNUSED)
{
    enum { HALF = SERIES / 2, LATER = LENGTH / 2, SWEEP = 10001 };
    const struct stripe *p = &store->stripes[0];
    int64_t now = LATER;
    take_series(0, SERIES, 0, 0);
    take_series(HALF, SERIES, LATER, LATER);
    for (now = LENGTH + SWEEP; p->n_alive > HALF || p->sweep.on; now++)
        take_series(HALF, HALF + 1, now, now); /* the first half is removed */
    for (now += SWEEP; !p->sweep.on || p->sweep.at <= HALF;)
        take_series(HALF, HALF + 1, now, now);
    assert_true(p->sweep.on);
    take_series(SERIES, SERIES + 1, LATER - 1, now);
    assert_int_equal(p->n, SERIES);
    while (p->sweep.on)
        take_series(HALF, HALF + 1, now, now);
    assert_int_equal(assert_same_list(STR("instance"), LATER - 1, INT64_MAX), HALF + 1);
    assert_int_equal(assert_same_list(STR("instance"), LATER, INT64_MAX), HALF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(series_that_end_are_not_listed), WITH_STORE(a_series_may_arrive_behind_a_sweep),
        WITH_STORE(lists_are_those_of_the_series), WITH_STORE(series_may_arrive_during_the_walk),
        WITH_STORE(a_walk_during_an_eviction_is_not_complete), WITH_STORE(a_query_that_ended_ends_the_walk),
        WITH_STORE(memory_is_limited_between_slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
