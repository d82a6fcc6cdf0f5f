// SPDX-License-Identifier: Apache-2.0
/* Which server evaluates which steps: those for which it lacks no samples; the others are evaluated here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/gateway/plan_fixture.h"

static void newer_steps_are_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps recent[] = {{0, 0, {HOUR + 4 * MINUTE, INT64_MAX}, NULL}};
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m]))", "A0[0,4] sum(rate(x[5m])); raw x");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m] offset 2m))", "A0[0,6] sum(rate(x[5m] offset 2m)); raw x offset 2m");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("sum(rate(x[5m] offset 10m))", "A sum(rate(x[5m] offset 10m))");
    planning_begin(ONE);
    f.gaps = recent;
    f.n_gaps = 1;
    assert_planned("x @ 4000", "raw x @ 4000.000");
}

/* A step goes to the first server whose samples are complete over its window, of every selector. */
static void steps_go_where_they_are_complete(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 60000, HOUR + 90000}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = 1;
    assert_string_equal(planned("increase(x[2m])"),
                        "A0[0,1] increase(x[2m]); A1[1,3] increase(x[2m]); A0[4,7] increase(x[2m])");
    assert_int_equal(where_decided(0), PLAN_PUSHED);
    planning_end();
    static const struct fixture_gaps both[] = {
        {0, 0, {HOUR + 60000, HOUR + 90000}, NULL}, {0, 1, {HOUR + 120000, HOUR + 120000}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = both;
    f.n_gaps = 2;
    assert_string_equal(planned("increase(x[2m])"),
                        "A0[0,1] increase(x[2m]); A1[1,1] increase(x[2m]); A0[4,7] increase(x[2m]); raw x");
    assert_int_equal(where_decided(0), PLAN_CUT);
    planning_end();
}

/* Both servers have a gap in every window, which is five minutes long; the second one has the newest scrapes of all steps
 * but the first. */
static void instant_selectors_read_the_newest_scrape(void **state UNUSED)
{
    static const struct str by[] = {{"job", 3}, {"inst", 4}};
    static const struct fixture_gaps gaps[] = {{0, 0, {0, HOUR + 11 * MINUTE}, NULL},
                                               {0, 1, {HOUR - 1, HOUR + 1}, NULL},
                                               {0, 1, {HOUR + 210000, HOUR + 230000}, NULL},
                                               {0, 1, {HOUR + 510000, HOUR + 530000}, NULL}};
#define NEWEST(x, up) "(" x " and (timestamp(" x ") == on (job, inst) group_left () max by (job, inst) (timestamp(" up "))))"
    static const struct { const char *query, *wanted; } newest[] = {
        {"sum(x{job=\"a\",y=\"1\"})", "A1[1,10] sum(" NEWEST("x{job=\"a\",y=\"1\"}", "{__name__=\"up\",job=\"a\"}") "); "
                                    "raw x{job=\"a\",y=\"1\"}"},
        {"abs(x) / 2", "A1[1,10] abs(" NEWEST("x", "{__name__=\"up\"}") ") / 2; raw x"},
        {"x offset 1m", "A1[0,1] x offset 1m; A1[2,9] " NEWEST("x offset 1m", "{__name__=\"up\"} offset 1m") "; raw x offset 1m"},
        {"rate(x[5m])", "raw x"},
        {"timestamp(x)", "raw x"},
        {"absent(x)", "raw x"},
        {"{job=\"a\"}", "raw {job=\"a\"}"},
        {"max_over_time(x[2m:1m])", "A1[3,1] max_over_time(" NEWEST("x", "{__name__=\"up\"}") "[2m:1m]); "
                                    "A1[6,3] max_over_time(" NEWEST("x", "{__name__=\"up\"}") "[2m:1m]); "
                                    "raw x; raw x; raw x"},
        {"x - rate(x[20s])", "A1[1,3] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "A1[5,4] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "A1[10,1] " NEWEST("x", "{__name__=\"up\"}") " - rate(x[20s]); "
                             "raw x; raw x; raw x; raw x; raw x; raw x"},
    };
    for (size_t i = 0; i < LEN(newest) * 2; i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.groups[0].target_labels = by;
        f.groups[0].n_target_labels = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.scraped = i < LEN(newest);
        const char *got = planned(newest[i % LEN(newest)].query);
        if (f.scraped)
            assert_string_equal(got, newest[i].wanted);
        else
            assert_true(strstr(got, " and (timestamp(") == NULL);
        planning_end();
    }
}

/* After a gap that no scrape ends nothing is known until it is out of the window. */
static void gaps_that_last_are_in_the_window(void **state UNUSED)
{
    static const struct str by[] = {{"inst", 4}};
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + MINUTE, HOUR + 2 * MINUTE}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.groups[0].target_labels = by;
    f.groups[0].n_target_labels = 1;
    f.gaps = gaps;
    f.n_gaps = 1;
    f.scraped = f.lasting = true;
    assert_planned("x", "A0[0,1] x; A1[1,6] x; A0[7,4] x");
}

