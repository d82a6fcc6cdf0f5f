// SPDX-License-Identifier: Apache-2.0
/* The state of stream aggregation over a restart: what is saved, restored and ignored. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "aggregate_fixture.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const everything =
    "- match: other\n  interval: 10s\n  outputs: [max, unique_samples]\n"
    "- interval: 10s\n  by: [g]\n  staleness_interval: 30s\n  ignore_first_sample_interval: 0s\n"
    "  outputs: [avg, count_samples, count_series, histogram_bucket, increase, last, max, min, 'quantiles(0.5)', "
    "rate_sum, stddev, sum_samples_total, total, unique_samples]\n"
    "- interval: 10s\n  dedup_interval: 5s\n  outputs: [sum_samples]\n  name: dedup\n";

/* Gives the bytes at `at`, which is in a frame, a right checksum, after cutting the frame there. */
static void aggregate_frame_again(struct buf *b, size_t at)
{
    enum { HEAD = 16 };
    for (size_t begin = 0; begin + HEAD <= b->n;) {
        uint32_t size;
        memcpy(&size, b->p + begin + 8, sizeof size);
        if (at < begin + HEAD + size || size > b->n) {
            size = at > begin + HEAD ? (uint32_t)(at - begin - HEAD) : 0;
            b->n = begin + HEAD + size < b->n ? begin + HEAD + size : b->n;
            size = (uint32_t)(b->n - begin - HEAD);
            memcpy(b->p + begin + 8, &size, sizeof size);
            uint64_t hash = hash_bytes(b->p + begin + 8, 8 + size);
            memcpy(b->p + begin, &hash, sizeof hash);
            return;
        }
        begin += HEAD + size;
    }
}

static void push_some(int round)
{
    char name[64];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 3, i);
        aggr_push(name, round * 10 + i % 7);
    }
    aggr_push("other", round);
}

static void save_lanes(struct buf *out, bool whole)
{
    for (unsigned i = 0; i < aggr.n_lanes; i++) {
        enum aggregate_saving s;
        assert_true(aggregate_save_begin(aggr.lanes[i], whole));
        do
            s = aggregate_save_some(aggr.lanes[i], aggr.now, 0, out); /* 32 records a frame */
        while (s == AGGREGATE_SAVE_MORE);
        assert_int_equal(s, AGGREGATE_SAVE_DONE);
    }
}

static void save_all(struct buf *out) { save_lanes(out, true); }

static void restart(unsigned n, const char *config, int64_t away, const struct buf *saved, size_t *restored)
{
    aggr_free_lanes();
    aggr.now += away;
    aggr_start_lanes(n, config, NULL);
    *restored = 0;
    for (unsigned i = 0; i < n; i++)
        *restored += aggregate_restore(aggr.lanes[i], buf_str(saved), aggr.now);
}

/* The results of a run that is interrupted are those of one that is not. */
static void restored_state_goes_on(void **state UNUSED)
{
    char *expected[2];
    struct buf saved = {0};
    size_t restored;
    for (int interrupted = 0; interrupted < 2; interrupted++) {
        aggr.now = t0;
        aggr_start_lanes(2, everything, NULL);
        push_some(1);
        aggr_pass(12000);
        push_some(2);
        if (interrupted) {
            aggr_results();
            save_all(&saved);
            assert_true(aggr_saved_completely(buf_str(&saved)));
            assert_false(aggr_saved_completely(str_n(saved.p, saved.n - 1)));
            restart(3, everything, 2000, &saved, &restored);
            assert_int_equal(restored, 1 + 31 + 4 + 31 + 31); /* series and groups */
        } else {
            aggr_pass(2000);
            aggr_results();
        }
        aggr_pass(3000);
        push_some(3);
        aggr_pass(20000);
        expected[interrupted] = strdup(aggr_results());
        aggr_free_lanes();
    }
    assert_true(strlen(expected[0]) > 2000);
    assert_string_equal(expected[1], expected[0]);
    free(expected[0]);
    free(expected[1]);
    buf_free(&saved);
}

