// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/histogram/histogram_math.h"
#include "promql/promql.h"

static void assert_json(const struct histogram *h, const char *want)
{
    struct buf out = {0};
    promql_histogram_json(&out, h);
    assert_string_equal(buf_z(&out), want);
    buf_free(&out);
}

static void exponential(void **state)
{
    (void)state;
    const struct span spans[] = {{0, 1}, {1, 2}};
    const double counts[] = {1, 0, 2.5};
    struct histogram h = {.count = 7, .sum = 5, .zero_count = 2, .zero_threshold = 0.25};
    h.positive = (struct buckets){spans, 2, counts, 3};
    h.negative = (struct buckets){spans, 1, counts, 1};
    assert_json(&h, "{\"count\":\"7\",\"sum\":\"5\",\"buckets\":[[1,\"-1\",\"-0.5\",\"1\"],[3,\"-0.25\",\"0.25\",\"2\"],"
                    "[0,\"0.5\",\"1\",\"1\"],[0,\"4\",\"8\",\"2.5\"]]}");
}

static void custom(void **state)
{
    (void)state;
    const struct span span = {0, 2};
    const double counts[] = {1, 3}, bounds[] = {0.1};
    struct histogram h = {.schema = HISTOGRAM_CUSTOM, .count = 4, .sum = 0.5, .custom = bounds, .n_custom = 1};
    h.positive = (struct buckets){&span, 1, counts, 2};
    assert_json(&h, "{\"count\":\"4\",\"sum\":\"0.5\",\"buckets\":[[3,\"-Inf\",\"0.1\",\"1\"],[0,\"0.1\",\"+Inf\",\"3\"]]}");
}

static void nothing_populated(void **state)
{
    (void)state;
    struct histogram h = {.sum = NAN};
    assert_json(&h, "{\"count\":\"0\",\"sum\":\"NaN\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential),
        cmocka_unit_test(custom),
        cmocka_unit_test(nothing_populated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
