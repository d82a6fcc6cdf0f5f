// SPDX-License-Identifier: Apache-2.0
/* Texts are sorted as a comparison of all of them sorts them, and sorting ends with its query. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "model/str_sort.h"
#include "tests/unit/model/rng.h"

#include <stdlib.h>

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

static int compare_texts(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* A prefix that all or most have, then up to 20 bytes, often equal ones, zeros and bytes beyond 127. */
static struct str random_text(uint64_t *r, unsigned prefix, unsigned alphabet)
{
    static const char bytes[] = {'a', 0, (char)0xff, 'b', (char)0x80, 'c', 'd', 1};
    unsigned n = rng_below(r, 20);
    char *text = arena_bytes(&arena, prefix + n);
    memset(text, 'h', prefix);
    if (prefix > 0 && rng_below(r, 500) == 0)
        prefix = rng_below(r, prefix);
    for (unsigned i = 0; i < n; i++)
        text[prefix + i] = bytes[rng_below(r, alphabet)];
    return str_n(text, prefix + n);
}

static void sorts_as_comparing_does(void **state UNUSED)
{
    uint64_t r = 3;
    for (int round = 0; round < 300; round++) {
        size_t n = rng_below(&r, 1000);
        struct str *sorted = ARENA_ARRAY(&arena, struct str, n), *wanted = ARENA_ARRAY(&arena, struct str, n);
        unsigned prefix = rng_below(&r, 12), alphabet = 1 + rng_below(&r, 8);
        for (size_t i = 0; i < n; i++)
            sorted[i] = wanted[i] = random_text(&r, prefix, alphabet);
        qsort(wanted, n, sizeof *wanted, compare_texts);
        struct query_work work = {0};
        struct err err;
        for (int again = 0; again < 2; again++) {
            assert_true(str_sort(&work, &arena, sorted, n, &err));
            for (size_t i = 0; i < n; i++)
                assert_int_equal(str_cmp(sorted[i], wanted[i]), 0);
        }
        arena_reset(&arena);
    }
}

/* Each text differs from the others in a byte of its own, eight bytes after the previous one's. */
static void sorts_texts_with_many_common_parts(void **state UNUSED)
{
    enum { TEXTS = 120, STEP = 8 };
    struct str items[TEXTS];
    struct query_work work = {0};
    struct err err;
    for (int i = 0; i < TEXTS; i++) {
        char *text = arena_bytes(&arena, TEXTS * STEP);
        memset(text, 'a', TEXTS * STEP);
        text[(i * 7 % TEXTS) * STEP] = 'b';
        items[i] = str_n(text, TEXTS * STEP);
    }
    assert_true(str_sort(&work, &arena, items, TEXTS, &err));
    for (int i = 0; i < TEXTS; i++)
        assert_int_equal(items[i].p[(TEXTS - 1 - i) * STEP], 'b');
    arena_reset(&arena);
}

static void ends_with_the_query(void **state UNUSED)
{
    struct query_ctx q = {.arena = &arena, .deadline_mono = clock_mono_ms() - 1};
    struct query_work work = {.q = &q, .where = "a test"};
    struct err err = {0};
    uint64_t r = 3;
    struct str *items = ARENA_ARRAY(&arena, struct str, 100000);
    for (size_t i = 0; i < 100000; i++)
        items[i] = random_text(&r, 5, 8);
    assert_false(str_sort(&work, &arena, items, 100000, &err));
    assert_int_equal(err.kind, ERR_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorts_as_comparing_does), cmocka_unit_test(sorts_texts_with_many_common_parts),
                                       cmocka_unit_test(ends_with_the_query)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