/* Some series come, others pause or end, over several intervals; what changes is saved behind a whole saving. */
static char *results_after_changes(bool interrupted, unsigned lanes)
{
    struct buf saved = {0};
    size_t restored;
    aggr.now = t0;
    aggr_start_lanes(lanes, everything, NULL);
    push_some(1);
    aggr_pass(3000);
    if (interrupted)
        save_all(&saved);
    for (int round = 2; round < 16; round++) {
        char name[64];
        for (int i = round % 4; i < 30 - round; i += 1 + round % 3) {
            snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 3, i);
            aggr_push(name, round * 10 + i % 7);
        }
        aggr_push("new", round);
        aggr_pass(round % 2 ? 2700 : 3300);
        aggr_clear_lines();
        if (interrupted)
            save_lanes(&saved, false);
    }
    if (interrupted)
        restart(lanes + 1, everything, 0, &saved, &restored);
    push_some(20);
    aggr_pass(9000);
    push_some(21);
    aggr_pass(20000);
    char *results = strdup(aggr_results());
    aggr_free_lanes();
    buf_free(&saved);
    return results;
}

static void changes_follow_a_whole_saving(void **state UNUSED)
{
    for (unsigned lanes = 1; lanes < AGGR_LANES; lanes++) {
        char *expected = results_after_changes(false, lanes), *found = results_after_changes(true, lanes);
        assert_true(strlen(expected) > 2000);
        assert_string_equal(found, expected);
        free(expected);
        free(found);
    }
}

/* A saving of changes has the series and groups that have changed, and no others. */
static void only_changes_are_saved(void **state UNUSED)
{
    struct buf whole = {0}, nothing = {0}, one = {0};
    aggr_start("- interval: 10s\n  by: [g]\n  outputs: [total]\n");
    for (int i = 0; i < 5000; i++) {
        char name[64];
        snprintf(name, sizeof name, "c{g=\"%d\",i=\"%d\"}", i % 50, i);
        aggr_push(name, i);
    }
    save_lanes(&whole, true);
    save_lanes(&nothing, false);
    aggr_push("c{g=\"7\",i=\"7\"}", 8);
    save_lanes(&one, false);
    assert_true(whole.n > 5000 * 40);
    assert_true(nothing.n < 1000);
    assert_in_range(one.n, nothing.n + 40, nothing.n + 500);
    aggr_pass(10000); /* the results change the groups; without samples and rates nothing of the series */
    buf_clear(&one);
    save_lanes(&one, false);
    assert_in_range(one.n, 50 * 40, whole.n / 8);
    buf_free(&whole);
    buf_free(&nothing);
    buf_free(&one);
}

/* A series and its group that arrive when the groups have been saved, but not the series: the next saving has both. */
static void series_that_arrive_during_a_saving(void **state UNUSED)
{
    struct buf saved = {0};
    size_t restored;
    const char *config = "- interval: 10s\n  ignore_first_sample_interval: 0s\n  outputs: [total]\n";
    aggr_start(config);
    for (int i = 0; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "c%d", i);
        aggr_push(name, i);
    }
    aggr_pass(10000);
    aggr_clear_lines();
    assert_true(aggregate_save_begin(aggr.lanes[0], true));
    for (int i = 0; i < 2; i++) /* the groups, and some series */
        assert_int_equal(aggregate_save_some(aggr.lanes[0], aggr.now, 0, &saved), AGGREGATE_SAVE_MORE);
    aggr_push("new", 100);
    while (aggregate_save_some(aggr.lanes[0], aggr.now, 0, &saved) == AGGREGATE_SAVE_MORE)
        ;
    save_lanes(&saved, false);
    restart(1, config, 0, &saved, &restored);
    assert_int_equal(restored, 2 * 41);
    aggr_push("new", 130);
    aggr_pass(10000);
    assert_non_null(strstr(aggr_results(), "new:10s_total 130 20000\n"));
    buf_free(&saved);
}

