// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/stats_kept.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static void a_row_is_taken_once(void **state UNUSED)
{
    struct stats_kept k;
    double values[2];
    stats_kept_init(&k, 2);
    stats_keep(&k, STR("a"), (double[]){1, 2});
    stats_keep(&k, STR("b"), (double[]){3, 4});
    stats_keep(&k, STR("a"), (double[]){5, 6});
    stats_kept_take(&k, STR("a"), values);
    assert_true(values[0] == 5 && values[1] == 6);
    stats_kept_take(&k, STR("a"), values);
    assert_true(values[0] == 0 && values[1] == 0);
    stats_kept_free(&k);
}

static void rows_are_limited(void **state UNUSED)
{
    enum { MORE = 10 };
    struct stats_kept k;
    char name[16];
    double value;
    stats_kept_init(&k, 1);
    for (int i = 0; i < STATS_KEPT_MAX + MORE; i++) {
        snprintf(name, sizeof name, "%d", i);
        value = i + 1;
        stats_keep(&k, str_of(name), &value);
        value = 1;
        stats_keep(&k, STR("0"), &value); /* it stays the newest */
    }
    for (int i = 0; i < STATS_KEPT_MAX + MORE; i++) {
        snprintf(name, sizeof name, "%d", i);
        stats_kept_take(&k, str_of(name), &value);
        assert_true(value == (i == 0 || i > MORE ? i + 1 : 0));
    }
    assert_int_equal(k.rows.n, 0);
    stats_kept_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_row_is_taken_once), cmocka_unit_test(rows_are_limited)};
    return cmocka_run_group_tests_name("stats_kept", tests, NULL, NULL);
}
