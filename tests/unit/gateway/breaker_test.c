// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/breaker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void fail_times(struct breaker *b, unsigned n, int64_t now)
{
    for (unsigned i = 0; i < n; i++)
        breaker_fail(b, now);
}

static void failures_in_a_row_open_it(void **state UNUSED)
{
    struct breaker b = {0};
    fail_times(&b, BREAKER_PATIENCE - 1, 0);
    breaker_succeed(&b, 0);
    fail_times(&b, BREAKER_PATIENCE - 1, 0);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    assert_true(breaker_failing(&b));
    breaker_fail(&b, 0);
    assert_int_equal(breaker_state(&b, 0), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, BREAKER_PAUSE_MS * 3 / 4 - 1), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, BREAKER_PAUSE_MS * 5 / 4), BREAKER_HALF_OPEN);
    assert_false(breaker_closed(&b)); /* half-open: only the check is sent */
    breaker_succeed(&b, 0);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
}

/* Failures of queries that were sent earlier count once. */
static void failures_while_it_is_open_do_not_lengthen_the_pause(void **state UNUSED)
{
    struct breaker b = {0};
    fail_times(&b, 100, 0);
    assert_int_equal(breaker_state(&b, BREAKER_PAUSE_MS * 5 / 4), BREAKER_HALF_OPEN);
}

static void pauses_double_up_to_a_limit(void **state UNUSED)
{
    struct breaker b = {0};
    int64_t now = 0, pause = BREAKER_PAUSE_MS;
    fail_times(&b, BREAKER_PATIENCE, now);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(breaker_state(&b, now + pause * 3 / 4 - 1), BREAKER_OPEN);
        assert_false(breaker_needs_check(&b, now + pause * 3 / 4 - 1));
        now += pause * 5 / 4;
        assert_true(breaker_needs_check(&b, now));
        breaker_fail(&b, now);
        pause = 2 * pause < BREAKER_LONGEST_PAUSE_MS ? 2 * pause : BREAKER_LONGEST_PAUSE_MS;
    }
}

static void pauses_vary(void **state UNUSED)
{
    int64_t first = 0;
    bool differ = false;
    for (int i = 0; i < 20; i++) {
        struct breaker b = {0};
        fail_times(&b, BREAKER_PATIENCE, 0);
        first = i == 0 ? b.pause_ends : first;
        differ = differ || b.pause_ends != first;
    }
    assert_true(differ);
}

static void a_trip_opens_it_at_once(void **state UNUSED)
{
    struct breaker b = {0};
    breaker_suspect(&b);
    assert_true(breaker_needs_check(&b, 0));
    breaker_fail(&b, 0); /* of a query: the check decides */
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    assert_true(breaker_needs_check(&b, 0));
    breaker_trip(&b, 0, true);
    assert_int_equal(breaker_state(&b, 0), BREAKER_OPEN);
    assert_true(breaker_hangs(&b));
    assert_false(breaker_needs_check(&b, 0));
    breaker_trip(&b, 0, true);
    assert_int_equal(breaker_state(&b, BREAKER_PAUSE_MS * 5 / 4), BREAKER_HALF_OPEN);
    breaker_trip(&b, BREAKER_PAUSE_MS * 5 / 4, false); /* refused: a query notices at once when it is back */
    assert_false(breaker_hangs(&b));
    breaker_trip(&b, BREAKER_PAUSE_MS * 5 / 4, true);
    breaker_succeed(&b, 0);
    assert_false(breaker_hangs(&b) || !breaker_closed(&b));
    breaker_trip(&b, BREAKER_PAUSE_MS * 5 / 4, false);
    assert_int_equal(breaker_state(&b, BREAKER_PAUSE_MS * 5 / 4), BREAKER_OPEN);
}

static int64_t open_and_succeed(struct breaker *b, int64_t now, unsigned successes)
{
    breaker_trip(b, now, true);
    for (unsigned i = 0; i < successes; i++) {
        assert_false(breaker_closed(b));
        now += BREAKER_PAUSE_MS * 5 / 4;
        assert_true(breaker_needs_check(b, now));
        breaker_succeed(b, now);
    }
    assert_true(breaker_closed(b));
    return now;
}

static void a_relapse_takes_more_successes(void **state UNUSED)
{
    struct breaker b = {0};
    int64_t now = open_and_succeed(&b, 1000, 1);
    for (unsigned needed = 2; needed <= BREAKER_MOST_SUCCESSES; needed++)
        now = open_and_succeed(&b, now + BREAKER_RELAPSE_MS - 1, needed);
    now = open_and_succeed(&b, now + 1, BREAKER_MOST_SUCCESSES);
    now = open_and_succeed(&b, now + BREAKER_RELAPSE_MS, 1);
    breaker_trip(&b, now, true); /* a failure in between: from the start */
    breaker_succeed(&b, now);
    breaker_trip(&b, now, true);
    breaker_succeed(&b, now);
    assert_false(breaker_closed(&b));
    breaker_succeed(&b, now);
    assert_true(breaker_closed(&b) && !breaker_hangs(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(failures_while_it_is_open_do_not_lengthen_the_pause),
        cmocka_unit_test(pauses_double_up_to_a_limit),
        cmocka_unit_test(pauses_vary),
        cmocka_unit_test(a_trip_opens_it_at_once),
        cmocka_unit_test(a_relapse_takes_more_successes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
