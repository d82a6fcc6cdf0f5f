// SPDX-License-Identifier: Apache-2.0
/* The queue while its disk is full, fails or is deleted: what fits in memory is kept and read in order, the oldest goes
 * first, only lost blocks are counted, and a disk that has space again is used.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "tests/unit/log_capture.h"
#include "queue_fixture.h"
#include "writer_fixture.h"
#include "writer/queue/queue_shard.h"
#include "writer/queue/queue_space.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[256], dir[300];

/* Takes the place of the C library's, and counts. */
static atomic_int stats_made;
int stat(const char *restrict path, struct stat *restrict st)
{
    atomic_fetch_add(&stats_made, 1);
    return fstatat(AT_FDCWD, path, st, 0);
}
static struct loop *home;
static bool done;

static int fault_setup(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/sluice-faults-XXXXXX");
    if (mkdtemp(base) == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s/queue", base);
    home = loop_new();
    return 0;
}

static int fault_teardown(void **state)
{
    (void)state;
    char command[400];
    fixture_unlimit_files();
    loop_free(home);
    umount2(dir, MNT_DETACH); /* left by a test that failed */
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static struct queue *fault_queue(unsigned shards, struct queue_limits limits)
{
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = shards, .limits = limits}, NULL, &err);
    if (q == NULL)
        fail_msg("%s", err.text);
    return q;
}

static void fault_read_done(struct queue_read *r UNUSED) { done = true; }

/* How many blocks [from, ...) the shard has. They are ascending, and those before the first one are missing. */
static uint64_t read_all(struct queue *q, unsigned shard, uint64_t from, uint64_t *first)
{
    uint64_t n = 0;
    struct queue_read r = {.home = home, .from = from, .max_bytes = 1 << 20, .done = fault_read_done};
    for (*first = UINT64_MAX;; r.from = r.next) {
        done = false;
        queue_read(queue_newest_shard(q, shard), &r);
        while (!done)
            loop_turn(home, 100);
        assert_false(r.failed);
        for (unsigned i = 0; i < r.n; i++) {
            assert_true(r.items[i].seq >= r.from && r.items[i].block->bytes[0] == (uint8_t)r.items[i].seq);
            *first = r.items[i].seq < *first ? r.items[i].seq : *first;
            block_unref(r.items[i].block);
        }
        n += r.n;
        if (r.n == 0)
            return n;
    }
}

/* More than memory takes: the oldest unwritten blocks go, each is counted, and the rest is written later. */
static void memory_drops_the_oldest(void **state UNUSED)
{
    enum { ON_DISK = 4, ALL = 40, IN_MEMORY = 10 };
    uint64_t first;
    log_capture_start();
    struct queue *q = fault_queue(1, (struct queue_limits){.max_memory = IN_MEMORY * (TEST_BLOCK_BYTES + 200)});
    queue_write_blocks(q, 0, 0, ON_DISK);
    assert_int_equal(read_all(q, 0, 0, &first), ON_DISK);
    fixture_limit_files(ON_DISK * (TEST_BLOCK_BYTES + RECORD_HEADER));
    queue_write_blocks(q, 0, ON_DISK, ALL);
    uint64_t kept = read_all(q, 0, ON_DISK, &first); /* counts as held by the lane from here on */
    assert_true(kept >= IN_MEMORY && kept < ALL - ON_DISK && first + kept == ALL);
    assert_int_equal(queue_stats(q)->blocks_dropped, ALL - ON_DISK - kept);
    assert_int_equal(queue_stats(q)->samples_dropped, (ALL - ON_DISK - kept) * TEST_BLOCK_SAMPLES);
    assert_int_equal(queue_stats(q)->bytes_dropped, (ALL - ON_DISK - kept) * TEST_BLOCK_BYTES);
    assert_true(queue_failing(q) && queue_unwritten_bytes(q) > 0);
    fixture_unlimit_files();
    queue_close(q); /* writes what is left */
    q = fault_queue(1, (struct queue_limits){0});
    assert_int_equal(read_all(q, 0, 0, &first), ON_DISK + kept);
    queue_close(q);
    queue_assert_drop_logged("cannot write queue block and max_memory_bytes is used up; dropping the oldest block");
    log_capture_stop();
}

/* A segment that is dropped for max_disk_bytes costs nothing while a lane has its blocks in memory. When the lane stops
 * it hands them over once more: what the disk has no more is lost then. */
