// SPDX-License-Identifier: Apache-2.0
/* Pages of a target, one after the other: what is written, what becomes stale. */
#include "page_fixture.h"

#include <stdlib.h>
#include <string.h>

static void samples_get_the_labels_of_the_target(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "# TYPE m counter\nm 1\nm{a=\"b\",z=\"y\"} 2.5 \nx{Z=\"\"} NaN\n", 1000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_line(&f.sink, "m{a=\"b\", instance=\"i:1\", job=\"j\", z=\"y\"} 2.5 @1000");
    assert_line(&f.sink, "x{instance=\"i:1\", job=\"j\"} NaN @1000");
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.sink.source, s.id);
    assert_int_equal(f.page.result.added, 3);
    assert_true(feed_show(&f, &s, "# TYPE m counter\nm 2\nm{a=\"b\",z=\"y\"} 3\nx{Z=\"\"} 4\n", 2000));
    assert_true(f.page.reader.same);
    assert_line(&f.sink, "m{a=\"b\", instance=\"i:1\", job=\"j\", z=\"y\"} 3 @2000");
    assert_int_equal(f.sink.samples, 3);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void a_series_that_goes_ends_once(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "a 1\nb 1\nc 1\nd 1\n", 1000));
    assert_true(feed_show(&f, &s, "a 2\nd 2\n", 2000));
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_line(&f.sink, "c{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_int_equal(f.sink.samples, 4);
    assert_true(feed_show(&f, &s, "a 3\nd 3\n", 3000));
    assert_int_equal(f.sink.samples, 2);
    assert_true(feed_show(&f, &s, "a 4\nb 4\nd 4\n", 4000));
    assert_int_equal(f.page.result.added, 1);
    assert_int_equal(f.sink.samples, 3);
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 4 @4000");
    DONE;
}

/* The limit counts all series of a day, and those beyond it get no markers. */
static void series_beyond_the_limit_are_dropped(void **state)
{
    WITH("job_name: j");
    struct series_limit limit = {.max = 2};
    f.limit = &limit;
    assert_true(feed_show(&f, &s, "a 1\nb 1\nb 2\nc 1\nd 1\n", 1000));
    assert_int_equal(f.sink.samples, 2);
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_true(f.page.result.over_series_limit == 2 && f.page.result.post_relabeling == 5);
    assert_true(limit.seen.n == 2 && limit.exceeded);
    assert_true(feed_show(&f, &s, "a 2\nb 2\nb 3\nc 2\nd 2\n", 2000)); /* the same lines */
    assert_true(f.sink.samples == 2 && f.page.result.over_series_limit == 2);
    assert_true(feed_show(&f, &s, "c 3\nd 3\ne 3\n", 3000));
    assert_int_equal(f.page.result.over_series_limit, 3);
    assert_int_equal(f.sink.samples, 2); /* a and b have ended, and count all the same */
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @3000");
    assert_true(feed_show(&f, &s, "b 4\nc 4\n", 4000));
    assert_int_equal(f.sink.samples, 1); /* d was dropped: it has no end */
    assert_true(feed_show(&f, &s, "b 5\nc 5\n", 1000 + INT64_C(24) * 3600 * 1000));
    assert_int_equal(f.sink.samples, 2); /* a new day */
    assert_true(limit.seen.n == 2 && !limit.exceeded);
    f.limit = NULL;
    series_limit_clear(&limit);
    DONE;
}

static void the_set_of_series_grows(void **state UNUSED)
{
    struct series_limit limit = {.max = 1000};
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 1; i <= 1200; i++)
            assert_true(series_limit_admit(&limit, i * 0x9e3779b97f4a7c15ull) == (i <= 1000));
    assert_int_equal(limit.seen.n, 1000);
    assert_false(series_limit_admitted(&limit, 1));
    assert_true(series_limit_renew(&limit, 5000) && !series_limit_renew(&limit, 6000) && series_limit_renew(&limit, 4000));
    series_limit_clear(&limit);
}

static void another_order_is_no_end(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "m{a=\"1\",b=\"2\"} 1\nn 1\n", 1000));
    assert_true(feed_show(&f, &s, "n 2\nm{b=\"2\",a=\"1\"} 2\n", 2000));
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(recorder_containing(&f.sink, "stale"), 0);
    assert_int_equal(f.page.result.added, 0);
    DONE;
}

