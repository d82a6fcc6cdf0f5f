// SPDX-License-Identifier: Apache-2.0
#include "base/mem_release.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* Small ones are freed at once; large ones shrink by a bounded amount a step, however many there are. What is lost or
 * freed twice, AddressSanitizer sees. */
static void large_blocks_are_released_in_slices(void **state UNUSED)
{
    enum { LARGE = 50 << 20, N = 2 };
    struct mem_release q = {0};
    mem_release_add(&q, NULL, 0);
    mem_release_add(&q, mem_alloc(1000), 1000);
    assert_false(mem_release_some(&q));
    for (int i = 0; i < N; i++) {
        char *p = mem_alloc(LARGE);
        memset(p, 'x', LARGE);
        mem_release_add(&q, p, LARGE);
    }
    int steps = 1;
    while (mem_release_some(&q))
        steps++;
    assert_in_range(steps, N * (LARGE / (16 << 20)), N * (LARGE / (1 << 20)));
    assert_false(mem_release_some(&q));
}

static void a_buffer_gives_its_memory_and_budget(void **state UNUSED)
{
    enum { LARGE = 20 << 20 };
    struct mem_release q = {0};
    struct budget budget = {.max = 64 << 20};
    struct buf b = {.budget = &budget, .max = LARGE};
    assert_true(buf_reserve(&b, LARGE));
    mem_release_buf(&q, &b);
    assert_int_equal(budget_left(&budget), 64 << 20);
    assert_null(b.p);
    assert_int_equal(b.n + b.cap, 0);
    assert_int_equal(b.max, LARGE);
    assert_true(mem_release_some(&q));
    mem_release_all(&q);
    assert_false(mem_release_some(&q));
}

static void only_a_large_array_is_taken(void **state UNUSED)
{
    enum { N = 1 << 20 };
    struct mem_release q = {0};
    size_t cap = N;
    uint32_t *items = mem_alloc(N * sizeof *items), *before = items;
    mem_release_items(&q, &items, &cap, sizeof *items, N);
    assert_ptr_equal(items, before);
    assert_int_equal(cap, N);
    mem_release_items(&q, &items, &cap, sizeof *items, N - 1);
    assert_null(items);
    assert_int_equal(cap, 0);
    assert_non_null(q.first);
    mem_release_items(&q, &items, &cap, sizeof *items, 0);
    mem_release_all(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_blocks_are_released_in_slices),
        cmocka_unit_test(a_buffer_gives_its_memory_and_budget),
        cmocka_unit_test(only_a_large_array_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
