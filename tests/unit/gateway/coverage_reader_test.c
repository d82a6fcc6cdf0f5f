// SPDX-License-Identifier: Apache-2.0
/* Which replica is complete: what the reader of servers reads and when, servers that fail, memory and reloads. */
#include "coverage_fixture.h"

/* What comes while a reading is under way waits for the next one, so that metrics and the past have their turns. */
static void readings_take_time(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.reading_takes = 20;
    world_gaps(&w, 0, T0 - HOUR, T0);
    world_settle(&w);
    world_gaps(&w, 0, T0 - HOUR, T0);
    world_settle(&w);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_true(w.readings < 10);
    world_end(&w);
}

static void a_replica_stops_scraping(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[0].jobs[0].to = T0 + 60 * S;
    world_ask(&w, T0 - HOUR);
    int64_t noticed = 0;
    for (; w.now < T0 + 200 * S; ) {
        world_run(&w, S);
        if (noticed == 0 && *world_gaps(&w, 0, T0 - HOUR, w.now))
            noticed = w.now;
        assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    }
    /* the last scrape is at 45 or 50 s */
    assert_true(noticed > T0 + 60 * S && noticed <= T0 + 85 * S);
    world_end(&w);
}

/* Gaps that are found while they happen, one after the other. */
static void newest_gaps(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct world_scraper *a = world_add(&w, 0, "node", "a:1", S, 0);
    world_add(&w, 1, "node", "a:1", S, 400);
    world_ask(&w, T0 - HOUR);
    scraper_cut(a, T0 + 20 * S, T0 + 25 * S, CUT_MISSED);
    scraper_cut(a, T0 + 30 * S, T0 + 35 * S, CUT_DOWN);
    scraper_cut(a, T0 + 40 * S, T0 + 45 * S, CUT_FEWER);
    world_run(&w, 80 * S);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "19..24 29..34 39..44");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* A lagging replica misses what it has not got yet, and only that. */
static void a_replica_lags(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[1].lag = 300 * S;
    world_ask(&w, T0 - HOUR);
    world_run(&w, 60 * S);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, T0 - 350 * S), "");
    assert_string_not_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* The reader has stopped. */
static void nothing_is_known_of_what_was_not_read(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_ask(&w, T0 - HOUR);
    w.now += 60 * S;
    assert_string_not_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_string_not_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now - 70 * S), "");
    assert_string_not_equal(world_gaps(&w, 0, w.now + HOUR, w.now + 2 * HOUR), "");
    world_end(&w);
}

/* A server is stopped for ten minutes and has no samples of them. */
static void a_server_is_stopped(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    struct world_scraper *a = &w.replicas[0].jobs[0];
    world_ask(&w, T0 - HOUR);
    scraper_cut(a, w.now, w.now + 600 * S, CUT_MISSED);
    w.replicas[0].state = COVERAGE_UNREACHED;
    int64_t stopped = w.now;
    world_run(&w, 600 * S);
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, stopped - 20 * S), "");
    assert_string_not_equal(world_gaps(&w, 0, stopped - 20 * S, w.now), "");
    w.replicas[0].state = COVERAGE_READ;
    world_run(&w, 60 * S);
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    assert_string_not_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 0, stopped + 640 * S, w.now), "");
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, stopped - 20 * S), "");
    world_end(&w);
}

/* What only the server that could not be reached has counts again when it is back. */
static void a_server_returns_with_more(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_add(&w, 1, "node", "b:1", 15 * S, 7 * S);
    w.replicas[1].state = COVERAGE_UNREACHED;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), ""); /* a merge would have no more either */
    assert_string_not_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    w.replicas[1].state = COVERAGE_READ;
    world_run(&w, 60 * S);
    assert_string_not_equal(world_gaps(&w, 0, T0 - 1800 * S, T0 - 900 * S), "");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* It could not be reached for one reading: what came after the last reading with it is not known before the next. */
static void a_server_is_back_at_once(void **state UNUSED)
{
    struct world w;
    struct coverage_work work;
    world_begin_pair(&w, true);
    world_ask(&w, T0 - HOUR);
    w.replicas[0].state = COVERAGE_UNREACHED;
    world_gaps(&w, 0, T0 - 2 * HOUR, w.now);
    world_settle(&w); /* reads the past */
    w.replicas[0].state = COVERAGE_READ;
    do {
        w.now += S;
        coverage_next(w.coverage, &w.arena, w.now, &work);
    } while (work.kind != COVERAGE_SAMPLES);
    world_read(&w, &work);
    assert_string_not_equal(world_gaps(&w, 1, w.now - 100 * S, w.now), "");
    world_settle(&w);
    assert_string_equal(world_gaps(&w, 1, w.now - 100 * S, w.now), "");
    assert_string_not_equal(world_gaps(&w, 1, INT64_MIN, INT64_MAX), ""); /* no overflow */
    world_end(&w);
}

static void a_server_refuses(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[1].state = COVERAGE_FAILED;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "? the servers' `up` series could not be read");
    unsigned readings = w.readings;
    world_run(&w, 60 * S);
    assert_in_range(w.readings - readings, 1, 5); /* it is not pressed */
    w.replicas[1].state = COVERAGE_READ;
    world_run(&w, 90 * S);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    world_end(&w);
}