/* At 241 steps, 15 s apart, unless the samples are fetched as JSON. */
static void samples_are_read_where_they_are_less_than_values(void **state UNUSED)
{
    static const struct { const char *query; bool compact; uint32_t n; const char *wanted; } read[] = {
        {"rate(x[5m]) * 2", true, 241, "raw x"},
        {"rate(x[5m]) * 2", false, 241, "A rate(x[5m]) * 2"},
        {"rate(x[5m]) * 2", true, 60, "A rate(x[5m]) * 2"},
        {"rate(x[5h]) * 2", true, 241, "A rate(x[5h]) * 2"},
        {"x * 2", true, 241, "A x * 2"},
        {"x - x offset 1d", true, 241, "A x - x offset 1d"},
        {"sum(rate(x[5m]))", true, 241, "A sum(rate(x[5m]))"},
        {"rate(x[5m]) > 2", true, 241, "A rate(x[5m]) > 2"},
        {"rate(x[5m]) > bool 2", true, 241, "raw x"},
        {"rate(x[5m]) and on (a) y", true, 241, "A rate(x[5m]) and on (a) y"},
        {"rate(x[5m]) / rate(y[5m])", true, 241, "raw x; raw y"},
        {"histogram_quantile(0.9, rate(b[5m]))", true, 241, "A histogram_quantile(0.9, rate(b[5m]))"},
        {"stddev(rate(x[5m])) + scalar(stddev(rate(x[5m])))", true, 241, "A stddev(rate(x[5m])); A stddev(rate(x[5m]))"},
        {"max_over_time(rate(x[5m])[5m:1m])", true, 241, "raw x"},
    };
    for (size_t i = 0; i < LEN(read); i++) {
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 15000, read[i].n};
        f.groups[0].compact = read[i].compact;
        assert_planned(read[i].query, read[i].wanted);
    }
    /* Which of several replicas has a value is decided by step: only where it is one for all steps, samples are read. */
    for (int64_t gap = 0; gap < 2; gap++) {
        const struct fixture_gaps gaps[] = {{0, 0, {gap * (HOUR + 10 * MINUTE), HOUR + 11 * MINUTE}, NULL}};
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 15000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned("rate(x[5m])", gap ? "A0[0,40] rate(x[5m]); A1[10,24] rate(x[5m]); A0[16,177] rate(x[5m])"
                                          : "A1[0,64] rate(x[5m]); A0[16,177] rate(x[5m])");
        planning_begin(ONE);
        f.grid = (struct grid){2 * HOUR, 15000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned("rate(x[5m])", "raw x");
    }
}

/* The first server lacks what no step reads; the samples of all of it would be those of the second one. */
static void samples_between_steps_are_not_read(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5000, HOUR + 15000}, NULL}};
    static const struct { const char *query, *wanted; } read[] = {
        {"rate(x[20s])", "A0[0,241] rate(x[20s])"}, {"rate(x[40s])", "A0[0,1] rate(x[40s]); A1[0,1] rate(x[40s]); A0[1,239] rate(x[40s])"}};
    for (size_t i = 0; i < LEN(read); i++) {
        planning_begin(ONE);
        f.grid = (struct grid){HOUR, 40000, 241};
        f.groups[0].compact = true;
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_planned(read[i].query, read[i].wanted);
    }
}

/* Only a server that has all of a request's steps may take its place. */
static void others_have_all_steps(void **state UNUSED)
{
    const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5 * MINUTE, HOUR + 5 * MINUTE}, NULL},
                                        {0, 2, {HOUR - 4 * MINUTE, HOUR - 4 * MINUTE}, NULL}};
    planning_begin(ONE);
    f.groups[0].n_servers = 4;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    plan_query("rate(m[1m])");
    assert_int_equal(f.plan.n_requests, 3); /* 0 before the gap, 1 around it, 0 after it */
    const uint64_t wanted[] = {0xe, 0xc, 0xe};
    for (size_t i = 0; i < LEN(wanted); i++)
        assert_int_equal(f.plan.requests[i].others, wanted[i]);
    planning_end();
    planning_begin(ONE);
    f.groups[0].n_servers = 3;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    plan_query("rate(m[5m])"); /* the first step lacks a sample at the last server */
    assert_int_equal(f.plan.requests[0].server, 0);
    assert_int_equal(f.plan.requests[0].others, 2);
    planning_end();
}

