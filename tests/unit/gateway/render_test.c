// SPDX-License-Identifier: Apache-2.0
/* Results as the JSON that Prometheus writes, byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/query/render.h"
#include "model/histogram/histogram.h"

#include <math.h>
#include <stdio.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void check(const struct promql_result *result, const char *wanted)
{
    struct buf out = {0};
    struct json_writer w = {.out = &out};
    struct err err = {0};
    assert_true(render_result(&w, result, &(struct query_ctx){0}, NULL, &err));
    json_end_object(&w);
    assert_string_equal(buf_z(&out), wanted);
    buf_free(&out);
}

static struct labels labels(const char *name, const char *job)
{
    const struct label pairs[] = {{STR("__name__"), str_of(name)}, {STR("job"), str_of(job)}};
    return labels_from(&arena, pairs, LEN(pairs));
}

static void scalars_are_plain(void **state)
{
    (void)state;
    check(&(struct promql_result){.type = PROMQL_SCALAR, .t = 1500, .scalar = 1e21},
          "{\"resultType\":\"scalar\",\"result\":[1.5,\"1000000000000000000000\"]}");
    check(&(struct promql_result){.type = PROMQL_SCALAR, .t = -1234, .scalar = 1e-7},
          "{\"resultType\":\"scalar\",\"result\":[-1.234,\"0.0000001\"]}");
    check(&(struct promql_result){.type = PROMQL_SCALAR, .t = 4000, .scalar = NAN},
          "{\"resultType\":\"scalar\",\"result\":[4,\"NaN\"]}");
}

static void strings_are_escaped_for_html(void **state)
{
    (void)state;
    check(&(struct promql_result){.type = PROMQL_STRING, .t = 1500, .string = STR("a<\"b")},
          "{\"resultType\":\"string\",\"result\":[1.5,\"a\\u003c\\\"b\"]}");
}

static void vectors(void **state)
{
    (void)state;
    const int64_t t = 1500;
    const double one = 1e21, two = -INFINITY;
    struct promql_series series[] = {{labels("up", "<&>\n"), &t, &one, NULL, 1}, {{0}, &t, &two, NULL, 1}};
    check(&(struct promql_result){.type = PROMQL_VECTOR, .series = series, .n = 2},
          "{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"up\",\"job\":\"<&>\\n\"},\"value\":[1.500,\"1e+21\"]},"
          "{\"metric\":{},\"value\":[1.500,\"-Inf\"]}]}");
    check(&(struct promql_result){.type = PROMQL_VECTOR}, "{\"resultType\":\"vector\",\"result\":[]}");
}

static void ranges_stand_on_the_grid(void **state)
{
    (void)state;
    const int64_t t[] = {500, 1000, 1500}, again[] = {500, 1000, 1500};
    const double none = stale_nan(), all[] = {1, 2, -0.0}, some[] = {none, 1e-7, none}, last[] = {none, none, 0.1};
    struct promql_series series[] = {
        {labels("a", "x"), t, all, NULL, 3},
        {labels("b", "x"), t, some, NULL, 3},
        {labels("c", "x"), t, last, NULL, 3},
    };
    const struct promql_result result = {.type = PROMQL_MATRIX, .series = series, .n = 3};
    const char *wanted = "{\"resultType\":\"matrix\",\"result\":["
                         "{\"metric\":{\"__name__\":\"a\",\"job\":\"x\"},\"values\":[[0.500,\"1\"],[1,\"2\"],[1.500,\"-0\"]]},"
                         "{\"metric\":{\"__name__\":\"b\",\"job\":\"x\"},\"values\":[[1,\"1e-07\"]]},"
                         "{\"metric\":{\"__name__\":\"c\",\"job\":\"x\"},\"values\":[[1.500,\"0.1\"]]}]}";
    check(&result, wanted);
    series[1].t = again; /* as in a range vector, where each has its own */
    check(&result, wanted);
}

static void histograms_stand_beside_floats(void **state)
{
    (void)state;
    struct histogram h = {.schema = 0, .zero_threshold = 0.001, .zero_count = 2, .count = 2, .sum = 0.5};
    const int64_t t[] = {1000, 2000, 3000};
    const double v[] = {3, 0, stale_nan()};
    const struct histogram *const hists[] = {NULL, &h, NULL};
    struct promql_series both = {labels("h", "x"), t, v, hists, 3};
    struct promql_series one = {labels("h", "x"), t + 1, v + 1, hists + 1, 1};
    const char *text = "{\"count\":\"2\",\"sum\":\"0.5\",\"buckets\":[[3,\"-0.001\",\"0.001\",\"2\"]]}";
    char wanted[400];
    snprintf(wanted, sizeof wanted, "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"h\",\"job\":\"x\"},"
                                    "\"values\":[[1,\"3\"]],\"histograms\":[[2,%s]]}]}", text);
    check(&(struct promql_result){.type = PROMQL_MATRIX, .series = &both, .n = 1}, wanted);
    snprintf(wanted, sizeof wanted, "{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"h\",\"job\":\"x\"},"
                                    "\"histogram\":[2,%s]}]}", text);
    check(&(struct promql_result){.type = PROMQL_VECTOR, .series = &one, .n = 1}, wanted);
}

static void stats(void **state)
{
    (void)state;
    const uint64_t per_step[] = {3, 4};
    const struct promql_stats s = {.samples = 7, .peak_samples = 5, .per_step = per_step, .n_steps = 2,
                                    .prepare_ns = 500, .select_ns = 500, .eval_ns = 2000};
    struct buf out = {0};
    struct json_writer w = {.out = &out};
    render_stats(&w, &s, 1000000, (struct render_grid){1500, 1000});
    assert_string_equal(buf_z(&out), "\"stats\":{\"timings\":{\"evalTotalTime\":0.000003,\"resultSortTime\":0,"
                                     "\"queryPreparationTime\":0.000001,"
                                     "\"innerEvalTime\":0.000002,\"execQueueTime\":0.001,\"execTotalTime\":0.001003},"
                                     "\"samples\":{\"totalQueryableSamplesPerStep\":[[1.5,3],[2.5,4]],"
                                     "\"totalQueryableSamples\":7,\"peakSamples\":5}}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scalars_are_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strings_are_escaped_for_html, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ranges_stand_on_the_grid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms_stand_beside_floats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stats, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
