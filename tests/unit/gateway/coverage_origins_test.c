// SPDX-License-Identifier: Apache-2.0
/* Which replica is complete: where the series of a metric come from, and targets that nothing tells apart. */
#include "coverage_fixture.h"

static void where_series_come_from(void **state UNUSED)
{
    struct world w;
    struct matcher any[] = {{.type = MATCH_EQ, .name = STR("job"), .value = STR("node")}};
    world_begin_pair(&w, false);
    world_ask(&w, T0 - 10 * MIN);
    assert_string_equal(world_gaps_of(&w, 0, any, 1, T0 - MIN, T0), "? the selector names no metric");
    assert_string_equal(world_gaps(&w, 0, T0 - MIN, T0), "");
    w.replicas[1].alone = 1; /* somebody begins to push */
    world_run_queried(&w, 11 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 - MIN, T0), "? the metric has series that are not scraped from a target");
    w.replicas[1].alone = 0;
    w.replicas[0].other = 1; /* a recording rule */
    world_run_queried(&w, 11 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 - MIN, T0), "? the metric has series that are not scraped from a target");
    w.replicas[0].other = 0;
    w.replicas[0].all = 98; /* of 100 */
    world_run_queried(&w, 11 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 - MIN, T0), "-60..0");
    assert_string_equal(world_gaps(&w, 1, T0 - MIN, T0), "");
    world_end(&w);
}

/* A target that starts is scraped by one replica first: for an interval, the other has fewer series. */
static void series_that_arrive_are_seen_soon(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[1].all = 50;
    world_ask(&w, T0 - 10 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 - MIN, T0), "");
    assert_string_equal(world_gaps(&w, 1, T0 - MIN, T0), "-60..0");
    w.replicas[1].all = 100;
    world_run_queried(&w, 10 * S);
    assert_string_equal(world_gaps(&w, 1, T0 - MIN, T0), "");
    w.replicas[1].all = 50; /* noticed at the next check of what was complete */
    world_run_queried(&w, 11 * MIN);
    assert_string_equal(world_gaps(&w, 1, T0 - MIN, T0), "-60..0");
    unsigned before = w.names_read;
    world_run_queried(&w, 20 * MIN);
    assert_in_range(w.names_read - before, 18, 25); /* once a minute, after a while */
    world_end(&w);
}

static void trusted_without_target(void **state UNUSED)
{
    struct world w;
    struct matcher none[] = {{.type = MATCH_EQ, .name = STR("job"), .value = STR("other")}};
    world_begin_pair(&w, true);
    scraper_cut(&w.replicas[0].jobs[0], T0 - 120 * S, T0 - 60 * S, CUT_MISSED);
    w.replicas[1].alone = 1;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, T0), "");
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "-134..-60");
    assert_string_equal(world_gaps_of(&w, 0, none, 1, T0 - HOUR, T0), "-134..-60"); /* no job is set apart */
    world_end(&w);
}

/* Timestamps of exporters, and recording rules that keep the labels of targets: as complete as these. */
static void trusted_beside_a_target(void **state UNUSED)
{
    struct world w;
    struct matcher none[] = {world_metric, {.type = MATCH_EQ, .name = STR("job"), .value = STR("other")}};
    for (size_t trusts = 0; trusts < 2; trusts++) {
        world_begin_pair(&w, trusts);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 120 * S, T0 - 60 * S, CUT_MISSED);
        w.replicas[0].other = w.replicas[1].other = 1;
        world_ask(&w, T0 - HOUR);
        assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), trusts ? "-134..-60" : "? the metric has series that are not scraped from a target");
        if (trusts)
            assert_string_equal(world_gaps_of(&w, 0, none, 2, T0 - HOUR, T0), "");
        struct coverage_result result;
        coverage_ask(w.coverage, &w.arena, &(struct coverage_query){&world_metric, 1, T0 - HOUR, T0, w.now}, &result);
        assert_false(result.scraped);
        w.replicas[1].all = 50;
        world_run_queried(&w, 11 * MIN);
        if (trusts)
            assert_string_equal(world_gaps(&w, 1, T0 - MIN, T0), "-60..0");
        w.replicas[0].alone = 1; /* of one series the target is not known */
        world_run_queried(&w, 11 * MIN);
        if (trusts)
            assert_string_equal(world_gaps_of(&w, 0, none, 2, T0 - HOUR, T0), "-134..-60");
        world_end(&w);
    }
}