/* The steps are from 1 h to 1 h 10 m. A group that has none of the samples is not asked, and none of its labels matter. */
static void a_group_without_samples_at_that_time_is_not_asked(void **state UNUSED)
{
    static const struct { const char *query; int64_t until; const char *wanted; } times[] = {
        {"sum(x)", HOUR - 6 * MINUTE, "A sum(x)"},
        {"sum(x)", HOUR - 4 * MINUTE, "A x; B x"},
        {"sum(x offset 30m)", HOUR - 6 * MINUTE, "A x offset 30m; B x offset 30m"},
        {"sum(rate(x[5m]))", HOUR - 5 * MINUTE, "A sum(rate(x[5m]))"},
        {"sum(rate(x[20m]))", HOUR - 5 * MINUTE, "A rate(x[20m]); B rate(x[20m])"},
        {"max_over_time(sum(x)[5m:1m])", HOUR - 10 * MINUTE, "A max_over_time(sum(x)[5m:1m])"},
        {"max_over_time(sum(x)[5m:1m])", HOUR - 8 * MINUTE, "A0[-4,15] x; B0[-4,15] x"},
        {"x @ 100", HOUR - 10 * MINUTE, "B x @ 100.000"},
    };
    for (size_t i = 0; i < LEN(times); i++) {
        planning_begin(TWO_ALIKE);
        f.times[0] = (struct plan_span){strstr(times[i].query, "@") ? HOUR / 2 : 1, INT64_MAX};
        f.times[1] = (struct plan_span){0, times[i].until};
        assert_planned(times[i].query, times[i].wanted);
    }
}

/* Steps from 1 h to 1 h 10 m; A has samples until 1 h 4 m, B from there on, and no label distinguishes them. */
static void groups_of_different_times_take_their_steps(void **state UNUSED)
{
    static const struct { const char *query, *wanted; } times[] = {
        {"sum(rate(x[2m]))", "A0[0,5] sum(rate(x[2m])); B0[6,5] sum(rate(x[2m])); raw x"},
        {"sum(rate(x[2m] offset 2m))", "A0[0,7] sum(rate(x[2m] offset 2m)); B0[8,3] sum(rate(x[2m] offset 2m)); raw x offset 2m"},
        {"quantile(0.5, increase(x[1m])) > 1", "A0[0,5] quantile(0.5, increase(x[1m])) > 1; "
                                               "B0[5,6] quantile(0.5, increase(x[1m])) > 1"},
        {"absent_over_time(x[1m])", "A0[0,5] absent_over_time(x[1m]); B0[5,6] absent_over_time(x[1m])"},
        {"increase(x[1m]) / increase(y[2m])", "B0[5,1] increase(x[1m]); A0[0,5] increase(x[1m]) / increase(y[2m]); "
                                              "B0[6,5] increase(x[1m]) / increase(y[2m]); raw y"},
        {"sum(x @ 0)", "A sum(x @ 0.000)"},
        {"rate(x[20m])", "A0[0,5] rate(x[20m]); raw x"},
    };
    for (size_t i = 0; i < LEN(times); i++) {
        static const struct fixture_gaps outside[] = {
            {0, 0, {HOUR + 4 * MINUTE + 1, INT64_MAX}, NULL}, {1, 0, {INT64_MIN, HOUR + 4 * MINUTE}, NULL}};
        planning_begin(TWO_ALIKE);
        f.gaps = outside;
        f.n_gaps = LEN(outside);
        f.groups[0].limited = f.groups[1].limited = true;
        f.times[0] = f.groups[0].window = (struct plan_span){INT64_MIN, HOUR + 4 * MINUTE};
        f.times[1] = f.groups[1].window = (struct plan_span){HOUR + 4 * MINUTE + 1, INT64_MAX};
        assert_planned(times[i].query, times[i].wanted);
    }
}

/* The samples of a series that both have are united, even one that makes no rate alone. */
static void groups_whose_times_overlap_are_united(void **state UNUSED)
{
    for (unsigned limited = 0; limited < 4; limited++) {
        planning_begin(TWO_ALIKE);
        f.times[0] = f.times[1] = (struct plan_span){INT64_MIN, INT64_MAX};
        for (size_t g = 0; g < 2; g++)
            if (limited >> g & 1) {
                f.groups[g].limited = true;
                f.times[g] = f.groups[g].window = (struct plan_span){HOUR - 20 * MINUTE, HOUR + 20 * MINUTE};
            }
        assert_planned("increase(x[1m])", limited ? "raw x" : "A increase(x[1m]); B increase(x[1m])");
    }
}

