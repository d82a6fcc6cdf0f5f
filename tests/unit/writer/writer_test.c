// SPDX-License-Identifier: Apache-2.0
/* The whole writer: every sample once and each series in order, through outages, refusals and restarts, with several
 * lanes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/writer_internal.h"

#include <unistd.h>

static void two_destinations_get_everything_in_order(void **state UNUSED)
{
    atomic_store(&fixture.b.no_zstd, true);
    struct destination_conf d[] = {fixture_destination(&fixture.a, "a", 8), fixture_destination(&fixture.b, "b", 8)};
    fixture_start_with(d, 2);
    fixture_push(1, 50, false);
    fixture_push(51, 60, true);
    fixture_await(&fixture.a, fixture_samples(60));
    fixture_await(&fixture.b, fixture_samples(60));
    fixture_check(&fixture.a, 1, 60);
    fixture_check(&fixture.b, 1, 60);
    fixture_stop(1000);
}

static void an_outage_loses_nothing(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    d.max_memory_bytes = 1; /* most goes through the disk */
    fixture_start_with(&d, 1);
    fixture_push(1, 10, false);
    fixture_await(&fixture.a, fixture_samples(10));
    atomic_store(&fixture.a.status, 503);
    for (int64_t t = 11; t <= 400; t += 10)
        fixture_push(t, t + 9, true);
    assert_int_equal(receiver_count(&fixture.a), fixture_samples(10));
    assert_in_range(fixture_status().oldest_ms, 1, 59999);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(400));
    fixture_check(&fixture.a, 1, 400);
    assert_int_equal(fixture_status().oldest_ms, 0);
    fixture_stop(1000);
}

static void a_restart_goes_on_where_it_was(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start_with(&d, 1);
    fixture_push(1, 20, false);
    fixture_await(&fixture.a, fixture_samples(20));
    atomic_store(&fixture.a.status, 500);
    fixture_push(21, 60, true);
    fixture_stop(50);
    atomic_store(&fixture.a.status, 204);
    d = fixture_destination(&fixture.a, "a", 7); /* with another number of shards: the old ones go first */
    fixture_start_with(&d, 1);
    fixture_push(61, 80, true);
    fixture_await(&fixture.a, fixture_samples(80));
    fixture_check(&fixture.a, 1, 80);
    fixture_stop(1000);
}

/* What waits on disk from before goes first, and what comes meanwhile goes behind it. */
static void durability_memory_keeps_the_order(void **state UNUSED)
{
    atomic_store(&fixture.a.status, 503);
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    d.durability = DURABILITY_MEMORY;
    for (int64_t run = 0; run < 3; run++) {
        fixture_start_with(&d, 1);
        fixture_push(run * 20 + 1, run * 20 + 20, true);
        fixture_stop(20);
    }
    atomic_store(&fixture.a.status, 204);
    fixture_start_with(&d, 1);
    fixture_push(61, 80, true);
    fixture_await(&fixture.a, fixture_samples(80));
    fixture_check(&fixture.a, 1, 80);
    fixture_stop(1000);
}

static bool all_judged(void)
{
    struct destination_status s = fixture_status();
    return s.sent_samples + s.dropped_samples == fixture_samples(302);
}

static void what_is_too_old_is_dropped_and_counted(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    d.queue.sample_age_limit = 60000;
    d.max_memory_bytes = 1;
    atomic_store(&fixture.a.status, 503);
    fixture_start();
    int64_t now = clock_wall_ms();
    fixture_apply(&d, 1);
    fixture_push(now - 59999, now - 59999, true); /* young enough to be tried */
    for (int64_t t = 1; t <= 300; t += 10)
        fixture_push(t, t + 9, true);
    fixture_push(now, now, true);
    atomic_store(&fixture.a.status, 204);
    fixture_wait_until(all_judged);
    assert_in_range(fixture_status().dropped_samples, fixture_samples(300), fixture_samples(301));
    fixture_stop(1000);
}

