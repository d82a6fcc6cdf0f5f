// SPDX-License-Identifier: Apache-2.0
/* When samples of stream aggregation count and results are written: intervals, windows, shutdown; deduplication. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "aggregate_fixture.h"

#include <limits.h>
#include <stdio.h>

/* --- time --------------------------------------------------------------------------------------------------------- */

static void intervals(void **state UNUSED)
{
    aggr.now = t0 + 20000; /* between two multiples: the first interval ends at the second multiple to come */
    aggr_start("- match: a\n  interval: 1m\n  outputs: [count_samples]\n"
               "- match: b\n  interval: 1m\n  no_align_flush_to_interval: true\n  outputs: [count_samples]\n"
               "- match: c\n  interval: 1m\n  ignore_old_samples: true\n  outputs: [count_samples]\n"
               "- match: d\n  interval: 1m\n  ignore_first_intervals: 1\n  outputs: [count_samples]\n");
    aggr_push("a", 1);
    aggr_push("b", 1);
    aggr_push("c", 1); /* older than the first multiple */
    aggr_push("d", 1);
    aggr_pass(60000);
    assert_string_equal(aggr_results(), "b:1m_count_samples 1 80000\n");
    aggr_push("a", 1);
    aggr_push("c", 1);
    aggr_push("d", 1);
    aggr_push_at(0, "a", NAN, aggr.now);
    aggr_pass(40000);
    assert_string_equal(aggr_results(), "a:1m_count_samples 2 120000\nc:1m_count_samples 1 120000\n");
    aggr_push("d", 1);
    aggr_pass(60000);
    assert_string_equal(aggr_results(), "d:1m_count_samples 1 180000\n");
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->ignored_nan, 1);
    assert_int_equal(aggregate_counts(aggr.lanes[0], 2)->ignored_old, 1);
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->matched, 2);
}

static void seven_seconds(void **state UNUSED)
{
    aggr_start("- interval: 7s\n  outputs: [count_samples]\n");
    aggr_pass(6500);
    aggr_push("a", 1);
    aggr_pass(20000);
    /* multiples since the year 1: (1700000040 + 62135596800) mod 7 = 1 */
    assert_string_equal(aggr_results(), "a:7s_count_samples 1 13000\n");
}

static void windows(void **state UNUSED)
{
    aggr_start("- interval: 10s\n  enable_windows: true\n  outputs: [sum_samples, count_series]\n");
    aggr_push_at(0, "a", 1, aggr.now + 1000);
    aggr.now += 9000;
    aggr_push_at(0, "a", 2, t0 + 11000);  /* of the next window */
    aggr_push_at(0, "a", 4, t0 + 6000);   /* 3 s late */
    aggr_push_at(0, "a", 8, t0 - 1);      /* of an interval that is over */
    aggr_pass(1000);
    assert_string_equal(aggr_results(), ""); /* waits for those that are as late */
    aggr_push_at(0, "a", 16, t0 + 9000);
    aggr_pass(3000);
    assert_string_equal(aggr_results(), "a:10s_count_series 1 10000\na:10s_sum_samples 21 10000\n");
    aggr_push_at(0, "a", 32, t0 + 9999); /* too late */
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a:10s_count_series 1 20000\na:10s_sum_samples 2 20000\n");
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->ignored_old, 2);
}

static void windows_of_counters(void **state UNUSED)
{
    aggr_start("- interval: 10s\n  enable_windows: true\n  ignore_first_sample_interval: 0s\n"
               "  outputs: [total, rate_sum]\n");
    aggr_push_at(0, "a", 10, t0 + 1000);
    aggr_push_at(0, "a", 30, t0 + 9000);
    aggr_push_at(0, "a", 34, t0 + 11000);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a:10s_rate_sum 2.5 10000\na:10s_total 30 10000\n");
    aggr_push_at(0, "a", 40, t0 + 19000);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a:10s_rate_sum 1 20000\na:10s_total 40 20000\n");
}

enum { FLUSH_SERIES = 300 };
static void push_all(double v)
{
    char name[32];
    for (int i = 0; i < FLUSH_SERIES; i++) {
        snprintf(name, sizeof name, "c{i=\"%d\"}", i);
        aggr_push(name, v * (i + 1));
    }
}

/* Four intervals; the samples of each come when the flush of the one before has done so many slices. */
static char *results_with_samples_after(const char *config, int slices)
{
    struct buf all = {0};
    aggr.now = t0;
    aggr_start(config);
    push_all(1);
    aggr_pass(59000);
    for (int round = 2; round < 6; round++) {
        aggr.now += round == 2 ? 1000 : 60000;
        bool more = true;
        for (int i = 0; i < slices && more; i++)
            more = aggr_flush_some();
        push_all(round * round);
        while (more && aggr_flush_some())
            ;
        buf_add_z(&all, aggr_results());
    }
    char *text = str_dup(buf_str(&all));
    buf_free(&all);
    aggr_free_lanes();
    return text;
}

