// SPDX-License-Identifier: Apache-2.0
/* Which memory is kept for the next answer, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/http/http_spare.h"

enum { MIB = 1 << 20 };

static int64_t now;
static struct loop *loop;
static struct http_spare spare;

static int64_t clock_of_test(void *arg UNUSED) { return now; }

static int set_up(void **state UNUSED)
{
    loop = loop_new();
    loop_set_clock(loop, (struct loop_clock){clock_of_test, clock_of_test, NULL});
    http_spare_init(&spare, loop);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    http_spare_free(&spare);
    loop_free(loop);
    return 0;
}

static void put(size_t size)
{
    struct buf b = {0};
    buf_limit(&b, size);
    assert_true(buf_reserve(&b, size));
    buf_add_z(&b, "old");
    http_spare_put(&spare, &b);
    assert_null(b.p);
}

static size_t take(void)
{
    struct buf b = http_spare_take(&spare);
    size_t cap = b.cap;
    assert_true(b.n == 0 && b.max == 0);
    buf_free(&b);
    return cap;
}

static void the_largest_is_kept(void **state UNUSED)
{
    put(2 * MIB);
    put(3 * MIB);
    put(MIB);
    assert_int_equal(take(), 3 * MIB);
    assert_int_equal(take(), 0);
}

static void neither_small_nor_huge_memory_is_kept(void **state UNUSED)
{
    put(1000);
    put(33 * MIB);
    assert_int_equal(take(), 0);
}

static void it_is_given_back_after_a_second(void **state UNUSED)
{
    put(2 * MIB);
    now += 999;
    loop_turn(loop, 0);
    assert_non_null(spare.buf.p);
    put(3 * MIB); /* a second from now */
    now += 2;
    loop_turn(loop, 0);
    assert_non_null(spare.buf.p);
    now += 1000;
    loop_turn(loop, 0);
    assert_null(spare.buf.p);
}

static void a_small_answer_lets_large_memory_go(void **state UNUSED)
{
    struct buf response = {0};
    buf_reserve(&response, 2 * MIB);
    buf_add_z(&response, "small");
    http_spare_save(&spare, &response);
    assert_string_equal(buf_z(&response), "small");
    assert_true(response.cap < 1000);
    buf_free(&response);
    assert_int_equal(take(), 2 * MIB);
}

static void a_large_answer_stays(void **state UNUSED)
{
    struct buf response = {0};
    buf_reserve(&response, 2 * MIB);
    response.n = MIB;
    http_spare_save(&spare, &response);
    assert_int_equal(response.cap, 2 * MIB);
    buf_free(&response);
    assert_int_equal(take(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_largest_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neither_small_nor_huge_memory_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_given_back_after_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_answer_lets_large_memory_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_answer_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