static void of_two_texts_that_are_one_series_the_first_counts(void **state)
{
    WITH("{job_name: j, metric_relabel_configs: [{regex: cpu, action: labeldrop}]}");
    assert_true(feed_show(&f, &s, "m{cpu=\"0\"} 1\nm{cpu=\"1\"} 2\n", 1000));
    assert_int_equal(f.page.result.duplicates, 1);
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(feed_show(&f, &s, "m{cpu=\"0\"} 3\nm{cpu=\"1\"} 4\n", 2000)); /* the same page once more */
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 3 @2000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(feed_show(&f, &s, "m{cpu=\"1\"} 5\n", 3000)); /* one text goes, the series lives */
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} 5 @3000");
    assert_int_equal(f.sink.samples, 1);
    assert_true(feed_show(&f, &s, "n 1\n", 4000));
    assert_line(&f.sink, "m{instance=\"i:1\", job=\"j\"} stale @4000");
    assert_true(feed_show(&f, &s, "n 1\nn 2\n", 5000)); /* one text twice */
    assert_int_equal(f.sink.samples, 1);
    assert_true(feed_show(&f, &s, "\n", 6000));
    assert_int_equal(f.sink.samples, 1);
    DONE;
}

static void a_broken_page_writes_nothing_and_ends_all(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "a 1\nb 1\n", 1000));
    assert_false(feed_show(&f, &s, "a 2\nb 2\nc{ 2\nd 2\n", 2000));
    assert_non_null(strstr(f.page.result.err.text, "line 3"));
    assert_int_equal(f.sink.samples, 2);
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_false(feed_show(&f, &s, "c{ 2\n", 3000));
    assert_int_equal(f.sink.samples, 0);
    assert_true(feed_show(&f, &s, "a 2\nb 2\n", 4000));
    assert_int_equal(f.page.result.added, 2);
    DONE;
}

/* Another target fails, and loses all it had, while a page that shows the same texts is half read. */
static void a_target_ends_while_a_page_is_read(void **state)
{
    WITH("job_name: j");
    struct marker_writer stale;
    struct page *p = &f.page;
    struct source other = source_open(&f, (struct label[]){{STR("job"), STR("j")}, {STR("instance"), STR("i:2")}}, 2);
    marker_writer_init(&stale, &f.interner, &f.sink.sink);
    assert_true(feed_show(&f, &other, "a 1\nb 1\nc 1\n", 1000));
    page_start(p, s.id, &s.labels, s.templates, &s.last, NULL, (struct page_text){.text = STR("a 2\nb 2\nc 2\nd 2\n")},
               2000);
    assert_int_equal(page_parse(p, 2), PAGE_MORE);
    recorder_forget(&f.sink);
    markers_end_all(&stale, other.id, &other.labels, &other.last, NULL, 2000);
    assert_int_equal(stale.markers, 3);
    assert_line(&f.sink, "a{instance=\"i:2\", job=\"j\"} stale @2000");
    recorder_forget(&f.sink);
    assert_int_equal(page_parse(p, 100), PAGE_COMPLETE);
    feed_write(&f, 2000);
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_line(&f.sink, "d{instance=\"i:1\", job=\"j\"} 2 @2000");
    assert_int_equal(f.sink.samples, 4);
    marker_writer_free(&stale);
    source_close(&f, &other);
    DONE;
}

static void own_timestamps_have_no_end(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "a 1 500\na 2 600\nb 1\nc 1 700\n", 1000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 1 @500");
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 2 @600");
    assert_int_equal(f.page.result.duplicates, 0);
    assert_true(feed_show(&f, &s, "c 1\n", 2000));
    assert_int_equal(recorder_containing(&f.sink, "stale"), 1);
    assert_line(&f.sink, "b{instance=\"i:1\", job=\"j\"} stale @2000");
    assert_true(feed_show(&f, &s, "b 1\n", 3000)); /* c came without a timestamp the last time */
    assert_line(&f.sink, "c{instance=\"i:1\", job=\"j\"} stale @3000");
    DONE;
}

