// SPDX-License-Identifier: Apache-2.0
/* New plans while samples flow: what stays goes on, what goes is closed, and a plan that cannot be had changes nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "rig.h"
#include "writer/writer_internal.h"

#include <fcntl.h>
#include <glob.h>
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
    rig_start();
    struct destination_conf d[] = {rig_destination(&rig.b, "b", 2), rig_destination(&rig.a, "a", 2)};
    d[0].name = d[1].name = STR_NONE;
    rig_apply(&d[1], 1);
    rig_apply(d, 2);
    struct buf text = {0};
    stats_render(&text, false);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"1:secret-url\"}"), 1);
    assert_int_equal(count_text(buf_str(&text), "vmagent_remotewrite_queues{url=\"2:secret-url\"}"), 1);
    struct destination_status *status;
    size_t n;
    writer_status(rig.writer, &rig.arena, &status, &n);
    assert_int_equal(n, 2);
    assert_true(str_is(status[0].name, "2:secret-url") && str_is(status[1].name, "1:secret-url"));
    assert_true(str_is(status[0].url, "secret-url") && str_is(status[1].url, "secret-url"));
    buf_free(&text);
    rig_stop(100);
}

static void apply_recent_of(const struct destination_conf *d, int64_t budget, int64_t retention)
{
    struct recent_conf *recent = arena_zalloc(&rig.arena, sizeof *recent);
    struct destination_conf *copy = arena_alloc(&rig.arena, sizeof *copy);
    *copy = *d;
    *recent = (struct recent_conf){.like = STR("a"), .budget = budget, .retention = retention};
    rig_apply_plan(&(struct writer_plan){.destinations = copy, .n = 1, .recent = recent});
}

static void apply_recent(const struct destination_conf *d) { apply_recent_of(d, 64 << 20, 7200000); }

/* How many series and samples the recent store answers for all times. */
static size_t recent_samples(size_t *series, int64_t *from)
{
    struct notes notes = {.arena = &rig.arena};
    struct query_ctx q = {.arena = &rig.arena, .notes = &notes};
    struct source *source = writer_recent(rig.writer);
    struct matcher m;
    struct series_set set;
    struct err err = {0};
    size_t n = 0;
    assert_non_null(source);
    assert_true(matcher_init(&m, &rig.arena, MATCH_EQ, STR(METRIC_NAME), STR("m"), &err));
    struct select sel = {.matchers = &m, .n_matchers = 1, .t_min = INT64_MIN, .t_max = INT64_MAX};
    assert_true(source->ops->select(source, &q, &sel, 1, &set, &err));
    for (size_t i = 0; i < set.n; i++) {
        struct series s = {0};
        assert_true(series_set_get(&set, i, &s, &err));
        n += s.n_samples;
    }
    *series = set.n;
    *from = writer_recent_from(source);
    series_set_release(&set);
    matchers_free(&m, 1);
    writer_recent_unref(source);
    return n;
}

static void what_waits_on_disk_can_be_asked_after_a_restart(void **state UNUSED)
{
    atomic_store(&rig.a.status, 503);
    struct destination_conf d = rig_destination(&rig.a, "a", 8);
    int64_t now = clock_wall_ms(), from;
    size_t series;
    rig_start();
    apply_recent(&d);
    rig_push(now - 99, now, true);
    assert_int_equal(recent_samples(&series, &from), rig_samples(100));
    rig_stop(10);
    rig_start();
    apply_recent(&d);
    assert_int_equal(recent_samples(&series, &from), rig_samples(100));
    assert_int_equal(series, RIG_SERIES * RIG_LANES);
    assert_true(from <= now);
    atomic_store(&rig.a.status, 204);
    rig_await(&rig.a, rig_samples(100));
    rig_check(&rig.a, now - 99, now);
    rig_stop(1000);
}

/* A reload leaves the recent store whole, unless the labels of what it keeps change. */
static void a_reload_keeps_what_is_recent(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 8);
    int64_t now = clock_wall_ms(), before, from;
    size_t series;
    rig_start();
    apply_recent(&d);
    rig_push(now, now, true);
    recent_samples(&series, &before);
    usleep(5000);
    d.remote_timeout = 1234;
    apply_recent(&d);
    assert_int_equal(recent_samples(&series, &from), rig_samples(1));
    assert_int_equal(from, before);
    apply_recent_of(&d, 32 << 20, 3600000); /* another size is no other store */
    assert_int_equal(recent_samples(&series, &from), rig_samples(1));
    assert_int_equal(from, before);
    struct str key = STR("zone"), value = STR("z");
    d.extra_labels = (struct str_map){.keys = &key, .values = &value, .n = 1};
    apply_recent(&d);
    recent_samples(&series, &from);
    assert_true(from > before);
    rig_stop(1000);
}

static size_t orphans_shown(const char *labels)
{
    struct buf text = {0};
    stats_render(&text, false);
    size_t n = count_text(buf_str(&text), labels);
    buf_free(&text);
    return n;
}

