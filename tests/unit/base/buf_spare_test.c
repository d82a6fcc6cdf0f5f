// SPDX-License-Identifier: Apache-2.0
/* Which memory is kept for the next answer, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/os/buf_spare.h"

enum { MIB = 1 << 20 };

static int64_t now;
static struct loop *loop;
static struct buf_spare spare;

static int64_t clock_of_test(void *arg UNUSED) { return now; }

static int set_up(void **state UNUSED)
{
    loop = loop_new();
    loop_set_clock(loop, (struct loop_clock){clock_of_test, clock_of_test, NULL});
    buf_spare_init(&spare, loop);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    buf_spare_free(&spare);
    loop_free(loop);
    return 0;
}

static void put(size_t size)
{
    struct buf b = {0};
    buf_limit(&b, size);
    assert_true(buf_reserve(&b, size));
    buf_add_z(&b, "old");
    buf_spare_put(&spare, &b);
    assert_null(b.p);
}

static size_t take(void)
{
    struct buf b = buf_spare_take(&spare);
    size_t cap = b.cap;
    assert_true(b.n == 0 && b.max == 0);
    buf_free(&b);
    return cap;
}

static void the_largest_are_kept(void **state UNUSED)
{
    for (size_t size = 1; size <= BUF_SPARES + 1; size++)
        put(size * MIB);
    put(MIB);
    for (size_t size = BUF_SPARES + 1; size > 1; size--)
        assert_int_equal(take(), size * MIB);
    assert_int_equal(take(), 0);
}

static void neither_small_nor_huge_memory_is_kept(void **state UNUSED)
{
    put(1000);
    put(33 * MIB);
    assert_int_equal(take(), 0);
}

static bool is_kept(void)
{
    for (size_t i = 0; i < BUF_SPARES; i++)
        if (spare.kept[i].p)
            return true;
    return false;
}

static void it_is_given_back_after_a_second(void **state UNUSED)
{
    put(2 * MIB);
    now += 999;
    loop_turn(loop, 0);
    assert_true(is_kept());
    put(3 * MIB); /* a second from now */
    now += 2;
    loop_turn(loop, 0);
    assert_true(is_kept());
    now += 1000;
    loop_turn(loop, 0);
    assert_false(is_kept());
}

static void a_buffer_grows_into_kept_memory(void **state UNUSED)
{
    struct budget budget = {.max = 3 * MIB};
    struct buf b = {.budget = &budget};
    buf_add_z(&b, "bytes");
    put(2 * MIB);
    buf_spare_grow(&spare, &b, MIB); /* too large */
    assert_int_equal(b.cap, 64);
    buf_spare_grow(&spare, &b, 2 * MIB);
    assert_int_equal(b.cap, 2 * MIB);
    assert_int_equal((int)atomic_load(&budget.used), 2 * MIB);
    assert_string_equal(buf_z(&b), "bytes");
    put(4 * MIB);
    buf_spare_grow(&spare, &b, 4 * MIB); /* the budget refuses */
    assert_int_equal(b.cap, 2 * MIB);
    b.max = 2 * MIB + 4096; /* kept memory shrinks to the limit of the buffer */
    buf_spare_grow(&spare, &b, 4 * MIB);
    assert_int_equal(b.cap, b.max);
    buf_spare_put(&spare, &b);
    assert_int_equal((int)atomic_load(&budget.used), 0);
    assert_true(b.budget == &budget && b.max > 0);
    assert_int_equal(take(), 2 * MIB + 4096);
}

static void a_small_answer_lets_large_memory_go(void **state UNUSED)
{
    struct buf response = {0};
    buf_reserve(&response, 2 * MIB);
    buf_add_z(&response, "small");
    buf_spare_save(&spare, &response);
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
    buf_spare_save(&spare, &response);
    assert_int_equal(response.cap, 2 * MIB);
    buf_free(&response);
    assert_int_equal(take(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_largest_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neither_small_nor_huge_memory_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_given_back_after_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_buffer_grows_into_kept_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_answer_lets_large_memory_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_answer_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
