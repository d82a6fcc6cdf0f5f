// SPDX-License-Identifier: Apache-2.0
/* The order is that of labels_cmp, whatever the labels are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/labels_sort.h"
#include "tests/unit/model/rng.h"

enum { MOST = 400 };
struct item { int position; struct labels labels; };

/* Names and values that are prefixes of each other, and with `nul` some that contain a NUL. */
static struct labels make_labels(struct arena *a, uint64_t *r, bool nul)
{
    static const char *const names[] = {"a", "a_", "ab", "b", "__name__", "instance"};
    static const struct str values[] = {{"1", 1}, {"10", 2}, {"2", 1}, {"host-1:9100", 11}, {"host-10:9100", 12}, {"\xc3\xa4", 2},
                                        {"~", 1}, {" ", 1}, {"a\0b", 3}, {"a\0", 2}, {"a", 1}};
    struct label labels[LEN(names)];
    size_t n = 0;
    for (size_t i = 0; i < LEN(names); i++)
        if (rng_below(r, 3) > 0)
            labels[n++] = (struct label){str_of(names[i]), values[rng_below(r, nul ? LEN(values) : LEN(values) - 3)]};
    return labels_from(a, labels, n);
}

static void sorts_as_labels_are_compared(void **state UNUSED)
{
    static struct item items[MOST];
    uint64_t r = 5;
    for (int round = 0; round < 300; round++) {
        struct arena a;
        struct query_work work = {0};
        struct err err;
        arena_init(&a, 0);
        size_t n = rng_below(&r, MOST);
        for (size_t i = 0; i < n; i++)
            items[i] = (struct item){(int)i, make_labels(&a, &r, round % 2)};
        assert_true(labels_sort(&work, &a, items, n, sizeof *items, offsetof(struct item, labels), &err));
        for (size_t i = 1; i < n; i++) {
            int order = labels_cmp(items[i - 1].labels, items[i].labels);
            assert_true(order < 0 || (order == 0 && items[i - 1].position < items[i].position));
        }
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorts_as_labels_are_compared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
