// SPDX-License-Identifier: Apache-2.0
/* The configuration of rules: what is refused, and the settings of a section that rules take. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "aggregate_fixture.h"

static void refused(const char *config, const char *why)
{
    struct err err = {0};
    aggr.n_lanes = 0;
    assert_false(aggr_load(config, NULL, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("%s: %s", config, err.text);
}

static void errors(void **state UNUSED)
{
    refused("a: b", "expected a list of stream aggregation rules");
    refused("- outputs: [total]\n", "interval");
    refused("- interval: 1m\n", "outputs");
    refused("- interval: 500ms\n  outputs: [total]\n", "cannot be smaller than 1s");
    refused("- interval: 1x\n  outputs: [total]\n", "cannot parse `interval: \"1x\"`");
    refused("- interval: 1m\n  outputs: [totals]\n",
            "unsupported output=\"totals\"; supported values: avg, count_samples,");
    refused("- interval: 1m\n  outputs: [total, total]\n", "duplicate aggregation function: total");
    refused("- interval: 1m\n  outputs: ['quantiles()']\n", "at least one phi");
    refused("- interval: 1m\n  outputs: ['quantiles(0.5']\n", "missing closing brace");
    refused("- interval: 1m\n  outputs: ['quantiles(1.5)']\n", "must be in the range [0..1]");
    refused("- interval: 1m\n  outputs: ['quantiles(a)']\n", "cannot parse phi");
    refused("- interval: 1m\n  outputs: [quantiles]\n", "unsupported output");
    refused("- interval: 1m\n  outputs: ['quantiles(0.5)', 'quantiles(0.9)']\n", "duplicated `quantiles()`");
    refused("- interval: 1m\n  dedup_interval: 2m\n  outputs: [total]\n", "cannot exceed interval");
    refused("- interval: 1m\n  dedup_interval: 7s\n  outputs: [total]\n", "must be a multiple of dedup_interval");
    refused("- interval: 1m\n  staleness_interval: 7s\n  outputs: [total]\n", "cannot be smaller than interval");
    refused("- interval: 1m\n  by: [a]\n  without: [b]\n  outputs: [total]\n", "cannot be set simultaneously");
    refused("- interval: 1m\n  keep_metric_names: true\n  outputs: [total, max]\n", "only a single entry");
    refused("- interval: 1m\n  keep_metric_names: true\n  outputs: [histogram_bucket]\n", "multiple time series");
    refused("- interval: 1m\n  match: '{a='\n  outputs: [total]\n", "match");
    refused("- interval: 1m\n  typo: 1\n  outputs: [total]\n", "typo");
}

static void defaults(void **state UNUSED)
{
    struct str drop = STR("replica");
    struct aggregate_conf d = {.dedup_interval = 5000, .ignore_first_intervals = 2, .drop_input_labels = {&drop, 1},
                                   .ignore_old_samples = true, .enable_windows = true};
    aggr_start_lanes(1, "- interval: 10s\n  outputs: [total]\n"
                        "- interval: 10s\n  dedup_interval: 0s\n  ignore_first_intervals: 0\n  drop_input_labels: []\n"
                        "  ignore_old_samples: false\n  enable_windows: false\n  outputs: [total]\n", &d);
    assert_int_equal(aggr.rules[0].dedup_interval, 5000);
    assert_int_equal(aggr.rules[0].ignore_first_intervals, 2);
    assert_int_equal(aggr.rules[0].drop_input_labels.n, 1);
    assert_true(aggr.rules[0].ignore_old_samples && aggr.rules[0].enable_windows);
    assert_int_equal(aggr.rules[1].dedup_interval, 0);
    assert_int_equal(aggr.rules[1].ignore_first_intervals, 0);
    assert_int_equal(aggr.rules[1].drop_input_labels.n, 0);
    assert_false(aggr.rules[1].ignore_old_samples || aggr.rules[1].enable_windows);
    assert_true(aggr.rules[0].identity != aggr.rules[1].identity);
    assert_int_equal(aggr.rules[0].staleness, 10000);
    d.keep_input = true;
    struct err err;
    assert_false(aggr_load("- interval: 10s\n  keep_metric_names: true\n  outputs: [total]\n", &d, &err));
    assert_non_null(strstr(err.text, "keeping the input"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGGR_TEST(errors), AGGR_TEST(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
