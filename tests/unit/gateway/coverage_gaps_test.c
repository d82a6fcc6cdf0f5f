// SPDX-License-Identifier: Apache-2.0
/* Which replica is complete: scrapes that one replica lacks, and targets that begin and end. */
#include "coverage_fixture.h"

static void healthy_pair(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "? the servers' `up` series have not been read yet");
    world_settle(&w);
    world_run(&w, 120 * S);
    for (int i = 0; i < 60; i++) { /* at any moment between two readings */
        assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
        assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
        world_run(&w, S);
    }
    world_end(&w);
}

static void one_server_is_complete(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 1, false);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "");
    world_settle(&w);
    assert_int_equal(w.readings, 0);
    world_end(&w);
}

static void missed_scrapes(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    scraper_cut(&w.replicas[0].jobs[0], T0 - 600 * S, T0 - 590 * S, CUT_MISSED);   /* one */
    scraper_cut(&w.replicas[1].jobs[0], T0 - 1200 * S, T0 - 900 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-614..-585");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "-1207..-893");
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0 - 700 * S), "");
    assert_string_equal(world_gaps(&w, 0, T0 - 500 * S, T0), "");
    world_end(&w);
}

/* Scrapes of one stream: each one that a replica has not got is lost, also where the other one lost the next. */
static void scrapes_missed_by_copies(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++)
        world_add(&w, r, "node", "a:1", 15 * S, 0);
    scraper_cut(&w.replicas[0].jobs[0], T0 - 601 * S, T0 - 590 * S, CUT_MISSED);
    scraper_cut(&w.replicas[1].jobs[0], T0 - 586 * S, T0 - 577 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-600..-600");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "-585..-585");
    assert_string_equal(world_outdated(&w, 0, T0 - HOUR, w.now), "-600..-585"); /* one has the newest at any time */
    assert_string_equal(world_outdated(&w, 1, T0 - HOUR, w.now), "-585..-570");
    world_end(&w);
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++)
        world_add(&w, r, "node", "a:1", 15 * S, 0);
    scraper_cut(&w.replicas[0].jobs[0], T0 - 901 * S, T0 - 800 * S, CUT_MISSED); /* it had the newest until the next */
    scraper_cut(&w.replicas[1].jobs[0], T0 - 1301 * S, T0 - 1200 * S, CUT_DOWN);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-900..-810");
    assert_string_equal(world_outdated(&w, 0, T0 - HOUR, w.now), "-900..-795");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "-1290..-1215");
    assert_string_equal(world_outdated(&w, 1, T0 - HOUR, w.now), "-1290..-1200");
    scraper_cut(&w.replicas[0].jobs[0], T0 + 74 * S, T0 + 76 * S, CUT_MISSED);
    scraper_cut(&w.replicas[1].jobs[0], T0 + 89 * S, T0 + 91 * S, CUT_MISSED);
    world_run_queried(&w, 150 * S); /* the same while it happens */
    assert_string_equal(world_gaps(&w, 0, T0, w.now), "75..75");
    assert_string_equal(world_gaps(&w, 1, T0, w.now), "90..90");
    world_end(&w);
}

/* A gap that a good scrape ends does no harm to the values after it; one after which the replica never had the target
 * again does. */
static void gaps_that_no_scrape_ends(void **state UNUSED)
{
    for (int64_t offset = 0; offset <= 7 * S; offset += 7 * S) { /* copies, and two scrapers */
        struct world w;
        world_begin(&w, 2, false);
        for (size_t r = 0; r < 2; r++)
            for (size_t i = 0; i < 2; i++)
                world_add(&w, r, "node", i ? "b:1" : "a:1", 15 * S, r ? offset : 0);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 601 * S, T0 - 500 * S, CUT_MISSED);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 1301 * S, T0 - 1200 * S, CUT_MISSED);
        world_ask(&w, T0 - HOUR);
        assert_string_not_equal(world_gaps(&w, 0, T0 - HOUR, T0), "");
        assert_string_equal(world_lasting_gaps(&w, 0, T0 - HOUR, T0), "");
        world_end(&w);
        world_begin(&w, 2, false);
        for (size_t r = 0; r < 2; r++)
            for (size_t i = 0; i < 2; i++)
                world_add(&w, r, "node", i ? "b:1" : "a:1", 15 * S, r ? offset : 0);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 601 * S, T0 + HOUR, CUT_MISSED);
        w.replicas[1].jobs[0].to = T0 - 300 * S + offset;
        world_ask(&w, T0 - HOUR);
        const char *gaps = world_gaps(&w, 0, T0 - HOUR, T0), *lasting = world_lasting_gaps(&w, 0, T0 - HOUR, T0);
        assert_string_equal(strstr(lasting, ".."), strstr(gaps, ".."));
        assert_true(strncmp(gaps, offset ? "-614..": "-600..", 6) == 0 && strstr(gaps, " ") == NULL);
        assert_true(strncmp(lasting, "-614..", 6) == 0);
        assert_string_equal(world_lasting_gaps(&w, 1, T0 - HOUR, T0), "");
        world_end(&w);
    }
}