/* Of two groups one has no server for the first steps. It is evaluated here, if a label tells its series apart. */
static void a_group_without_a_server_is_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{1, 0, {0, HOUR + 90000}, NULL}};
    static const struct { enum layout layout; const char *query, *wanted, *tree; } here[] = {
        {TWO, "sum(increase(x[2m]))",
         "+A0[0,4] sum(increase(x[2m])); +A0[4,7] sum(increase(x[2m])); +B0[4,7] sum(increase(x[2m])); raw x{sg=\"us\"}",
         "sum((sum(sum(increase(x[2m]))) or "
         "(label_replace(sum(increase(x{sg=\"us\"}[2m])), \"__part__\", \"2\", \"\", \"\"))))"},
        {TWO, "increase(x{a=\"1\"}[2m]) > 1",
         "A0[0,4] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"eu\"}; A0[4,7] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"eu\"}; "
         "B0[4,7] increase(x{a=\"1\"}[2m]) > 1 -> {sg=\"us\"}; raw x{a=\"1\",sg=\"us\"}",
         "(increase(x{a=\"1\"}[2m]) > 1 or (increase(x{a=\"1\",sg=\"us\"}[2m]) > 1))"},
        {TWO, "quantile(0.5, increase(x[2m]))",
         "A0[0,4] increase(x[2m]) -> {sg=\"eu\"}; A0[4,7] increase(x[2m]) -> {sg=\"eu\"}; "
         "B0[4,7] increase(x[2m]) -> {sg=\"us\"}; raw x{sg=\"us\"}", NULL},
        {TWO_DISJOINT, "sum(increase(x[2m]))",
         "+A0[4,7] sum(increase(x[2m])); +B0[4,7] sum(increase(x[2m])); raw x", NULL},
        {TWO_ALIKE, "increase(x[2m])", "A0[4,7] increase(x[2m]); B0[4,7] increase(x[2m]); raw x", NULL},
    };
    for (size_t i = 0; i < LEN(here); i++) {
        struct buf tree = {0};
        planning_begin(here[i].layout);
        f.gaps = gaps;
        f.n_gaps = 1;
        assert_string_equal(planned(here[i].query), here[i].wanted);
        if (here[i].tree)
            promql_print(&tree, f.plan.tree->u.cut.parts[0].value);
        assert_true(here[i].tree == NULL || strcmp(buf_z(&tree), here[i].tree) == 0);
        buf_free(&tree);
        planning_end();
    }
}

/* absent() takes its labels from the selector, whatever is read instead. */
static void absent_sees_the_selector_of_the_query(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{1, 0, {0, HOUR + 90000}, NULL}};
    struct buf text = {0};
    planning_begin(TWO);
    f.gaps = gaps;
    f.n_gaps = 1;
    plan_query("absent(x{a=\"1\"})");
    const struct expr *cut = f.plan.tree->u.call.args[0];
    assert_int_equal(cut->kind, EXPR_CUT);
    promql_print(&text, cut->u.cut.of);
    assert_string_equal(buf_z(&text), "x{a=\"1\"}");
    buf_free(&text);
    planning_end();
}

static void too_many_gaps_are_not_worth_it(void **state UNUSED)
{
    struct fixture_gaps gaps[40];
    for (size_t i = 0; i < LEN(gaps); i++)
        gaps[i] = (struct fixture_gaps){0, 0, {HOUR + (int64_t)i * 4 * MINUTE, HOUR + (int64_t)i * 4 * MINUTE}, NULL};
    planning_begin(ONE);
    f.grid.n = 161;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    assert_planned("increase(x[1m])", "raw x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_steps_are_evaluated_here),
        cmocka_unit_test(instant_selectors_read_the_newest_scrape),
        cmocka_unit_test(gaps_that_last_are_in_the_window),
        cmocka_unit_test(samples_are_read_where_they_are_less_than_values),
        cmocka_unit_test(samples_between_steps_are_not_read),
        cmocka_unit_test(others_have_all_steps),
        cmocka_unit_test(steps_go_where_they_are_complete),
        cmocka_unit_test(a_group_without_samples_at_that_time_is_not_asked),
        cmocka_unit_test(groups_of_different_times_take_their_steps),
        cmocka_unit_test(groups_whose_times_overlap_are_united),
        cmocka_unit_test(a_group_without_a_server_is_evaluated_here),
        cmocka_unit_test(absent_sees_the_selector_of_the_query),
        cmocka_unit_test(too_many_gaps_are_not_worth_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
