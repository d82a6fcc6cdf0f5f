// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/median.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static int median_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* All sequences of up to six values out of four: every pattern of equal, ascending and descending neighbours. */
static void as_if_sorted(void **state UNUSED)
{
    static const int64_t values[] = {INT64_MIN, -1, 15000, INT64_MAX};
    for (size_t n = 1; n <= 6; n++)
        for (size_t which = 0; which < (size_t)1 << 2 * n; which++) {
            int64_t items[6], sorted[6];
            for (size_t i = 0; i < n; i++)
                items[i] = values[which >> 2 * i & 3];
            memcpy(sorted, items, sizeof items);
            qsort(sorted, n, sizeof *sorted, median_compare);
            assert_int_equal(upper_median(items, n), sorted[n / 2]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_if_sorted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