static void blocks_in_memory_are_not_dropped(void **state UNUSED)
{
    enum { LIMIT = 256 << 10, ALL = 200 };
    for (int held = 0; held < 2; held++) {
        uint64_t first;
        struct queue *q = fault_queue(1, (struct queue_limits){.max_bytes = LIMIT});
        uint64_t begin = queue_shard_state(queue_newest_shard(q, 0)).next;
        queue_hold(queue_newest_shard(q, 0), held ? UINT64_MAX : 0);
        queue_write_blocks(q, 0, begin, begin + ALL);
        uint64_t left = read_all(q, 0, begin, &first);
        assert_true(left < LIMIT / TEST_BLOCK_BYTES + 1 && first == begin + ALL - left);
        assert_int_equal(queue_stats(q)->blocks_dropped, held ? 0 : ALL - left);
        queue_hold(queue_newest_shard(q, 0), 0);
        if (held)
            queue_write_blocks(q, 0, begin, begin + ALL);
        assert_int_equal(read_all(q, 0, begin, &first), left);
        assert_int_equal(queue_stats(q)->blocks_dropped, ALL - left);
        queue_ack(queue_newest_shard(q, 0), begin + ALL);
        queue_close(q);
    }
}

static bool mount_small_disk(void)
{
    if (mkdir(dir, 0750) == 0 && mount("tmpfs", dir, "tmpfs", 0, "size=512k") == 0)
        return true;
    print_message("skipped: cannot mount a tmpfs (%s); run as root with CAP_SYS_ADMIN\n", strerror(errno));
    return false;
}

/* A disk that is full: everything is delivered from memory, its space is free again, nothing is sent twice. */
static void a_full_disk_recovers(void **state UNUSED)
{
    enum { SHARDS = 4, ALL = 60 };
    uint64_t first;
    if (!mount_small_disk())
        skip();
    for (uint64_t begin = 0; begin < 3 * ALL; begin += ALL) {
        struct queue *q = fault_queue(SHARDS, (struct queue_limits){.max_memory = 16 << 20});
        for (unsigned i = 0; i < SHARDS; i++) { /* nothing delivered is left */
            struct queue_state st = queue_shard_state(queue_newest_shard(q, i));
            assert_true(st.first == st.next && st.next <= begin);
        }
        for (unsigned i = 0; i < SHARDS; i++)
            queue_write_blocks(q, i, begin, begin + ALL);
        for (unsigned i = 0; i < SHARDS; i++)
            assert_int_equal(read_all(q, i, begin, &first), ALL);
        assert_true(queue_failing(q));
        assert_int_equal(queue_stats(q)->blocks_dropped, 0);
        for (unsigned i = 0; i < SHARDS; i++)
            queue_ack(queue_newest_shard(q, i), begin + ALL);
        read_all(q, 0, begin + ALL, &first); /* behind the acks */
        assert_int_equal(queue_bytes(q) + queue_unwritten_bytes(q), 0);
        queue_close(q);
    }
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* What one queue has delivered makes way for what another one has to write. */
static void delivered_bytes_make_way_for_other_queues(void **state UNUSED)
{
    enum { SHARDS = 4, DELIVERED = 12, ALL = 80 };
    char whole[300];
    if (!mount_small_disk())
        skip();
    snprintf(whole, sizeof whole, "%s", dir);
    snprintf(dir, sizeof dir, "%.250s/idle", whole);
    struct queue *idle = fault_queue(SHARDS, (struct queue_limits){0});
    for (unsigned i = 0; i < SHARDS; i++) {
        queue_write_blocks(idle, i, 0, DELIVERED);
        queue_ack(queue_newest_shard(idle, i), DELIVERED);
    }
    snprintf(dir, sizeof dir, "%.250s/busy", whole);
    struct queue *busy = fault_queue(1, (struct queue_limits){.max_memory = 16 << 20});
    queue_write_blocks(busy, 0, 0, ALL);
    for (int64_t until = clock_mono_ms() + 5000; queue_unwritten_bytes(busy) > 0 && clock_mono_ms() < until;)
        usleep(10000);
    assert_int_equal(queue_unwritten_bytes(busy), 0);
    assert_true(queue_bytes(busy) > ALL * TEST_BLOCK_BYTES);
    queue_close(busy);
    queue_close(idle);
    snprintf(dir, sizeof dir, "%s", whole);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* On a full disk the oldest goes first, wherever it is, and what is kept are the newest of every shard. */
static void a_full_disk_drops_the_oldest(void **state UNUSED)
{
    enum { SHARDS = 4, ALL = 300 };
    uint64_t first, oldest = UINT64_MAX, newest = 0, kept = 0;
    if (!mount_small_disk())
        skip();
    struct queue *q = fault_queue(SHARDS, (struct queue_limits){.max_memory = 512 << 10});
    for (uint64_t i = 0; i < ALL; i++)
        for (unsigned s = 0; s < SHARDS; s++)
            queue_write_blocks(q, s, i, i + 1);
    for (unsigned s = 0; s < SHARDS; s++) {
        uint64_t n = read_all(q, s, 0, &first);
        kept += n;
        assert_int_equal(first + n, ALL); /* no gap */
        oldest = first < oldest ? first : oldest;
        newest = first > newest ? first : newest;
    }
    assert_int_equal(queue_stats(q)->blocks_dropped, SHARDS * ALL - kept);
    assert_true(kept * TEST_BLOCK_BYTES > 700 << 10 && newest - oldest < 40);
    queue_close(q);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

static void wait_for_files(void)
{
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/g0001-s02/01/position", dir);
    for (int64_t until = clock_mono_ms() + 10000; stat(path, &st) != 0 && clock_mono_ms() < until;)
        usleep(20000);
    assert_int_equal(stat(path, &st), 0);
}

/* Deleted while in use: created again with what is open. What only other files had is counted. */
static void a_deleted_directory_is_restored(void **state UNUSED)
{
    enum { ALL = 20 };
    char command[400];
    uint64_t first;
    struct queue *q = fault_queue(2, (struct queue_limits){0});
    queue_write_blocks(q, 0, 0, ALL);
    queue_write_blocks(q, 1, 0, ALL);
    queue_ack(queue_newest_shard(q, 1), ALL / 2);
    assert_int_equal(read_all(q, 0, 0, &first), ALL);
    snprintf(command, sizeof command, "rm -rf %s", base);
    assert_int_equal(system(command), 0);
    fixture_pass_second(q);
    wait_for_files();
    queue_write_blocks(q, 0, ALL, 2 * ALL);
    assert_int_equal(read_all(q, 1, ALL / 2, &first), ALL / 2);
    queue_close(q);
    q = fault_queue(2, (struct queue_limits){0});
    assert_int_equal(read_all(q, 0, 0, &first), 2 * ALL);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 1)).first, ALL / 2);
    snprintf(command, sizeof command, "rm -rf %s/*", dir); /* no segment of this run is open for writing */
    assert_int_equal(system(command), 0);
    fixture_pass_second(q);
    wait_for_files();
    uint64_t left = read_all(q, 0, 0, &first) + read_all(q, 1, ALL / 2, &first);
    for (int64_t until = clock_mono_ms() + 10000;
         queue_stats(q)->blocks_dropped + left < 2 * ALL + ALL / 2 && clock_mono_ms() < until;)
        usleep(20000); /* the position is restored before the blocks are counted */
    assert_int_equal(queue_stats(q)->blocks_dropped + left, 2 * ALL + ALL / 2);
    assert_int_equal(queue_stats(q)->samples_dropped, queue_stats(q)->blocks_dropped * TEST_BLOCK_SAMPLES);
    queue_write_blocks(q, 0, 2 * ALL, 2 * ALL + 1);
    assert_int_equal(read_all(q, 0, 2 * ALL, &first), 1);
    queue_close(q);
}

