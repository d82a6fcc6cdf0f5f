// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/notes.h"

static void test_once_and_in_order(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct notes n = {.arena = &a};
    for (int i = 0; i < 20; i++)
        notes_warn(&n, "warning %d", i % 7);
    notes_info(&n, "warning %d", 1);
    assert_int_equal(n.warnings.n, 7);
    assert_int_equal(n.infos.n, 1);
    assert_true(str_is(n.warnings.items[6], "warning 6"));
    arena_free(&a);
}

/* So many that comparing each with each would take a minute. */
static void test_many(void **state UNUSED)
{
    enum { N = 200000 };
    struct arena a;
    arena_init(&a, 0);
    struct notes n = {.arena = &a};
    for (int i = 0; i < 2 * N; i++)
        notes_info(&n, "metric might not be a counter: %d", i % N);
    assert_int_equal(n.infos.n, N);
    assert_true(str_is(n.infos.items[N - 1], "metric might not be a counter: 199999"));
    arena_free(&a);
}

static void test_a_spent_arena(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 20 << 10);
    struct notes n = {.arena = &a};
    for (int i = 0; i < 10000; i++)
        notes_warn(&n, "warning %d", i);
    assert_true(n.warnings.n > 100 && n.warnings.n < 1000);
    for (size_t i = 0; i < n.warnings.n; i++)
        assert_true(str_starts(n.warnings.items[i], STR("warning ")));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_and_in_order),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_a_spent_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