static void rests_when_nobody_queries(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_settle(&w);
    assert_int_equal(w.readings, 0);
    world_ask(&w, T0 - HOUR);
    world_run(&w, 11 * MIN);
    unsigned readings = w.readings;
    world_run(&w, 10 * MIN);
    assert_int_equal(w.readings, readings);
    world_gaps(&w, 0, T0 - HOUR, w.now);
    world_settle(&w);
    world_run(&w, 5 * S);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), ""); /* what was not read meanwhile, too */
    world_end(&w);
}

/* The past is not read twice. */
static void reads_incrementally(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_ask(&w, T0 - 24 * HOUR);
    assert_string_equal(world_gaps(&w, 1, T0 - 24 * HOUR, w.now), "");
    assert_in_range(w.samples, 4 * 24 * 240, 4 * 24 * 300);
    w.samples = 0;
    w.readings = 0;
    world_gaps(&w, 1, T0 - 24 * HOUR, w.now);
    world_run(&w, 10 * MIN);
    assert_in_range(w.readings, 60, 100);
    assert_true(w.samples < (uint64_t)w.readings * 4 * 6);
    world_end(&w);
}

/* Two days of scrapes by the second are decided by counts per hour, and by the samples of those hours and targets that
 * are not as expected. */
static void long_past_by_hours(void **state UNUSED)
{
    static const char *const instances[] = {"a-1.x:1", "b:1", "c:1", "d:1", "e:1"};
    struct matcher of[] = {world_metric, {.type = MATCH_EQ, .name = STR("instance"), .value = STR("")}};
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < LEN(instances); i++) {
            struct world_scraper *s = world_add(&w, r, "node", instances[i], S, (int64_t)r * 300 + 100 * (int64_t)i);
            if (r == 0 && i == 0)
                scraper_cut(s, T0 - 10 * HOUR - 600 * S, T0 - 10 * HOUR - 599 * S, CUT_MISSED);      /* one scrape */
            if (r == 1)
                scraper_cut(s, T0 - 30 * HOUR - 1800 * S, T0 - 20 * HOUR, CUT_MISSED);               /* the server */
            if (r == 0 && i == 1)
                scraper_cut(s, T0 - 5 * HOUR - 60 * S, T0 - 5 * HOUR - 30 * S, CUT_FEWER);
            if (i == 2)
                s->from = T0 - 15 * HOUR - 1234 * S;                                         /* a beginning */
        }
    world_ask(&w, T0 - 40 * (int64_t)HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - 40 * (int64_t)HOUR, w.now), "-36600..-36599 -18060..-18029");
    assert_string_equal(world_gaps(&w, 1, T0 - 40 * (int64_t)HOUR, w.now), "-109800..-71999");
    of[1].value = STR("a-1.x:1");
    assert_string_equal(world_gaps_of(&w, 0, of, 2, T0 - 40 * (int64_t)HOUR, w.now), "-36600..-36599");
    of[1].value = STR("c:1");
    assert_string_equal(world_gaps_of(&w, 1, of, 2, T0 - 40 * (int64_t)HOUR, w.now), "");
    assert_true(w.samples < 5 * 4 * 3600 * 20); /* of 40 hours */
    world_end(&w);
}

static void too_many_targets(void **state UNUSED)
{
    enum { MANY = 100000 };
    struct world w;
    struct coverage_work work;
    world_begin(&w, 2, false);
    world_gaps(&w, 0, T0 - HOUR, T0);
    coverage_next(w.coverage, &w.arena, w.now, &work);
    struct series *series = ARENA_ARRAY(&w.arena, struct series, 2 * MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct world_scraper s = {.job = "node", .instance = arena_printf(&w.arena, "host-%zu.example:9100", i).p,
                            .interval = 60 * S, .to = INT64_MAX};
        scraper_series(&w, 0, &s, &work, &series[2 * i], &series[2 * i + 1]);
    }
    struct coverage_reading readings[2] = {{.series = series, .n = 2 * MANY}, {.series = series, .n = 2 * MANY}};
    coverage_take_samples(w.coverage, &w.arena, &work, readings, w.now);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "? the group has too many targets");
    struct coverage_status status;
    coverage_show(w.coverage, &w.arena, 0, &status);
    assert_true(status.bytes < COVERAGE_BYTES);
    world_end(&w);
}

static void a_reload_keeps_what_is_known(void **state UNUSED)
{
    static struct str by[] = {{"job", 3}, {"instance", 8}};
    struct world w;
    world_begin(&w, 2, false);
    struct coverage_conf conf = {.group = STR("g"), .replicas = (const uint64_t[]){1, 2}, .n_replicas = 2,
                                 .by = {by, 2}};
    struct coverage *same = coverage_get(w.registry, &conf), *other;
    assert_ptr_equal(same, w.coverage);
    conf.replicas = (const uint64_t[]){1, 3};
    other = coverage_get(w.registry, &conf);
    assert_ptr_not_equal(other, w.coverage);
    coverage_put(w.registry, other);
    coverage_put(w.registry, same);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readings_take_time), cmocka_unit_test(a_replica_stops_scraping),
        cmocka_unit_test(newest_gaps), cmocka_unit_test(a_replica_lags),
        cmocka_unit_test(nothing_is_known_of_what_was_not_read), cmocka_unit_test(a_server_is_stopped),
        cmocka_unit_test(a_server_returns_with_more), cmocka_unit_test(a_server_is_back_at_once),
        cmocka_unit_test(a_server_refuses), cmocka_unit_test(rests_when_nobody_queries),
        cmocka_unit_test(reads_incrementally), cmocka_unit_test(long_past_by_hours),
        cmocka_unit_test(too_many_targets), cmocka_unit_test(a_reload_keeps_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