static void large_blocks_are_cut(void **state UNUSED)
{
    atomic_store(&fixture.a.too_large, 700);
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    d.queue.min_backoff = 1;
    fixture_start_with(&d, 1);
    fixture_push(1, 20, true);
    fixture_await(&fixture.a, fixture_samples(20));
    fixture_check(&fixture.a, 1, 20);
    fixture_stop(1000);
}

static bool tried_again(void) { return fixture_status().retries > 0; }

/* The pieces of a block have one number and one place on disk. */
static void a_cut_block_is_whole_after_a_stop(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    d.durability = DURABILITY_MEMORY;
    atomic_store(&fixture.a.too_large, 700);
    atomic_store(&fixture.a.status, 503);
    fixture_start_with(&d, 1);
    fixture_push(1, 20, true);
    fixture_wait_until(tried_again); /* with a piece that is small enough */
    fixture_stop(20);
    atomic_store(&fixture.a.too_large, 0);
    atomic_store(&fixture.a.status, 204);
    fixture_start_with(&d, 1);
    fixture_await(&fixture.a, fixture_samples(20));
    fixture_check(&fixture.a, 1, 20);
    fixture_stop(1000);
}

static bool five_are_dropped(void) { return fixture_status().dropped_samples == fixture_samples(5); }

static void bad_blocks_are_dropped_and_counted(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    d.queue.min_backoff = 1;
    fixture_start_with(&d, 1);
    atomic_store(&fixture.a.status, 400);
    fixture_push(1, 5, true);
    fixture_wait_until(five_are_dropped);
    assert_true(fixture_status().zstd); /* a bad block says nothing about zstd */
    atomic_store(&fixture.a.status, 204);
    fixture_push(6, 8, true);
    fixture_await(&fixture.a, fixture_samples(3));
    fixture_check(&fixture.a, 6, 8);
    fixture_stop(1000);
}

/* --- the flush tick ----------------------------------------------------------------------------------------------- */

static const struct queue_stats *first_queue_stats(void)
{
    return queue_stats(fixture.writer->destinations[0]->queue);
}

/* Nothing is written while the destination keeps up. While it does not respond or rejects, no sample is older than the
 * flush interval and 100 ms when it is written. */
static void only_what_is_not_delivered_is_written_at_the_tick(void **state UNUSED)
{
    /* On a loaded machine; what waits for the destination waits for its timeout of 30 s. */
    enum { FLUSH = 300, LATE = 100 + 3000 };
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    fixture.flush_interval = FLUSH;
    fixture_start_with(&d, 1);
    for (int64_t t = 1; t <= 5; t++) {
        fixture_push(t, t, false);
        usleep(100000);
    }
    fixture_await(&fixture.a, fixture_samples(5));
    assert_int_equal(first_queue_stats()->bytes_written, 0);
    assert_int_equal(fixture_status().pending_bytes, 0);
    const atomic_ullong *reserved = &fixture.writer->destinations[0]->reserved_bytes;
    assert_int_equal(atomic_load(reserved), 0); /* pending bytes count until they are a block */
    atomic_store(&fixture.a.status, 503);
    for (int64_t t = 6; t <= 9; t++) {
        atomic_store(&fixture.a.silent, t > 7);
        uint64_t before = first_queue_stats()->bytes_written;
        int64_t begin = clock_mono_ms();
        fixture_push(t, t, false);
        assert_true(atomic_load(&fixture.writer->destinations[0]->reserved_bytes) > FIXTURE_SERIES * 40 / 4 ||
                    fixture_status().pending_bytes > 0);
        while (first_queue_stats()->bytes_written == before && clock_mono_ms() < begin + 5000)
            usleep(2000);
        usleep(20000);
        assert_in_range(clock_mono_ms() - begin, 0, FLUSH + LATE);
        fixture_stop(0);
        atomic_store(&fixture.a.silent, false);
        fixture_start_with(&d, 1);
    }
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(9));
    fixture_check(&fixture.a, 1, 9);
    fixture_stop(1000);
}