/* While nothing is queued, a check reads the names of one shard, and all are restored once it misses one. */
static void idle_shards_are_checked_in_turn(void **state UNUSED)
{
    enum { SHARDS = 16 };
    char command[400], path[400];
    uint64_t first;
    struct queue *q = fault_queue(SHARDS, (struct queue_limits){0});
    for (unsigned i = 0; i < SHARDS; i++) {
        queue_write_blocks(q, i, 0, 2);
        assert_int_equal(read_all(q, i, 0, &first), 2);
        if (i > 0)
            queue_ack(queue_newest_shard(q, i), 2);
    }
    fixture_pass_second(q);
    atomic_store(&stats_made, 0);
    for (int i = 0; i < 2 * SHARDS; i++)
        fixture_pass_second(q);
    int made = atomic_load(&stats_made); /* two for the shard with blocks, and two for another */
    assert_true(made >= 2 * SHARDS * 3 && made <= 2 * SHARDS * 4 + SHARDS);
    snprintf(command, sizeof command, "rm -rf %s/g0001-s16/0[1-9]", dir);
    assert_int_equal(system(command), 0);
    for (int i = 0; i < SHARDS; i++)
        fixture_pass_second(q);
    for (unsigned i = 1; i < 10; i++) {
        snprintf(path, sizeof path, "%s/g0001-s16/%02u/position", dir, i);
        assert_int_equal(access(path, F_OK), 0);
    }
    queue_close(q);
}