/* The last five minutes are read first, so that a gap is found in two parts. */
static void gap_between_two_readings(void **state UNUSED)
{
    struct world w;
    for (unsigned more = 0; more < 2; more++) {
        world_begin(&w, 2, false);
        for (size_t r = 0; r < 2; r++)
            world_add(&w, r, "node", "a:1", 15 * S, 0);
        scraper_cut(&w.replicas[0].jobs[0], T0 - 421 * S, T0 - 290 * S, CUT_MISSED);
        scraper_cut(&w.replicas[0].jobs[0], T0 - (more ? 280 : 290) * S, T0 - 200 * S, CUT_MISSED);
        scraper_cut(&w.replicas[1].jobs[0], T0 - 241 * S, T0 - 239 * S, CUT_MISSED);
        world_ask(&w, T0 - HOUR);
        assert_string_equal(world_outdated(&w, 0, T0 - HOUR, T0), more ? "-420..-285 -270..-195" : "-420..-195");
        assert_string_equal(world_lasting_gaps(&w, 0, T0 - HOUR, T0), "");
        assert_string_equal(world_lasting_gaps(&w, 1, T0 - HOUR, T0), "");
        world_end(&w);
    }
}

/* What is not known lasts. */
static void unknown_time_lasts(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_lasting_gaps(&w, 0, T0 - 4 * HOUR, T0 - 3 * HOUR), "-14400..-10800");
    world_end(&w);
}

/* No scrape is on both. */
static void scrapes_of_copies_that_alternate(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++)
        world_add(&w, r, "node", "a:1", 15 * S, 0)->from = T0 - 150 * S;
    for (int64_t i = 0; i < 10; i++)
        scraper_cut(&w.replicas[i / 2 % 2].jobs[0], T0 - (151 - 15 * i) * S, T0 - (149 - 15 * i) * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - 100 * S, T0 - 20 * S), "-90..-75 -30..-20");
    assert_string_equal(world_gaps(&w, 1, T0 - 100 * S, T0 - 20 * S), "-60..-45");
    world_end(&w);
}

static void down_on_one_side(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    struct world_scraper *a = &w.replicas[0].jobs[0], *b = &w.replicas[1].jobs[0];
    scraper_cut(a, T0 - 600 * S, T0 - 540 * S, CUT_DOWN);
    scraper_cut(a, T0 - 300 * S, T0 - 240 * S, CUT_DOWN); /* the target itself, which a sees first */
    scraper_cut(b, T0 - 300 * S, T0 - 240 * S, CUT_DOWN);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-614..-540 -314..-300");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

static void fewer_series_on_one_side(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    struct world_scraper *a = &w.replicas[0].jobs[0], *b = &w.replicas[1].jobs[0];
    scraper_cut(a, T0 - 600 * S, T0 - 300 * S, CUT_FEWER);
    scraper_cut(a, T0 - 200 * S, T0 + HOUR, CUT_FEWER);    /* the target exposes fewer, */
    scraper_cut(b, T0 - 210 * S, T0 + HOUR, CUT_FEWER);    /* which b sees first */
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-614..-300");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

/* Nothing tells how many series were kept: no evidence. And a replica that drops series shows all the same that the
 * target lives, while the other one misses it. */
static void without_kept_counts(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[0].jobs[0].uncounted = true;
    w.replicas[1].jobs[0].uncounted = true;
    world_ask(&w, T0 - HOUR);
    assert_string_not_equal(world_gaps(&w, 0, T0 - HOUR, T0), "");
    assert_string_not_equal(world_gaps(&w, 1, T0 - HOUR, T0), "");
    assert_string_not_equal(world_gaps(&w, 1, w.now - 10 * S, w.now), "");
    world_end(&w);
    world_begin_pair(&w, false);
    scraper_cut(&w.replicas[0].jobs[0], T0 - 600 * S, T0 - 300 * S, CUT_FEWER);
    scraper_cut(&w.replicas[1].jobs[0], T0 - 500 * S, T0 - 400 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, T0), "-502..-398");
    world_end(&w);
}

static void other_intervals(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    world_add(&w, 0, "node", "a:1", 60 * S, 0);
    world_add(&w, 1, "node", "a:1", 15 * S, 7 * S);
    scraper_cut(world_add(&w, 0, "slow", "a:2", 300 * S, 0), T0 - 3000 * S, T0 - 2900 * S, CUT_MISSED);
    world_add(&w, 1, "slow", "a:2", 300 * S, 100 * S);
    world_ask(&w, T0 - 2 * HOUR);
    world_run(&w, 10 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 - 2 * HOUR, w.now), "-3299..-2700");
    assert_string_equal(world_gaps(&w, 1, T0 - 2 * HOUR, w.now), "");
    world_end(&w);
}

/* The same two scrapers from some moment on with another interval. */
static void interval_changes(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        world_add(&w, r, "node", "a:1", 15 * S, (int64_t)r * 7 * S)->to = T0 + 100 * S;
        world_add(&w, r, "node", "a:1", 60 * S, (int64_t)r * 7 * S)->from = T0 + 150 * S;
    }
    world_ask(&w, T0 - HOUR);
    world_run_queried(&w, 20 * MIN);
    assert_string_equal(world_gaps(&w, 0, T0 + 600 * S, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 + 600 * S, w.now), "");
    world_end(&w);
}