static bool an_orphan_is_shown(void) { return orphans_shown("sluice_queue_orphaned_bytes{path=\"b-") == 1; }
static bool two_orphans_are_shown(void) { return orphans_shown("sluice_queue_orphaned_bytes{path=") == 2; }
static bool no_orphan_is_shown(void) { return orphans_shown("sluice_queue_orphaned_bytes{") == 0; }

static void a_queue_without_a_destination_is_shown(void **state UNUSED)
{
    rig_start();
    struct destination_conf both[] = {rig_destination(&rig.a, "a", 4), rig_destination(&rig.b, "b", 4)};
    atomic_store(&rig.b.status, 503);
    rig_apply(both, 2);
    rig_push(1, 10, false);
    rig_await(&rig.a, rig_samples(10));
    assert_true(no_orphan_is_shown());
    rig_apply(both, 1);
    rig_wait_until(an_orphan_is_shown);
    assert_true(rig.writer->orphans.n == 1 && rig.writer->orphans.items[0].bytes > 100);
    rig_apply(both, 2);
    rig_wait_until(no_orphan_is_shown);
    rig_apply(both, 0);
    rig_wait_until(two_orphans_are_shown);
    rig_stop(100);
    rig_start();
    rig_apply(both, 0); /* nobody has the lock now */
    rig_wait_until(two_orphans_are_shown);
    rig_stop(100);
}

static void a_reload_changes_destinations_in_place(void **state UNUSED)
{
    rig.show_urls = true;
    rig_start();
    struct destination_conf both[] = {rig_destination(&rig.a, "a", 4), rig_destination(&rig.b, "b", 4)};
    rig_apply(both, 1);
    rig_push(1, 10, false);
    rig_apply(both, 2);
    rig_push(11, 20, false);
    both[0] = rig_destination(&rig.a, "a", 3);
    both[0].url = arena_printf(&rig.arena, "%.*s?moved", STR_ARG(both[0].url));
    rig_apply(both, 2);
    assert_true(str_find_str(rig_status().url, STR("?moved")) < rig_status().url.n);
    rig_push(21, 30, false);
    rig_await(&rig.b, rig_samples(20));
    rig_apply(both, 1); /* b goes */
    rig_push(31, 40, true);
    rig_await(&rig.a, rig_samples(40));
    rig_check(&rig.a, 1, 40);
    rig_check(&rig.b, 11, 30);
    rig_stop(1000);
}

static bool b_has_the_last(void)
{
    size_t n = 0;
    mutex_lock(&rig.b.lock);
    for (size_t i = 0; i < rig.b.n; i++)
        n += rig.b.samples[i].sample.t == 31;
    mutex_unlock(&rig.b.lock);
    return n == rig_samples(1);
}

/* The lanes have not answered one plan when the next comes; b goes and comes back before, while and after its files
 * are closed. */
static void reloads_follow_each_other(void **state UNUSED)
{
    rig_start();
    struct destination_conf both[] = {rig_destination(&rig.a, "a", 4), rig_destination(&rig.b, "b", 4)};
    rig_apply(both, 2);
    for (int64_t t = 1; t <= 30; t++) {
        rig_post(t, t, false);
        both[0] = rig_destination(&rig.a, "a", 2 + t % 3);
        rig_apply_at_once(both, 1);
        for (int64_t turns = t % 4; turns > 0; turns--)
            loop_turn(rig.main, 1);
        rig_apply_at_once(both, 2);
    }
    for (int i = 0; i < 500; i++)
        loop_turn(rig.main, 1);
    rig_push(31, 31, true);
    rig_await(&rig.a, rig_samples(31));
    rig_check(&rig.a, 1, 31);
    rig_wait_until(b_has_the_last);
    rig_apply_at_once(both, 1);
    rig_stop(1000); /* b is still leaving */
}

static void the_folder_has_one_owner(void **state UNUSED)
{
    rig_start();
    struct destination_conf d = rig_destination(&rig.a, "a", 4);
    rig_apply(&d, 1);
    struct err err = {0};
    struct writer_env env = {.main = rig.main, .lanes = rig.lanes, .n_lanes = RIG_LANES, .queue_dir = str_of(rig.dir)};
    struct writer *other = writer_new(&env, &err);
    assert_null(writer_prepare(other, &(struct writer_plan){.destinations = &d, .n = 1}, &err));
    assert_non_null(strstr(err.text, "in use by another process"));
    writer_free(other);
    d.url = STR("http://user:secret@127.0.0.1:1/write?token=secret");
    struct destination_conf twins[] = {d, d};
    assert_false(rig_try(&(struct writer_plan){.destinations = twins, .n = 2}, &err));
    assert_non_null(strstr(err.text, "used twice"));
    assert_null(strstr(err.text, "secret"));
    rig_stop(1000);
}

/* How many paths there are of this pattern in the folder of queues; first: one of them. */
static size_t find_paths(const char *pattern, struct str *first)
{
    glob_t found;
    if (glob(arena_printf(&rig.arena, "%s/%s", rig.dir, pattern).p, 0, NULL, &found) != 0)
        return 0;
    size_t n = found.gl_pathc;
    if (first)
        *first = arena_str(&rig.arena, str_of(found.gl_pathv[0]));
    globfree(&found);
    return n;
}

