// SPDX-License-Identifier: Apache-2.0
/* The anti-affinity rule, case by case, as promxy's users know its results. */
#include "gateway/upstream/merge.h"
#include "tests/unit/gateway/answers.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void check(struct merge_rule rule, const char *a, const char *b, const char *want)
{
    struct arena arena;
    uint64_t filled = 0;
    arena_init(&arena, 0);
    struct series x = series_of(&arena, a), y = series_of(&arena, b);
    merge_series(&rule, &arena, &x, &y, &filled);
    assert_string_equal(series_text(&arena, &x, 1), want);
    arena_free(&arena);
}

static const struct merge_rule ten = {.ms = 10000}, automatic = {.ms = 10000, .automatic = true};
static const struct merge_rule larger = {.ms = 10000, .prefer_max = true};

static void one_side_empty(void **state UNUSED)
{
    check(ten, "m", "m 1@1000 2@2000", "m 1@1000 2@2000");
    check(ten, "m 1@1000", "m", "m 1@1000");
}

static void equal_length_keeps_the_earlier(void **state UNUSED)
{
    check(ten, "m 5@0 5@15000", "m 9@0 9@15000", "m 5@0 5@15000");
    check(ten, "m 5@0 5@15000", "m 9@2000 9@17000", "m 5@0 5@15000");
}

static void longer_one_is_the_base(void **state UNUSED)
{
    check(ten, "m 5@15000", "m 9@0 9@15000 9@30000", "m 9@0 9@15000 9@30000");
}

static void hole_is_filled_but_its_edges(void **state UNUSED)
{
    check(ten, "m 1@0 2@15000 6@75000 7@90000 8@105000", "m 11@30000 12@45000 13@60000",
          "m 1@0 2@15000 11@30000 12@45000 13@60000 6@75000 7@90000 8@105000");
    /* strictly more than the buffer away from both sides */
    check(ten, "m 1@0 2@60000", "m 11@10000 12@50000", "m 1@0 2@60000");
    check(ten, "m 1@0 2@60000 3@61000", "m 11@10001 12@49999", "m 1@0 11@10001 12@49999 2@60000 3@61000");
}

static void no_hole_no_sample(void **state UNUSED)
{
    check(ten, "m 1@0 2@20000 3@40000", "m 11@10000 12@30000", "m 1@0 2@20000 3@40000");
}

static void before_and_behind_the_base(void **state UNUSED)
{
    check(ten, "m 1@50000 2@60000 3@70000 4@75000", "m 9@1000 9@39000 9@41000",
          "m 9@1000 9@39000 1@50000 2@60000 3@70000 4@75000");
    check(ten, "m 1@0 2@1000 3@2000", "m 9@12000 9@12001 9@13000", "m 1@0 2@1000 3@2000 9@12001 9@13000");
}

static void stale_markers_are_samples(void **state UNUSED)
{
    check(automatic, "m 1@0 1@15000 1@30000 1@150000", "m 1@0 1@15000 1@30000 1@45000 stale@60000",
          "m 1@0 1@15000 1@30000 1@45000 stale@60000 1@150000");
}

static void copies_are_united_by_time(void **state UNUSED)
{
    /* single samples that either side lacks, closer together than any buffer would allow */
    check(automatic, "m 1@0 3@20000 4@30000 5@40000 7@42000", "m 1@0 2@10000 3@20000 5@40000 6@41000",
          "m 1@0 2@10000 3@20000 4@30000 5@40000 6@41000 7@42000");
    /* scraped by each: never at the same time, and nothing is put between */
    check(automatic, "m 1@0 2@10000 3@20000 4@30000 5@40000", "m 1@7 2@10007 3@20007 4@30007",
          "m 1@0 2@10000 3@20000 4@30000 5@40000");
    check(ten, "m 1@0 3@20000 4@30000", "m 1@0 2@10000 3@20000", "m 1@0 3@20000 4@30000"); /* a number is obeyed */
}

static void buffer_from_the_interval(void **state UNUSED)
{
    /* one lost scrape of five seconds is a hole for auto, and none for ten seconds */
    const char *a = "m 1@0 1@5000 1@10000 1@20000 1@25000", *b = "m 2@10000 2@15000 2@20000";
    check(automatic, a, b, "m 1@0 1@5000 1@10000 2@15000 1@20000 1@25000");
    check(ten, a, b, "m 1@0 1@5000 1@10000 1@20000 1@25000");
    /* too few gaps to tell: the default */
    check(automatic, "m 1@0 1@11000", "m 2@10000", "m 1@0 1@11000");
    /* nothing is near anything: nothing can be the same scrape twice */
    check(automatic, "m 1@0 1@5000", "m 2@10000", "m 1@0 1@5000 2@10000");
}

static void larger_value_wins(void **state UNUSED)
{
    check(larger, "m 1@0 2@15000 9@30000", "m 7@0 7@16000 7@30000", "m 1@0 7@15000 9@30000");
    check(larger, "m 1@0 2@15000", "m NaN@0 NaN@15000", "m 1@0 2@15000");
}

static void pieces_by_time(void **state UNUSED)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct series x = series_of(&arena, "m 1@10 2@30"), y = series_of(&arena, "m 9@10 9@20 9@40");
    merge_pieces(&arena, &x, &y);
    assert_string_equal(series_text(&arena, &x, 1), "m 1@10 9@20 2@30 9@40");
    arena_free(&arena);
}

static void histograms_are_folded_too(void **state UNUSED)
{
    struct arena arena;
    static const struct histogram h1 = {.count = 1}, h2 = {.count = 2};
    const struct hist_sample a[] = {{0, &h1}, {15000, &h1}, {75000, &h1}}, b[] = {{15000, &h2}, {45000, &h2}};
    uint64_t filled = 0;
    arena_init(&arena, 0);
    struct series x = {.hists = a, .n_hists = 3}, y = {.hists = b, .n_hists = 2};
    merge_series(&ten, &arena, &x, &y, &filled);
    assert_string_equal(series_text(&arena, &x, 1), "{} h(1)@0 h(1)@15000 h(2)@45000 h(1)@75000");
    assert_int_equal(filled, 1);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_side_empty), cmocka_unit_test(equal_length_keeps_the_earlier), cmocka_unit_test(longer_one_is_the_base),
        cmocka_unit_test(hole_is_filled_but_its_edges), cmocka_unit_test(no_hole_no_sample), cmocka_unit_test(before_and_behind_the_base),
        cmocka_unit_test(stale_markers_are_samples), cmocka_unit_test(copies_are_united_by_time), cmocka_unit_test(buffer_from_the_interval), cmocka_unit_test(larger_value_wins),
        cmocka_unit_test(pieces_by_time), cmocka_unit_test(histograms_are_folded_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
