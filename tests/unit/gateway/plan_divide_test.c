// SPDX-License-Identifier: Apache-2.0
/* Groups of which each server lacks other targets: they are divided by a label. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/gateway/plan_fixture.h"

/* Server 0 never has target a, and server 1 never has b. The parts are to the planner what groups with labels are. */
static void a_group_is_divided_where_each_server_lacks_other_targets(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}, {0, 1, {INT64_MIN, INT64_MAX}, ""}};
    static const struct { enum layout layout; const char *query, *wanted; } divided[] = {
        {ONE, "x", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "x{inst=\"a\"}", "A1[0,11] x{inst=\"a\"}"},
        {ONE, "sum(rate(x[5m])) / 2",
         "+A0[0,11] sum(rate(x{inst!=\"a\"}[5m])); +A1[0,11] sum(rate(x{inst=\"a\"}[5m]))"},
        {ONE, "max by (inst) (x) > 3", "A0[0,11] max by (inst) (x{inst!=\"a\"}) > 3; A1[0,11] max by (inst) (x{inst=\"a\"}) > 3"},
        {ONE, "count without (y) (x)", "A0[0,11] count without (y) (x{inst!=\"a\"}); A1[0,11] count without (y) (x{inst=\"a\"})"},
        {ONE, "count without (inst) (x)",
         "+A0[0,11] count without (inst) (x{inst!=\"a\"}); +A1[0,11] count without (inst) (x{inst=\"a\"})"},
        {ONE, "quantile(0.5, x)", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "topk(2, x)", "A0[0,11] topk(2, x{inst!=\"a\"}); A1[0,11] topk(2, x{inst=\"a\"})"},
        {ONE, "absent(x)", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "x / on (inst) y", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}; A0[0,11] y{inst!=\"a\"}; "
                                 "A1[0,11] y{inst=\"a\"}"},
        {ONE, "x / y", "A0[0,11] x{inst!=\"a\"} / y{inst!=\"a\"}; A1[0,11] x{inst=\"a\"} / y{inst=\"a\"}"},
        {ONE, "x and on (job) y", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}; A0[0,11] y{inst!=\"a\"}; "
                                  "A1[0,11] y{inst=\"a\"}"},
        {ONE, "label_replace(x, \"inst\", \"\", \"job\", \"\")", "A0[0,11] x{inst!=\"a\"}; A1[0,11] x{inst=\"a\"}"},
        {ONE, "histogram_quantile(0.9, sum by (le, inst) (b))",
         "A0[0,11] histogram_quantile(0.9, sum by (le, inst) (b{inst!=\"a\"})); "
         "A1[0,11] histogram_quantile(0.9, sum by (le, inst) (b{inst=\"a\"}))"},
        {ONE, "histogram_quantile(0.9, sum by (le) (b))",
         "+A0[0,11] sum by (le) (b{inst!=\"a\"}); +A1[0,11] sum by (le) (b{inst=\"a\"})"},
        {ONE, "max_over_time(sum(x)[5m:1m])", "+A0[-4,15] sum(x{inst!=\"a\"}); +A1[-4,15] sum(x{inst=\"a\"})"},
        {ONE, "x[5m]", "raw x"},
        {TWO, "sum by (sg) (x)", "+A0[0,11] sum(x{inst!=\"a\"}) -> {sg=\"eu\"}; +A1[0,11] sum(x{inst=\"a\"}) -> {sg=\"eu\"}; "
                                 "+B sum(x) -> {sg=\"us\"}"},
        {TWO, "sum by (inst) (x)", "+A0[0,11] sum by (inst) (x{inst!=\"a\"}); +A1[0,11] sum by (inst) (x{inst=\"a\"}); "
                                   "+B sum by (inst) (x)"},
        {RENAMED, "sum(x)", "+A0[0,11] sum(x{inst!=\"a\"}) -> {-task, -job}; +A1[0,11] sum(x{inst=\"a\"}) -> {-task, -job}"},
    };
    for (size_t i = 0; i < LEN(divided); i++) {
        planning_begin(divided[i].layout);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_planned(divided[i].query, divided[i].wanted);
    }
}

