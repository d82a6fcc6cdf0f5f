// SPDX-License-Identifier: Apache-2.0
/* Results of stream aggregation and their names, computed by hand; several lanes, memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "aggregate_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* --- outputs ------------------------------------------------------------------------------------------------------ */

static void gauges(void **state UNUSED)
{
    aggr_start("- interval: 1m\n  by: [job]\n"
               "  outputs: [avg, count_samples, count_series, last, max, min, stddev, stdvar, sum_samples, "
               "unique_samples, 'quantiles(0, 0.5, 0.9, 1)']\n");
    aggr_push("m{job=\"a\",i=\"1\"}", 2);
    aggr_push("m{job=\"a\",i=\"1\"}", 4);
    aggr_push("m{job=\"a\",i=\"2\"}", 4);
    aggr_push("m{job=\"a\",i=\"3\"}", 10);
    aggr_push_at(0, "m{job=\"a\",i=\"3\"}", 5, aggr.now - 1); /* older: not the last */
    aggr_push("m{job=\"b\",i=\"1\"}", -3);
    aggr_pass(60000);
    assert_string_equal(aggr_results(), "m:1m_by_job_avg{job=\"a\"} 5 60000\n"
                                        "m:1m_by_job_avg{job=\"b\"} -3 60000\n"
                                        "m:1m_by_job_count_samples{job=\"a\"} 5 60000\n"
                                        "m:1m_by_job_count_samples{job=\"b\"} 1 60000\n"
                                        "m:1m_by_job_count_series{job=\"a\"} 3 60000\n"
                                        "m:1m_by_job_count_series{job=\"b\"} 1 60000\n"
                                        "m:1m_by_job_last{job=\"a\"} 10 60000\n"
                                        "m:1m_by_job_last{job=\"b\"} -3 60000\n"
                                        "m:1m_by_job_max{job=\"a\"} 10 60000\n"
                                        "m:1m_by_job_max{job=\"b\"} -3 60000\n"
                                        "m:1m_by_job_min{job=\"a\"} 2 60000\n"
                                        "m:1m_by_job_min{job=\"b\"} -3 60000\n"
                                        "m:1m_by_job_quantiles{job=\"a\", quantile=\"0\"} 2 60000\n"
                                        "m:1m_by_job_quantiles{job=\"a\", quantile=\"0.5\"} 4 60000\n"
                                        "m:1m_by_job_quantiles{job=\"a\", quantile=\"0.9\"} 10 60000\n"
                                        "m:1m_by_job_quantiles{job=\"a\", quantile=\"1\"} 10 60000\n"
                                        "m:1m_by_job_quantiles{job=\"b\", quantile=\"0\"} -3 60000\n"
                                        "m:1m_by_job_quantiles{job=\"b\", quantile=\"0.5\"} -3 60000\n"
                                        "m:1m_by_job_quantiles{job=\"b\", quantile=\"0.9\"} -3 60000\n"
                                        "m:1m_by_job_quantiles{job=\"b\", quantile=\"1\"} -3 60000\n"
                                        "m:1m_by_job_stddev{job=\"a\"} 2.683281573 60000\n"
                                        "m:1m_by_job_stddev{job=\"b\"} 0 60000\n"
                                        "m:1m_by_job_stdvar{job=\"a\"} 7.2 60000\n"
                                        "m:1m_by_job_stdvar{job=\"b\"} 0 60000\n"
                                        "m:1m_by_job_sum_samples{job=\"a\"} 25 60000\n"
                                        "m:1m_by_job_sum_samples{job=\"b\"} -3 60000\n"
                                        "m:1m_by_job_unique_samples{job=\"a\"} 4 60000\n"
                                        "m:1m_by_job_unique_samples{job=\"b\"} 1 60000\n");
}

