// SPDX-License-Identifier: Apache-2.0
/* New plans while samples flow: what stays goes on, what goes is closed, and a plan that cannot be had changes nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/writer_internal.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

static size_t count_text(struct str text, const char *wanted)
{
    size_t n = 0;
    for (const char *p = text.p; (p = memmem(p, (size_t)(text.p + text.n - p), wanted, strlen(wanted))) != NULL; p++)
        n++;
    return n;
}

/* Metrics of two destinations must not become one when their order changes. */
static void labels_follow_the_order(void **state UNUSED)
{
    struct destination_conf d[] = {fixture_destination(&fixture.b, "b", 2), fixture_destination(&fixture.a, "a", 2)};
    d[0].name = d[1].name = STR_NONE;
    fixture_start_with(&d[1], 1);
    fixture_apply(d, 2);
    struct buf text = {0};
    stats_render(&text, false);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"1:secret-url\"}"), 1);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"2:secret-url\"}"), 1);
    struct destination_status *status;
    size_t n;
    writer_status(fixture.writer, &fixture.arena, &status, &n);
    assert_int_equal(n, 2);
    assert_true(str_is(status[0].name, "2:secret-url") && str_is(status[1].name, "1:secret-url"));
    assert_true(str_is(status[0].url, "secret-url") && str_is(status[1].url, "secret-url"));
    buf_free(&text);
    fixture_stop(100);
}

static size_t orphans_shown(const char *labels)
{
    struct buf text = {0};
    stats_render(&text, false);
    size_t n = count_text(buf_str(&text), labels);
    buf_free(&text);
    return n;
}

static bool an_orphan_is_shown(void)
{
    return orphans_shown("sluice_queue_orphaned_bytes{path=\"b-") == 1 && fixture.writer->orphans.items[0].bytes > 100;
}
static bool two_orphans_are_shown(void) { return orphans_shown("sluice_queue_orphaned_bytes{path=") == 2; }
static bool no_orphan_is_shown(void) { return orphans_shown("sluice_queue_orphaned_bytes{") == 0; }

static void a_queue_without_a_destination_is_shown(void **state UNUSED)
{
    fixture_start();
    struct destination_conf both[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4)};
    atomic_store(&fixture.b.status, 503);
    fixture_apply(both, 2);
    fixture_push(1, 10, false);
    fixture_await(&fixture.a, fixture_samples(10));
    assert_true(no_orphan_is_shown());
    fixture_apply(both, 1);
    fixture_wait_until(an_orphan_is_shown);
    assert_int_equal(fixture.writer->orphans.n, 1);
    fixture_apply(both, 2);
    fixture_wait_until(no_orphan_is_shown);
    fixture_apply(both, 0);
    fixture_wait_until(two_orphans_are_shown);
    fixture_stop(100);
    fixture_start_with(both, 0); /* nobody has the lock now */
    fixture_wait_until(two_orphans_are_shown);
    fixture_stop(100);
}

static void a_reload_changes_destinations_in_place(void **state UNUSED)
{
    fixture.show_urls = true;
    fixture_start();
    struct destination_conf both[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4)};
    fixture_apply(both, 1);
    fixture_push(1, 10, false);
    fixture_apply(both, 2);
    fixture_push(11, 20, false);
    both[0] = fixture_destination(&fixture.a, "a", 3);
    both[0].url = arena_printf(&fixture.arena, "%.*s?moved", STR_ARG(both[0].url));
    fixture_apply(both, 2);
    assert_true(str_find_str(fixture_status().url, STR("?moved")) < fixture_status().url.n);
    fixture_push(21, 30, false);
    fixture_await(&fixture.b, fixture_samples(20));
    fixture_apply(both, 1); /* b goes */
    fixture_push(31, 40, true);
    fixture_await(&fixture.a, fixture_samples(40));
    fixture_check(&fixture.a, 1, 40);
    fixture_check(&fixture.b, 11, 30);
    fixture_stop(1000);
}

static bool b_has_the_last(void)
{
    size_t n = 0;
    mutex_lock(&fixture.b.lock);
    for (size_t i = 0; i < fixture.b.n; i++)
        n += fixture.b.samples[i].sample.t == 31;
    mutex_unlock(&fixture.b.lock);
    return n == fixture_samples(1);
}

/* The lanes have not answered one plan when the next comes; b goes and comes back before, while and after its files
 * are closed. */
