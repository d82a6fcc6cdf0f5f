// SPDX-License-Identifier: Apache-2.0
/* late_sort orders any tail into any list, keeps the first of equal times and hands back the others, each once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/recent/late.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 3000 };
struct item { int64_t t; uint64_t arrival, more; };

static uint64_t seed = 1;
static uint64_t next_random(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

static int by_time_and_arrival(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->t != y->t)
        return x->t < y->t ? -1 : 1;
    return x->arrival < y->arrival ? -1 : x->arrival > y->arrival;
}

static void pack(char *to, const struct item *items, uint32_t n, size_t size)
{
    for (uint32_t i = 0; i < n; i++)
        memcpy(to + i * size, &items[i], size);
}

/* Sorted distinct times, and a tail of one of three shapes. */
static uint32_t fill(struct item *items, uint32_t *n_sorted, unsigned shape)
{
    uint32_t n = *n_sorted = (uint32_t)(next_random() % 300), tail = (uint32_t)(next_random() % (shape == 3 ? MOST - 300 : 40));
    int64_t range = 1 + (int64_t)(next_random() % 5000);
    for (uint32_t i = 0; i < n; i++)
        items[i] = (struct item){.t = (int64_t)i * 7 - 500};
    for (uint32_t i = 0; i < tail; i++, n++)
        items[n].t = shape == 0 ? (int64_t)(tail - i) * 3 : shape == 1 ? (int64_t)i * 2 : (int64_t)(next_random() % (uint64_t)range);
    for (uint32_t i = 0; i < n; i++)
        items[i].arrival = i;
    return n;
}

static void orders_any_tail(void **state)
{
    (void)state;
    static struct item items[MOST], want[MOST];
    static char list[MOST * sizeof(struct item)];
    for (unsigned round = 0; round < 4000; round++) {
        size_t size = round % 2 ? sizeof(struct item) : 16;
        uint32_t n_sorted, n = fill(items, &n_sorted, round % 4), distinct = 0;
        pack(list, items, n, size);
        memcpy(want, items, n * sizeof *items);
        qsort(want, n, sizeof *want, by_time_and_arrival);
        uint32_t kept = late_sort(list, n_sorted, n, size);
        static bool seen[MOST];
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t arrival;
            memcpy(&arrival, list + i * size + sizeof(int64_t), sizeof arrival);
            assert_true(arrival < n && !seen[arrival]); /* nothing is lost, nothing is there twice */
            seen[arrival] = true;
        }
        for (uint32_t i = 0; i < n; i++) {
            if (i > 0 && want[i].t == want[i - 1].t)
                continue;
            assert_memory_equal(list + distinct * size, &want[i], 16);
            assert_int_equal(late_lower_bound(list, kept, size, want[i].t), distinct);
            distinct++;
        }
        assert_int_equal(kept, distinct);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(orders_any_tail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