/* A lost scrape of a copy is missed at its time only, but samples with other times may be missing anywhere in the gap. */
static void beside_a_target_of_copies(void **state UNUSED)
{
    for (unsigned other = 0; other < 2; other++) {
        struct world w;
        world_begin(&w, 2, true);
        for (size_t r = 0; r < 2; r++)
            world_add(&w, r, "node", "a:1", 15 * S, 0);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 121 * S, T0 - 100 * S, CUT_MISSED);
        w.replicas[0].other = w.replicas[1].other = other;
        world_ask(&w, T0 - HOUR);
        assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), other ? "-134..-90" : "-120..-105");
        world_end(&w);
    }
}

/* Two jobs with the same instance, and two `up` series of one key. */
static void targets_of_one_key(void **state UNUSED)
{
    struct world w;
    struct matcher of[] = {world_metric, {.type = MATCH_EQ, .name = STR("job"), .value = STR("x")}};
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        world_add(&w, r, "x", "a:1", 15 * S, (int64_t)r);
        struct world_scraper *y = world_add(&w, r, "y", "a:1", 15 * S, (int64_t)r + S);
        world_add(&w, r, "z", "a:1", 15 * S, (int64_t)r + 2 * S);
        struct world_scraper *second = world_add(&w, r, "z", "a:1", 15 * S, (int64_t)r + 3 * S);
        second->more = "2";
        if (r == 0) {
            scraper_cut(y, T0 - 600 * S, T0 - 500 * S, CUT_MISSED);
            scraper_cut(second, T0 - 300 * S, T0 - 200 * S, CUT_MISSED);
        }
    }
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps_of(&w, 0, of, 2, T0 - HOUR, T0), "");
    of[1].value = STR("y");
    assert_string_equal(world_gaps_of(&w, 0, of, 2, T0 - HOUR, T0), "-613..-494");
    of[1].value = STR("z");
    assert_string_equal(world_gaps_of(&w, 0, of, 2, T0 - HOUR, T0), "-311..-192");
    world_end(&w);
}

static void without_up_nothing_is_complete(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, true);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "? the servers have no `up` series");
    world_end(&w);
}

/* All servers were down for a day; and before their first samples. */
static void time_without_evidence(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, true);
    for (size_t r = 0; r < 2; r++)
        scraper_cut(&w.replicas[r].jobs[0], T0 - 30 * HOUR, T0 - 6 * HOUR, CUT_MISSED);
    world_ask(&w, T0 - 60 * (int64_t)HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - 5 * HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 - 40 * HOUR, T0 - 31 * HOUR), "");
    assert_string_not_equal(world_gaps(&w, 1, T0 - 20 * HOUR, T0 - 19 * HOUR), "");
    assert_string_not_equal(world_gaps(&w, 1, T0 - 58 * HOUR, T0 - 57 * HOUR), "");
    world_end(&w);
}

static void the_expression(void **state UNUSED)
{
    struct world w;
    struct buf out = {0};
    world_begin(&w, 2, false);
    coverage_name_expr(w.coverage, STR("m"), &out);
    assert_true(str_find_str(buf_str(&out), STR("timestamp(m) unless on(job,instance) timestamp(up)")) < out.n);
    buf_clear(&out);
    coverage_name_expr(w.coverage, STR("a.b"), &out);
    assert_true(str_find_str(buf_str(&out), STR("timestamp({\"a.b\"})")) < out.n);
    buf_free(&out);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_series_come_from),
        cmocka_unit_test(series_that_arrive_are_seen_soon), cmocka_unit_test(trusted_without_target), cmocka_unit_test(trusted_beside_a_target),
        cmocka_unit_test(beside_a_target_of_copies),
        cmocka_unit_test(targets_of_one_key), cmocka_unit_test(without_up_nothing_is_complete),
        cmocka_unit_test(time_without_evidence), cmocka_unit_test(the_expression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
