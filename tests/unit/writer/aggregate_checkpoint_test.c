// SPDX-License-Identifier: Apache-2.0
/* When the state of aggregation is saved, and what a reader makes of a file: on a clock of the test. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/conf/yaml.h"
#include "base/hash.h"
#include "base/os/file_work.h"
#include "base/text/duration.h"
#include "tests/unit/writer/aggregate_fixture.h"
#include "writer/pipeline/aggregate_checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_RESULTS = 64, PLACE = 7 };
static struct arena arena;
static char dir[64];
static int64_t now;
static double values[MOST_RESULTS];
static int64_t times[MOST_RESULTS];
static size_t n_results;

static int set_up(void **state UNUSED)
{
    arena_init(&arena, 0);
    strcpy(dir, "/tmp/checkpoint-XXXXXX");
    assert_non_null(mkdtemp(dir));
    now = t0;
    n_results = 0;
    return 0;
}

static int tear_down(void **state UNUSED)
{
    struct buf command = {0};
    file_work_await_threads(5000);
    buf_printf(&command, "rm -rf %s", dir);
    assert_int_equal(system(buf_z(&command)), 0);
    buf_free(&command);
    arena_free(&arena);
    return 0;
}

static struct aggregate *lane_new(const char *config, unsigned lane, unsigned n_lanes)
{
    struct conf_context c = {.arena = &arena, .file = "aggr.yml"};
    struct aggregate_conf conf = {0};
    struct err err;
    struct yaml *y = yaml_parse(&arena, str_of(config), "aggr.yml", &err);
    if (y == NULL || !aggregate_load_file(&c, y, &conf, &err))
        fail_msg("%s", err.text);
    const struct aggregate_rule *rule = conf.rules.items;
    return aggregate_new(&rule, NULL, 1, lane, n_lanes, now);
}

static void push_to(struct aggregate *a, const char *name, double v)
{
    struct label item = {STR(METRIC_NAME), str_of(name)};
    struct labels l = labels_from(&arena, &item, 1);
    struct aggregate_match m = aggregate_find(a, l, &(uint64_t){0});
    if (m.own)
        aggregate_add_samples(a, m.route, &(struct sample){now, v}, 1, now);
}

static void keep_result(void *arg UNUSED, struct labels labels UNUSED, const struct sample *s)
{
    assert_true(n_results < MOST_RESULTS);
    times[n_results] = s->t - t0;
    values[n_results++] = s->v;
}
static const struct aggregate_results to = {keep_result, NULL};

/* ---- when -------------------------------------------------------------------------------------------------------- */

static bool path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static const char *path_of(unsigned lane)
{
    return arena_printf(&arena, "%s/aggregation/%016x.%u", dir, PLACE, lane).p;
}

/* As the stage does in each turn, every 100 ms for `ms`; the disk has its time. Returns how many savings have begun. */
static unsigned ticks(struct aggregate_checkpoint *c, struct aggregate *a, int64_t ms)
{
    unsigned begun = 0;
    for (int64_t until = now + ms; now < until;) {
        now += 100;
        push_to(a, "c", 1);
        c->changed = true;
        int64_t since = c->since;
        if (checkpoint_run(c, &a, 1, now, INT64_MAX) != CHECKPOINT_IDLE)
            continue;
        begun += c->since != since;
        while (aggregate_file_busy(c->file))
            aggregate_file_wait();
        assert_false(aggregate_flush(a, now, INT64_MAX, &to));
        checkpoint_flushed(c, now);
    }
    return begun;
}

static void check_saved(const char *config, unsigned least, unsigned most)
{
    struct aggregate *a = lane_new(config, 0, 1);
    struct aggregate_checkpoint c = {.file = aggregate_file_new(dir, PLACE, 0, 1, NULL), .interval = 1000};
    unsigned n = ticks(&c, a, 30000);
    if (n < least || n > most)
        fail_msg("%s: %u savings", config, n);
    assert_true(path_exists(path_of(0)));
    checkpoint_free(&c);
    aggregate_free(a);
    n_results = 0;
}

