// SPDX-License-Identifier: Apache-2.0
/* Joint blocks: when a lane's shards share a block, and that each series stays in order whatever the destination does,
 * over restarts with another number of lanes or shards, and over kills. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer/queue/segment.h"
#include "writer_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Each series: what arrives for the first time is newer than what came before. Duplicates are allowed. With `missing`:
 * [0, steps), true for steps of which a sample has not arrived. */
static void check_order(struct receiver *r, int64_t steps, bool *missing)
{
    enum { SLOTS = 4096 };
    struct seen { uint64_t series; int64_t last; bool *got; } *seen = calloc(SLOTS, sizeof *seen);
    unsigned series = 0;
    mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) {
        const struct received *x = &r->samples[i];
        size_t at = x->series & (SLOTS - 1);
        while (seen[at].series && seen[at].series != x->series)
            at = (at + 1) & (SLOTS - 1);
        if (seen[at].series == 0) {
            seen[at] = (struct seen){.series = x->series, .got = calloc((size_t)steps, sizeof(bool))};
            series++;
        }
        assert_in_range(x->sample.t, 1, steps - 1);
        if (!seen[at].got[x->sample.t])
            assert_true(x->sample.t > seen[at].last);
        seen[at].got[x->sample.t] = true;
        if (x->sample.t > seen[at].last)
            seen[at].last = x->sample.t;
    }
    mutex_unlock(&r->lock);
    for (size_t i = 0; i < SLOTS; i++) {
        for (int64_t t = 0; t < steps && seen[i].series; t++)
            missing[t] |= !seen[i].got[t];
        free(seen[i].got);
    }
    assert_int_equal(series, FIXTURE_SERIES * FIXTURE_LANES);
    free(seen);
}

/* --- modes -------------------------------------------------------------------------------------------------------- */

/* One request per lane and flush instead of one per shard. */
static void a_lane_fills_one_block_while_its_destination_keeps_up(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 24);
    fixture_start_with(&d, 1);
    for (int64_t t = 1; t <= 10; t++) {
        fixture_push(t, t, false);
        fixture_await(&fixture.a, fixture_samples(t));
    }
    assert_in_range(atomic_load(&fixture.a.requests), 10, 10 * FIXTURE_LANES * 4); /* of 240 */
    fixture_check(&fixture.a, 1, 10);
    fixture_stop(1000);
}

/* While it does not, shards fill separate blocks, and send them in parallel once it recovers. */
static void shards_come_apart_when_the_destination_lags(void **state UNUSED)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", 24);
    fixture_start_with(&d, 1);
    fixture_push(1, 1, false);
    fixture_await(&fixture.a, fixture_samples(1));
    atomic_store(&fixture.a.status, 503);
    for (int64_t t = 2; t <= 10; t++) {
        fixture_push(t, t, true);
        usleep(60000);
    }
    uint64_t blocks = fixture_status().pending_blocks;
    assert_in_range(blocks, 24, 9 * 24); /* at least one of each shard */
    atomic_store(&fixture.a.status, 204);
    fixture_await(&fixture.a, fixture_samples(10));
    fixture_check(&fixture.a, 1, 10);
    fixture_stop(1000);
}

/* Marked records among the queue's files. */
static unsigned joint_records(void)
{
    char pattern[300];
    glob_t found;
    unsigned n = 0;
    snprintf(pattern, sizeof pattern, "%s/*/*/*/*.seg", fixture.dir);
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int fd = open(found.gl_pathv[i], O_RDONLY);
        struct stat st;
        uint64_t at = 0, skipped = 0;
        struct record r;
        assert_int_equal(fstat(fd, &st), 0);
        while (segment_next(fd, (uint64_t)st.st_size, &at, &r, NULL, &skipped) == SEGMENT_RECORD)
            n += r.joint_lanes > 0;
        close(fd);
    }
    globfree(&found);
    return n;
}

/* A joint block of the last run is delivered before anything else of any shard, also with other lanes. */
static void joint_blocks_of_an_earlier_run_go_first(void **state UNUSED)
{
    int64_t t = 1;
    fixture_start();
    fixture_stop(0);
    for (unsigned lanes = 1; lanes <= FIXTURE_MOST_LANES; lanes++) {
        struct destination_conf d = fixture_destination(&fixture.a, "a", 8);
        fixture.n_lanes = lanes;
        atomic_store(&fixture.a.status, 503);
        fixture_start_with(&d, 1);
        fixture_push(t, t, true);
        fixture_push(t + 1, t + 1, true);
        t += 2;
        fixture_stop(0);
        assert_true(joint_records() > 0);
        fixture.n_lanes = lanes % FIXTURE_MOST_LANES + 1;
        fixture_start_with(&d, 1);
        fixture_push(t, t, true); /* waits for the joint blocks */
        t++;
        atomic_store(&fixture.a.status, 204);
        fixture_await(&fixture.a, fixture_samples(t - 1));
        fixture_stop(1000);
        fixture_check(&fixture.a, 1, t - 1);
    }
}