/* Two series: one rises by 5 and is reset to 2; the other appears later with 100. */
static void counters(void **state UNUSED)
{
    aggr_start("- interval: 10s\n  without: [i]\n  ignore_first_sample_interval: 5s\n  staleness_interval: 30s\n"
               "  outputs: [increase, increase_prometheus, total, total_prometheus, rate_sum, rate_avg]\n");
    aggr_push("c{i=\"1\"}", 10); /* within the first 5 s: a base only */
    aggr_pass(6000);
    aggr_push("c{i=\"1\"}", 15);
    aggr_pass(4000);
    assert_string_equal(aggr_results(), "c:10s_without_i_increase 5 10000\n"
                                        "c:10s_without_i_increase_prometheus 5 10000\n"
                                        "c:10s_without_i_rate_avg 0.8333333333 10000\n"
                                        "c:10s_without_i_rate_sum 0.8333333333 10000\n"
                                        "c:10s_without_i_total 5 10000\nc:10s_without_i_total_prometheus 5 10000\n");
    aggr_push("c{i=\"2\"}", 100); /* new: counts as a whole, except for the _prometheus forms */
    aggr_push("c{i=\"1\"}", 2);   /* reset, 4 s after the last sample */
    aggr_push_at(0, "c{i=\"1\"}", 1, aggr.now - 1000); /* out of order: ignored */
    aggr_pass(5000);
    aggr_push("c{i=\"2\"}", 110);
    aggr_pass(5000);
    assert_string_equal(aggr_results(), "c:10s_without_i_increase 112 20000\n"
                                        "c:10s_without_i_increase_prometheus 12 20000\n"
                                        "c:10s_without_i_rate_avg 1.25 20000\nc:10s_without_i_rate_sum 2.5 20000\n"
                                        "c:10s_without_i_total 117 20000\nc:10s_without_i_total_prometheus 17 20000\n");
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->counter_resets, 1);
    aggr_pass(10000); /* no samples: the totals go on */
    assert_string_equal(aggr_results(), "c:10s_without_i_total 117 30000\nc:10s_without_i_total_prometheus 17 30000\n");
    aggr_pass(30000); /* forgotten after 30 s */
    aggr_results();
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "");
    aggr_push("c{i=\"1\"}", 7);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "c:10s_without_i_increase 7 80000\n"
                                        "c:10s_without_i_increase_prometheus 0 80000\n"
                                        "c:10s_without_i_total 7 80000\nc:10s_without_i_total_prometheus 0 80000\n");
}

static void sums_go_on(void **state UNUSED)
{
    aggr_start("- interval: 10s\n  staleness_interval: 20s\n"
               "  outputs: [sum_samples, sum_samples_total, histogram_bucket]\n");
    aggr_push("s", 3);
    aggr_push("s", 0);
    aggr_push("s", -1); /* not in the histogram */
    aggr_push("s", 1000);
    aggr_push("s", 1e-10);
    aggr_push("s", 2e18);
    aggr_push("s", -2e18); /* a double near 2e18 is a multiple of 256: 1002 became 1024 */
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "s:10s_histogram_bucket{vmrange=\"0...1.000e-09\"} 2 10000\n"
                                        "s:10s_histogram_bucket{vmrange=\"1.000e+18...+Inf\"} 1 10000\n"
                                        "s:10s_histogram_bucket{vmrange=\"2.783e+00...3.162e+00\"} 1 10000\n"
                                        "s:10s_histogram_bucket{vmrange=\"8.799e+02...1.000e+03\"} 1 10000\n"
                                        "s:10s_sum_samples 1024 10000\n"
                                        "s:10s_sum_samples_total 1024 10000\n");
    aggr_push("s", 3);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "s:10s_histogram_bucket{vmrange=\"0...1.000e-09\"} 2 20000\n"
                                        "s:10s_histogram_bucket{vmrange=\"1.000e+18...+Inf\"} 1 20000\n"
                                        "s:10s_histogram_bucket{vmrange=\"2.783e+00...3.162e+00\"} 2 20000\n"
                                        "s:10s_histogram_bucket{vmrange=\"8.799e+02...1.000e+03\"} 1 20000\n"
                                        "s:10s_sum_samples 3 20000\n"
                                        "s:10s_sum_samples_total 1027 20000\n");
}