/* Also if results follow each other more quickly than they reach the disk; the end of a deduplication interval is not
 * one. */
static void intervals_of_any_length_are_saved(void **state UNUSED)
{
    check_saved("- interval: 1s\n  outputs: [sum_samples_total]\n", 6, 9);
    check_saved("- interval: 1m\n  dedup_interval: 1s\n  outputs: [sum_samples]\n", 28, 31);
    check_saved("- interval: 10s\n  outputs: [sum_samples_total]\n", 26, 33);
}

/* The directory is a file: nothing can be written, and results are written nevertheless. */
static void results_do_not_need_a_disk(void **state UNUSED)
{
    struct aggregate *a = lane_new("- interval: 2s\n  outputs: [count_samples]\n", 0, 1);
    struct buf path = {0};
    buf_printf(&path, "%s/aggregation", dir);
    FILE *f = fopen(buf_z(&path), "w");
    assert_non_null(f);
    fclose(f);
    struct aggregate_checkpoint c = {.file = aggregate_file_new(dir, PLACE, 0, 1, NULL), .interval = 1000};
    (void)ticks(&c, a, 9000);
    assert_int_equal(n_results, 4);
    checkpoint_free(&c);
    aggregate_free(a);
    buf_free(&path);
}

/* What is lost must be saved as a whole, which is not begun again and again: a state of 3 MB or more, every 0.1 s. */
static void a_large_state_is_paced_on_a_failing_disk(void **state UNUSED)
{
    struct aggregate *a = lane_new("- interval: 1h\n  outputs: [total]\n", 0, 1);
    for (int i = 0; i < 20000; i++)
        push_to(a, arena_printf(&arena, "a_metric_with_a_long_name_%d", i).p, 1);
    FILE *f = fopen(arena_printf(&arena, "%s/aggregation", dir).p, "w");
    assert_non_null(f);
    fclose(f);
    struct aggregate_checkpoint c = {.file = aggregate_file_new(dir, PLACE, 0, 1, NULL), .interval = 100};
    assert_in_range(ticks(&c, a, 10000), 5, 16);
    assert_true(aggregate_file_lost(c.file));
    assert_true(c.bytes > 3000000);
    checkpoint_free(&c);
    aggregate_free(a);
}

/* The file is a pipe that nobody reads: results wait for it for some seconds, once. */
static void a_disk_that_hangs_does_not_stop_results(void **state UNUSED)
{
    struct aggregate *a = lane_new("- interval: 2s\n  outputs: [count_samples]\n", 0, 1);
    struct buf path = {0};
    buf_printf(&path, "%s/aggregation", dir);
    assert_int_equal(mkdir(buf_z(&path), 0700), 0);
    buf_printf(&path, "/%016x.0.new", PLACE);
    assert_int_equal(mkfifo(buf_z(&path), 0600), 0);
    struct aggregate_checkpoint c = {.file = aggregate_file_new(dir, PLACE, 0, 1, NULL), .interval = 1000};
    struct buf some = {0};
    now = t0;
    push_to(a, "c", 1);
    c.changed = true;
    assert_int_equal(checkpoint_run(&c, &a, 1, now, INT64_MAX), CHECKPOINT_IDLE);
    assert_true(aggregate_file_busy(c.file));
    for (size_t n = 0; n < (5 << 20); n += sizeof dir)
        buf_add(&some, dir, sizeof dir);
    aggregate_file_add(c.file, &some, 0); /* behind the frame that the file does not take */
    c.saving = c.changed = true; /* the next frame of a large state */
    c.set = 0;
    c.begun = c.handed = false;
    unsigned waits = 0;
    for (int i = 0; i < 120; i++) {
        now += 100;
        if (checkpoint_run(&c, &a, 1, now, INT64_MAX) == CHECKPOINT_WAITS) {
            waits++;
            continue;
        }
        assert_false(aggregate_flush(a, now, INT64_MAX, &to));
        checkpoint_flushed(&c, now);
    }
    assert_int_equal(waits, CHECKPOINT_DISK_MS / 100);
    assert_int_equal(n_results, 1);
    FILE *f = fopen(buf_z(&path), "r"); /* it is released */
    char bytes[4096];
    while (fread(bytes, 1, sizeof bytes, f) > 0) {
    }
    fclose(f);
    while (aggregate_file_busy(c.file))
        aggregate_file_wait();
    checkpoint_free(&c);
    aggregate_free(a);
    buf_free(&path);
    buf_free(&some);
}