/* fixture_push waits for 10 s. */
static void pushes_do_not_wait_for_the_tick(void **state UNUSED)
{
    static const int safe[] = {DURABILITY_SPILL, DURABILITY_ALWAYS};
    struct destination_conf d = fixture_destination(&fixture.a, "a", 2);
    fixture.flush_interval = 3600000;
    for (size_t i = 0; i < LEN(safe); i++) {
        atomic_store(&fixture.a.status, 503);
        d.durability = safe[i];
        fixture_start_with(&d, 1);
        fixture_push((int64_t)i + 1, (int64_t)i + 1, true);
        assert_true(first_queue_stats()->bytes_written > 0);
        atomic_store(&fixture.a.status, 204);
        fixture_await(&fixture.a, fixture_samples((int64_t)i + 1));
        fixture_stop(1000);
    }
    fixture_check(&fixture.a, 1, LEN(safe));
}

/* --- a batch of several blocks ------------------------------------------------------------------------------------ */

enum { NO_ANSWER, SAFE, UNSAFE, REFUSED };
static atomic_int answer;
static bool is_answered(void) { return atomic_load(&answer) != NO_ANSWER; }
static void reload_on_result(void *arg UNUSED, bool ok) { atomic_store(&answer, ok ? SAFE : UNSAFE); }

/* One block of series that do not compress, and another of one series. */
static void write_two_blocks(struct loop_task *task UNUSED)
{
    struct sink *sink = writer_sink(fixture.writer, 0);
    struct arena scratch;
    if (sink_begin(sink, &(struct sink_batch){.source = 1, .bytes = 1}) == SINK_BUSY) {
        atomic_store(&answer, REFUSED);
        return;
    }
    arena_init(&scratch, 0);
    for (unsigned long long i = 0; i < 2001; i++) {
        struct str text = arena_printf(&scratch, "%016llx", i * 0x9e3779b97f4a7c15);
        struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), text}};
        struct labels labels = labels_from(&scratch, items, 2);
        struct sample s = {1, 1};
        sink_series(sink, &(struct series_in){.labels = labels, .samples = &s, .n_samples = 1});
    }
    sink_commit(sink, reload_on_result, NULL);
    arena_free(&scratch);
}

static int write_and_wait(void)
{
    struct loop_task task = {.run = write_two_blocks};
    atomic_store(&answer, NO_ANSWER);
    loop_post(fixture.lanes[0], &task);
    fixture_wait_until(is_answered);
    return atomic_load(&answer);
}

/* --- where blocks close by default -------------------------------------------------------------------------------- */

struct many_series { struct loop_task task; unsigned n, n_labels; size_t value_bytes; };

/* Series of one sample each; i is the first label, so that they are different. */
static void write_many_series(struct loop_task *task)
{
    enum { MOST_LABELS = 40 };
    const struct many_series *many = CONTAINER(task, struct many_series, task);
    struct sink *sink = writer_sink(fixture.writer, 0);
    struct sample s = {1, 1};
    struct label items[MOST_LABELS] = {{STR(METRIC_NAME), STR("m")}};
    struct arena scratch;
    arena_init(&scratch, 0);
    char *value = arena_alloc(&scratch, many->value_bytes + 1);
    memset(value, 'v', many->value_bytes);
    assert_int_equal(sink_begin(sink, &(struct sink_batch){.source = 1, .bytes = 1}), SINK_OK);
    for (unsigned k = 2; k < many->n_labels; k++)
        items[k] = (struct label){arena_printf(&scratch, "l%02u", k), str_n(value, many->value_bytes)};
    for (unsigned i = 0; i < many->n; i++) {
        items[1] = (struct label){STR("i"), arena_printf(&scratch, "%u", i)};
        struct labels labels = labels_from(&scratch, items, many->n_labels);
        sink_series(sink, &(struct series_in){.labels = labels, .samples = &s, .n_samples = 1});
    }
    sink_commit(sink, NULL, NULL);
    arena_free(&scratch);
}