/* A segment that is neither written to nor read: its blocks are counted when the reader, or the limit, comes to it. */
static void deleted_segments_are_counted(void **state UNUSED)
{
    enum { LIMIT = 1 << 20, ALL = 180, MORE = 100 };
    for (int which = 0; which < 2; which++) {
        char command[400];
        uint64_t first, all = ALL;
        struct queue *q = fault_queue(1, (struct queue_limits){.max_bytes = LIMIT});
        uint64_t begin = queue_shard_state(queue_newest_shard(q, 0)).next;
        queue_write_blocks(q, 0, begin, begin + ALL);
        while (queue_bytes(q) < ALL * TEST_BLOCK_BYTES)
            usleep(1000);
        snprintf(command, sizeof command, "rm $(ls %s/*/*/*.seg | sed -n %dp)", dir, which == 0 ? 2 : 1);
        assert_int_equal(system(command), 0);
        if (which == 1) { /* over the limit: the oldest is to be dropped, and is not there */
            queue_write_blocks(q, 0, begin + ALL, begin + ALL + MORE);
            all += MORE;
        }
        uint64_t left = read_all(q, 0, begin, &first);
        assert_true(left > 0 && left < all - 20);
        assert_int_equal(queue_stats(q)->blocks_dropped + left, all);
        assert_int_equal(queue_stats(q)->samples_dropped, queue_stats(q)->blocks_dropped * TEST_BLOCK_SAMPLES);
        queue_ack(queue_newest_shard(q, 0), begin + all);
        queue_close(q);
    }
}

/* A position that is deleted on a full disk is written as soon as there is space. */
static void a_position_deleted_on_a_full_disk_is_restored(void **state UNUSED)
{
    enum { ALL = 20 };
    char command[1200], path[400];
    struct stat st;
    if (!mount_small_disk())
        skip();
    struct queue *q = fault_queue(1, (struct queue_limits){0});
    queue_write_blocks(q, 0, 0, ALL);
    while (queue_bytes(q) < ALL * TEST_BLOCK_BYTES)
        usleep(1000);
    snprintf(path, sizeof path, "%s/g0001-s01/00/position", dir);
    snprintf(command, sizeof command, "rm %s; dd if=/dev/zero of=%s/filler bs=1k 2>/dev/null; test -s %s/filler", path,
             dir, dir);
    assert_int_equal(system(command), 0);
    fixture_pass_second(q);
    queue_ack(queue_newest_shard(q, 0), ALL / 2);
    fixture_pass_second(q);
    snprintf(command, sizeof command, "rm %s/filler", dir);
    assert_int_equal(system(command), 0);
    fixture_pass_second(q);
    assert_true(stat(path, &st) == 0 && st.st_size == 48);
    struct position p;
    struct err err;
    uint64_t delivered; /* as a start after kill -9 would find it */
    snprintf(command, sizeof command, "%s/g0001-s01/00", dir);
    assert_true(position_open(&p, command, &delivered, &err));
    position_close(&p);
    assert_int_equal(delivered, ALL / 2);
    queue_close(q);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

static void time_to_full_is_estimated(void **state UNUSED)
{
    enum { MIB = 1 << 20 };
    struct queue_space s = {0};
    struct queue_space_use use = {.dir = "/", .bytes = 30 * MIB, .max_bytes = 100 * MIB};
    queue_space_init(&s);
    assert_true(isinf(queue_space_seconds(&s, &use, 1000)));
    s.n = 1;
    s.samples[0].at = 1000;
    s.samples[0].bytes = 20 * MIB;
    s.samples[0].free = 50 * MIB;
    atomic_store(&s.free, 50 * MIB);
    assert_true(isinf(queue_space_seconds(&s, &use, 2000)));            /* too soon to tell */
    assert_true(queue_space_seconds(&s, &use, 101000) == 700);          /* 10 MiB in 100 s, 70 left */
    atomic_store(&s.free, 30 * MIB);
    assert_true(queue_space_seconds(&s, &use, 101000) == 150);          /* the disk is full sooner */
    use.max_bytes = 0;
    atomic_store(&s.free, 60 * MIB);
    assert_true(isinf(queue_space_seconds(&s, &use, 101000)));
    s.full_at = 100000;
    assert_true(queue_space_seconds(&s, &use, 101000) == 0);
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, fault_setup, fault_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(memory_drops_the_oldest), FAULT_TEST(blocks_in_memory_are_not_dropped),
        FAULT_TEST(a_full_disk_recovers), FAULT_TEST(delivered_bytes_make_way_for_other_queues),
        FAULT_TEST(a_full_disk_drops_the_oldest),
        FAULT_TEST(a_deleted_directory_is_restored), FAULT_TEST(idle_shards_are_checked_in_turn),
        FAULT_TEST(deleted_segments_are_counted),
        FAULT_TEST(a_position_deleted_on_a_full_disk_is_restored), FAULT_TEST(time_to_full_is_estimated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
