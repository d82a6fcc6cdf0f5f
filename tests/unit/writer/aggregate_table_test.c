// SPDX-License-Identifier: Apache-2.0
/* Records of stream aggregation, and the values that quantiles and unique_samples keep. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/aggregate/aggregate_table.h"
#include "writer/aggregate/value_set.h"

static void tables(void **state UNUSED)
{
    enum { N = 5000 };
    struct aggregate_table t;
    struct record { uint64_t id; uint32_t value; };
    table_init(&t, sizeof(struct record));
    for (uint64_t i = 1; i <= N; i++)
        ((struct record *)table_at(&t, table_add(&t, i * i)))->value = (uint32_t)i;
    for (uint64_t i = 1; i <= N; i += 2) {
        uint32_t at = table_find(&t, i * i);
        table_forget(&t, at);
        table_release(&t, at);
    }
    assert_int_equal(t.n, N / 2);
    for (uint64_t i = 1; i <= N; i++) {
        uint32_t at = table_find(&t, i * i);
        assert_int_equal(at == TABLE_NONE, i % 2 == 1);
        if (at != TABLE_NONE)
            assert_int_equal(((struct record *)table_at(&t, at))->value, i);
    }
    for (uint64_t i = 1; i <= N; i += 2)
        assert_true(table_add(&t, i * i + 1000000000) < N); /* numbers are used again */
    table_free(&t);
}

/* Few identities in a small index, which are added and removed again and again: lines that were full once have been
 * passed by others, which must still be found, and what is absent must be known to be absent. */
static void table_that_changes(void **state UNUSED)
{
    enum { IDS = 700, STEPS = 200000 };
    struct aggregate_table t;
    uint32_t numbers[IDS];
    uint64_t random = 1;
    unsigned n = 0;
    table_init(&t, sizeof(uint64_t) + sizeof(uint32_t));
    memset(numbers, 0xff, sizeof numbers); /* TABLE_NONE */
    for (int i = 0; i < STEPS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned k = (unsigned)(random >> 33) % IDS;
        uint64_t id = (k + 1) * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(table_find(&t, id), numbers[k]);
        if (numbers[k] == TABLE_NONE) {
            numbers[k] = table_add(&t, id);
            n++;
        } else {
            table_forget(&t, numbers[k]);
            table_release(&t, numbers[k]);
            numbers[k] = TABLE_NONE;
            n--;
        }
        assert_int_equal(t.n, n);
    }
    table_free(&t);
}

static void quantiles_of_many(void **state UNUSED)
{
    struct value_sample *s = NULL;
    for (int i = 0; i < 20000; i++)
        value_sample_add(&s, i % 10000);
    value_sample_sort(s);
    assert_true(value_sample_quantile(s, 0) == 0);
    assert_true(value_sample_quantile(s, 1) == 9999);
    assert_in_range((uint64_t)value_sample_quantile(s, 0.5), 4200, 5800); /* 5 standard deviations */
    mem_free(s);
    struct value_set *set = NULL;
    for (int i = 0; i < 20000; i++)
        value_set_add(&set, i % 777);
    value_set_add(&set, -0.0);
    assert_int_equal(value_set_count(set), 777);
    value_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables), cmocka_unit_test(table_that_changes), cmocka_unit_test(quantiles_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
