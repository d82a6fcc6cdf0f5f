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
    assert_true(server_clock_take(&c, 50000, 39000, 50000 - SERVER_CLOCK_MS, 300));
    assert_true(server_clock_right(&c));
    assert_false(server_clock_due(&c, INT64_MAX));
}

static void a_slow_response_is_no_evidence_of_a_right_clock(void **state UNUSED)
{
    struct server_clock c = {0};
    assert_true(server_clock_take(&c, 50000, 19000, 20000, 1));
    assert_false(server_clock_take(&c, 50000, 19000, 50000, 2));
    assert_int_equal(c.off, 30000);
    assert_true(server_clock_take(&c, 50000, 49000, 50000, 3));
    assert_int_equal(c.off, 0);
}

/* Date has whole seconds: a clock that is 10.5 s ahead shows from 9.5 to 10.5 s. */
static void a_wrong_clock_near_the_limit_stays_wrong(void **state UNUSED)
{
    struct server_clock c = {0};
    for (int64_t now = 100500; now < 110000; now += 100) {
        bool was = server_clock_wrong(&c);
        bool changed = server_clock_take(&c, (now + 10500) / 1000 * 1000, now - 5, now, now);
        assert_true(changed == (!was && server_clock_wrong(&c)));
    }
    assert_true(server_clock_wrong(&c));
}

static void a_clock_without_date_is_unknown(void **state UNUSED)
{
    struct server_clock c = {0};
    assert_true(server_clock_take(&c, 50000, 19000, 20000, 1));
    server_clock_forget(&c);
    assert_false(server_clock_wrong(&c) || server_clock_right(&c) || server_clock_due(&c, INT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_equal_is_no_difference),
        cmocka_unit_test(the_least_difference_counts),
        cmocka_unit_test(a_wrong_clock_is_measured_again),
        cmocka_unit_test(a_slow_response_is_no_evidence_of_a_right_clock),
        cmocka_unit_test(a_wrong_clock_near_the_limit_stays_wrong),
        cmocka_unit_test(a_clock_without_date_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