static void timestamps_may_be_ignored(void **state)
{
    WITH("{job_name: j, honor_timestamps: false}");
    assert_true(feed_show(&f, &s, "a 1 500\n", 1000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} 1 @1000");
    assert_true(feed_show(&f, &s, "\n", 2000));
    assert_line(&f.sink, "a{instance=\"i:1\", job=\"j\"} stale @2000");
    DONE;
}

static void a_busy_sink_takes_nothing(void **state)
{
    WITH("job_name: j");
    assert_true(feed_show(&f, &s, "a 1\nb 1\n", 1000));
    f.sink.busy = true;
    assert_true(feed_show(&f, &s, "a 2\nb 2\n", 2000));
    assert_int_equal(f.page.result.busy, 2);
    f.sink.busy = false;
    assert_true(feed_show(&f, &s, "a 3\nb 3\n", 3000));
    assert_int_equal(f.sink.samples, 2);
    assert_true(f.page.reader.same);
    DONE;
}

static void broken_lines_are_stepped_over_in_the_other_dialect(void **state)
{
    WITH("job_name: j");
    f.job.broken_lines_fail = false;
    assert_true(feed_show(&f, &s, "a 1\n}{ 2\nb 1\n", 1000));
    assert_int_equal(f.sink.samples, 2);
    assert_int_equal(f.page.result.invalid_lines, 1);
    for (int64_t t = 2000; t <= 3000; t += 1000) { /* lines that no series comes of */
        assert_true(feed_show(&f, &s, "a 1\nm{a=\"1\",a=\"2\"} 1\nm{a=\"\xff\"} 1\nb 1\n", t));
        assert_int_equal(f.sink.samples, 2);
        assert_int_equal(f.page.result.invalid_lines, 2);
        assert_int_equal(f.page.result.scraped, 2);
    }
    DONE;
}

/* Pages grow, shrink and change at random places; a naive model says what must be written. */
static void random_pages_agree_with_a_model(void **state)
{
    enum { N = 60, ROUNDS = 400 };
    bool now[N], before[N] = {0};
    unsigned seed = 5;
    WITH("job_name: j");
    for (int round = 1; round <= ROUNDS; round++) {
        struct buf text = {0};
        for (int i = 0; i < N; i++) {
            now[i] = rand_r(&seed) % 20 ? before[i] : rand_r(&seed) % 2;
            if (now[i])
                buf_printf(&text, "m%d{i=\"%d\"} %d\n", i % 7, i, round);
        }
        f.interner.private_max = rand_r(&seed) % 4 ? f.interner.private_max : (size_t)(rand_r(&seed) % 12000);
        assert_true(feed_show(&f, &s, buf_z(&text), round));
        for (int i = 0; i < N; i++) {
            char line[100];
            snprintf(line, sizeof line, "m%d{i=\"%d\", instance=\"i:1\", job=\"j\"} %d @%d", i % 7, i, round, round);
            assert_lines(&f.sink, line, now[i]);
            snprintf(line, sizeof line, "m%d{i=\"%d\", instance=\"i:1\", job=\"j\"} stale @%d", i % 7, i, round);
            assert_lines(&f.sink, line, before[i] && !now[i]);
        }
        memcpy(before, now, sizeof now);
        buf_free(&text);
    }
    DONE;
}

static void a_large_page_goes_in_batches(void **state)
{
    enum { N = 2 * PAGE_BATCH + 10 };
    struct buf text = {0};
    WITH("job_name: j");
    for (int i = 0; i < N; i++)
        buf_printf(&text, "m{i=\"%d\"} 1\n", i);
    assert_true(feed_show(&f, &s, buf_z(&text), 1000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(f.sink.batches, N / PAGE_BATCH_CHANGED + 1);
    assert_true(feed_show(&f, &s, buf_z(&text), 2000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(f.sink.batches, 3);
    assert_true(feed_show(&f, &s, "m{i=\"5\"} 2\n", 3000));
    assert_int_equal(f.sink.samples, N);
    assert_int_equal(recorder_containing(&f.sink, "stale"), N - 1);
    assert_lines(&f.sink, "m{i=\"1009\", instance=\"i:1\", job=\"j\"} stale @3000", 1);
    buf_free(&text);
    DONE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        THRICE(samples_get_the_labels_of_the_target),
        THRICE(a_series_that_goes_ends_once),
        THRICE(series_beyond_the_limit_are_dropped),
        cmocka_unit_test(the_set_of_series_grows),
        THRICE(another_order_is_no_end),
        THRICE(of_two_texts_that_are_one_series_the_first_counts),
        BOTH(a_broken_page_writes_nothing_and_ends_all),
        THRICE(a_target_ends_while_a_page_is_read),
        THRICE(own_timestamps_have_no_end),
        THRICE(timestamps_may_be_ignored),
        THRICE(a_busy_sink_takes_nothing),
        THRICE(broken_lines_are_stepped_over_in_the_other_dialect),
        THRICE(random_pages_agree_with_a_model),
        BOTH(a_large_page_goes_in_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
