// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"

static char seen[8], letters[] = "abcd";

static void note(void *arg) { strncat(seen, arg, 1); }

static void test_runs_backwards_at_the_end(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    assert_true(arena_at_end(&a, note, &letters[0]));
    struct arena_mark mark = arena_mark(&a);
    assert_true(arena_at_end(&a, note, &letters[1]) && arena_at_end(&a, note, &letters[2]));
    arena_release(&a, mark);
    assert_string_equal(seen, "cb");
    arena_free(&a);
    assert_string_equal(seen, "cba");
    arena_free(&a);
    assert_string_equal(seen, "cba");
    a.max = 1; /* no room to remember it: at once */
    assert_false(arena_at_end(&a, note, &letters[3]));
    assert_string_equal(seen, "cbad");
}

static jmp_buf full;

static void leave(struct arena *a UNUSED, size_t wanted UNUSED, void *arg UNUSED) { longjmp(full, 1); }

static void test_a_child_counts_as_its_parent(void **state UNUSED)
{
    struct arena a, child;
    struct budget shared = {0};
    arena_init(&a, 0);
    assert_true(arena_charge(&a, &shared) && arena_child_init(&child, &a));
    size_t before = a.used;
    arena_alloc(&child, 3 << 20);
    assert_true(child.used > 3 << 20);
    assert_int_equal(a.used, before + child.used);
    assert_int_equal(shared.used, a.used);
    arena_free(&child);
    assert_int_equal(child.used, 0);
    assert_int_equal(a.used, before);
    arena_alloc(&child, 1000); /* can be used again, and is freed with its parent */
    arena_free(&a);
    assert_int_equal(child.used, 0);
    assert_int_equal(a.used, 0);
    assert_int_equal(shared.used, 0);
}

static void test_the_limit_of_a_parent_is_that_of_its_children(void **state UNUSED)
{
    static struct arena a, child;
    arena_init(&a, 2 << 20);
    assert_true(arena_child_init(&child, &a));
    arena_alloc(&a, 1 << 20);
    assert_null(arena_alloc(&child, 1 << 20));
    a.on_full = leave;
    bool left = setjmp(full);
    if (!left)
        arena_alloc(&child, 1 << 20);
    assert_true(left);
    assert_true(a.used <= 2 << 20);
    arena_free(&a);
}

static void test_a_reset_keeps_the_newest_blocks(void **state UNUSED)
{
    struct arena a;
    struct budget shared = {0};
    arena_init(&a, 0);
    assert_true(arena_charge(&a, &shared));
    arena_reset(&a);
    arena_alloc(&a, 100);
    char *large = arena_alloc(&a, 100000);
    size_t before = a.used;
    arena_reset(&a);
    assert_true(a.used < before && a.used > 100000);
    assert_int_equal(shared.used, a.used);
    before = a.used;
    assert_ptr_equal(arena_alloc(&a, 100000), large);
    assert_int_equal(a.used, before);
    arena_free(&a);
    assert_int_equal(shared.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs_backwards_at_the_end),
                                       cmocka_unit_test(test_a_child_counts_as_its_parent),
                                       cmocka_unit_test(test_a_reset_keeps_the_newest_blocks),
                                       cmocka_unit_test(test_the_limit_of_a_parent_is_that_of_its_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