static void reloads_follow_each_other(void **state UNUSED)
{
    fixture_start();
    struct destination_conf both[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4)};
    fixture_apply(both, 2);
    for (int64_t t = 1; t <= 30; t++) {
        fixture_post(t, t, false);
        both[0] = fixture_destination(&fixture.a, "a", 2 + t % 3);
        fixture_apply_at_once(both, 1);
        for (int64_t turns = t % 4; turns > 0; turns--)
            loop_turn(fixture.main, 1);
        fixture_apply_at_once(both, 2);
    }
    fixture_apply(both, 2); /* waits until all plans have been in force */
    fixture_push(31, 31, true);
    fixture_await(&fixture.a, fixture_samples(31));
    fixture_check(&fixture.a, 1, 31);
    fixture_wait_until(b_has_the_last);
    fixture_apply_at_once(both, 1);
    fixture_stop(1000); /* b is still leaving */
}

static void the_folder_has_one_owner(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start_with(&d, 1);
    struct err err = {0};
    struct writer_env env = {.main = fixture.main, .lanes = fixture.lanes, .n_lanes = FIXTURE_LANES,
                             .queue_dir = str_of(fixture.dir)};
    struct writer *other = writer_new(&env);
    assert_null(writer_prepare(other, &(struct writer_plan){.destinations = &d, .n = 1}, &err));
    assert_non_null(strstr(err.text, "in use by another process"));
    writer_free(other);
    d.url = STR("http://user:secret@127.0.0.1:1/write?token=secret");
    struct destination_conf twins[] = {d, d};
    assert_false(fixture_try(&(struct writer_plan){.destinations = twins, .n = 2}, &err));
    assert_non_null(strstr(err.text, "duplicate name"));
    assert_null(strstr(err.text, "secret"));
    fixture_stop(1000);
}

/* How many paths there are of this pattern in the folder of queues; first: one of them. */
static size_t find_paths(const char *pattern, struct str *first)
{
    glob_t found;
    if (glob(arena_printf(&fixture.arena, "%s/%s", fixture.dir, pattern).p, 0, NULL, &found) != 0)
        return 0;
    size_t n = found.gl_pathc;
    if (first)
        *first = arena_str(&fixture.arena, str_of(found.gl_pathv[0]));
    globfree(&found);
    return n;
}

/* A file in the place of a folder: another number of shards can be had for a, and not for b. */
static void a_failed_reload_leaves_nothing(void **state UNUSED)
{
    struct destination_conf old[] = {fixture_destination(&fixture.a, "a", 4), fixture_destination(&fixture.b, "b", 4)};
    struct destination_conf new[] = {fixture_destination(&fixture.a, "a", 7), fixture_destination(&fixture.b, "b", 7)};
    struct writer_plan topology = {.destinations = new, .n = 2};
    struct err err = {0};
    struct str queue_dir;
    fixture_start_with(old, 2);
    fixture_push(1, 10, false);
    assert_int_equal(find_paths("b-*", &queue_dir), 1);
    const char *obstacle = arena_printf(&fixture.arena, "%.*s/g0002-s07", STR_ARG(queue_dir)).p;
    close(open(obstacle, O_WRONLY | O_CREAT, 0640));
    assert_false(fixture_try(&topology, &err));
    assert_non_null(strstr(err.text, "g0002-s07"));
    assert_int_equal(find_paths("a-*/g0002*", NULL), 0);
    assert_int_equal(fixture_status().shards, 4);
    unlink(obstacle);

    struct writer_change *change = writer_prepare(fixture.writer, &topology, &err);
    assert_non_null(change);
    assert_int_equal(find_paths("?-*/g0002*", NULL), 2);
    writer_cancel(change);
    assert_int_equal(find_paths("?-*/g0002*", NULL), 0);
    fixture_push(11, 20, true);
    fixture_apply(new, 2);
    assert_int_equal(fixture_status().shards, 7);
    fixture_push(21, 30, true);
    fixture_await(&fixture.a, fixture_samples(30));
    fixture_await(&fixture.b, fixture_samples(30));
    fixture_check(&fixture.a, 1, 30);
    fixture_check(&fixture.b, 1, 30);
    fixture_stop(1000);
}

static bool one_step_is_sent(void) { return fixture_status().sent_samples == fixture_samples(1); }

/* Who waits for a plan finds that what he writes goes where it says. */
static void a_plan_in_force_is_announced(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start();
    assert_false(writer_ready(fixture.writer));
    for (int64_t t = 1; t <= 20; t++) {
        fixture_apply(&d, 0);
        assert_true(writer_ready(fixture.writer) && !writer_has_streams(fixture.writer));
        fixture_apply(&d, 1);
        assert_true(writer_has_streams(fixture.writer));
        fixture_push(t, t, true);
        fixture_wait_until(one_step_is_sent); /* what is in flight when a destination goes would come twice */
    }
    fixture_await(&fixture.a, fixture_samples(20));
    fixture_check(&fixture.a, 1, 20);
    fixture_stop(1000);
}

