// SPDX-License-Identifier: Apache-2.0
/* Sums of delta temporality: what becomes of a point, how long they are kept, and how many. */
#include "gateway/ingest/otlp/otlp_delta.h"

#include "base/text/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum otlp_delta add(struct otlp_deltas *d, uint64_t id, int64_t start, int64_t t, size_t bytes)
{
    struct otlp_delta_series *s;
    enum otlp_delta what = otlp_delta_open(d, id, start, t, &s);
    if (what == OTLP_DELTA_LATE || what == OTLP_DELTA_FULL)
        return what;
    assert_true(what != OTLP_DELTA_NEW || s->sum.n == 0);
    char *sum = mem_zalloc(bytes);
    if (!otlp_delta_store(d, s, 0, str_n(sum, bytes)))
        what = OTLP_DELTA_FULL;
    mem_free(sum);
    return what;
}

static void test_points_are_added_once(void **state UNUSED)
{
    struct otlp_deltas *d = otlp_deltas_new();
    assert_int_equal(add(d, 1, 50, 100, 8), OTLP_DELTA_NEW);
    assert_int_equal(add(d, 1, 50, 100, 8), OTLP_DELTA_AGAIN);
    assert_int_equal(add(d, 1, 50, 99, 8), OTLP_DELTA_LATE);
    assert_int_equal(add(d, 1, 49, 101, 8), OTLP_DELTA_LATE);
    assert_int_equal(add(d, 1, 0, 101, 8), OTLP_DELTA_ADD);
    assert_int_equal(add(d, 1, 60, 102, 8), OTLP_DELTA_ADD);
    assert_int_equal(add(d, 17, 0, 1, 8), OTLP_DELTA_NEW); /* of the same stripe */
    otlp_deltas_free(d);
    otlp_deltas_free(NULL);
}

static void test_unused_series_are_forgotten(void **state UNUSED)
{
    struct otlp_deltas *d = otlp_deltas_new();
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(add(d, 16 * i, 0, 100, 8), OTLP_DELTA_NEW);
    clock_advance(OTLP_DELTA_UNUSED / 2);
    assert_int_equal(add(d, 16, 0, 200, 8), OTLP_DELTA_ADD);
    clock_advance(OTLP_DELTA_UNUSED / 2 + 1);
    for (uint64_t i = 0; i < 100; i++) /* 8 are forgotten with each */
        assert_int_equal(add(d, 16 * i, 0, 50, 8), i == 1 ? OTLP_DELTA_LATE : OTLP_DELTA_NEW);
    otlp_deltas_free(d);
}

static void test_memory_is_limited(void **state UNUSED)
{
    struct otlp_deltas *d = otlp_deltas_new();
    uint64_t n = 0;
    while (add(d, n, 0, 100, 1 << 20) == OTLP_DELTA_NEW)
        n++;
    assert_in_range(n, OTLP_DELTA_MEMORY / (3 << 20), OTLP_DELTA_MEMORY >> 20);
    for (uint64_t i = 1 << 20; add(d, i, 0, 100, 8) == OTLP_DELTA_NEW; i++) {} /* the rest */
    assert_int_equal(add(d, n, 0, 100, 8), OTLP_DELTA_FULL);
    assert_int_equal(add(d, 0, 0, 101, 8), OTLP_DELTA_ADD); /* known ones go on */
    assert_int_equal(add(d, 1, 0, 102, 8 << 20), OTLP_DELTA_FULL); /* unless they grow */
    assert_int_equal(add(d, 1, 0, 102, 8), OTLP_DELTA_ADD); /* what was refused was not added */
    clock_advance(OTLP_DELTA_UNUSED + 1);
    for (uint64_t i = 0; i < 16; i++)
        (void)add(d, 1000 + i, 0, 100, 8);
    assert_int_equal(add(d, n, 0, 100, 8), OTLP_DELTA_NEW);
    otlp_deltas_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_are_added_once), cmocka_unit_test(test_unused_series_are_forgotten),
        cmocka_unit_test(test_memory_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