/* Only the last frame completes a saving: not one whose last value has an 'E' at its end. */
static void only_the_last_frame_completes_a_saving(void **state UNUSED)
{
    enum { SERIES = 200 };
    const double value = 0x1p81; /* its highest byte is 0x45 */
    struct buf saved = {0};
    unsigned frames = 0, complete = 0;
    aggr_start("- interval: 10s\n  outputs: [max]\n");
    for (int window = 0; window < 2; window++, aggr_pass(window < 2 ? 10000 : 0))
        for (int i = 0; i < SERIES; i++) {
            char name[64];
            snprintf(name, sizeof name, "c%d", i);
            aggr_push(name, value);
        }
    save_all(&saved);
    for (size_t at = 0; at < saved.n; frames++) {
        size_t n = AGGREGATE_FRAME_HEAD + aggregate_frame_size(saved.p + at);
        bool last;
        assert_true(aggregate_frame_check(str_n(saved.p + at, n), &last));
        complete += last;
        at += n;
    }
    assert_in_range(frames, SERIES / 40, SERIES);
    assert_int_equal(complete, 1);
    assert_true(aggr_saved_completely(buf_str(&saved)));
    buf_free(&saved);
}

/* The interval ended while the program was away: its results are written at the start, and counters go on as if there
 * had been no gap, although the silence was longer than the staleness interval. */
static void results_of_the_time_away(void **state UNUSED)
{
    struct buf saved = {0};
    size_t restored;
    const char *config = "- interval: 10s\n  outputs: [total, sum_samples]\n";
    aggr_start(config);
    aggr_push("c", 100);
    aggr_pass(5000);
    aggr_push("c", 130);
    save_all(&saved);
    restart(1, config, 300000, &saved, &restored);
    assert_int_equal(restored, 2);
    aggr_pass(1000);
    assert_string_equal(aggr_results(), "c:10s_sum_samples 230 10000\nc:10s_total 30 10000\n");
    aggr_push("c", 150);
    aggr_pass(10000);
    assert_string_equal(aggr_results(), "c:10s_sum_samples 150 310000\nc:10s_total 50 310000\n");
    restart(1, config, 2 * 3600000, &saved, &restored); /* too old */
    assert_int_equal(restored, 0);
    restart(1, "- interval: 20s\n  outputs: [total, sum_samples]\n", 0, &saved, &restored); /* another rule */
    assert_int_equal(restored, 0);
    buf_free(&saved);
}

static void saving_is_broken_by_a_flush(void **state UNUSED)
{
    struct buf saved = {0};
    aggr_start(everything);
    push_some(1);
    assert_true(aggregate_save_begin(aggr.lanes[0], true));
    assert_int_equal(aggregate_save_some(aggr.lanes[0], aggr.now, 0, &saved), AGGREGATE_SAVE_MORE);
    aggr_pass(10000);
    assert_int_equal(aggregate_save_some(aggr.lanes[0], aggr.now, 0, &saved), AGGREGATE_SAVE_BROKEN);
    buf_free(&saved);
}

/* Frames with valid checksums and any contents: nothing is trusted. */
static void damaged_state_is_ignored(void **state UNUSED)
{
    struct buf saved = {0};
    size_t restored;
    aggr_start(everything);
    push_some(1);
    save_all(&saved);
    srand(1);
    for (int i = 0; i < 3000; i++) {
        struct buf copy = {0};
        buf_add_str(&copy, buf_str(&saved));
        copy.p[(size_t)rand() % copy.n] ^= (char)(1 << rand() % 8);
        if (i % 2 == 0) /* a frame of its own with a right checksum, cut anywhere */
            aggregate_frame_again(&copy, (size_t)rand() % copy.n);
        restart(1, everything, 1000, &copy, &restored);
        push_some(2);
        aggr_pass(10000);
        aggr_clear_lines();
        buf_free(&copy);
    }
    buf_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGGR_TEST(restored_state_goes_on), AGGR_TEST(changes_follow_a_whole_saving),
        AGGR_TEST(only_changes_are_saved), AGGR_TEST(series_that_arrive_during_a_saving),
        AGGR_TEST(only_the_last_frame_completes_a_saving), AGGR_TEST(results_of_the_time_away),
        AGGR_TEST(saving_is_broken_by_a_flush), AGGR_TEST(damaged_state_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