/* A flush is done in slices: samples that come in between belong to the next interval, wherever it is. */
static void samples_during_a_flush(void **state UNUSED)
{
    static const char *const configs[] = {
        "- interval: 1m\n  without: [i]\n  outputs: [rate_sum, total, increase, count_series, sum_samples]\n",
        "- interval: 1m\n  dedup_interval: 1m\n  without: [i]\n  outputs: [rate_sum, total, increase, count_series]\n",
        "- interval: 1m\n  enable_windows: true\n  without: [i]\n"
        "  outputs: [rate_avg, total, increase, count_series]\n"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        char *after = results_with_samples_after(configs[i], INT_MAX);
        assert_non_null(strstr(after, "rate_"));
        for (int slices = 1; slices < 12; slices++) {
            char *during = results_with_samples_after(configs[i], slices);
            assert_string_equal(during, after);
            mem_free(during);
        }
        mem_free(after);
    }
}

static void flush_at_shutdown(void **state UNUSED)
{
    aggr_start("- match: a\n  interval: 1m\n  flush_on_shutdown: true\n  outputs: [count_samples]\n"
               "- match: b\n  interval: 1m\n  flush_on_shutdown: true\n  no_align_flush_to_interval: true\n"
               "  dedup_interval: 10s\n"
               "  outputs: [count_samples]\n"
               "- match: c\n  interval: 1m\n  outputs: [count_samples]\n");
    aggr_push("a", 1);
    aggr_push("b", 1);
    aggr_push("c", 1);
    aggr_pass(5000);
    aggr_finish();
    assert_string_equal(aggr_results(), "a:1m_count_samples 1 60000\nb:1m_count_samples 1 5000\n");
}

/* --- deduplication ------------------------------------------------------------------------------------------------ */

static void deduplication(void **state UNUSED)
{
    aggr_start("- interval: 20s\n  dedup_interval: 10s\n  drop_input_labels: [replica]\n"
               "  ignore_first_sample_interval: 0s\n"
               "  outputs: [count_samples, sum_samples, total]\n");
    aggr_push("a{replica=\"1\"}", 5);
    aggr_push_at(0, "a{replica=\"2\"}", 6, aggr.now + 1); /* newer */
    aggr_push_at(0, "a{replica=\"2\"}", 4, aggr.now + 1); /* equal time: the greater one */
    aggr_pass(10000);
    aggr_push("a{replica=\"1\"}", 8);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a:20s_count_samples 2 20000\na:20s_sum_samples 14 20000\n"
                                        "a:20s_total 8 20000\n");
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->dedup_dropped, 2);
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->matched, 4);
    aggr_pass(10000);
    aggr_push("a{replica=\"2\"}", 10);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a:20s_count_samples 1 40000\na:20s_sum_samples 10 40000\n"
                                        "a:20s_total 10 40000\n");
}

static void deduplication_alone(void **state UNUSED)
{
    struct str replica = STR("replica");
    struct aggregate_conf d = {.dedup_interval = 10000, .drop_input_labels = {&replica, 1}};
    aggr.now += 3000; /* from the start, not aligned */
    struct aggregate_rule rule = aggregate_dedup_rule(&d);
    const struct aggregate_rule *only = &rule;
    aggr.n_lanes = 1;
    aggr.lanes[0] = aggregate_new(&only, NULL, 1, 0, 1, aggr.now);
    aggr_push_at(0, "a{replica=\"1\"}", 1, t0 + 3000);
    aggr_push_at(0, "a{replica=\"2\"}", 2, t0 + 3500);
    aggr_push_at(0, "b{replica=\"2\"}", 9, t0 + 3500);
    aggr_push_at(0, "b{replica=\"1\"}", stale_nan(), t0 + 3500); /* a number is preferred */
    aggr_push_at(0, "e", stale_nan(), t0 + 3500);
    aggr_pass(9000);
    assert_string_equal(aggr_results(), "");
    aggr_pass(1000);
    assert_string_equal(aggr_results(), "a 2 3500\nb 9 3500\ne nan 3500\n");
    aggr_push_at(0, "a{replica=\"1\"}", 3, t0 + 14000);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "a 3 14000\n");
    aggr_push_at(0, "a{replica=\"1\"}", 4, t0 + 24000);
    aggr_finish();
    assert_string_equal(aggr_results(), "a 4 24000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGGR_TEST(intervals), AGGR_TEST(seven_seconds), AGGR_TEST(windows),
        AGGR_TEST(windows_of_counters), AGGR_TEST(samples_during_a_flush), AGGR_TEST(flush_at_shutdown),
        AGGR_TEST(deduplication),
        AGGR_TEST(deduplication_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
