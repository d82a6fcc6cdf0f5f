// SPDX-License-Identifier: Apache-2.0
/* A lane does not wait for queries, and a query sees every batch that was given before it began, in order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/recent/stripe.h"
#include "model/remote_write.h"

#include <stdio.h>
#include <unistd.h>

enum { READERS = 4, BATCHES = 1000, SERIES = 40 };

struct reader { struct recent *store; struct thread *thread; size_t queries; bool missed; };
static atomic_llong given; /* the newest time that recent_take has returned for */
static atomic_bool finished;

static void append(struct buf *b, const char *name, int64_t t, double v)
{
    struct arena a;
    arena_init(&a, 0);
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("instance"), str_of(name)}};
    rw_append_series(b, labels_from(&a, items, 2), &(struct sample){t, v}, 1);
    arena_free(&a);
}

static void put(struct recent *store, const char *name, int64_t t, double v)
{
    struct buf b = {0};
    append(&b, name, t, v);
    recent_take(store, 0, buf_str(&b), t);
    buf_free(&b);
}

/* The oldest of the series' last samples in a query of all series from `since` on; -1: a series is missing. */
static int64_t oldest_last(struct recent *store, size_t series, int64_t since)
{
    struct arena a;
    struct notes notes = {.arena = &a};
    arena_init(&a, 0);
    struct query_ctx q = {.arena = &a, .notes = &notes};
    struct select sel = {.t_min = since, .t_max = INT64_MAX};
    struct series_set set;
    struct series s;
    struct err err;
    struct source *source = recent_source(store);
    bool ok = source->ops->select(source, &q, &sel, 1, &set, &err);
    int64_t oldest = ok && set.n == series ? INT64_MAX : -1;
    for (size_t i = 0; ok && i < set.n; i++)
        if (series_set_get(&set, i, &s, &err) && s.n_samples > 0 && s.samples[s.n_samples - 1].t < oldest)
            oldest = s.samples[s.n_samples - 1].t;
    series_set_release(&set);
    arena_free(&a);
    return oldest;
}

static void read_always(void *arg)
{
    struct reader *r = arg;
    do {
        int64_t before = atomic_load(&given);
        if (before > 0 && oldest_last(r->store, SERIES, before) < before)
            r->missed = true;
        r->queries++;
    } while (!atomic_load(&finished));
}

static void queries_see_what_was_given(void **state)
{
    (void)state;
    struct recent *store = recent_new(&(struct recent_conf){.budget = 64 << 20}, 1, 0);
    struct reader readers[READERS] = {{NULL, NULL, 0, false}};
    struct buf b = {0};
    for (int i = 0; i < READERS; i++) {
        readers[i].store = store;
        readers[i].thread = thread_start("reader", read_always, &readers[i]);
        assert_non_null(readers[i].thread);
    }
    for (int64_t t = 1; t <= BATCHES; t++) {
        char name[16];
        buf_clear(&b);
        for (int i = 0; i < SERIES; i++) {
            snprintf(name, sizeof name, "i%d", i);
            append(&b, name, t, (double)t);
        }
        recent_take(store, 0, buf_str(&b), t);
        atomic_store(&given, t);
    }
    atomic_store(&finished, true);
    for (int i = 0; i < READERS; i++) {
        thread_join(readers[i].thread);
        assert_false(readers[i].missed);
        assert_true(readers[i].queries > 0);
    }
    assert_int_equal(oldest_last(store, SERIES, 0), BATCHES);
    struct recent_stats st;
    recent_stats(store, &st);
    assert_int_equal(st.samples, SERIES * BATCHES);
    buf_free(&b);
    recent_unref(store);
}

/* The same thread holds the lock: waiting for it would be for ever. */
static void a_lane_does_not_wait(void **state)
{
    (void)state;
    struct recent *store = recent_new(&(struct recent_conf){.budget = 64 << 20}, 1, 0);
    struct stripe *p = &store->stripes[0];
    double staged = stats_sum(&recent_intake_stats, 0);
    stripe_lock(p);
    put(store, "a", 10, 1);
    put(store, "a", 10, 2); /* the first value of a time stays: order matters */
    put(store, "a", 20, 3);
    stripe_unlock(p);
    assert_true(stats_sum(&recent_intake_stats, 0) == staged + 3);
    stripe_lock(p);
    assert_int_equal(p->samples, 2);
    stripe_unlock(p);
    assert_int_equal(oldest_last(store, 1, 0), 20);
    stripe_lock(p);
    put(store, "a", 30, 4);
    stripe_unlock(p);
    put(store, "a", 40, 5); /* the next batch takes what is staged, and before itself */
    assert_int_equal(p->samples, 4);
    assert_int_equal(atomic_load(&p->staged_bytes), 0);
    stripe_lock(p);
    put(store, "b", 30, 4); /* freed with the store */
    stripe_unlock(p);
    recent_unref(store);
}

struct holder { struct stripe *stripe; atomic_bool holding, may_free, free; };
static void hold_lock(void *arg)
{
    struct holder *h = arg;
    stripe_lock(h->stripe);
    atomic_store(&h->holding, true);
    while (!atomic_load(&h->may_free))
        usleep(100);
    usleep(20000); /* the lane waits by now */
    atomic_store(&h->free, true);
    stripe_unlock(h->stripe);
}

static void what_is_staged_is_bounded(void **state)
{
    (void)state;
    struct recent *store = recent_new(&(struct recent_conf){.budget = 256 << 20}, 1, 0);
    struct holder h = {.stripe = &store->stripes[0]};
    struct buf b = {0};
    while (b.n < 3 << 20)
        append(&b, "a", 1, 1);
    struct thread *thread = thread_start("holder", hold_lock, &h);
    assert_non_null(thread);
    while (!atomic_load(&h.holding))
        usleep(100);
    recent_take(store, 0, buf_str(&b), 1);
    recent_take(store, 0, buf_str(&b), 1);
    assert_false(atomic_load(&h.free));
    assert_int_equal(atomic_load(&h.stripe->staged_bytes), 2 * b.n);
    atomic_store(&h.may_free, true);
    recent_take(store, 0, buf_str(&b), 1); /* a third does not fit */
    assert_true(atomic_load(&h.free));
    assert_int_equal(atomic_load(&h.stripe->staged_bytes), 0);
    thread_join(thread);
    buf_free(&b);
    recent_unref(store);
}

int main(void)
{
    recent_register_stats();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_does_not_wait),
        cmocka_unit_test(what_is_staged_is_bounded),
        cmocka_unit_test(queries_see_what_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
