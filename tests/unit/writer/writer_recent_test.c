// SPDX-License-Identifier: Apache-2.0
/* The recent store over a restart, which reads it from the queue, and over a reload. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/writer_internal.h"

#include <unistd.h>

static void apply_recent_of(const struct destination_conf *d, int64_t budget, int64_t retention)
{
    struct recent_conf *recent = arena_zalloc(&fixture.arena, sizeof *recent);
    struct destination_conf *copy = arena_alloc(&fixture.arena, sizeof *copy);
    *copy = *d;
    *recent = (struct recent_conf){.like = STR("a"), .budget = budget, .retention = retention};
    fixture_apply_plan(&(struct writer_plan){.destinations = copy, .n = 1, .recent = recent});
}

static void apply_recent(const struct destination_conf *d) { apply_recent_of(d, 64 << 20, 7200000); }

static void what_waits_on_disk_can_be_asked_after_a_restart(void **state UNUSED)
{
    atomic_store(&fixture.a.status, 503);
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    int64_t now = clock_wall_ms(), from;
    size_t series;
    fixture_start();
    apply_recent(&d);
    fixture_push(now - 99, now, true);
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(100));
    fixture_stop(10);
    fixture_start();
    apply_recent(&d);
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(100));
    assert_int_equal(series, FIXTURE_SERIES * FIXTURE_LANES);
    assert_true(from <= now);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(100));
    fixture_check(&fixture.a, now - 99, now);
    fixture_stop(1000);
}

/* What was delivered before it would have been written is in no file: the store is complete from the last gap on. */
static void a_gap_of_the_queue_is_known_after_a_restart(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 1);
    int64_t now = clock_wall_ms(), from;
    size_t series;
    atomic_store(&fixture.a.status, 503);
    fixture_start();
    apply_recent(&d);
    fixture_push(now - 99, now - 90, true);
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(10));
    const struct queue_stats *stats = queue_stats(fixture.writer->destinations[0]->queue);
    uint64_t written = stats->bytes_written;
    fixture_push(now - 89, now - 80, false);
    fixture_await(&fixture.a, fixture_samples(20));
    bool gap = stats->bytes_written == written; /* unless the machine is too slow */
    atomic_store(&fixture.a.status, 503);
    fixture_push(now - 79, now - 70, true);
    fixture_stop(10);

    fixture_start();
    apply_recent(&d);
    assert_in_range(fixture_recent(&series, &from), fixture_samples(10), fixture_samples(gap ? 20 : 30));
    assert_true(!gap || (from > now - 80 && from <= now - 70));
    fixture_stop(10);
}

/* Joint blocks are in the files of the lanes' first shards. */
static void joint_blocks_can_be_asked_after_a_restart(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    int64_t now = clock_wall_ms(), from;
    size_t series;
    atomic_store(&fixture.a.status, 503);
    fixture_start();
    apply_recent(&d);
    for (int64_t t = now - 99; t < now - 90; t++) { /* the shards come apart */
        fixture_push(t, t, true);
        usleep(60000);
    }
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(9));
    fixture_stop(1000);

    fixture_start();
    apply_recent(&d);
    atomic_store(&fixture.a.status, 503);
    int64_t begin = clock_wall_ms();
    fixture_push(begin, begin + 1, true);
    fixture_stop(10);

    fixture_start();
    apply_recent(&d);
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(2));
    assert_int_equal(series, FIXTURE_SERIES * FIXTURE_LANES);
    assert_true(from > begin + 1); /* what the other shards have delivered is nowhere */
    fixture_stop(10);

    /* The lanes' series are others: none is stored twice, and the store knows that it lacks some. */
    fixture.n_lanes = 2;
    fixture_start();
    apply_recent(&d);
    assert_true(fixture_recent(&series, &from) < fixture_samples(2));
    assert_true(series <= FIXTURE_SERIES * FIXTURE_LANES);
    assert_true(from > begin + 1);
    fixture_stop(10);
}

/* A reload leaves the recent store whole, unless the labels of what it keeps change. */
static void a_reload_keeps_what_is_recent(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
    int64_t now = clock_wall_ms(), before, from;
    size_t series;
    fixture_start();
    apply_recent(&d);
    fixture_push(now, now, true);
    fixture_recent(&series, &before);
    usleep(5000);
    d.remote_timeout = 1234;
    apply_recent(&d);
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(1));
    assert_int_equal(from, before);
    apply_recent_of(&d, 32 << 20, 3600000); /* another size is no other store */
    assert_int_equal(fixture_recent(&series, &from), fixture_samples(1));
    assert_int_equal(from, before);
    struct str key = STR("zone"), value = STR("z");
    d.extra_labels = (struct str_map){.keys = &key, .values = &value, .n = 1};
    apply_recent(&d);
    fixture_recent(&series, &from);
    assert_true(from > before);
    fixture_stop(1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_waits_on_disk_can_be_asked_after_a_restart),
        FIXTURE_TEST(joint_blocks_can_be_asked_after_a_restart),
        FIXTURE_TEST(a_gap_of_the_queue_is_known_after_a_restart), FIXTURE_TEST(a_reload_keeps_what_is_recent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
