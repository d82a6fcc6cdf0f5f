// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

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
    map_free(&m);
    assert_int_equal(m.n, 0);
    assert_null(map_get(&m, STR("a")));
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

/* While a large table moves, a few slots at each addition: everything is found, removed and walked over; keys that are
 * freed with their entries are not read again (under AddressSanitizer). */
static void test_growth_in_steps(void **state UNUSED)
{
    enum { MANY = 40000, BEHIND = 700 };
    struct map m = {0};
    char **texts = mem_zalloc(MANY * sizeof *texts);
    size_t stepped = 0, n = 0;
    for (size_t i = 0; i < MANY; i++) {
        char text[24];
        snprintf(text, sizeof text, "%zu", i);
        texts[i] = mem_strdup(text);
        map_set(&m, str_of(texts[i]), texts[i]);
        n++;
        stepped += m._old != NULL;
        if (m._old && i % 3 == 0) { /* an early one, which may have moved or not */
            size_t victim = i / 3;
            if (texts[victim]) {
                assert_true(map_remove(&m, str_of(texts[victim])));
                assert_null(map_get(&m, str_of(texts[victim])));
                mem_free(texts[victim]);
                texts[victim] = NULL;
                n--;
            }
        }
        assert_int_equal(m.n, n);
        if (i % BEHIND == 0) {
            size_t seen = 0;
            for (struct map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e))
                seen++;
            assert_int_equal(seen, n);
            for (size_t k = 0; k <= i; k++)
                if (texts[k])
                    assert_ptr_equal(map_get(&m, str_of(texts[k])), texts[k]);
        }
    }
    assert_true(stepped > MANY / 20);
    map_free(&m);
    assert_null(map_next(&m, NULL));
    for (size_t i = 0; i < MANY; i++)
        mem_free(texts[i]);
    mem_free(texts);
    map_free(&m);
}

/* The pages of a large table are touched before it is used, one in four additions: no burst of additions has many page
 * faults. */
static void test_growth_touches_pages_in_steps(void **state UNUSED)
{
    enum { MANY = 700000, BURST = 100 };
    uint64_t *numbers = mem_alloc(MANY * sizeof *numbers);
    struct map m = {0};
    long worst = 0, before = 0;
    size_t growths = 0, cap = 0;
    for (size_t i = 0; i < MANY; i++)
        numbers[i] = i;
    for (size_t i = 0; i < MANY; i++) {
        if (i % BURST == 0) {
            struct rusage usage;
            getrusage(RUSAGE_THREAD, &usage);
            worst = i > 0 && usage.ru_minflt - before > worst ? usage.ru_minflt - before : worst;
            before = usage.ru_minflt;
        }
        map_set(&m, str_n(&numbers[i], sizeof numbers[i]), &numbers[i]);
        assert_true(4 * m.n <= 3 * m.cap);
        growths += m.cap > cap;
        cap = m.cap;
    }
    assert_true(growths > 15);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* their own memory has pages, too */
    assert_in_range(worst, 1, 40);
#endif
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(map_get(&m, str_n(&numbers[i], sizeof numbers[i])), &numbers[i]);
    map_free(&m);
    for (size_t i = 0; i < 1400; i++) /* ends while the next table is touched */
        map_set(&m, str_n(&numbers[i], sizeof numbers[i]), &numbers[i]);
    assert_non_null(m._next);
    map_free(&m);
    assert_null(m._next);
    mem_free(numbers);
}

/* Additions while somebody walks: what was there before is met all the same. */
static void test_walk_with_additions(void **state UNUSED)
{
    enum { BEFORE = 1600, AFTER = 8000 };
    static char text[AFTER][12];
    static bool met[AFTER];
    for (size_t pause = 1; pause < 400; pause += 7) {
        struct map m = {0};
        size_t n = 0, steps = 0;
        bool added;
        memset(met, 0, sizeof met);
        for (; n < BEFORE; n++) {
            snprintf(text[n], sizeof text[n], "%zu", n);
            map_add(&m, str_of(text[n]), &added)->value.u = n;
        }
        struct map_walk walk = {0};
        for (struct map_entry *e; (e = map_walk_next(&m, &walk)); ) {
            met[e->value.u] = true;
            if (++steps % pause == 0)
                for (size_t k = 0; k < 40 && n < AFTER; k++, n++) {
                    snprintf(text[n], sizeof text[n], "%zu", n);
                    map_add(&m, str_of(text[n]), &added)->value.u = n;
                }
        }
        for (size_t i = 0; i < BEFORE; i++)
            assert_true(met[i]);
        map_free(&m);
    }
}

/* Keys that all begin at one slot under the hash that everybody knows are spread by the one of this process. */
static void test_chosen_keys(void **state UNUSED)
{
    enum { CHOSEN = 2000, LOW = 0xfff, MOST = 150 };
    static uint64_t chosen[CHOSEN];
    struct map m = {0};
    size_t n = 0, mask, worst = 0;
    for (uint64_t i = 0; n < CHOSEN; i++)
        if ((hash_bytes(&i, sizeof i) & LOW) == 7) {
            chosen[n] = i;
            map_set(&m, str_n(&chosen[n], sizeof chosen[n]), &chosen[n]);
            n++;
        }
    assert_int_equal(m.cap, LOW + 1);
    mask = m.cap - 1;
    for (size_t i = 0; i < m.cap; i++)
        if (m.slots[i].hash && ((i - m.slots[i].hash) & mask) > worst)
            worst = (i - m.slots[i].hash) & mask;
    assert_true(worst < MOST);
    map_free(&m);
    assert_true(hash_keyed("a", 1) == hash_keyed("a", 1));
    assert_true(hash_keyed("a", 1) != hash_bytes("a", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_set_and_add),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_growth_in_steps),
        cmocka_unit_test(test_growth_touches_pages_in_steps),
        cmocka_unit_test(test_walk_with_additions),
        cmocka_unit_test(test_chosen_keys),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