static void beginnings_and_ends(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    for (size_t r = 0; r < 2; r++) {
        world_add(&w, r, "node", "a:1", 15 * S, (int64_t)r * 7 * S);
        struct world_scraper *s = world_add(&w, r, "node", "b:1", 15 * S, (int64_t)r * 7 * S);
        s->from = T0 - 1000 * S + (int64_t)r * 5 * S; /* discovered one after the other */
        s->to = T0 - 500 * S + (int64_t)r * 5 * S;
        world_add(&w, r, "node", "c:1", 15 * S, (int64_t)r * 7 * S)->from = T0 + 30 * S + (int64_t)r * 5 * S;
        world_add(&w, r, "node", "d:1", 15 * S, (int64_t)r * 7 * S)->to = T0 + 60 * S + (int64_t)r * 5 * S;
    }
    world_ask(&w, T0 - HOUR);
    for (int i = 0; i < 200; i++) {
        bool begins = w.now > T0 + 50 * S && w.now < T0 + 65 * S; /* c, which r 1 sees later */
        bool ends = w.now > T0 + 60 * S && w.now < T0 + 120 * S;  /* d, which r 0 sees first */
        if (!ends)
            assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
        if (!begins)
            assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
        world_run(&w, S);
    }
    world_end(&w);
}

/* One side sees it a scrape earlier, or longer: those the other one lacks. */
static void late_discovery(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    w.replicas[0].jobs[0].from = T0 - 1000 * S;
    w.replicas[1].jobs[0].from = T0 - 960 * S;
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "-990..-953");
    world_end(&w);
}

/* Scrapes fail on one side while the other one's next to them succeed, or nothing is scraped by one side while the
 * other sees the target down. */
static void failures_beside(void **state UNUSED)
{
    struct world w;
    world_begin(&w, 2, false);
    struct world_scraper *a = world_add(&w, 0, "node", "a:1", 15 * S, 0);
    struct world_scraper *b = world_add(&w, 1, "node", "a:1", 15 * S, 0);
    scraper_cut(a, T0 - 600 * S, T0 - 590 * S, CUT_DOWN);
    scraper_cut(b, T0 - 585 * S, T0 - 580 * S, CUT_DOWN);  /* as a is up again */
    scraper_cut(a, T0 - 300 * S, T0 - 200 * S, CUT_DOWN);
    scraper_cut(b, T0 - 300 * S, T0 - 200 * S, CUT_MISSED);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "-600..-600 -300..-300");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "-585..-585 -300..-210");
    world_end(&w);
}

static void partial_replica(void **state UNUSED)
{
    struct world w;
    struct matcher of_b[] = {world_metric, {.type = MATCH_EQ, .name = STR("instance"), .value = STR("b:1")}};
    world_begin_pair(&w, false);
    world_add(&w, 1, "node", "b:1", 15 * S, 8 * S);
    world_ask(&w, T0 - HOUR);
    assert_string_equal(world_gaps(&w, 0, T0 - HOUR, T0), "-3592..0");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, T0), "");
    assert_string_not_equal(world_gaps_of(&w, 0, of_b, 2, T0 - HOUR, T0), "");
    of_b[1].value = STR("a:1");
    assert_string_equal(world_gaps_of(&w, 0, of_b, 2, T0 - HOUR, T0), "");
    world_end(&w);
}

/* Scraped once or twice, and only by one side. */
static void short_lived_target(void **state UNUSED)
{
    struct world w;
    world_begin_pair(&w, false);
    struct world_scraper *s = world_add(&w, 1, "pod", "p:1", 15 * S, 7 * S);
    s->from = T0 - 600 * S;
    s->to = T0 - 570 * S;
    world_ask(&w, T0 - HOUR);
    assert_string_not_equal(world_gaps(&w, 0, T0 - HOUR, w.now), "");
    assert_string_equal(world_gaps(&w, 0, T0 - 500 * S, w.now), "");
    assert_string_equal(world_gaps(&w, 1, T0 - HOUR, w.now), "");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(healthy_pair), cmocka_unit_test(one_server_is_complete), cmocka_unit_test(missed_scrapes), cmocka_unit_test(scrapes_missed_by_copies),
        cmocka_unit_test(gaps_that_no_scrape_ends),
        cmocka_unit_test(gap_between_two_readings),
        cmocka_unit_test(unknown_time_lasts),
        cmocka_unit_test(scrapes_of_copies_that_alternate),
        cmocka_unit_test(down_on_one_side), cmocka_unit_test(fewer_series_on_one_side),
        cmocka_unit_test(without_kept_counts), cmocka_unit_test(other_intervals), cmocka_unit_test(interval_changes),
        cmocka_unit_test(beginnings_and_ends), cmocka_unit_test(late_discovery), cmocka_unit_test(failures_beside),
        cmocka_unit_test(partial_replica), cmocka_unit_test(short_lived_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
