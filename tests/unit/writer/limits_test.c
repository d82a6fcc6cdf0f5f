// SPDX-License-Identifier: Apache-2.0
/* Limits of different series: how exactly they count, and what begins when an hour is over. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/chain.h"
#include "writer/pipeline/limits.h"

static int64_t now = 1000000;
static int64_t time_now(void *arg) { (void)arg; return now; }
static uint64_t dropped;
static void count(void *arg, enum stage_kind kind, enum stage_result result, uint64_t n)
{
    (void)arg;
    assert_int_equal(kind, STAGE_SERIES_LIMITS);
    if (result == STAGE_DROPPED)
        dropped += n;
}
static const struct chain_host host = {.count = count};
struct run { struct chain chain; struct chain_lane lane; struct loop *loop; };

static void run_begin(struct run *r, int64_t hourly, int64_t daily)
{
    const int64_t max[SERIES_PERIODS] = {hourly, daily};
    *r = (struct run){.loop = loop_new()};
    loop_set_clock(r->loop, (struct loop_clock){time_now, time_now, NULL});
    chain_add(&r->chain, series_limits_new(max));
    chain_lane_init(&r->lane, &r->chain, &host, NULL, r->loop, 0, 1);
}
static void run_end(struct run *r)
{
    chain_lane_free(&r->lane);
    chain_free(&r->chain);
    loop_free(r->loop);
}
static bool admitted(struct run *r, unsigned i)
{
    struct arena a;
    arena_init(&a, 0);
    struct sample sample = {1, 1};
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&a, "%u", i)}};
    struct pipeline_series s = {.in = {.labels = labels_from(&a, items, 2), .samples = &sample, .n_samples = 1}};
    bool kept = chain_lane_run(&r->lane, 0, &s);
    arena_free(&a);
    return kept;
}
static uint64_t current(struct run *r, enum series_period period)
{
    uint64_t max, n;
    struct series_limits *l = series_limits_of(r->chain.stages[0]);
    assert_true(series_limits_read(l, period, &max, &n));
    series_limits_unref(l);
    return n;
}

static void counting_is_close(void **state)
{
    (void)state;
    enum { SERIES = 300000 };
    struct run r;
    run_begin(&r, -1, 0);
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < SERIES; i++)
            assert_true(admitted(&r, i));
    chain_lane_commit(&r.lane);
    assert_in_range(current(&r, SERIES_HOURLY), SERIES - SERIES / 200, SERIES);
    assert_int_equal(dropped, 0);
    run_end(&r);
}

static void an_hour_later_all_are_new(void **state)
{
    (void)state;
    struct run r;
    run_begin(&r, 10, 15);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(admitted(&r, i), i < 10);
    chain_lane_commit(&r.lane);
    assert_int_equal(dropped, 10);
    now += 3600000 - 1;
    chain_lane_commit(&r.lane);
    assert_false(admitted(&r, 10));
    assert_true(admitted(&r, 9));
    now++;
    chain_lane_commit(&r.lane);
    assert_int_equal(current(&r, SERIES_HOURLY), 0);
    assert_int_equal(current(&r, SERIES_DAILY), 10);
    for (unsigned i = 10; i < 20; i++)
        assert_int_equal(admitted(&r, i), i < 15); /* the day has 15 */
    chain_lane_commit(&r.lane);
    now += 86400000;
    assert_true(admitted(&r, 11)); /* the batch that notices it */
    chain_lane_commit(&r.lane);
    for (unsigned i = 20; i < 30; i++)
        assert_true(admitted(&r, i));
    chain_lane_commit(&r.lane);
    run_end(&r);
}

static void a_reload_goes_on_counting(void **state)
{
    (void)state;
    struct run r, next, other;
    run_begin(&r, 10, 0);
    run_begin(&next, 10, 0);
    run_begin(&other, 11, 0);
    for (unsigned i = 0; i < 10; i++)
        assert_true(admitted(&r, i));
    chain_adopt(&next.chain, &r.chain);
    chain_adopt(&other.chain, &r.chain);
    chain_lane_abort(&r.lane);
    run_end(&r);
    assert_false(admitted(&next, 10));
    assert_true(admitted(&next, 9));
    assert_true(admitted(&other, 10));
    chain_lane_abort(&next.lane);
    run_end(&next);
    run_end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counting_is_close), cmocka_unit_test(an_hour_later_all_are_new),
                                       cmocka_unit_test(a_reload_goes_on_counting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