static void names_and_labels(void **state UNUSED)
{
    aggr_start("- match: ['{__name__=~\"a.*\"}', 'b{x=\"1\"}']\n  interval: 1m\n  by: [z, Z]\n"
               "  drop_input_labels: [z]\n  outputs: [max]\n"
               "- match: keep\n  interval: 60s\n  keep_metric_names: true\n  outputs: [last]\n"
               "- match: relabeled\n  interval: 1m\n  outputs: [last]\n"
               "  input_relabel_configs: [{source_labels: [x], target_label: y}, {regex: x, action: labeldrop}]\n"
               "  output_relabel_configs: [{source_labels: [__name__], regex: '(.+):1m_last', target_label: "
               "__name__}]\n");
    aggr_push("a1{z=\"1\",Z=\"u\"}", 1);
    aggr_push("{Z=\"u\",x=\"1\"}", 2); /* matches nothing: no name */
    aggr_push("b{x=\"1\"}", 3);
    aggr_push("b{x=\"2\"}", 4);
    aggr_push("keep{x=\"1\"}", 5);
    aggr_push("relabeled{x=\"1\"}", 6);
    aggr_pass(60000);
    assert_string_equal(aggr_results(), "a1:1m_by_Z_z_max{Z=\"u\"} 1 60000\nb:1m_by_Z_z_max 3 60000\n"
                                        "keep{x=\"1\"} 5 60000\n"
                                        "relabeled{y=\"1\"} 6 60000\n");
}

static void no_name(void **state UNUSED)
{
    aggr_start("- interval: 1m\n  outputs: [max]\n");
    aggr_push("{Z=\"u\",x=\"1\"}", 2);
    aggr_pass(60000);
    assert_string_equal(aggr_results(), ":1m_max{Z=\"u\", x=\"1\"} 2 60000\n");
}

/* --- lanes, memory ------------------------------------------------------------------------------------------------ */

static void lanes_agree(void **state UNUSED)
{
    aggr_start_lanes(3, "- interval: 10s\n  by: [g]\n  ignore_first_sample_interval: 0s\n"
                        "  outputs: [count_series, total]\n"
                        "- interval: 10s\n  by: [i]\n  outputs: [count_samples]\n", NULL);
    char name[64];
    for (int round = 1; round <= 2; round++) /* each sample arrives on another lane */
        for (int i = 0; i < 40; i++) {
            snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 4, i % 10);
            aggr_push_at((unsigned)(i + round) % 3, name, round * 10, aggr.now);
        }
    aggr_pass(10000);
    char *expected = NULL;
    size_t size;
    FILE *f = open_memstream(&expected, &size);
    for (int g = 0; g < 4; g++)
        fprintf(f, "c:10s_by_g_count_series{g=\"%d\"} 5 10000\n", g);
    for (int g = 0; g < 4; g++)
        fprintf(f, "c:10s_by_g_total{g=\"%d\"} 100 10000\n", g);
    for (int i = 0; i < 10; i++)
        fprintf(f, "c:10s_by_i_count_samples{i=\"%d\"} 8 10000\n", i);
    fclose(f);
    assert_string_equal(aggr_results(), expected);
    free(expected);
}

static unsigned long long live(unsigned rule) { return aggregate_counts(aggr.lanes[0], rule)->series; }

static void memory_is_reused(void **state UNUSED)
{
    aggr_start("- interval: 1s\n  by: [g]\n  outputs: [total, unique_samples]\n");
    char name[64];
    size_t most = 0;
    for (int round = 0; round < 100; round++) { /* new series and groups each second */
        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", round, i);
            aggr_push(name, i);
        }
        aggr_pass(1000);
        aggr_clear_lines();
        if (live(0) > most)
            most = live(0);
    }
    assert_in_range(most, 100, 2500); /* 10 s are between two sweeps */
    aggr_pass(700000);
    assert_int_equal(live(0), 0);
    assert_int_equal(aggregate_counts(aggr.lanes[0], 0)->groups, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGGR_TEST(gauges), AGGR_TEST(counters), AGGR_TEST(sums_go_on),
        AGGR_TEST(names_and_labels), AGGR_TEST(no_name), AGGR_TEST(lanes_agree),
        AGGR_TEST(memory_is_reused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