/* A label that the group shows under another name, or replaces, cannot tell the parts apart here. */
static void a_label_that_is_shown_differently_divides_nothing(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}, {0, 1, {INT64_MIN, INT64_MAX}, ""}};
    planning_begin(ONE);
    set_label(&f.groups[0], "inst", "all");
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(x)", "raw x");
}

/* Both servers lack target a: it is evaluated here, and the rest is not. */
static void targets_without_a_server_are_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}};
    static const struct { const char *query, *wanted, *tree; } mixed[] = {
        {"x{b=\"1\"} > 3", "A0[0,11] x{b=\"1\",inst!=\"a\"} > 3; raw x{b=\"1\",inst=\"a\"}",
         "(x{b=\"1\"} > 3 or (x{b=\"1\",inst=\"a\"} > 3))"},
        {"sum(rate(x[5m])) / 2", "+A0[0,11] sum(rate(x{inst!=\"a\"}[5m])); raw x{inst=\"a\"}",
         "sum((sum(sum(rate(x[5m]))) or "
         "(label_replace(sum(rate(x{inst=\"a\"}[5m])), \"__part__\", \"2\", \"\", \"\")))) / 2"},
        {"min without (inst) (x)", "+A0[0,11] min without (inst) (x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "min without (inst, __part__) ((min without (inst) (min without (inst) (x)) or "
         "(label_replace(min without (inst) (x{inst=\"a\"}), \"__part__\", \"2\", \"\", \"\"))))"},
        {"max by (inst) (x)", "A0[0,11] max by (inst) (x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "(max by (inst) (x) or (max by (inst) (x{inst=\"a\"})))"},
        {"topk(2, x)", "A0[0,11] topk(2, x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "topk(2, (topk(2, x) or (topk(2, x{inst=\"a\"}))))"},
        {"count(x)", "+A0[0,11] count(x{inst!=\"a\"}); raw x{inst=\"a\"}",
         "sum((sum(count(x)) or "
         "(label_replace(count(x{inst=\"a\"}), \"__part__\", \"2\", \"\", \"\"))))"},
    };
    for (size_t i = 0; i < LEN(mixed); i++) {
        struct buf tree = {0};
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_string_equal(planned(mixed[i].query), mixed[i].wanted);
        promql_print(&tree, f.plan.tree);
        assert_string_equal(buf_z(&tree), mixed[i].tree);
        size_t cut = 0;
        while (cut < f.plan.n_decisions && where_decided(cut) != PLAN_CUT)
            cut++;
        assert_true(cut < f.plan.n_decisions);
        buf_free(&tree);
        planning_end();
    }
}

/* The first server lacks target a and the other one b from the fifth minute on; at the end both lack a. */
static void only_steps_without_a_server_are_divided(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 5 * MINUTE, INT64_MAX}, "a"},
                                               {0, 1, {HOUR + 5 * MINUTE, INT64_MAX}, "b"},
                                               {0, 1, {HOUR + 9 * MINUTE, INT64_MAX}, "a"}};
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps) - 1;
    f.divided = true;
    assert_planned("sum(increase(x[1m]))", "+A0[5,6] sum(increase(x{inst!=\"a\"}[1m])); "
                                           "+A1[5,6] sum(increase(x{inst=\"a\"}[1m])); A0[0,5] sum(increase(x[1m]))");
    planning_begin(ONE);
    f.groups[0].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(increase(x[1m]))", "+A0[5,4] sum(increase(x{inst!=\"a\"}[1m])); "
                                           "+A1[5,4] sum(increase(x{inst=\"a\"}[1m])); "
                                           "+A0[9,2] sum(increase(x{inst!=\"a\"}[1m])); A0[0,5] sum(increase(x[1m])); "
                                           "raw x{inst=\"a\"}");
}

/* Server 0 loses a at first and b later, server 1 the other way round: each has a server at each step, but not the same.
 * Both evaluate the two by target. */
static void targets_have_servers_of_their_own(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 0, {HOUR + 2 * MINUTE, HOUR + 4 * MINUTE}, "a"},
                                               {0, 1, {HOUR + 2 * MINUTE, HOUR + 4 * MINUTE}, "b"},
                                               {0, 1, {HOUR + 6 * MINUTE, HOUR + 8 * MINUTE}, "a"},
                                               {0, 0, {HOUR + 6 * MINUTE, HOUR + 8 * MINUTE}, "b"}};
    static const struct { const char *query, *wanted; } each[] = {
        {"sum by (job) (increase(x[1m]))",
         "+A0[0,11] sum by (job) (increase(x{inst!~\"a|b\"}[1m])); +A0[0,11] sum by (job, inst) (increase(x{inst=~\"a|b\"}[1m])); "
         "+A1[0,11] sum by (job, inst) (increase(x{inst=~\"a|b\"}[1m]))"},
        {"avg without (inst, y) (increase(x[1m]))",
         "+A0[0,11] label_replace(sum without (inst, y) (increase(x{inst!~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (inst, y) (increase(x{inst!~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\"); "
         "+A0[0,11] label_replace(sum without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\"); "
         "+A1[0,11] label_replace(sum without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"sum\", \"\", \"\") or "
         "label_replace(count without (y) (increase(x{inst=~\"a|b\"}[1m])), \"__part__\", \"count\", \"\", \"\")"},
        {"topk(2, increase(x[1m]))",
         "A0[0,11] topk(2, increase(x{inst!~\"a|b\"}[1m])); A0[0,11] topk by (inst) (2, increase(x{inst=~\"a|b\"}[1m])); "
         "A1[0,11] topk by (inst) (2, increase(x{inst=~\"a|b\"}[1m]))"},
        {"max by (inst) (increase(x[1m]))",
         "A0[0,11] max by (inst) (increase(x{inst!~\"a|b\"}[1m])); A0[0,11] max by (inst) (increase(x{inst=~\"a|b\"}[1m])); "
         "A1[0,11] max by (inst) (increase(x{inst=~\"a|b\"}[1m]))"},
        {"quantile(0.5, increase(x{inst=\"a\"}[1m]))",
         "A0[0,2] quantile(0.5, increase(x{inst=\"a\"}[1m])); A1[2,3] quantile(0.5, increase(x{inst=\"a\"}[1m])); "
         "A0[5,6] quantile(0.5, increase(x{inst=\"a\"}[1m]))"},
    };
    for (size_t i = 0; i < LEN(each); i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        f.divided = true;
        assert_string_equal(planned(each[i].query), each[i].wanted);
        for (size_t k = 0; k < f.plan.n_requests; k++) {
            const struct plan_cells *cells = f.plan.requests[k].cells;
            for (size_t step = 0; cells && step < 11; step++) {
                assert_int_equal(cells->servers[step], step >= 2 && step <= 4 ? 1 : 0);
                assert_int_equal(cells->servers[11 + step], step >= 6 && step <= 8 ? 1 : 0);
            }
        }
        planning_end();
    }
}

/* Both groups have two servers; neither of the first group has its target a. */
static void a_part_of_one_of_two_groups_is_evaluated_here(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {
        {0, 0, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "a"}, {0, 1, {INT64_MIN, INT64_MAX}, "b"}};
    planning_begin(TWO);
    f.groups[0].n_servers = f.groups[1].n_servers = 2;
    f.gaps = gaps;
    f.n_gaps = LEN(gaps);
    f.divided = true;
    assert_planned("sum(x)", "+A0[0,11] sum(x{inst!=\"a\"}); +B0[0,11] sum(x); raw x{inst=\"a\",sg=\"eu\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_divided_where_each_server_lacks_other_targets),
        cmocka_unit_test(a_label_that_is_shown_differently_divides_nothing),
        cmocka_unit_test(targets_without_a_server_are_evaluated_here),
        cmocka_unit_test(only_steps_without_a_server_are_divided),
        cmocka_unit_test(targets_have_servers_of_their_own),
        cmocka_unit_test(a_part_of_one_of_two_groups_is_evaluated_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