/* What waited in memory only is written before what is written at once. */
static void a_safer_durability_holds_for_what_waits(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    d.durability = DURABILITY_MEMORY;
    atomic_store(&fixture.a.status, 503);
    fixture_start_with(&d, 1);
    fixture_push(1, 10, true);
    d.durability = DURABILITY_SPILL;
    d.protocol = PROTOCOL_SNAPPY;
    fixture_apply(&d, 1);
    assert_false(fixture_status().zstd);
    fixture_push(11, 20, true);
    fixture_stop(20);
    atomic_store(&fixture.a.status, 204);
    fixture_start_with(&d, 1);
    fixture_await(&fixture.a, fixture_samples(20));
    fixture_check(&fixture.a, 1, 20);
    fixture_stop(1000);
}

/* Main has not told any lane yet to switch to the plan when it is told to stop. */
static void a_stop_overtakes_the_first_plan(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start();
    fixture_apply_at_once(&d, 1);
    fixture_stop(1000);
    assert_int_equal(receiver_count(&fixture.a), 0);
}

static size_t open_files(void)
{
    glob_t found;
    assert_int_equal(glob("/proc/self/fd/*", 0, NULL, &found), 0);
    size_t n = found.gl_pathc;
    globfree(&found);
    return n;
}

static bool old_generations_are_gone(void) { return find_paths("a-*/g*", NULL) == 1; }

/* The files of a generation that is sent are closed and deleted, and not only by the next start. */
static void generations_do_not_pile_up(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 4);
    fixture_start_with(&d, 1);
    fixture_push(1, 1, true);
    fixture_await(&fixture.a, fixture_samples(1));
    size_t before = open_files();
    for (int64_t t = 2; t <= 21; t++) {
        d = fixture_destination(&fixture.a, "a", 4 - t % 2);
        fixture_apply(&d, 1);
        fixture_push(t, t, true);
    }
    fixture_await(&fixture.a, fixture_samples(21));
    fixture_check(&fixture.a, 1, 21);
    fixture_wait_until(old_generations_are_gone);
    assert_in_range(open_files(), 0, before + 8);
    fixture_stop(1000);
}

/* ---- turns of lanes ---- */

enum { MANY_SHARDS = 256, SHARD_SERIES = 1500 /* less than a block */ };

static const double turn_bounds[] = {0.005};
static struct stats_histogram turns = {"test_turn_seconds", "CPU time of turns", turn_bounds, LEN(turn_bounds), 0, NULL};

static double turns_longer(void)
{
    struct buf text = {0};
    stats_render(&text, false);
    const char *all = strstr(buf_z(&text), "test_turn_seconds_count "), *quick = strstr(text.p, "test_turn_seconds_bucket{");
    double n = strtod(strchr(all, ' '), NULL) - strtod(strchr(quick, ' '), NULL);
    buf_free(&text);
    return n;
}

struct lane_task { struct loop_task task; unsigned lane; atomic_bool done; };

static void observe_lane(struct loop_task *task)
{
    struct lane_task *t = CONTAINER(task, struct lane_task, task);
    loop_observe_turns(fixture.lanes[t->lane], &turns);
    atomic_store(&t->done, true);
}

/* A part of a block for each shard of the lane. */
static void fill_shards_of(unsigned lane, unsigned lanes, uint64_t shards)
{
    struct sink *sink = writer_sink(fixture.writer, lane);
    struct arena scratch;
    arena_init(&scratch, 0);
    for (uint64_t shard = lane; shard < shards; shard += lanes) {
        assert_int_equal(sink_begin(sink, &(struct sink_batch){.source = shard, .bytes = 100000}), SINK_OK);
        for (unsigned i = 0; i < SHARD_SERIES; i++) {
            struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&scratch, "%u", i)},
                                    {STR("shard"), arena_printf(&scratch, "%u", (unsigned)shard)}};
            struct sample sample = {1, (double)i};
            sink_series(sink, &(struct series_in){.labels = labels_from(&scratch, items, 3), .samples = &sample,
                                                  .n_samples = 1});
        }
        sink_commit(sink, NULL, NULL);
    }
    arena_free(&scratch);
}

static void fill_shards(struct loop_task *task)
{
    struct lane_task *t = CONTAINER(task, struct lane_task, task);
    fill_shards_of(t->lane, FIXTURE_LANES, MANY_SHARDS);
    atomic_store(&t->done, true);
}

