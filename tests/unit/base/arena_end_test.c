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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs_backwards_at_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