/* A file in the place of a folder: another number of shards can be had for a, and not for b. */
static void a_failed_reload_leaves_nothing(void **state UNUSED)
{
    struct destination_conf old[] = {rig_destination(&rig.a, "a", 4), rig_destination(&rig.b, "b", 4)};
    struct destination_conf new[] = {rig_destination(&rig.a, "a", 7), rig_destination(&rig.b, "b", 7)};
    struct writer_plan topology = {.destinations = new, .n = 2};
    struct err err = {0};
    struct str queue_dir;
    rig_start();
    rig_apply(old, 2);
    rig_push(1, 10, false);
    assert_int_equal(find_paths("b-*", &queue_dir), 1);
    const char *obstacle = arena_printf(&rig.arena, "%.*s/g0002-s07", STR_ARG(queue_dir)).p;
    close(open(obstacle, O_WRONLY | O_CREAT, 0640));
    assert_false(rig_try(&topology, &err));
    assert_non_null(strstr(err.text, "g0002-s07"));
    assert_int_equal(find_paths("a-*/g0002*", NULL), 0);
    assert_int_equal(rig_status().shards, 4);
    unlink(obstacle);

    struct writer_change *change = writer_prepare(rig.writer, &topology, &err);
    assert_non_null(change);
    assert_int_equal(find_paths("?-*/g0002*", NULL), 2);
    writer_cancel(change);
    assert_int_equal(find_paths("?-*/g0002*", NULL), 0);
    rig_push(11, 20, true);
    rig_apply(new, 2);
    assert_int_equal(rig_status().shards, 7);
    rig_push(21, 30, true);
    rig_await(&rig.a, rig_samples(30));
    rig_await(&rig.b, rig_samples(30));
    rig_check(&rig.a, 1, 30);
    rig_check(&rig.b, 1, 30);
    rig_stop(1000);
}

static bool one_tick_is_sent(void) { return rig_status().sent_samples == rig_samples(1); }

/* Who waits for a plan finds that what he writes goes where it says. */
static void a_plan_in_force_is_announced(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 4);
    rig_start();
    assert_false(writer_ready(rig.writer));
    for (int64_t t = 1; t <= 20; t++) {
        rig_apply(&d, 0);
        assert_true(writer_ready(rig.writer) && !writer_takes(rig.writer));
        rig_apply(&d, 1);
        assert_true(writer_takes(rig.writer));
        rig_push(t, t, true);
        rig_wait_until(one_tick_is_sent); /* what is in flight when a destination goes would come twice */
    }
    rig_await(&rig.a, rig_samples(20));
    rig_check(&rig.a, 1, 20);
    rig_stop(1000);
}

/* What waited in memory only is written before what is written at once. */
static void a_safer_durability_holds_for_what_waits(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 4);
    d.durability = DURABILITY_MEMORY;
    atomic_store(&rig.a.status, 503);
    rig_start();
    rig_apply(&d, 1);
    rig_push(1, 10, true);
    d.durability = DURABILITY_SPILL;
    d.protocol = PROTOCOL_SNAPPY;
    rig_apply(&d, 1);
    assert_false(rig_status().zstd);
    rig_push(11, 20, true);
    rig_stop(20);
    atomic_store(&rig.a.status, 204);
    rig_start();
    rig_apply(&d, 1);
    rig_await(&rig.a, rig_samples(20));
    rig_check(&rig.a, 1, 20);
    rig_stop(1000);
}

/* Main has not told any lane yet to switch to the plan when it is told to stop. */
static void a_stop_overtakes_the_first_plan(void **state UNUSED)
{
    struct destination_conf d = rig_destination(&rig.a, "a", 4);
    rig_start();
    rig_apply_at_once(&d, 1);
    rig_stop(1000);
    assert_int_equal(receiver_count(&rig.a), 0);
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
    struct destination_conf d = rig_destination(&rig.a, "a", 4);
    rig_start();
    rig_apply(&d, 1);
    rig_push(1, 1, true);
    rig_await(&rig.a, rig_samples(1));
    size_t before = open_files();
    for (int64_t t = 2; t <= 21; t++) {
        d = rig_destination(&rig.a, "a", 4 - t % 2);
        rig_apply(&d, 1);
        rig_push(t, t, true);
    }
    rig_await(&rig.a, rig_samples(21));
    rig_check(&rig.a, 1, 21);
    rig_wait_until(old_generations_are_gone);
    assert_in_range(open_files(), 0, before + 8);
    rig_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(labels_follow_the_order), RIG_TEST(what_waits_on_disk_can_be_asked_after_a_restart),
        RIG_TEST(a_reload_keeps_what_is_recent), RIG_TEST(a_queue_without_a_destination_is_shown),
        RIG_TEST(a_reload_changes_destinations_in_place),
        RIG_TEST(reloads_follow_each_other), RIG_TEST(the_folder_has_one_owner),
        RIG_TEST(a_failed_reload_leaves_nothing), RIG_TEST(a_plan_in_force_is_announced),
        RIG_TEST(a_safer_durability_holds_for_what_waits), RIG_TEST(a_stop_overtakes_the_first_plan),
        RIG_TEST(generations_do_not_pile_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