/* Although the lane needs it no more. */
static void a_removed_file_does_not_come_back(void **state UNUSED)
{
    struct aggregate *a = lane_new("- interval: 2s\n  outputs: [count_samples]\n", 0, 1);
    for (int i = 0; i < 50; i++) {
        struct aggregate_file *f = aggregate_file_new(dir, PLACE, 0, 1, NULL);
        struct buf frame = {0};
        assert_true(aggregate_save_begin(a, true));
        assert_int_equal(aggregate_save_some(a, now, INT64_MAX, &frame), AGGREGATE_SAVE_MORE);
        aggregate_file_add(f, &frame, AGGREGATE_FILE_WHOLE | AGGREGATE_FILE_FIRST);
        while (aggregate_save_some(a, now, INT64_MAX, &frame) == AGGREGATE_SAVE_MORE) {
        }
        aggregate_file_add(f, &frame, AGGREGATE_FILE_WHOLE | AGGREGATE_FILE_LAST);
        if (i % 2 == 0)
            while (aggregate_file_busy(f))
                aggregate_file_wait();
        aggregate_file_remove(f);
        aggregate_file_free(f);
        file_work_await_threads(5000);
        for (int64_t until = clock_mono_ms() + 5000; path_exists(path_of(0)) && clock_mono_ms() < until;)
            aggregate_file_wait();
        assert_false(path_exists(path_of(0)));
    }
    aggregate_free(a);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const char everything[] =
    "- interval: 10s\n  staleness_interval: 1h\n  outputs: [count_series, last, max, 'quantiles(0.5)', rate_sum, "
    "stddev, total, unique_samples, histogram_bucket, sum_samples_total]\n";

static void save_to(struct aggregate *a, struct buf *out)
{
    assert_true(aggregate_save_begin(a, true));
    while (aggregate_save_some(a, now, INT64_MAX, out) == AGGREGATE_SAVE_MORE) {
    }
}

/* With the checksum of what is left of it: a file of one frame. */
static void frame_sign(struct buf *b)
{
    enum { HEAD = 16 };
    if (b->n < HEAD)
        return;
    uint32_t size = (uint32_t)(b->n - HEAD);
    memcpy(b->p + 8, &size, sizeof size);
    uint64_t hash = hash_bytes(b->p + 8, b->n - 8);
    memcpy(b->p, &hash, sizeof hash);
}

static void check_reader(struct buf *bytes)
{
    n_results = 0;
    struct aggregate *a = lane_new(everything, 0, 1);
    (void)aggr_saved_completely(buf_str(bytes));
    (void)aggregate_restore(a, buf_str(bytes), now);
    push_to(a, "c", 5);
    assert_false(aggregate_flush(a, now + 20000, INT64_MAX, &to));
    aggregate_free(a);
    n_results = 0;
}

/* Cut at each byte and with each bit changed, with the old checksum, which refuses it, and with a new one. */
static void any_bytes_are_read_safely(void **state UNUSED)
{
    struct aggregate *a = lane_new(everything, 0, 1);
    struct buf all = {0}, copy = {0};
    for (int i = 0; i < 20; i++)
        push_to(a, "c", i);
    save_to(a, &all);
    uint32_t size; /* of the first frame, which has everything but the end */
    memcpy(&size, all.p + 8, sizeof size);
    assert_true(aggr_saved_completely(buf_str(&all)));
    size_t first = 16 + size;
    assert_true(first > 500);
    for (size_t n = 0; n < all.n; n++)
        assert_false(aggr_saved_completely(str_n(all.p, n)));
    for (size_t bit = 0; bit < 8 * first; bit++) {
        buf_clear(&copy);
        buf_add(&copy, all.p, first);
        copy.p[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(aggr_saved_completely(buf_str(&copy)));
        frame_sign(&copy);
        check_reader(&copy);
    }
    for (size_t n = 0; n <= first; n++) {
        buf_clear(&copy);
        buf_add(&copy, all.p, n);
        check_reader(&copy);
        frame_sign(&copy);
        check_reader(&copy);
    }
    buf_free(&all);
    buf_free(&copy);
    aggregate_free(a);
}

static size_t left_bytes(void)
{
    struct aggregate_left *left = aggregate_left_read(dir, PLACE);
    size_t n = left ? aggregate_left_bytes(left, 0, 0).n : 0;
    aggregate_left_unref(left);
    return n;
}

static size_t file_saving(struct aggregate_file *f, struct aggregate *a, bool whole)
{
    struct buf saving = {0};
    assert_true(aggregate_save_begin(a, whole));
    while (aggregate_save_some(a, now, INT64_MAX, &saving) == AGGREGATE_SAVE_MORE) {
    }
    size_t n = saving.n;
    aggregate_file_add(f, &saving, AGGREGATE_FILE_FIRST | AGGREGATE_FILE_LAST | (whole ? AGGREGATE_FILE_WHOLE : 0));
    while (aggregate_file_busy(f))
        aggregate_file_wait();
    return n;
}

/* What was being appended when the process was killed is not used, and what was before is. When nothing can be
 * appended, a whole saving is asked for. */
static void changes_are_appended(void **state UNUSED)
{
    struct aggregate *a = lane_new(everything, 0, 1);
    struct aggregate_file *f = aggregate_file_new(dir, PLACE, 0, 1, NULL);
    push_to(a, "c", 1);
    push_to(a, "d", 1);
    size_t whole = file_saving(f, a, true);
    assert_int_equal(left_bytes(), whole);
    push_to(a, "c", 2);
    size_t changes = file_saving(f, a, false);
    assert_in_range(changes, 1, whole - 1);
    assert_int_equal(left_bytes(), whole + changes);
    assert_int_equal(truncate(path_of(0), (off_t)(whole + changes - 1)), 0);
    assert_int_equal(left_bytes(), whole);
    assert_int_equal(truncate(path_of(0), (off_t)whole - 1), 0);
    assert_int_equal(left_bytes(), 0);
    assert_false(aggregate_file_lost(f));
    whole = file_saving(f, a, true);
    const char *aside = arena_printf(&arena, "%s/aside", dir).p;
    assert_int_equal(rename(path_of(0), aside), 0);
    push_to(a, "c", 3);
    (void)file_saving(f, a, false);
    assert_true(aggregate_file_lost(f));
    assert_int_equal(rename(aside, path_of(0)), 0);
    push_to(a, "d", 3);
    (void)file_saving(f, a, false); /* as at a stop: the changes before it are missing, so it is not appended */
    assert_true(aggregate_file_lost(f));
    assert_int_equal(left_bytes(), whole);
    push_to(a, "d", 4);
    whole = file_saving(f, a, true);
    assert_false(aggregate_file_lost(f));
    assert_int_equal(left_bytes(), whole);
    changes = file_saving(f, a, false);
    assert_int_equal(left_bytes(), whole + changes);
    aggregate_file_free(f);
    aggregate_free(a);
}

/* Of a large file that is no checkpoint, only what a frame may have is taken into memory, whatever it declares. */
static void a_foreign_file_takes_no_memory(void **state UNUSED)
{
    static const uint32_t sizes[] = {0, 1 << 20, 1u << 30, UINT32_MAX - 16};
    struct aggregate *a = lane_new("- interval: 2s\n  outputs: [count_samples]\n", 0, 1);
    struct buf head = {0};
    struct rusage before, after;
    save_to(a, &head);
    const char *path = path_of(0);
    assert_int_equal(mkdir(arena_printf(&arena, "%s/aggregation", dir).p, 0750), 0);
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(head.p + 8, &sizes[i], sizeof sizes[i]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(head.p, 1, AGGREGATE_FRAME_HEAD, f), AGGREGATE_FRAME_HEAD);
        assert_int_equal(ftruncate(fileno(f), (off_t)3 << 30), 0);
        assert_int_equal(fclose(f), 0);
        assert_null(aggregate_left_read(dir, PLACE));
    }
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 200 << 10);
    buf_free(&head);
    aggregate_free(a);
}

