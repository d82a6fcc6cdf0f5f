// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/server_clock.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { DATE = 1700000000 }; /* seconds: Date has no more */

static int64_t off_by(int64_t sent, int64_t head)
{
    struct server_clock c = {0};
    server_clock_take(&c, DATE * INT64_C(1000), sent + DATE * INT64_C(1000), head + DATE * INT64_C(1000), 1);
    return c.off;
}

static void what_may_be_equal_is_no_difference(void **state UNUSED)
{
    assert_int_equal(off_by(0, 5), 0);
    assert_int_equal(off_by(999, 1004), 0);       /* 999 ms of its second were over */
    assert_int_equal(off_by(-3, 0), 0);
    assert_int_equal(off_by(-60000, 60000), 0);   /* the response took two minutes */
}

static void the_least_difference_counts(void **state UNUSED)
{
    assert_int_equal(off_by(-45100, -45000), 45000);
    assert_int_equal(off_by(31000, 31200), -30000);
    assert_int_equal(off_by(-60000, -20000), 20000);
}

static void a_wrong_clock_is_measured_again(void **state UNUSED)
{
    struct server_clock c = {0};
    assert_false(server_clock_wrong(&c) || server_clock_right(&c)); /* unknown */
    assert_true(server_clock_take(&c, 50000, 20000, 30000, 100));
    assert_true(server_clock_wrong(&c));
    assert_false(server_clock_right(&c) || server_clock_due(&c, 100 + SERVER_CLOCK_AGAIN_MS - 1));
    assert_true(server_clock_due(&c, 100 + SERVER_CLOCK_AGAIN_MS));
    assert_false(server_clock_take(&c, 50000, 20000, 30000, 200));  /* nothing new */
    assert_true(server_clock_take(&c, 50000, 30000, 50000 - SERVER_CLOCK_MS, 300));
    assert_true(server_clock_right(&c));
    assert_false(server_clock_due(&c, INT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_equal_is_no_difference),
        cmocka_unit_test(the_least_difference_counts),
        cmocka_unit_test(a_wrong_clock_is_measured_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
