// SPDX-License-Identifier: Apache-2.0
/* Which parts of a query are sent to which server groups, as which text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/gateway/plan_fixture.h"

static const struct { enum layout layout; const char *query, *wanted; } cases[] = {
    /* one group: its value is the value */
    {ONE, "up", "A up"},
    {ONE, "sum by (a) (rate(x[5m])) / 2", "A sum by (a) (rate(x[5m])) / 2"},
    {ONE, "quantile(0.9, x)", "A quantile(0.9, x)"},
    {ONE, "histogram_quantile(0.9, sum by (le) (rate(b[5m])))", "A histogram_quantile(0.9, sum by (le) (rate(b[5m])))"},
    {ONE, "absent(x)", "A absent(x)"},
    {ONE, "histogram_fraction(0, 3, rate(b[5m]))", "A rate(b[5m])"},
    {ONE, "absent(x{a=\"1\",b=\"2\",a!=\"\"})", "A x{a!=\"\",a=\"1\",b=\"2\"}"},
    {ONE, "absent_over_time(x{a=~\".+\",a=\"1\"}[5m])", "raw x{a=\"1\",a=~\".+\"}"},
    {ONE, "a / on (x) group_left (y) b", "A a / on (x) group_left (y) b"},
    {ONE, "max_over_time(sum(x)[5m:])", "A max_over_time(sum(x)[5m:30s])"},
    {ONE, "avg(x)", "A avg(x)"},
    {ONE, "count_values(\"v\", x)", "A count_values(\"v\", x)"},
    /* the order of the result is made here */
    {ONE, "sort(x)", "A x"},
    {ONE, "-topk(2, x)", "A topk(2, x)"},
    /* made here, with parts from servers */
    {ONE, "scalar(sum(x)) + 1", "A sum(x)"},
    {ONE, "sum(x) or vector(0)", "A sum(x)"},
    {ONE, "x * hour()", "A x"},
    {ONE, "topk(scalar(k), x)", "A k; A x"},
    {ONE, "time() - x", "A time() - x"},
    {ONE, "limitk(2, x)", "A x"},
    {ONE, "sum(mad_over_time(x[5m]))", "A sum(mad_over_time(x[5m]))"},
    {ONE, "ts_of_max_over_time(x[5m])", "raw x"},
    {ONE, "x[5m]", "raw x"},
    {ONE, "ts_of_max_over_time(sum(x)[5m:1m])", "A0[-4,15] sum(x)"},
    {ONE, "info(x)", "raw x"},
    {ONE, "1 + 2", "nothing"},
    {ONE, "timestamp(x)", "A timestamp(x)"},
    {ONE, "timestamp(x @ 5 offset 1m)", "raw x @ 5.000 offset 1m"},
    {ONE, "start_timestamp(x)", "raw x"},
    /* labels of a group: matchers, grouping, matching */
    {ONE_LABELED, "x", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "x{sg=\"eu\",a=\"1\"}", "A x{a=\"1\"} -> {sg=\"eu\"}"},
    {ONE_LABELED, "{sg=~\"e.\"}", "A {__name__!=\"\"} -> {sg=\"eu\"}"},
    {ONE_LABELED, "x{sg=\"us\"}", "raw x{sg=\"us\"}"},
    {ONE_LABELED, "sum by (sg, a) (x)", "A sum by (a) (x) -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum by (a) (x)", "A sum by (a) (x)"},
    {ONE_LABELED, "sum without (a) (x)", "A sum without (a, sg) (x) -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum without (sg) (x)", "A sum without (sg) (x)"},
    {ONE_LABELED, "absent(x)", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "a / b", "A a / ignoring (sg) b -> {sg=\"eu\"}"},
    {ONE_LABELED, "a / on (sg, x) b", "A a / on (x) b -> {sg=\"eu\"}"},
    {ONE_LABELED, "a * on (x) group_left (sg) b", "A a -> {sg=\"eu\"}; A b -> {sg=\"eu\"}"},
    {ONE_LABELED, "sum(a) / b", "A sum(a); A b -> {sg=\"eu\"}"},
    {ONE_LABELED, "label_replace(x, \"y\", \"$1\", \"sg\", \"(.*)\")", "A x -> {sg=\"eu\"}"},
    {ONE_LABELED, "label_join(x, \"y\", \"-\", \"a\", \"b\")",
     "A label_join(x, \"y\", \"-\", \"a\", \"b\") -> {sg=\"eu\"}"},
    {ONE_LABELED, "count_values(\"sg\", x)", "A x -> {sg=\"eu\"}"},
    /* labels that the view renames: the servers get their own names, the results those that are shown */
    {RENAMED, "x{task=\"a\",job=\"\"}", "A x{job=\"a\"} -> {task=job, -job}"},
    {RENAMED, "x{job=\"a\"}", "raw x{job=\"a\"}"},
    {RENAMED, "sum by (task, a) (x)", "A sum by (job, a) (x) -> {task=job, -job}"},
    {RENAMED, "sum by (job) (x)", "A sum(x) -> {-task, -job}"},
    {RENAMED, "sum without (a) (x)", "A sum without (a, task) (x) -> {task=job, -job}"},
    {RENAMED, "sum without (task) (x)", "A sum without (task, job) (x) -> {-task, -job}"},
    {RENAMED, "sum without (job) (x)", "A sum without (task) (x) -> {task=job, -job}"},
    {RENAMED, "a / on (task) b", "A a / on (job) b -> {task=job, -job}"},
    {RENAMED, "a / ignoring (task) b", "A a / ignoring (task, job) b -> {-task, -job}"},
    {RENAMED, "a * on (x) group_left (task) b", "A a -> {task=job, -job}; A b -> {task=job, -job}"},
    {RENAMED, "label_replace(x, \"y\", \"\", \"task\", \"\")", "A x -> {task=job, -job}"},
    {RENAMED, "absent(x)", "A x -> {task=job, -job}"},
    {RENAMED, "sum(m / (2 * 3))", "A sum(m / (2 * 3)) -> {-task, -job}"},
    {COPIED, "x{task=\"a\"}", "A x{job=\"a\"} -> {task=job}"},
    {COPIED, "sum by (task) (x)", "A sum by (job) (x) -> {task=job, -job}"},
    {COPIED, "sum by (job) (x)", "A sum by (job) (x) -> {-task}"},
    {COPIED, "sum without (task) (x)", "A sum without (task) (x) -> {-task}"},
    {COPIED, "sum without (job) (x)", "A sum without (task) (x) -> {task=job, -job}"},
    {COPIED, "sum without (job, task) (x)", "A sum without (task, job) (x) -> {-task, -job}"},
    {COPIED, "max without (task) (sum without (job) (x))", "A sum without (task) (x) -> {task=job, -job}"},
    {COPIED, "sum without (task) (x) / ignoring (a) max without (task) (x)",
     "A sum without (task) (x) -> {-task}; A max without (task) (x) -> {-task}"},
    /* two groups: each series alone, aggregated again, or within a group */
    {TWO, "rate(x[5m])", "A rate(x[5m]) -> {sg=\"eu\"}; B rate(x[5m]) -> {sg=\"us\"}"},
    {TWO, "x{sg=\"us\"}", "B x -> {sg=\"us\"}"},
    {TWO, "quantile(0.5, x{sg=\"us\"})", "B quantile(0.5, x)"},
    {TWO, "sum(x)", "+A sum(x); +B sum(x)"},
    {TWO, "count(x) > 3", "+A count(x); +B count(x)"},
    {TWO, "max(mx) < 5", "+A max(mx); +B max(mx)"},
    {TWO, "min(mx) > 5", "+A min(mx); +B min(mx)"},
    {TWO, "10 - max(mx)", "+A max(mx); +B max(mx)"},
    {TWO, "topk(1, mx) < 5", "A topk(1, mx) -> {sg=\"eu\"}; B topk(1, mx) -> {sg=\"us\"}"},
    {TWO, "group by (a) (x)", "+A group by (a) (x); +B group by (a) (x)"},
    {TWO, "avg by (a) (x)", "+A label_replace(sum by (a) (x), \"__part__\", \"sum\", \"\", \"\") or "
                            "label_replace(count by (a) (x), \"__part__\", \"count\", \"\", \"\"); "
                            "+B label_replace(sum by (a) (x), \"__part__\", \"sum\", \"\", \"\") or "
                            "label_replace(count by (a) (x), \"__part__\", \"count\", \"\", \"\")"},
    {TWO, "avg by (__name__) (x)", "A x -> {sg=\"eu\"}; B x -> {sg=\"us\"}"},
    {TWO, "avg by (sg) (x)", "A avg(x) -> {sg=\"eu\"}; B avg(x) -> {sg=\"us\"}"},
    {TWO, "quantile(0.5, rate(x[5m]))", "A rate(x[5m]) -> {sg=\"eu\"}; B rate(x[5m]) -> {sg=\"us\"}"},
    {TWO, "quantile by (sg) (0.5, x)", "A quantile(0.5, x) -> {sg=\"eu\"}; B quantile(0.5, x) -> {sg=\"us\"}"},
    {TWO, "stddev without (a) (x)",
     "A stddev without (a, sg) (x) -> {sg=\"eu\"}; B stddev without (a, sg) (x) -> {sg=\"us\"}"},
    {TWO, "absent(only_a)", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum(absent(only_a))", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum(absent_over_time(only_a[5m]))", "raw only_a"},
    {TWO, "m * scalar(only_a)", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}; A m -> {sg=\"eu\"}; "
                                "B m -> {sg=\"us\"}"},
    {TWO, "vector(scalar(only_a))", "A only_a -> {sg=\"eu\"}; B only_a -> {sg=\"us\"}"},
    {TWO, "sum by (y) (label_replace(m, \"y\", \"$1\", \"sg\", \"(.*)\"))",
     "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "count by (y) (label_join(m, \"y\", \"\", \"a\", \"sg\"))", "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\"))",
     "+A sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\")); "
     "+B sum by (y) (label_replace(m, \"y\", \"$1\", \"a\", \"(.*)\"))"},
    {TWO, "count_values without (inst) (\"v\", m)",
     "A count_values without (inst, sg) (\"v\", m) -> {sg=\"eu\"}; "
     "B count_values without (inst, sg) (\"v\", m) -> {sg=\"us\"}"},
    {TWO, "count_values(\"v\", m offset 5m)", "A m offset 5m -> {sg=\"eu\"}; B m offset 5m -> {sg=\"us\"}"},
    {TWO, "count_values((\"v\"), m)", "A m -> {sg=\"eu\"}; B m -> {sg=\"us\"}"},
    {TWO, "sum_over_time(m[5m:1m] offset 2m)",
     "A sum_over_time(m[5m:1m] offset 2m) -> {sg=\"eu\"}; B sum_over_time(m[5m:1m] offset 2m) -> {sg=\"us\"}"},
    {TWO, "max_over_time(sum(m)[5m:1m] offset 20m)", "+A0[-24,15] sum(m); +B0[-24,15] sum(m)"},
    {TWO, "sum_over_time(sum(c)[5m:7s])", "+A0[-4,129] sum(c); +B0[-4,129] sum(c)"},
    {TWO, "spiky > 5", "A spiky > 5 -> {sg=\"eu\"}; B spiky > 5 -> {sg=\"us\"}"},
    {TWO, "sum(spiky > 5)", "+A sum(spiky > 5); +B sum(spiky > 5)"},
    {TWO, "a / b", "A a / ignoring (sg) b -> {sg=\"eu\"}; B a / ignoring (sg) b -> {sg=\"us\"}"},
    {TWO, "a and on (sg, x) b", "A a and on (x) b -> {sg=\"eu\"}; B a and on (x) b -> {sg=\"us\"}"},
    {TWO, "a / ignoring (x) b", "A a -> {sg=\"eu\"}; B a -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a unless ignoring (x) b", "A a unless ignoring (x, sg) b -> {sg=\"eu\"}; "
                                     "B a unless ignoring (x, sg) b -> {sg=\"us\"}"},
    {TWO, "{x=\"1\"} / b", "A {x=\"1\"} -> {sg=\"eu\"}; B {x=\"1\"} -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a / on (x) b", "A a -> {sg=\"eu\"}; B a -> {sg=\"us\"}; A b -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a{sg=\"eu\"} / on (x) b{sg=\"us\"}", "A a -> {sg=\"eu\"}; B b -> {sg=\"us\"}"},
    {TWO, "a{sg=\"eu\"} / on (x) b{sg=\"eu\"}", "A a / on (x) b"},
    {TWO, "histogram_quantile(0.9, rate(b[5m]))",
     "A histogram_quantile(0.9, rate(b[5m])) -> {sg=\"eu\"}; B histogram_quantile(0.9, rate(b[5m])) -> {sg=\"us\"}"},
    {TWO, "histogram_quantile(0.9, sum by (le) (rate(b[5m])))",
     "+A sum by (le) (rate(b[5m])); +B sum by (le) (rate(b[5m]))"},
    {TWO, "sum(x @ 60)", "+A sum(x @ 60.000); +B sum(x @ 60.000)"},
    /* two groups that may share series: nothing that drops labels or series, unless they are declared not to */
    {TWO_ALIKE, "sum(rate(x[5m])) > 2", "A rate(x[5m]); B rate(x[5m])"},
    {TWO_ALIKE, "2 * abs(x) > bool 5", "A 2 * abs(x) > bool 5; B 2 * abs(x) > bool 5"},
    {TWO_ALIKE, "sum(x > 5)", "A x; B x"},
    {TWO_ALIKE, "-(5 <= x)", "A x; B x"},
    {TWO_ALIKE, "topk(1, x)", "A x; B x"},
    {TWO_ALIKE, "a unless b", "A a; B a; A b; B b"},
    {TWO_ALIKE, "histogram_quantile(0.9, b)", "A b; B b"},
    {TWO_ALIKE, "label_replace(x, \"a\", \"\", \"b\", \".*\")", "A x; B x"},
    {TWO_ALIKE, "max_over_time(x[5m:1m])", "A max_over_time(x[5m:1m]); B max_over_time(x[5m:1m])"},
    {TWO_ALIKE, "rate({a=\"b\"}[5m])", "raw {a=\"b\"}"},
    {TWO_DISJOINT, "sum(rate(x[5m]))", "+A sum(rate(x[5m])); +B sum(rate(x[5m]))"},
    {TWO_DISJOINT, "rate({a=\"b\"}[5m])", "raw {a=\"b\"}"},
    {TWO_DISJOINT, "histogram_quantile(0.9, b)", "A b; B b"},
    {TWO_DISJOINT, "sum(label_replace(x, \"a\", \"\", \"b\", \".*\"))", "A x; B x"},
    {TWO_DISJOINT, "a / b", "A a; B a; A b; B b"},
};

static void queries_are_cut_where_they_distribute(void **state UNUSED)
{
    int wrong = 0;
    for (size_t i = 0; i < LEN(cases); i++) {
        planning_begin(cases[i].layout);
        const char *got = planned(cases[i].query);
        if (strcmp(got, cases[i].wanted) != 0) {
            print_error("%s\n  got    %s\n  wanted %s\n", cases[i].query, got, cases[i].wanted);
            wrong++;
        }
        planning_end();
    }
    assert_int_equal(wrong, 0);
}

static void experimental_functions_are_pushed_where_all_servers_have_them(void **state UNUSED)
{
    planning_begin(TWO);
    f.lacks_functions[1] = true;
    const char *got = planned("sum(mad_over_time(x[5m])) / sum(mad_over_time(x{sg=\"eu\"}[5m]))");
    assert_string_equal(got, "A sum(mad_over_time(x[5m])); raw x");
    const struct plan_request *r = &f.plan.requests[0];
    assert_int_equal(r->n_experimental, 1);
    assert_string_equal(r->experimental[0]->name, "mad_over_time");
    planning_end();
}

/* Prometheus 2: windows are closed on both sides, and a part of the language is computed differently. */
static void prometheus_2_gets_what_it_computes_likewise(void **state UNUSED)
{
#define LAST(x) "(last_over_time(" x "[4m59s999ms]) and " x ")"
    static const struct { const char *query, *wanted; } old[] = {
        {"max_over_time(x[5m])", "A max_over_time(x[4m59s999ms])"},
        {"x{a=~\"b.\",c!~\"d\",e=\"f\"} * 5m", "A " LAST("x{a=~\"(?s:b.)\",c!~\"(?s:d)\",e=\"f\"}") " * 300"},
        {"max by (a) (abs(x offset 1m)) > bool 1", "A max by (a) (abs((last_over_time(x[4m59s999ms] offset 1m) and x offset 1m))) > bool 1"},
        {"sum(x)", "A " LAST("x")},
        {"avg(count_over_time(x[1m]))", "A count_over_time(x[59s999ms])"},
        {"rate(x[5m])", "raw x"},
        {"max(rate(x[5m]))", "raw x"},
        {"x atan2 3", "A " LAST("x")},
        {"max_over_time(deriv(x[1m])[5m:1m])", "A max_over_time(deriv(x[59s999ms])[4m59s999ms:1m])"},
        {"max_over_time(rate(x[1m])[5m:1m])", "raw x"},
        {"histogram_quantile(0.9, b)", "A " LAST("b")},
        {"label_replace(x, \"a\", \"\", \"b\", \"\")", "A " LAST("x")},
        {"absent(x)", "A " LAST("x")},
        {"timestamp(x)", "raw x"},
        {"present_over_time(x[1ms])", "raw x"},
        {"last_over_time({a=\"b\"}[1m])", "A last_over_time({a=\"b\"}[59s999ms])"},
        {"{a=\"b\"}", "raw {a=\"b\"}"},
        {"{\"x.y\"}", "raw {__name__=\"x.y\"}"},
        {"max(x{\"a.b\"=\"1\"})", "raw x{\"a.b\"=\"1\"}"},
        {"max by (\"a.b\") (x)", "A " LAST("x")},
        {"x / on (\"a.b\") y", "A " LAST("x") "; A " LAST("y")},
        {"topk(1, x) and on (a) (y != 2)", "A topk(1, " LAST("x") "); A " LAST("y") " != 2"},
    };
    for (size_t i = 0; i < LEN(old); i++) {
        planning_begin(ONE);
        f.groups[0].old = 1;
        assert_planned(old[i].query, old[i].wanted);
    }
    planning_begin(ONE);
    f.groups[0].old = f.groups[0].shortsighted = 1;
    assert_planned("max(x) + on () max(last_over_time(x[5m]))", "A max(last_over_time(x[4m59s999ms])); raw x");
}

/* The first server is Prometheus 2, the other one is newer and has a gap in the first half. */
static void what_prometheus_2_cannot_compute_goes_to_newer_servers(void **state UNUSED)
{
    static const struct fixture_gaps gaps[] = {{0, 1, {0, HOUR + 5 * MINUTE}, NULL}, {0, 0, {HOUR + 9 * MINUTE, INT64_MAX}, NULL}};
    static const struct { const char *query, *wanted; } old[] = {
        {"max(increase(x[1m]))", "A1[6,5] max(increase(x[1m])); raw x"},
        {"max(irate(x[1m]))", "A0[0,9] max(irate(x[59s999ms])); A1[9,2] max(irate(x[1m]))"},
        {"sum(irate(x[1m]))", "A0[0,6] irate(x[59s999ms]); A1[6,5] sum(irate(x[1m]))"},
    };
    for (size_t i = 0; i < LEN(old); i++) {
        planning_begin(ONE);
        f.groups[0].n_servers = 2;
        f.groups[0].old = 1;
        f.gaps = gaps;
        f.n_gaps = LEN(gaps);
        assert_planned(old[i].query, old[i].wanted);
    }
    static const struct fixture_gaps never[] = {{1, 1, {INT64_MIN, INT64_MAX}, NULL}};
    planning_begin(TWO); /* rather than samples of one group */
    f.groups[1].n_servers = 2;
    f.groups[1].old = 1;
    f.gaps = never;
    f.n_gaps = 1;
    assert_planned("sum(irate(x[1m]))", "A irate(x[1m]) -> {sg=\"eu\"}; B0[0,11] irate(x[59s999ms]) -> {sg=\"us\"}");
    planning_begin(ONE); /* one is not sent what is written for the other */
    f.groups[0].n_servers = 3;
    f.groups[0].old = 5;
    plan_query("max(irate(x[1m]))");
    assert_int_equal(f.plan.n_requests, 1);
    assert_int_equal(f.plan.requests[0].others, 4);
    planning_end();
}

static void a_server_that_aligns_ranges_gets_aligned_ones(void **state UNUSED)
{
    for (int shift = 0; shift < 2; shift++) {
        planning_begin(ONE);
        f.groups[0].aligned = true;
        f.grid.start += shift;
        assert_planned("sum(x)", shift ? "raw x" : "A sum(x)");
        planning_begin(ONE);
        f.groups[0].aligned = true;
        f.grid = (struct grid){HOUR + shift, MINUTE, 1};
        assert_planned("sum(x)", "A sum(x)");
    }
}

/* Generated expressions may have tens of thousands of terms. */
static void long_chains_are_not_many_requests(void **state UNUSED)
{
    struct buf query = {0};
    planning_begin(ONE);
    buf_add_z(&query, "a0");
    for (int i = 1; i < 20000; i++)
        buf_printf(&query, " + a%d", i);
    int64_t begin = clock_mono_ms();
    plan_query(buf_z(&query));
    assert_int_equal(f.plan.n_requests, 0);
    assert_true(clock_mono_ms() - begin < 2000);
    planning_end();
    planning_begin(ONE);
    buf_clear(&query);
    buf_add_z(&query, "a0");
    for (int i = 1; i < 70; i++)
        buf_printf(&query, " + a%d", i);
    plan_query(buf_z(&query));
    assert_int_equal(f.plan.n_requests, 7); /* 64 terms, and 6 alone */
    planning_end();
    buf_free(&query);
}

static void refusals_have_reasons(void **state UNUSED)
{
    planning_begin(TWO);
    f.groups[1].refusal = "push_down is off";
    plan_query("sum(x)");
    assert_int_equal(f.plan.n_requests, 0);
    assert_string_equal(arena_z(&f.arena, f.plan.decisions[0].why), "server group \"B\": push_down is off");
    assert_int_equal(f.plan.decisions[0].where, PLAN_RAW);
    planning_end();
    planning_begin(ONE);
    f.groups[0].subqueries = false;
    assert_planned("sum(max_over_time(x[5m:1m]))", "A0[-4,15] x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_cut_where_they_distribute),
        cmocka_unit_test(experimental_functions_are_pushed_where_all_servers_have_them),
        cmocka_unit_test(prometheus_2_gets_what_it_computes_likewise),
        cmocka_unit_test(what_prometheus_2_cannot_compute_goes_to_newer_servers),
        cmocka_unit_test(a_server_that_aligns_ranges_gets_aligned_ones),
        cmocka_unit_test(refusals_have_reasons),
        cmocka_unit_test(long_chains_are_not_many_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
