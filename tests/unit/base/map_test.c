// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 4000 };
static char keys[KEYS][16];

static struct str key(size_t i) { return str_of(keys[i]); }

static int setup(void **state UNUSED)
{
    for (size_t i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "key-%zu", i * 7919);
    return 0;
}

static void test_empty(void **state UNUSED)
{
    struct map m = {0};
    assert_null(map_get(&m, STR("a")));
    assert_false(map_remove(&m, STR("a")));
    assert_null(map_next(&m, NULL));
    map_clear(&m);
    map_free(&m);
}

static void test_set_and_add(void **state UNUSED)
{
    struct map m = {0};
    int one = 1, two = 2;
    map_set(&m, STR("a"), &one);
    map_set(&m, STR(""), &two);
    assert_ptr_equal(map_get(&m, STR("a")), &one);
    assert_ptr_equal(map_get(&m, STR_NONE), &two);
    map_set(&m, STR("a"), &two);
    assert_ptr_equal(map_get(&m, STR("a")), &two);
    bool added;
    map_add(&m, STR("a"), &added);
    assert_false(added);
    struct map_entry *e = map_add(&m, STR("b\0c"), &added);
    assert_true(added);
    assert_int_equal(e->value.u, 0);
    assert_null(map_find(&m, STR("b")));
    assert_int_equal(m.n, 3);
    map_clear(&m);
    assert_int_equal(m.n, 0);
    assert_null(map_get(&m, STR("a")));
    map_free(&m);
}

/* A random walk of additions and removals, beside a plain array of what should be there. */
static void test_random(void **state UNUSED)
{
    struct map m = {0};
    static bool there[KEYS];
    size_t n = 0;
    srand(1);
    for (int step = 0; step < 200000; step++) {
        size_t i = (size_t)rand() % KEYS;
        if (rand() % 2) {
            bool added;
            struct map_entry *e = map_add(&m, key(i), &added);
            assert_int_equal(added, !there[i]);
            e->value.u = i;
            n += !there[i];
            there[i] = true;
        } else {
            assert_int_equal(map_remove(&m, key(i)), there[i]);
            n -= there[i];
            there[i] = false;
        }
        assert_int_equal(m.n, n);
    }
    for (size_t i = 0; i < KEYS; i++) {
        struct map_entry *e = map_find(&m, key(i));
        assert_int_equal(e != NULL, there[i]);
        if (e)
            assert_int_equal(e->value.u, i);
    }
    size_t seen = 0;
    for (struct map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e)) {
        assert_true(there[e->value.u]);
        seen++;
    }
    assert_int_equal(seen, n);
    assert_true(4 * m.n <= 3 * m.cap);
    map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_set_and_add),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
