// SPDX-License-Identifier: Apache-2.0
/* The times of which a backup has samples: joining, the limit, the file and its corruption. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "writer/failover_windows.h"

enum { NOW = 1000000 };

static void assert_windows(const struct failover_windows *w, const char *want)
{
    struct buf got = {0};
    for (unsigned i = 0; i < w->n; i++) {
        buf_printf(&got, "%s%lld-", i ? " " : "", (long long)w->items[i].from);
        if (w->items[i].to == FAILOVER_OPEN)
            buf_add_z(&got, "open");
        else
            buf_printf(&got, "%lld", (long long)w->items[i].to);
    }
    assert_string_equal(buf_z(&got), want);
    buf_free(&got);
}

static void add(struct failover_windows *w, int64_t from, int64_t to)
{
    failover_windows_add(w, (struct failover_window){from, to, FAILOVER_NOT_FULL});
}

static void windows_that_overlap_are_one(void **state UNUSED)
{
    struct failover_windows w = {.n = 0};
    add(&w, 50, 60);
    add(&w, 10, 20);
    add(&w, 30, 40);
    assert_windows(&w, "10-20 30-40 50-60");
    add(&w, 35, 50);
    assert_windows(&w, "10-20 30-60");
    add(&w, 100, FAILOVER_OPEN);
    assert_ptr_equal(failover_windows_open(&w), &w.items[2]);
    add(&w, 15, 18);
    add(&w, 0, 5);
    assert_windows(&w, "0-5 10-20 30-60 100-open");
    failover_windows_open(&w)->to = 120;
    assert_null(failover_windows_open(&w));
    add(&w, 0, 200);
    assert_windows(&w, "0-200");
}

static void both_ends_belong_to_a_window(void **state UNUSED)
{
    struct failover_windows w = {.n = 0};
    assert_false(failover_windows_overlap(&w, INT64_MIN, INT64_MAX));
    add(&w, 10, 20);
    add(&w, 30, FAILOVER_OPEN);
    assert_true(failover_windows_overlap(&w, 0, 10) && failover_windows_overlap(&w, 20, 25));
    assert_false(failover_windows_overlap(&w, 0, 9) || failover_windows_overlap(&w, 21, 29));
    assert_true(failover_windows_contain(&w, 10, 20) && failover_windows_contain(&w, 30, INT64_MAX - 1));
    assert_false(failover_windows_contain(&w, 20, 30) || failover_windows_contain(&w, 9, 20));
}

static void too_many_windows_lose_no_time(void **state UNUSED)
{
    struct failover_windows w = {.n = 0};
    for (int64_t i = 0; i <= FAILOVER_WINDOWS; i++)
        add(&w, i * 100, i * 100 + (i == 7 ? 50 : 10));
    assert_int_equal(w.n, FAILOVER_WINDOWS);
    assert_true(failover_windows_contain(&w, 700, 810)); /* the closest two */
    for (int64_t i = 0; i <= FAILOVER_WINDOWS; i++)
        assert_true(failover_windows_contain(&w, i * 100, i * 100 + 10));
    assert_false(failover_windows_overlap(&w, 611, 699));
}

/* What was sent completely is never said of a time between two windows. */
static void full_times_are_joined_if_they_meet(void **state UNUSED)
{
    struct failover_windows w = {.n = 0};
    failover_windows_add(&w, (struct failover_window){0, 100, 50, 90});
    assert_true(failover_windows_full(&w, 50, 90));
    assert_false(failover_windows_full(&w, 49, 90) || failover_windows_full(&w, 50, 91));
    failover_windows_add(&w, (struct failover_window){80, 200, 80, 150});
    assert_windows(&w, "0-200");
    assert_true(failover_windows_full(&w, 50, 150));
    failover_windows_add(&w, (struct failover_window){190, FAILOVER_OPEN, 250, FAILOVER_OPEN});
    assert_windows(&w, "0-open");
    assert_true(failover_windows_full(&w, 250, INT64_MAX - 1));
    assert_false(failover_windows_full(&w, 100, 120) || failover_windows_full(&w, 150, 300));
    add(&w, 10, 20); /* of which nothing is full */
    assert_true(failover_windows_full(&w, 250, 300));
}

static void a_corrupted_file_is_all_times(void **state UNUSED)
{
    struct failover_windows w = {.n = 0}, read;
    struct buf text = {0};
    add(&w, 1000, 2000);
    failover_windows_add(&w, (struct failover_window){5000, FAILOVER_OPEN, 6000, FAILOVER_OPEN});
    failover_windows_print(&text, &w);
    assert_true(failover_windows_parse(&read, buf_str(&text), NOW));
    assert_windows(&read, "1000-2000 5000-open");
    assert_true(failover_windows_full(&read, 6000, INT64_MAX) && !failover_windows_full(&read, 1000, 1000));
    for (size_t i = 0; i < text.n; i++) { /* each byte changed, and each cut */
        text.p[i] ^= 4;
        assert_false(failover_windows_parse(&read, buf_str(&text), NOW));
        assert_windows(&read, "0-1000000");
        text.p[i] ^= 4;
        assert_false(failover_windows_parse(&read, str_n(text.p, i), NOW));
    }
    buf_free(&text);
    failover_windows_print(&text, &(struct failover_windows){.n = 0});
    assert_true(failover_windows_parse(&read, buf_str(&text), NOW));
    assert_windows(&read, "");
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(windows_that_overlap_are_one),
                                       cmocka_unit_test(both_ends_belong_to_a_window),
                                       cmocka_unit_test(full_times_are_joined_if_they_meet),
                                       cmocka_unit_test(too_many_windows_lose_no_time),
                                       cmocka_unit_test(a_corrupted_file_is_all_times)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
