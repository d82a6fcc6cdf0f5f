// SPDX-License-Identifier: Apache-2.0
/* The merge of replicas, rule by rule. */
#include "gateway/upstream/merge.h"
#include "tests/unit/gateway/answers.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { FOREVER = 1 << 30 };

/* Replicas scraped by themselves, or with `copies` the first two hold copies of one stream. */
static void check_in(struct merge_rule rule, int64_t from, int64_t to, bool copies, const char *const *texts,
                     const char *want)
{
    struct arena arena;
    struct series series[4];
    const struct series *replicas[4];
    unsigned streams[4] = {0, copies ? 0 : 1, 2, 3};
    size_t n = 0;
    arena_init(&arena, 0);
    for (; texts[n]; n++) {
        series[n] = series_of(&arena, texts[n]);
        replicas[n] = &series[n];
    }
    struct merge_job job = {.rule = &rule, .arena = &arena, .from = from, .to = to};
    struct series into = series[0];
    merge_replicas(&job, replicas, streams, n, &into);
    assert_string_equal(series_text(&arena, &into, 1), want);
    arena_free(&arena);
}

static void check(struct merge_rule rule, const char *a, const char *b, const char *want)
{
    check_in(rule, -FOREVER, FOREVER, false, (const char *const[]){a, b, NULL}, want);
}

