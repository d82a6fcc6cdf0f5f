// SPDX-License-Identifier: Apache-2.0
/* Series that independent scrapers hold: which samples each window of a range function sees. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "promql/promql.h"

enum { SECOND = 1000 };

/* Values tell where they are from: 1 and 2 of the replicas, 5 merged. The first is complete up to 40 s and, for windows
 * that end from 90 s on, since 60 s; the second from 30 s to 80 s. */
static const struct sample merged[] = {
    {10000, 5}, {20000, 5}, {30000, 5}, {40000, 5}, {50000, 5}, {60000, 5}, {70000, 5}, {80000, 5}, {90000, 5}, {100000, 5}};
static const struct sample first[] = {{10000, 1}, {20000, 1}, {30000, 1}, {70000, 1}, {80000, 1}, {90000, 1}, {100000, 1}};
static const struct sample second[] = {{35000, 2}, {45000, 2}, {55000, 2}, {65000, 2}, {75000, 2}};
static const struct series_span spans_1[] = {{-SERIES_FAR, -SERIES_FAR, 40000}, {60000, 90000, SERIES_FAR}};
static const struct series_span spans_2[] = {{30000, -SERIES_FAR, 80000}};
static const struct series_replica replicas[] = {
    {.samples = first, .n_samples = 7, .spans = spans_1, .n_spans = 2},
    {.samples = second, .n_samples = 5, .spans = spans_2, .n_spans = 1}};

static bool select_series(struct source *s UNUSED, struct query_ctx *q, const struct select *sel UNUSED, size_t n,
                          struct series_set *out, struct err *err UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct series *series = ARENA_ARRAY(q->arena, struct series, 1);
        *series = (struct series){.samples = merged, .n_samples = 10, .replicas = replicas, .n_replicas = 2};
        out[i] = (struct series_set){.series = series, .n = 1};
    }
    return true;
}

/* Returns how many samples were read. */
static uint64_t check(const char *text, int64_t start, int64_t end, bool range, const char *want)
{
    static const struct source_ops ops = {.select = select_series};
    struct source source = {&ops};
    struct arena arena;
    struct err err = {0};
    struct promql_result out;
    struct buf got = {0};
    arena_init(&arena, 0);
    struct notes notes = {.arena = &arena};
    struct query_ctx q = {.arena = &arena, .notes = &notes};
    struct promql_params p = {.start = start * SECOND, .end = end * SECOND, .step = 10 * SECOND, .range = range};
    struct expr *e = promql_parse(&arena, str_of(text), NULL, &err);
    assert_non_null(e);
    assert_true(promql_eval(e, str_of(text), &p, &source, &q, &out, &err));
    for (size_t k = 0; out.n > 0 && k < out.series[0].n; k++)
        if (promql_has(&out.series[0], k))
            buf_printf(&got, "%s%g", got.n ? " " : "", out.series[0].v[k]);
    assert_string_equal(buf_z(&got), want);
    uint64_t samples = out.stats.samples;
    promql_free(e);
    buf_free(&got);
    arena_free(&arena);
    return samples;
}

static void each_window_sees_one_replica(void **state UNUSED)
{
    /* windows end at 20 .. 100 s */
    check("max_over_time(m[20s])", 20, 100, true, "1 1 1 2 2 2 2 1 1");
    check("count_over_time(m[20s])", 20, 100, true, "2 2 1 2 2 2 2 2 2");
    check("max_over_time(m[30s])", 20, 100, true, "1 1 1 5 2 2 2 1 1");
    check("sum(max_over_time(m[30s]))", 20, 100, true, "1 1 1 5 2 2 2 1 1");
    check("max_over_time(m[20s] offset 10s)", 30, 110, true, "1 1 1 2 2 2 2 1 1");
    check("max_over_time(m[20s] @ 70)", 20, 40, true, "2 2 2");
    check("max_over_time(max_over_time(m[20s])[20s:10s])", 40, 60, true, "1 2 2");
}

static void instant_queries_see_the_same(void **state UNUSED)
{
    check("max_over_time(m[20s])", 40, 40, false, "1");
    check("max_over_time(m[20s])", 50, 50, false, "2");
    check("max_over_time(m[30s])", 50, 50, false, "5");
    check("m[20s]", 80, 80, false, "2 2");
}

static void selectors_see_the_merged_samples(void **state UNUSED)
{
    check("m", 20, 100, true, "5 5 5 5 5 5 5 5 5");
    check("max_over_time(m[20s:10s])", 40, 60, true, "5 5 5");
}

/* Samples of a replica count only in the windows that see it. */
static void samples_are_counted_once(void **state UNUSED)
{
    assert_int_equal(check("count_over_time(m[20s])", 20, 100, true, "2 2 1 2 2 2 2 2 2"), 17);
    assert_int_equal(check("count_over_time(m[30s])", 20, 100, true, "2 3 2 3 3 3 3 3 3"), 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_window_sees_one_replica),
                                       cmocka_unit_test(samples_are_counted_once),
                                       cmocka_unit_test(instant_queries_see_the_same),
                                       cmocka_unit_test(selectors_see_the_merged_samples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
