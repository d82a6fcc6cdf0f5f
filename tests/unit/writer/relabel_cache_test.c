// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/pipeline/relabel_cache.h"

static struct arena arena;

static struct labels numbered(const char *name, unsigned i)
{
    struct label l = {str_of(name), arena_printf(&arena, "%u", i)};
    return labels_from(&arena, &l, 1);
}

/* What the rules make of the i-th label set. */
static bool rules_keep(unsigned i) { return i % 3 > 0; }
static struct labels rules_result(unsigned i) { return numbered(i % 3 == 1 ? "in" : "changed", i); }

static void assert_cached(const struct relabel_cache *c, uint64_t hash, unsigned i)
{
    struct labels in = numbered("in", i), out;
    enum relabel_result got = relabel_cache_get(c, hash, in, &out);
    assert_int_equal(got, i % 3 == 0 ? RELABEL_ENTRY_DROPPED : i % 3 == 1 ? RELABEL_ENTRY_SAME : RELABEL_ENTRY_CHANGED);
    assert_true(got == RELABEL_ENTRY_DROPPED || labels_equal(out, rules_result(i)));
}

/* More entries than a table may have, all in one table, then some in every other one: a full table is cleared alone. */
static void a_full_table_is_cleared_alone(void **state UNUSED)
{
    enum { N = 3 * RELABEL_TABLE_ENTRIES / 2 };
    struct relabel_cache c = {0};
    struct labels out;
    assert_int_equal(relabel_cache_get(&c, 1, numbered("in", 1), &out), RELABEL_ENTRY_NONE);
    for (uint64_t t = 1; t < RELABEL_TABLES; t++)
        relabel_cache_put(&c, t << 56, numbered("in", 2), true, rules_result(2));
    for (unsigned i = 0; i < N; i++) {
        relabel_cache_put(&c, i, numbered("in", i), rules_keep(i), rules_result(i));
        assert_cached(&c, i, i);
    }
    unsigned left = 0;
    for (unsigned i = 0; i < N; i++) {
        if (relabel_cache_get(&c, i, numbered("in", i), &out) == RELABEL_ENTRY_NONE)
            continue;
        assert_cached(&c, i, i);
        left++;
    }
    assert_int_equal(left, N - RELABEL_TABLE_ENTRIES);
    for (uint64_t t = 1; t < RELABEL_TABLES; t++)
        assert_cached(&c, t << 56, 2);
    relabel_cache_free(&c);
    arena_free(&arena);
}

static void texts_have_a_limit(void **state UNUSED)
{
    enum { BYTES = 10000, N = 100 };
    struct relabel_cache c = {0};
    char value[BYTES];
    memset(value, 'v', sizeof value);
    struct label l = {STR("changed"), str_n(value, sizeof value)};
    struct labels large = labels_from(&arena, &l, 1), out;
    for (uint64_t i = 0; i < N; i++) {
        relabel_cache_put(&c, i, numbered("in", 1), true, large);
        assert_int_equal(relabel_cache_get(&c, i, numbered("in", 1), &out), RELABEL_ENTRY_CHANGED);
        assert_true(labels_equal(out, large));
        assert_true(c.tables[0].texts.n <= RELABEL_TABLE_BYTES + BYTES + 100);
    }
    assert_in_range(c.tables[0].n, 1, RELABEL_TABLE_BYTES / BYTES + 1);
    relabel_cache_free(&c);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_table_is_cleared_alone),
        cmocka_unit_test(texts_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