static void on_all_lanes(void (*run)(struct loop_task *task))
{
    struct lane_task tasks[FIXTURE_LANES];
    for (unsigned i = 0; i < FIXTURE_LANES; i++) {
        tasks[i] = (struct lane_task){.task.run = run, .lane = i};
        loop_post(fixture.lanes[i], &tasks[i].task);
    }
    for (unsigned i = 0; i < FIXTURE_LANES; i++)
        while (!atomic_load(&tasks[i].done))
            loop_turn(fixture.main, 5);
}

static void a_reload_seals_in_slices(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", MANY_SHARDS);
    stats_register_histogram(&turns);
    fixture.flush_interval = 3600000;
    fixture_start_with(&d, 1);
    on_all_lanes(fill_shards);
    on_all_lanes(observe_lane);
    fixture_apply(&d, 1);
#ifndef LOCK_RANKS /* sanitizers make blocks slow */
    assert_true(turns_longer() == 0);
#else
    (void)turns_longer;
#endif
    fixture_await(&fixture.a, MANY_SHARDS * SHARD_SERIES);
    fixture_stop(1000);
    fixture.flush_interval = 0;
}

/* ---- rollouts on a lane whose turns the test runs ---- */

enum { SINGLE_SHARDS = 64 };

static void single_turn(void)
{
    loop_turn(fixture.lanes[0], 0);
    loop_turn(fixture.main, 1);
}

static void single_settle(void)
{
    int64_t until = clock_mono_ms() + 20000;
    while (fixture.writer->rollouts > 0 && clock_mono_ms() < until)
        single_turn();
    assert_int_equal(fixture.writer->rollouts, 0);
}

/* Sealing what is pending takes many slices. */
static struct destination_conf single_start(void)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", SINGLE_SHARDS);
    fixture.main = loop_new();
    fixture.lanes[0] = loop_new();
    fixture.writer = writer_new(&(struct writer_env){.main = fixture.main, .lanes = fixture.lanes, .n_lanes = 1,
                                                     .queue_dir = str_of(fixture.dir), .flush_interval = 3600000});
    fixture_apply_at_once(&d, 1);
    single_settle();
    fill_shards_of(0, 1, SINGLE_SHARDS);
    return d;
}

static void single_note_stop(void *stopped) { *(bool *)stopped = true; }

static void single_stop(void)
{
    bool stopped = false;
    int64_t until = clock_mono_ms() + 20000;
    writer_stop(fixture.writer, 0, single_note_stop, &stopped);
    while (!stopped && clock_mono_ms() < until)
        single_turn();
    assert_true(stopped && fixture.writer->lanes[0].client == NULL);
    writer_free(fixture.writer);
    loop_free(fixture.lanes[0]);
    loop_free(fixture.main);
}

static void spend_a_turn(struct loop_task *task UNUSED)
{
    int64_t until = clock_mono_ns() + 3000000;
    while (clock_mono_ns() < until) {}
}

/* The lane has begun to adopt a plan, and its turn ends before it has seen the next; then a third one comes. */
static void overlapping_plans_are_adopted_in_their_order(void **state UNUSED)
{
    struct destination_conf d = single_start();
    struct loop_task spend = {.run = spend_a_turn};
    fixture_apply_at_once(&d, 1);
    loop_post(fixture.lanes[0], &spend);
    fixture_apply_at_once(&d, 1);
    loop_turn(fixture.lanes[0], 0);
    fixture_apply_at_once(&d, 1);
    assert_int_equal(fixture.writer->rollouts, 3);
    single_settle();
    assert_ptr_equal(fixture.writer->lanes[0].topology, fixture.writer->topology);
    single_stop();
}

static void a_stop_lets_adoptions_end(void **state UNUSED)
{
    struct destination_conf d = single_start();
    fixture_apply_at_once(&d, 1);
    fixture_apply_at_once(&d, 1);
    single_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(labels_follow_the_order), FIXTURE_TEST(a_queue_without_a_destination_is_shown),
        FIXTURE_TEST(a_reload_changes_destinations_in_place),
        FIXTURE_TEST(reloads_follow_each_other), FIXTURE_TEST(the_folder_has_one_owner),
        FIXTURE_TEST(a_failed_reload_leaves_nothing), FIXTURE_TEST(a_plan_in_force_is_announced),
        FIXTURE_TEST(a_safer_durability_holds_for_what_waits), FIXTURE_TEST(a_stop_overtakes_the_first_plan),
        FIXTURE_TEST(generations_do_not_pile_up), FIXTURE_TEST(a_reload_seals_in_slices),
        FIXTURE_TEST(overlapping_plans_are_adopted_in_their_order), FIXTURE_TEST(a_stop_lets_adoptions_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