/* Window from 0 to the given time. */
static void check_to(int64_t to, const char *a, const char *b, const char *want)
{
    static const struct merge_rule automatic = {.ms = 10000, .automatic = true};
    check_in(automatic, 0, to, false, (const char *const[]){a, b, NULL}, want);
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

static void copies_are_united_by_time(void **state UNUSED)
{
    /* single samples that either side lacks, closer together than any buffer would allow */
    const char *both[] = {"m 1@0 3@20000 4@30000 5@40000 7@42000", "m 1@0 2@10000 3@20000 5@40000 6@41000", NULL};
    check_in(automatic, 0, FOREVER, true, both, "m 1@0 2@10000 3@20000 4@30000 5@40000 6@41000 7@42000");
    check_in(ten, 0, FOREVER, true, both, "m 1@0 2@10000 3@20000 4@30000 5@40000 6@41000 7@42000");
    const char *marker[] = {"m 1@0 stale@10000 stale@20000", "m 1@0 2@10000 stale@20000", NULL};
    check_in(automatic, 0, FOREVER, true, marker, "m 1@0 2@10000 stale@20000");
}

static void copies_beside_another_scraper(void **state UNUSED)
{
    const char *three[] = {"m 1@0 2@15000 5@60000", "m 1@0 2@15000 3@30000", "m 7@5000 8@35000 9@50000 9@65000", NULL};
    check_in(automatic, 0, 60000, true, three, "m 1@0 2@15000 3@30000 9@50000 5@60000");
}

static void buffer_from_the_interval(void **state UNUSED)
{
    /* one lost scrape of five seconds is a gap for auto and for a number */
    const char *a = "m 1@0 1@5000 1@10000 1@20000 1@25000", *b = "m 2@10000 2@15000 2@20000";
    check_to(25000, a, b, "m 1@0 1@5000 1@10000 2@15000 1@20000 1@25000");
    check(ten, a, b, "m 1@0 1@5000 1@10000 1@20000 1@25000");
    /* 25 s apart at one minute: no cap, and a number below half of the interval doubles nothing */
    const char *c = "m 1@3000 1@63000 1@123000 1@183000 1@243000", *d = "m 2@28000 2@88000 2@148000 2@208000 2@268000";
    check_to(243000, c, d, c);
    check_in(ten, 0, 243000, false, (const char *const[]){c, d, NULL}, c);
}

static void interval_is_raised(void **state UNUSED)
{
    check_to(210000, "m 1@0 1@15000 1@30000 1@45000 1@60000 1@75000 1@90000 1@150000 1@210000",
             "m 2@6000 2@21000 2@36000 2@51000 2@66000 2@81000 2@141000 2@201000",
             "m 1@0 1@15000 1@30000 1@45000 1@60000 1@75000 1@90000 1@150000 1@210000");
}

static void edges_admit_nothing(void **state UNUSED)
{
    /* the scrape before the window and the one behind it are the other's, too */
    check_to(60000, "m 1@14000 2@29000 3@44000 4@59000", "m 7@5000 8@20000 9@35000 9@50000",
             "m 1@14000 2@29000 3@44000 4@59000");
    check_to(60000, "m 1@1000 2@16000 3@31000 4@46000", "m 7@10000 8@25000 9@40000 9@55000",
             "m 1@1000 2@16000 3@31000 4@46000");
    /* a series that began and ended in the window did so for both */
    check_to(200000, "m 1@50000 2@65000 3@80000 4@95000", "m 7@41000 8@56000 9@71000 9@86000 9@101000",
             "m 1@50000 2@65000 3@80000 4@95000");
}

static void base_is_the_first_without_gaps(void **state UNUSED)
{
    const char *gap = "m 1@0 2@15000 5@60000 6@75000", *all = "m 1@5000 2@20000 3@35000 4@50000 5@65000";
    check_to(75000, gap, all, all);
    check_to(75000, all, gap, all);
    /* behind by minutes */
    check_to(90000, "m 1@0 2@15000 3@30000", "m 1@5000 2@20000 3@35000 4@50000 5@65000 6@80000",
             "m 1@5000 2@20000 3@35000 4@50000 5@65000 6@80000");
    /* scraped less often */
    check_to(75000, "m 1@0 2@30000 3@60000", all, all);
    /* neither: each gap is filled once, and the base is used again behind it */
    check_to(150000, "m 1@0 2@15000 5@60000 6@75000 7@90000 8@105000 9@120000 9@135000 9@150000",
             "m 11@5000 12@20000 13@35000 14@50000 15@65000 16@110000 17@125000 18@140000",
             "m 1@0 2@15000 13@35000 14@50000 5@60000 6@75000 7@90000 8@105000 9@120000 9@135000 9@150000");
}

static void marker_of_one_replica(void **state UNUSED)
{
    const char *b = "m 1@5000 2@20000 3@35000 4@50000 5@65000";
    check_to(70000, "m 1@0 2@15000 stale@30000 4@45000 5@60000", b, b);
    /* decided without what comes later: the other is alive and not overdue */
    check_to(31000, "m 1@0 2@15000 stale@30000", "m 1@5000 2@20000", "m 1@0 2@15000");
    /* before its first sample here */
    check_to(40000, "m stale@1000 2@16000 3@31000", "m 1@6000 2@21000 3@36000", "m 2@16000 3@31000");
}

static void marker_of_both_stays(void **state UNUSED)
{
    /* the last one to see the target says when it ended, in a window that ends early or late */
    check_to(50000, "m 1@0 2@15000 stale@30000", "m 1@5000 2@20000 stale@35000", "m 1@0 2@15000 stale@35000");
    check_to(300000, "m 1@0 2@15000 stale@30000", "m 1@5000 2@20000 stale@35000", "m 1@0 2@15000 stale@35000");
    check_to(90000, "m 1@0 2@15000 stale@30000 3@75000 4@90000", "m 1@5000 2@20000 stale@35000 3@80000",
             "m 1@0 2@15000 stale@35000 3@75000 4@90000");
    /* the other was lost before it could tell: from when its sample is overdue */
    check_to(300000, "m 1@0 2@15000 stale@30000", "m 1@5000 2@20000", "m 1@0 2@15000 stale@42500");
    /* the other sees it again first */
    check_to(90000, "m 1@0 2@15000 stale@30000 stale@45000 5@75000 6@90000",
             "m 1@5000 2@20000 stale@35000 4@65000 5@80000", "m 1@5000 2@20000 stale@35000 4@65000 5@80000");
}

static void clocks_two_seconds_apart(void **state UNUSED)
{
    /* values grow by the second; the other's clock is fast or slow: none decreases where replicas change */
    const char *gap = "m 0@0 15@15000 60@60000 75@75000 90@90000 105@105000";
    check_to(105000, gap, "m 7@9000 22@24000 37@39000 52@54000",
             "m 0@0 15@15000 22@24000 37@39000 60@60000 75@75000 90@90000 105@105000");
    check_to(105000, gap, "m 10@8000 25@23000 40@38000 55@53000",
             "m 0@0 15@15000 25@23000 40@38000 60@60000 75@75000 90@90000 105@105000");
}

static void three_replicas(void **state UNUSED)
{
    const char *three[] = {"m 1@0 2@15000 9@90000 9@105000", "m 11@5000 12@20000 13@35000 19@95000 19@110000",
                           "m 21@7000 22@22000 24@52000 25@67000 29@97000 29@112000", NULL};
    check_in(automatic, 0, 112000, false, three,
             "m 21@7000 22@22000 13@35000 24@52000 25@67000 29@97000 29@112000");
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

static void histograms_too(void **state UNUSED)
{
    struct arena arena;
    static const struct histogram h1 = {.count = 1}, h2 = {.count = 2};
    const struct hist_sample a[] = {{0, &h1}, {15000, &h1}, {75000, &h1}, {90000, &h1}};
    const struct hist_sample b[] = {{15000, &h2}, {45000, &h2}};
    arena_init(&arena, 0);
    struct series x = {.hists = a, .n_hists = 4}, y = {.hists = b, .n_hists = 2}, into = {0};
    struct merge_job job = {.rule = &automatic, .arena = &arena, .from = 0, .to = 90000};
    merge_replicas(&job, (const struct series *const[]){&x, &y}, (unsigned[]){0, 1}, 2, &into);
    assert_string_equal(series_text(&arena, &into, 1), "{} h(1)@0 h(1)@15000 h(2)@45000 h(1)@75000 h(1)@90000");
    assert_int_equal(job.filled, 1);
    arena_free(&arena);
}

/* A target that changes from floats to histograms and back has no gap in either. */
static void both_kinds_in_one_series(void **state UNUSED)
{
    struct arena arena;
    static const struct histogram h = {.count = 3};
    const struct hist_sample a[] = {{30000, &h}, {45000, &h}}, b[] = {{35000, &h}, {50000, &h}};
    arena_init(&arena, 0);
    struct series x = series_of(&arena, "m 1@0 2@15000 5@60000"), y = series_of(&arena, "m 1@5000 2@20000 5@65000");
    struct series into = x;
    x.hists = a;
    y.hists = b;
    x.n_hists = y.n_hists = 2;
    struct merge_job job = {.rule = &automatic, .arena = &arena, .from = 0, .to = 65000};
    merge_replicas(&job, (const struct series *const[]){&x, &y}, (unsigned[]){0, 1}, 2, &into);
    assert_string_equal(series_text(&arena, &into, 1), "m 1@0 2@15000 5@60000 h(3)@30000 h(3)@45000");
    assert_int_equal(job.filled, 0);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_side_empty), cmocka_unit_test(equal_length_keeps_the_earlier),
        cmocka_unit_test(longer_one_is_the_base), cmocka_unit_test(hole_is_filled_but_its_edges),
        cmocka_unit_test(no_hole_no_sample), cmocka_unit_test(before_and_behind_the_base),
        cmocka_unit_test(copies_are_united_by_time), cmocka_unit_test(copies_beside_another_scraper),
        cmocka_unit_test(buffer_from_the_interval), cmocka_unit_test(interval_is_raised),
        cmocka_unit_test(edges_admit_nothing), cmocka_unit_test(base_is_the_first_without_gaps),
        cmocka_unit_test(marker_of_one_replica), cmocka_unit_test(marker_of_both_stays),
        cmocka_unit_test(clocks_two_seconds_apart), cmocka_unit_test(three_replicas),
        cmocka_unit_test(larger_value_wins), cmocka_unit_test(pieces_by_time), cmocka_unit_test(histograms_too),
        cmocka_unit_test(both_kinds_in_one_series)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