/* What does not fill a block waits for the tick. */
static void blocks_close_at_their_limits(void **state UNUSED)
{
    static const struct { struct many_series series; size_t closed; } cases[] = {
        {{.n = 10001, .n_labels = 2}, 10000},                      /* samples */
        {{.n = 4001, .n_labels = 25, .value_bytes = 1}, 4000},     /* 100,000 labels */
        {{.n = 90, .n_labels = 3, .value_bytes = 100000}, 83},     /* 8 MiB: 83 times 100,036 bytes */
    };
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    /* A tick closes blocks, too. Ticks are multiples of the interval on the monotonic clock: this one never comes. */
    fixture.flush_interval = d.queue.batch_send_deadline = 366ll * 86400000;
    size_t sent = 0;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct many_series series = cases[i].series;
        series.task.run = write_many_series;
        fixture_start_with(&d, 1);
        loop_post(fixture.lanes[0], &series.task);
        fixture_await(&fixture.a, sent + cases[i].closed);
        fixture_stop(10000);
        sent += series.n;
        assert_int_equal(receiver_count(&fixture.a), sent);
    }
}

/* The first block does not fit on the disk, the second does: the push is not safe, and nothing is lost. */
static void an_ack_covers_every_block(void **state UNUSED)
{
    enum { BATCHES = 16 };
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    d.max_memory_bytes = 1;
    d.queue.max_samples = 2000;
    atomic_store(&fixture.a.status, 503);
    fixture_start_with(&d, 1);
    for (int i = 0; i < BATCHES; i++)
        assert_int_equal(write_and_wait(), SAFE);
    fixture_limit_files(fixture_status().pending_bytes + 2000);
    assert_int_equal(write_and_wait(), UNSAFE);
    fixture_unlimit_files();
    assert_int_equal(write_and_wait(), SAFE);
    assert_int_equal(fixture_status().dropped_samples, 0);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, (BATCHES + 2) * 2001);
    fixture_stop(1000);
}

/* Memory is full, so that nothing comes any more that could be written: the disk is looked at all the same. */
static void a_disk_that_has_room_again_is_used(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    d.max_memory_bytes = 1;
    d.on_full = FULL_PUSH_BACK;
    atomic_store(&fixture.a.status, 503);
    fixture_start_with(&d, 1);
    fixture_limit_files(100);
    assert_int_equal(write_and_wait(), UNSAFE);
    assert_int_equal(write_and_wait(), REFUSED);
    fixture_unlimit_files();
    int64_t until = clock_mono_ms() + 10000;
    while (write_and_wait() == REFUSED && clock_mono_ms() < until)
        loop_turn(fixture.main, 100);
    assert_int_equal(atomic_load(&answer), SAFE);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, 2 * 2001);
    fixture_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(two_destinations_get_everything_in_order), FIXTURE_TEST(an_outage_loses_nothing),
        FIXTURE_TEST(a_restart_goes_on_where_it_was), FIXTURE_TEST(durability_memory_keeps_the_order),
        FIXTURE_TEST(what_is_too_old_is_dropped_and_counted), FIXTURE_TEST(large_blocks_are_cut),
        FIXTURE_TEST(a_cut_block_is_whole_after_a_stop), FIXTURE_TEST(bad_blocks_are_dropped_and_counted),
        FIXTURE_TEST(only_what_is_not_delivered_is_written_at_the_tick), FIXTURE_TEST(pushes_do_not_wait_for_the_tick),
        FIXTURE_TEST(blocks_close_at_their_limits),
        FIXTURE_TEST(an_ack_covers_every_block), FIXTURE_TEST(a_disk_that_has_room_again_is_used)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