/* --- random schedules --------------------------------------------------------------------------------------------- */

enum { MOST_STEPS = 4000 };
struct progress { atomic_llong posted; atomic_bool safe[MOST_STEPS]; }; /* shared with the process that is killed */

static void misbehave(struct receiver *r)
{
    switch (rand() % 6) {
    case 0: atomic_store(&r->status, 503); break;
    case 1: atomic_store(&r->lost, 1 + rand() % 3); break;
    case 2: atomic_store(&r->too_large, 2000); break;
    default:
        atomic_store(&r->status, 204);
        atomic_store(&r->too_large, 0);
    }
}

static void behave(struct receiver *r)
{
    atomic_store(&r->status, 204);
    atomic_store(&r->lost, 0);
    atomic_store(&r->too_large, 0);
}

static struct destination_conf random_destination(void)
{
    struct destination_conf d = fixture_destination(&fixture.a, "a", rand() % 3 ? 8 : 5);
    d.queue.min_backoff = 1;
    d.queue.max_backoff = 20;
    d.queue.max_samples = rand() % 2 ? 10000 : 150;
    if (rand() % 4 == 0)
        d.max_memory_bytes = 1;
    return d;
}

static void random_settings(void)
{
    fixture.n_lanes = 1 + (unsigned)rand() % FIXTURE_MOST_LANES;
    fixture.flush_interval = 5 + rand() % 40;
}

/* Runs until it is killed. */
static void push_until_killed(struct progress *p)
{
    struct destination_conf d = random_destination();
    random_settings();
    fixture_start_with(&d, 1);
    for (;;) {
        int64_t t = atomic_load(&p->posted) + 1;
        bool acks = rand() % 4 > 0;
        atomic_store(&p->posted, t);
        fixture_push(t, t, acks);
        atomic_store(&p->safe[t], acks);
        usleep((useconds_t)rand() % 5000);
    }
}

static void kill_one_run(struct progress *p)
{
    unsigned seed = (unsigned)rand();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        srand(seed);
        push_until_killed(p);
        _exit(0);
    }
    int64_t end = clock_mono_ms() + 20 + rand() % 250;
    while (clock_mono_ms() < end) {
        misbehave(&fixture.a);
        usleep((useconds_t)rand() % 20000);
    }
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    receiver_settle(&fixture.a);
}

static int rounds(int usual)
{
    const char *set = getenv("JOINT_ROUNDS");
    return set ? atoi(set) : usual;
}

/* JOINT_ROUNDS=n: so many kills instead. */
static void kills_keep_the_order(void **state UNUSED)
{
#ifdef __SANITIZE_THREAD__ /* it supports no threads after a fork */
    skip();
#endif
    struct progress *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    srand(7);
    for (int round = 0, all = rounds(8); round < all && atomic_load(&p->posted) < MOST_STEPS / 2; round++)
        kill_one_run(p);
    behave(&fixture.a);
    struct destination_conf d = random_destination();
    random_settings();
    fixture_start_with(&d, 1);
    int64_t last = atomic_load(&p->posted) + 1;
    fixture_push(last, last, true);
    int64_t until = clock_mono_ms() + 20000;
    while ((fixture_status().pending_blocks > 0 || fixture_status().pending_bytes > 0) && clock_mono_ms() < until)
        loop_turn(fixture.main, 10);
    fixture_stop(2000);
    bool *missing = calloc((size_t)last + 1, sizeof *missing);
    check_order(&fixture.a, last + 1, missing);
    for (int64_t t = 1; t < last; t++)
        assert_false(missing[t] && atomic_load(&p->safe[t]));
    free(missing);
    munmap(p, sizeof *p);
}

/* Restarts and reloads instead of kills: nothing is lost. */
static void restarts_keep_the_order(void **state UNUSED)
{
    int64_t t = 0;
    srand(11);
    for (int round = 0, all = rounds(6); round < all; round++) {
        struct destination_conf d = random_destination();
        random_settings();
        fixture_start_with(&d, 1);
        for (int i = rand() % 30; i >= 0 && t < MOST_STEPS; i--) {
            t++;
            misbehave(&fixture.a);
            fixture_push(t, t, rand() % 2);
            usleep((useconds_t)rand() % 10000);
            if (rand() % 15 == 0) {
                d = random_destination();
                fixture_apply_at_once(&d, 1);
            }
        }
        if (round + 1 == all)
            behave(&fixture.a);
        fixture_stop(round + 1 == all ? 10000 : rand() % 30);
    }
    bool *missing = calloc((size_t)t + 1, sizeof *missing);
    check_order(&fixture.a, t + 1, missing);
    for (int64_t i = 1; i <= t; i++)
        assert_false(missing[i]);
    free(missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_lane_fills_one_block_while_its_destination_keeps_up),
        FIXTURE_TEST(shards_come_apart_when_the_destination_lags),
        FIXTURE_TEST(joint_blocks_of_an_earlier_run_go_first), FIXTURE_TEST(restarts_keep_the_order),
        FIXTURE_TEST(kills_keep_the_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
