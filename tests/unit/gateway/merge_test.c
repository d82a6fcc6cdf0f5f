// SPDX-License-Identifier: Apache-2.0
/* The merge of replicas, rule by rule. */
#include "gateway/merge/merge.h"
#include "tests/unit/gateway/responses.h"

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
    struct series series[4] = {{.samples = NULL}};
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

/* The spans of each replica that a merged series carries, in seconds: "A [-inf..60] [44..90 since 50]; B". */
static void check_spans_by(const struct merge_rule *rule, int64_t to, const char *a, const char *b, const char *want)
{
    struct arena arena;
    struct buf text = {0};
    arena_init(&arena, 0);
    struct series x = series_of(&arena, a), y = series_of(&arena, b), into = x;
    struct merge_job job = {.rule = rule, .arena = &arena, .from = 0, .to = to};
    merge_replicas(&job, (const struct series *const[]){&x, &y}, (unsigned[]){0, 1}, 2, &into);
    for (uint32_t i = 0; i < into.n_replicas; i++) {
        const struct series_replica *r = &into.replicas[i];
        bool first = r->n_samples > 0 && x.n_samples > 0 && r->samples[0].v < 10; /* values of b begin with 10 */
        buf_printf(&text, "%s%s", i ? "; " : "", first ? "a" : "b");
        for (uint32_t k = 0; k < r->n_spans; k++) {
            const struct series_span *span = &r->spans[k];
            buf_add_z(&text, " [");
            if (span->start > -SERIES_FAR)
                buf_printf(&text, "%.1f", (double)span->start / 1000);
            buf_add_z(&text, "..");
            if (span->end_to < SERIES_FAR)
                buf_printf(&text, "%.1f", (double)span->end_to / 1000);
            if (span->end_from > -SERIES_FAR)
                buf_printf(&text, " since %.1f", (double)span->end_from / 1000);
            buf_add_char(&text, ']');
        }
    }
    assert_string_equal(buf_z(&text), want);
    buf_free(&text);
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

static void first_one_is_the_base(void **state UNUSED)
{
    check(ten, "m 5@15000", "m 9@0 9@15000 9@30000", "m 9@0 5@15000 9@30000");
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
    /* a marker whose time is a guess, behind a sample that only the other has */
    const char *guess[] = {"m 1@0 2@10000 3@20000 stale@37000 7@60000", "m 1@0 2@10000 3@20000 4@30000 5@40000 6@50000 7@60000",
                           NULL};
    check_in(automatic, 0, FOREVER, true, guess, "m 1@0 2@10000 3@20000 4@30000 5@40000 6@50000 7@60000");
    /* one that was lost by one of them: the other has a gap there */
    const char *lost[] = {"m 1@0 2@10000 3@20000 stale@30000 5@40000 6@50000", "m 1@0 2@10000 3@20000 5@40000 6@50000", NULL};
    check_in(automatic, 0, FOREVER, true, lost, "m 1@0 2@10000 3@20000 stale@30000 5@40000 6@50000");
    /* the other has so many gaps that its interval seems longer */
    const char *sparse[] = {"m 1@0 2@10000 3@20000 stale@30000 5@200000", "m 1@0 6@210000 7@220000 8@450000", NULL};
    check_in(automatic, 0, FOREVER, true, sparse, "m 1@0 2@10000 3@20000 stale@30000 5@200000 6@210000 7@220000 8@450000");
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

static void gaps_of_the_first_are_filled(void **state UNUSED)
{
    const char *gap = "m 1@0 2@15000 5@60000 6@75000", *all = "m 1@5000 2@20000 3@35000 4@50000 5@65000";
    check_to(75000, gap, all, "m 1@0 2@15000 3@35000 4@50000 5@60000 6@75000");
    check_to(75000, all, gap, all);
    /* behind by minutes */
    check_to(90000, "m 1@0 2@15000 3@30000", "m 1@5000 2@20000 3@35000 4@50000 5@65000 6@80000",
             "m 1@0 2@15000 3@30000 4@50000 5@65000 6@80000");
    /* scraped less often: not the base */
    check_to(75000, "m 1@0 2@30000 3@60000 4@74000", all, all);
    /* each gap is filled once, and the base is used again behind it */
    check_to(150000, "m 1@0 2@15000 5@60000 6@75000 7@90000 8@105000 9@120000 9@135000 9@150000",
             "m 11@5000 12@20000 13@35000 14@50000 15@65000 16@110000 17@125000 18@140000",
             "m 1@0 2@15000 13@35000 14@50000 5@60000 6@75000 7@90000 8@105000 9@120000 9@135000 9@150000");
    /* one sample amid a gap of its own counts in a gap that stands out; where the interval was raised none does */
    check_to(540000, "m 1@0 2@15000 3@30000 4@45000 5@60000", "m 11@0 12@60000 13@120000 19@480000",
             "m 1@0 2@15000 3@30000 4@45000 5@60000 13@120000 19@480000");
}

static void marker_of_one_replica(void **state UNUSED)
{
    const char *b = "m 1@5000 2@20000 3@35000 4@50000 5@65000";
    check_to(70000, "m 1@0 2@15000 stale@30000 4@45000 5@60000", b, "m 1@0 2@15000 3@35000 4@45000 5@60000");
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
             "m 1@5000 2@20000 stale@35000 4@65000 5@80000",
             "m 1@0 2@15000 stale@35000 stale@45000 4@65000 5@75000 6@90000");
}

/* The series is there from the other's first sample on, though the base returns within the buffer; but not where clocks
 * decide which of the two came first. */
static void other_returns_first(void **state UNUSED)
{
    const char *a = "m 1@0 2@60000 stale@120000 5@300000 6@360000";
    check_to(360000, a, "m 1@30000 2@90000 stale@150000 4@280000 5@340000",
             "m 1@0 2@60000 stale@150000 4@280000 5@300000 6@360000");
    check_to(360000, a, "m 1@58001 2@118001 stale@178001 4@298001 5@358001",
             "m 1@0 2@60000 stale@178001 5@300000 6@360000");
    check_to(360000, a, "m 1@37999 2@97999 stale@157999 4@297999 5@357999",
             "m 1@0 2@60000 stale@157999 4@297999 5@300000 6@360000");
}

/* A marker of the other ends a series that the base lost before it could tell, whatever the width of the gap. */
static void lone_marker_in_a_gap(void **state UNUSED)
{
    /* less often scraped, and so not dense there */
    check_to(145000, "m 1@0 2@15000 3@30000 4@45000 5@60000", "m 0@-40000 1@20000 2@80000 stale@140000",
             "m 1@0 2@15000 3@30000 4@45000 5@60000 2@80000 stale@140000");
    /* the base returns to find it gone: its own marker comes two and a half intervals late */
    check_to(400000, "m 1@0 2@30000 3@60000 stale@120000", "m 1@12000 2@42000 3@72000 stale@102000",
             "m 1@0 2@30000 3@60000 stale@105000 stale@120000");
}

static void check_spans(int64_t to, const char *a, const char *b, const char *want)
{
    check_spans_by(&automatic, to, a, b, want);
}

static void spans_of_complete_replicas(void **state UNUSED)
{
    /* prefer_max is about the samples of both */
    check_spans_by(&larger, 90000, "m 1@0 2@15000 3@30000 5@60000 6@75000 7@90000",
                   "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000", "");
    /* nothing is missing: the first one, alone */
    check_spans(60000, "m 1@0 2@15000 3@30000 4@45000 5@60000", "m 10@5000 11@20000 12@35000 13@50000", "");
    /* a scrape is lost: until it is overdue, and from 1.1 intervals before the next one on */
    check_spans(90000, "m 1@0 2@15000 3@30000 5@60000 6@75000 7@90000",
                "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000", "a [..46.5] [43.5..]; b [..]");
    /* less than 1.5 intervals, so that nothing is filled: the other all the same */
    check_spans(111000, "m 1@0 2@15000 3@30000 4@51000 5@66000 6@81000 7@96000 8@111000",
                "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000 16@95000 17@110000", "a [..46.5] [34.5..]; b [..]");
    /* the other is a minute late there */
    check_spans(150000, "m 1@0 2@15000 3@30000 4@45000 5@120000 6@135000 7@150000",
                "m 10@5000 11@20000 12@35000 13@95000 14@110000 15@125000 16@140000",
                "a [..95.0] [103.5..]; b [..51.5] [78.5..]");
    /* at the end, and at the beginning */
    check_spans(90000, "m 1@0 2@15000 3@30000 4@45000", "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000",
                "a [..61.5]; b [..]");
    check_spans(90000, "m 1@45000 2@60000 3@75000 4@90000", "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000",
                "a [28.5..]; b [..]");
    /* a failure of one replica */
    check_spans(90000, "m 1@0 2@15000 3@30000 stale@45000 5@60000 6@75000 7@90000",
                "m 10@5000 11@20000 12@35000 13@50000 14@65000 15@80000", "a [..46.5] [43.5..]; b [..]");
    /* the target ends: what the first says holds again when the other has seen it, too */
    check_spans(150000, "m 1@0 2@15000 3@30000 stale@45000", "m 10@8000 11@23000 12@38000 stale@53000",
                "a [..46.5] [.. since 53.0]; b [..]");
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
             "m 1@0 2@15000 13@35000 24@52000 25@67000 9@90000 9@105000");
}

