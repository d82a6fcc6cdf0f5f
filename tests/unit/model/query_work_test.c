// SPDX-License-Identifier: Apache-2.0
/* Long work ends with its query: the meter, and sorting by runs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "model/query_work.h"

#include <stdlib.h>

struct item { uint32_t key, number; };

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static struct arena arena;

static int set_up(void **state UNUSED)
{
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    arena_free(&arena);
    return 0;
}

static struct item *some_items(size_t n, uint32_t keys)
{
    struct item *items = ARENA_ARRAY(&arena, struct item, n);
    uint32_t x = 7;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        items[i] = (struct item){(x >> 8) % keys, (uint32_t)i};
    }
    return items;
}

/* In order, each once, and equal ones as they came, for every number of runs and with the last one short. */
static void sorts_any_number(void **state UNUSED)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4095, 4096, 4097, 8191, 8192, 8193, 12288, 12289, 16384, 20000, 100000};
    for (size_t k = 0; k < LEN(sizes); k++)
        for (uint32_t keys = 3; keys < 1u << 30; keys *= 1000) {
            size_t n = sizes[k];
            struct query_work work = {0};
            struct err err;
            struct item *items = some_items(n, keys);
            assert_true(query_sort(&work, &arena, items, n, sizeof *items, compare_items, &err));
            for (size_t i = 1; i < n; i++)
                assert_true(items[i - 1].key < items[i].key ||
                            (items[i - 1].key == items[i].key && items[i - 1].number < items[i].number));
        }
}

static void what_is_in_order_takes_no_memory(void **state UNUSED)
{
    struct query_work work = {0};
    struct err err;
    struct item *items = ARENA_ARRAY(&arena, struct item, 100000);
    for (uint32_t i = 0; i < 100000; i++)
        items[i] = (struct item){i / 2, i};
    size_t used = arena.used;
    assert_true(query_sort(&work, &arena, items, 100000, sizeof *items, compare_items, &err));
    assert_int_equal(arena.used, used);
}

static void ends_with_the_query(void **state UNUSED)
{
    struct query_ctx q = {.arena = &arena, .deadline_mono = clock_mono_ms() - 1};
    struct query_work work = {.q = &q, .where = "a test"};
    struct err err = {0};
    struct item *items = some_items(1 << 20, 1 << 30);
    assert_false(query_sort(&work, &arena, items, 1 << 20, sizeof *items, compare_items, &err));
    assert_int_equal(err.kind, ERR_TIMEOUT);
    assert_string_equal(err.text, "query timed out in a test");
    atomic_bool canceled = true;
    q = (struct query_ctx){.arena = &arena, .canceled = &canceled};
    assert_false(query_sort(&work, &arena, items, 1 << 20, sizeof *items, compare_items, &err));
    assert_int_equal(err.kind, ERR_CANCELED);
}

static void looks_at_the_clock_now_and_then(void **state UNUSED)
{
    struct query_ctx q = {.deadline_mono = clock_mono_ms() - 1};
    struct query_work work = {.q = &q, .where = "a test"};
    struct err err = {0};
    unsigned done = 0;
    assert_false(query_charge(&work, 1, &err)); /* at once: small work is charged once, at its beginning */
    while (query_charge(&work, 100, &err))
        done++;
    assert_in_range(done, 500, 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sorts_any_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_order_takes_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_with_the_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_at_the_clock_now_and_then, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