/* A name whose group belongs to this lane of two. */
static const char *name_of_lane(struct aggregate *a)
{
    for (int i = 0;; i++) {
        const char *name = arena_printf(&arena, "m%d", i).p;
        struct label item = {STR(METRIC_NAME), str_of(name)};
        struct labels l = labels_from(&arena, &item, 1);
        if (aggregate_find(a, l, &(uint64_t){0}).own)
            return name;
    }
}

/* One lane was saved before the end of an interval, the other one after it: each continues where it was, in whatever
 * order the files are read; and a lane whose windows are the other way round takes the groups of both. */
static void each_lane_continues_at_its_own_time(void **state UNUSED)
{
    const char *config = "- interval: 10s\n  staleness_interval: 1h\n  outputs: [sum_samples]\n";
    struct aggregate *before[2] = {lane_new(config, 0, 2), lane_new(config, 1, 2)}, *after[2];
    struct buf saved[2] = {{0}, {0}};
    now = t0 + 9000;
    for (int i = 0; i < 2; i++)
        push_to(before[i], name_of_lane(before[i]), i + 1);
    save_to(before[0], &saved[0]);
    now = t0 + 10000;
    assert_false(aggregate_flush(before[1], now, INT64_MAX, &to));
    assert_int_equal(n_results, 1);
    push_to(before[1], name_of_lane(before[1]), 7);
    save_to(before[1], &saved[1]);
    n_results = 0;
    now = t0 + 11000;
    for (unsigned i = 0; i < 2; i++) {
        after[i] = lane_new(config, i, 2);
        assert_int_equal(aggregate_restore(after[i], buf_str(&saved[i]), now), 1);
        assert_int_equal(aggregate_restore(after[i], buf_str(&saved[1 - i]), now), 0);
        assert_false(aggregate_flush(after[i], now, INT64_MAX, &to));
    }
    assert_int_equal(n_results, 1);
    assert_int_equal(times[0], 10000);
    assert_true(values[0] == 1);
    struct aggregate *one = lane_new(config, 0, 1);
    n_results = 0;
    assert_int_equal(aggregate_restore(one, buf_str(&saved[0]), now), 1);
    assert_int_equal(aggregate_restore(one, buf_str(&saved[1]), now), 1);
    assert_false(aggregate_flush(one, now, INT64_MAX, &to));
    assert_int_equal(n_results, 2); /* none waits for the next interval */
    assert_true(values[0] + values[1] == 8);
    aggregate_free(one);
    for (int i = 0; i < 2; i++) {
        aggregate_free(before[i]);
        aggregate_free(after[i]);
        buf_free(&saved[i]);
    }
}

int main(void)
{
#define CHECKPOINT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CHECKPOINT_TEST(intervals_of_any_length_are_saved), CHECKPOINT_TEST(results_do_not_need_a_disk),
        CHECKPOINT_TEST(a_disk_that_hangs_does_not_stop_results), CHECKPOINT_TEST(a_removed_file_does_not_come_back),
        CHECKPOINT_TEST(any_bytes_are_read_safely), CHECKPOINT_TEST(a_foreign_file_takes_no_memory),
        CHECKPOINT_TEST(changes_are_appended), CHECKPOINT_TEST(a_large_state_is_paced_on_a_failing_disk),
        CHECKPOINT_TEST(each_lane_continues_at_its_own_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