static void larger_value_wins(void **state UNUSED)
{
    check(larger, "m 1@0 2@15000 9@30000", "m 7@0 7@16000 7@30000", "m 7@0 7@15000 9@30000");
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

/* The first one's sample is taken, whether its value is the same or not; markers are no values. */
static void copies_that_disagree_are_counted(void **state UNUSED)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct series x = series_of(&arena, "m 1@0 2@15000 3@30000 stale@45000"), into = x;
    struct series y = series_of(&arena, "m 1@0 7@15000 8@30000 4@45000 5@60000");
    struct merge_job job = {.rule = &automatic, .arena = &arena, .from = 0, .to = 60000};
    merge_replicas(&job, (const struct series *const[]){&x, &y}, (unsigned[]){0, 0}, 2, &into);
    assert_string_equal(series_text(&arena, &into, 1), "m 1@0 2@15000 3@30000 4@45000 5@60000");
    assert_int_equal(job.disagreed, 2);
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
        cmocka_unit_test(copies_that_disagree_are_counted),
        cmocka_unit_test(first_one_is_the_base), cmocka_unit_test(hole_is_filled_but_its_edges),
        cmocka_unit_test(no_hole_no_sample), cmocka_unit_test(before_and_behind_the_base),
        cmocka_unit_test(copies_are_united_by_time), cmocka_unit_test(copies_beside_another_scraper),
        cmocka_unit_test(buffer_from_the_interval), cmocka_unit_test(interval_is_raised),
        cmocka_unit_test(edges_admit_nothing), cmocka_unit_test(gaps_of_the_first_are_filled),
        cmocka_unit_test(marker_of_one_replica), cmocka_unit_test(marker_of_both_stays),
        cmocka_unit_test(other_returns_first), cmocka_unit_test(lone_marker_in_a_gap),
        cmocka_unit_test(spans_of_complete_replicas), cmocka_unit_test(clocks_two_seconds_apart), cmocka_unit_test(three_replicas),
        cmocka_unit_test(larger_value_wins), cmocka_unit_test(pieces_by_time), cmocka_unit_test(histograms_too),
        cmocka_unit_test(both_kinds_in_one_series)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
