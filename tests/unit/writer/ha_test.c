// SPDX-License-Identifier: Apache-2.0
/* Elections of replicas: when another one is elected, and when a cluster is forgotten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/chain.h"
#include "writer/pipeline/ha.h"

enum { MINUTE = 60000, LANES = 2, MOST = 3 };

static int64_t now;
static int64_t time_now(void *arg UNUSED) { return now; }
static int64_t wake;
static void on_wake(void *arg UNUSED, int64_t at) { wake = at; }
static void count(void *arg UNUSED, enum stage_kind kind UNUSED, enum stage_result result UNUSED, uint64_t n UNUSED) {}
static const struct chain_host host = {.count = count, .wake = on_wake};
static struct loop *loop;
static struct chain chain;
static struct chain_lane lanes[LANES];

static void start(int64_t failover)
{
    const struct ha_conf conf = {STR("cluster"), STR("__replica__"), .failover_timeout = failover, .update_timeout = 0,
                                 .max_clusters = MOST};
    chain_add(&chain, ha_stage_new(&conf));
    for (unsigned i = 0; i < LANES; i++)
        chain_lane_init(&lanes[i], &chain, &host, NULL, loop, i, LANES);
}

static int set_up(void **state UNUSED)
{
    now = 1000000;
    loop = loop_new();
    loop_set_clock(loop, (struct loop_clock){time_now, time_now, NULL});
    return 0;
}

static int tear_down(void **state UNUSED)
{
    for (unsigned i = 0; i < LANES; i++)
        chain_lane_free(&lanes[i]);
    chain_free(&chain);
    loop_free(loop);
    return 0;
}

static bool passes(unsigned lane, const char *cluster, const char *replica)
{
    struct arena a;
    arena_init(&a, 0);
    struct sample sample = {1, 1};
    struct label items[] = {{STR("__replica__"), str_of(replica)}, {STR(METRIC_NAME), STR("m")},
                            {STR("cluster"), str_of(cluster)}};
    struct labels labels = labels_from(&a, items, LEN(items));
    struct pipeline_series s = {.in = {.labels = labels, .samples = &sample, .n_samples = 1}};
    bool kept = chain_lane_run(&lanes[lane], 0, &s);
    assert_true(!kept || labels_get(s.in.labels, STR("__replica__")).p == NULL);
    chain_lane_commit(&lanes[lane]);
    arena_free(&a);
    return kept;
}

static void advance(int64_t ms)
{
    for (int64_t end = now + ms; now < end;) {
        now = wake > 0 && wake < end ? wake : end;
        for (unsigned i = 0; i < LANES; i++)
            chain_lane_tick(&lanes[i], now);
    }
}

static void another_is_elected_when_one_is_silent(void **state UNUSED)
{
    start(MINUTE);
    assert_true(passes(0, "c", "a"));
    assert_false(passes(1, "c", "b"));
    advance(MINUTE);
    assert_false(passes(1, "c", "b"));
    advance(1);
    assert_true(passes(1, "c", "b"));
    assert_false(passes(0, "c", "a"));
}

static void count_cluster(const struct ha_election_view *v UNUSED, void *arg) { ++*(size_t *)arg; }

static size_t clusters(void)
{
    struct ha_elections *e = ha_elections_of(chain.stages[0]);
    size_t n = 0;
    ha_elections_each(e, count_cluster, &n);
    ha_elections_unref(e);
    return n;
}

static void a_silent_cluster_makes_room(void **state UNUSED)
{
    start(MINUTE);
    assert_true(passes(0, "c", "a"));
    assert_true(passes(0, "d", "a"));
    assert_true(passes(1, "e", "a"));
    assert_false(passes(0, "f", "a"));
    for (int i = 0; i < 29; i++) {
        advance(MINUTE);
        assert_true(passes(0, "c", "a"));
        assert_false(passes(0, "f", "a"));
    }
    assert_int_equal(clusters(), MOST);
    advance(MINUTE + 10000);
    assert_int_equal(clusters(), 1);
    assert_true(passes(0, "f", "a"));
    assert_true(passes(1, "e", "b")); /* the lane had it looked up */
    assert_false(passes(0, "e", "a"));
    assert_true(passes(0, "c", "a"));
    assert_false(passes(0, "g", "a"));
}

static void a_longer_failover_keeps_the_elected_one(void **state UNUSED)
{
    start(60 * MINUTE);
    assert_true(passes(0, "c", "a"));
    advance(60 * MINUTE);
    assert_false(passes(1, "c", "b"));
    assert_int_equal(clusters(), 1);
    advance(10000);
    assert_int_equal(clusters(), 0);
    assert_true(passes(1, "c", "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_is_elected_when_one_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_cluster_makes_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_longer_failover_keeps_the_elected_one, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
