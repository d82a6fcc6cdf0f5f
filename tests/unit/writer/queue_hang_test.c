// SPDX-License-Identifier: Apache-2.0
/* The queue beside a disk that does not respond, and at its end: what waits is bounded and can be read, what the end
 * cannot write is counted, and a deleted lock file lets nobody in.
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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STALLED_MS = 2000 };
static char dir[256];
static atomic_bool slow, hang, hanging; /* hanging: a call waits */

static void hang_here(void)
{
    if (atomic_load(&slow))
        usleep(30000);
    for (; atomic_load(&hang); usleep(1000))
        atomic_store(&hanging, true);
    atomic_store(&hanging, false);
}

/* Takes the place of the C library's: a disk that hangs. */
ssize_t pwritev(int fd, const struct iovec *stripes, int n, off_t at)
{
    hang_here();
    return (ssize_t)syscall(SYS_pwritev, fd, stripes, n, at, 0);
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    hang_here();
    return (ssize_t)syscall(SYS_pread64, fd, to, n, at);
}

static int hang_setup(void **state UNUSED)
{
    snprintf(dir, sizeof dir, "/tmp/sluice-hang-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int hang_teardown(void **state UNUSED)
{
    char command[400];
    atomic_store(&hang, false);
    fixture_unlimit_files();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct queue *hang_queue(struct queue_limits limits)
{
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = 1, .limits = limits}, NULL, &err);
    if (q == NULL)
        fail_msg("%s", err.text);
    return q;
}

static void wait_ended(struct queue *q)
{
    for (int64_t until = clock_mono_ms() + 10000; !queue_ended(q) && clock_mono_ms() < until;)
        usleep(10000);
    assert_true(queue_ended(q));
}

/* Blocks [from, ...) that can be read without the io thread. */
static unsigned read_memory(struct queue *q, uint64_t from, uint64_t *first)
{
    struct queue_read r = {.from = from, .max_bytes = 1 << 20};
    assert_true(queue_read_memory(queue_newest_shard(q, 0), &r));
    *first = r.n ? r.items[0].seq : UINT64_MAX;
    for (unsigned i = 0; i < r.n; i++) {
        assert_int_equal(r.items[i].block->bytes[0], (uint8_t)r.items[i].seq);
        block_unref(r.items[i].block);
    }
    return r.n;
}

/* The oldest job is longer at the disk than a disk may take. */
static void stall_seconds(void)
{
    while (!atomic_load(&hanging))
        usleep(1000);
    clock_advance(STALLED_MS + 100);
}

static void stall(struct queue *q)
{
    atomic_store(&hang, true);
    queue_write_blocks(q, 0, 0, 1);
    stall_seconds();
}

static void a_hung_disk_costs_no_more_than_its_limit(void **state UNUSED)
{
    enum { LIMIT = 10, ALL = 50 };
    uint64_t first;
    log_capture_start();
    struct queue *q = hang_queue((struct queue_limits){.max_memory = LIMIT * (TEST_BLOCK_BYTES + 200)});
    stall(q);
    assert_false(queue_read_memory(queue_newest_shard(q, 0), &(struct queue_read){.from = UINT64_MAX}) == false);
    queue_write_blocks(q, 0, 1, ALL);
    assert_true(queue_failing(q));
    assert_true(queue_unwritten_bytes(q) <= LIMIT * (TEST_BLOCK_BYTES + 200));
    unsigned kept = read_memory(q, 1, &first);
    assert_true(kept >= LIMIT - 2 && kept < LIMIT && first == ALL - kept);
    assert_int_equal(queue_stats(q)->blocks_dropped, ALL - 1 - kept);
    assert_int_equal(queue_stats(q)->samples_dropped, (ALL - 1 - kept) * TEST_BLOCK_SAMPLES);
    atomic_store(&hang, false);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, ALL);
    queue_close(q);
    queue_assert_drop_logged("queue disk does not respond and max_memory_bytes is used up; dropping the oldest block");
    log_capture_stop();
}

/* What a lane holds is not dropped; what is delivered needs no disk, and is no loss. */
static void delivered_blocks_do_not_wait_for_the_disk(void **state UNUSED)
{
    enum { ALL = 40 };
    uint64_t first;
    struct queue *q = hang_queue((struct queue_limits){.max_memory = 10 * TEST_BLOCK_BYTES});
    queue_hold(queue_newest_shard(q, 0), UINT64_MAX);
    atomic_store(&hang, true);
    queue_write_blocks(q, 0, 0, ALL);
    stall_seconds();
    queue_write_blocks(q, 0, ALL, ALL + 1);
    assert_int_equal(read_memory(q, 1, &first), ALL);
    queue_ack(queue_newest_shard(q, 0), ALL);
    assert_int_equal(read_memory(q, ALL, &first), 1);
    assert_true(queue_unwritten_bytes(q) < 3 * TEST_BLOCK_BYTES); /* the one that is being written, and the young one */
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    atomic_store(&hang, false);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).first, ALL);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, ALL + 1);
    queue_close(q);
}

static int64_t fake_ms;
static int64_t fake_clock(void *arg UNUSED) { return fake_ms; }
static int told; /* 0 = not yet, 1 = safe, 2 = not safe */
static void on_told(void *arg UNUSED, bool ok) { assert_int_equal(told, 0); told = ok ? 1 : 2; }

static void a_push_waits_only_so_long(void **state UNUSED)
{
    struct loop *home = loop_new();
    loop_set_clock(home, (struct loop_clock){fake_clock, fake_clock, NULL});
    struct queue *q = hang_queue((struct queue_limits){0});
    atomic_store(&hang, true);
    struct ack *r = ack_new(home, on_told, NULL);
    queue_write(queue_newest_shard(q, 0), sized_block(0), 0,
                (struct write_terms){.acks = (struct ack *const[]){r}, .n = 1});
    for (fake_ms = 0; fake_ms < ACK_TIMEOUT_MS; fake_ms += ACK_TIMEOUT_MS / 4) {
        loop_turn(home, 0);
        assert_int_equal(told, 0);
    }
    fake_ms = ACK_TIMEOUT_MS;
    loop_turn(home, 0);
    assert_int_equal(told, 2);
    atomic_store(&hang, false);
    queue_close(q); /* drops the last hold: nobody is told twice */
    loop_turn(home, 0);
    loop_free(home);
}

/* A disk that hangs keeps nobody: the end is asked for, and main goes on. */
static void the_end_does_not_wait(void **state UNUSED)
{
    struct queue *q = hang_queue((struct queue_limits){0});
    atomic_store(&hang, true);
    queue_write_blocks(q, 0, 0, 3);
    int64_t begin = clock_mono_ms();
    queue_end(q, 100, NULL, NULL);
    assert_false(queue_ended(q));
    queue_log_abandoned(q);
    assert_true(clock_mono_ms() - begin < 500);
    atomic_store(&hang, false);
    wait_ended(q);
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    queue_close(q);
}

static void blocks_that_the_end_cannot_write_are_counted(void **state UNUSED)
{
    for (int full = 0; full < 2; full++) {
        struct queue *q = hang_queue((struct queue_limits){.max_memory = 1 << 20});
        uint64_t begin = queue_shard_state(queue_newest_shard(q, 0)).next;
        fixture_limit_files(1);
        queue_write_blocks(q, 0, begin, begin + 10);
        queue_ack(queue_newest_shard(q, 0), begin + 3);
        queue_end(q, 600, NULL, NULL);
        usleep(200000);
        assert_false(queue_ended(q)); /* it retries */
        if (!full)
            fixture_unlimit_files();
        wait_ended(q);
        assert_int_equal(queue_stats(q)->blocks_dropped, full ? 7 : 0);
        assert_int_equal(queue_stats(q)->samples_dropped, full ? 7 * TEST_BLOCK_SAMPLES : 0);
        fixture_unlimit_files();
        queue_close(q);
    }
}

/* Written, but into a file that was deleted and cannot be created again. */
static void blocks_in_deleted_files_are_counted_at_the_end(void **state UNUSED)
{
    char command[600];
    struct queue *q = hang_queue((struct queue_limits){0});
    queue_write_blocks(q, 0, 0, 10);
    while (queue_bytes(q) < 10 * TEST_BLOCK_BYTES)
        usleep(1000);
    snprintf(command, sizeof command, "rm -rf %s && touch %s", dir, dir);
    assert_int_equal(system(command), 0);
    queue_end(q, 200, NULL, NULL);
    wait_ended(q);
    assert_int_equal(queue_stats(q)->blocks_dropped, 10);
    queue_close(q);
}

/* All delivered, and nothing written since the start: the space of the last segment is given back as well. */
static void a_delivered_backlog_is_freed(void **state UNUSED)
{
    enum { ALL = 300 };
    struct queue *q = hang_queue((struct queue_limits){0});
    queue_write_blocks(q, 0, 0, ALL);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/g0001-s01/00/0000000000000000.seg", dir);
    assert_true(stat(path, &st) == 0 && st.st_size > ALL * TEST_BLOCK_BYTES);
    queue_ack(queue_newest_shard(q, 0), ALL);
    for (int64_t until = clock_mono_ms() + 5000; stat(path, &st) == 0 && clock_mono_ms() < until;)
        usleep(1000);
    assert_int_equal(stat(path, &st), -1);
    queue_write_blocks(q, 0, ALL, ALL + 1);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).first, ALL);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, ALL + 1);
    queue_close(q);
}

static void delete_queues(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* Whether another process may lock the directory; it holds the lock while `keep` is open. */
static bool locked_by_child(int keep[2])
{
    int told_by[2];
    assert_true(pipe(told_by) == 0 && pipe(keep) == 0);
    if (fork() == 0) {
        struct err err = {0};
        char ok = queue_lock_new(dir, &err) != NULL, end;
        if (!ok && strstr(err.text, "in use by another process") == NULL)
            ok = 2;
        close(keep[1]);
        (void)!write(told_by[1], &ok, 1);
        (void)!read(keep[0], &end, 1);
        _exit(0);
    }
    char ok = 2;
    assert_int_equal(read(told_by[0], &ok, 1), 1);
    close(told_by[0]);
    close(told_by[1]);
    close(keep[0]);
    assert_true(ok < 2);
    return ok;
}

static void end_child(int keep[2])
{
    close(keep[1]);
    assert_true(wait(NULL) > 0);
}

static void a_deleted_lock_is_taken_again(void **state UNUSED)
{
    struct err err = {0};
    int child[2];
    struct queue_lock *l = queue_lock_new(dir, &err);
    assert_non_null(l);
    assert_false(locked_by_child(child));
    end_child(child);
    delete_queues();
    assert_true(queue_lock_hold(l));
    assert_false(locked_by_child(child));
    end_child(child);

    delete_queues();
    assert_true(locked_by_child(child)); /* it came first */
    assert_false(queue_lock_hold(l));
    assert_int_equal(errno, EBUSY);
    end_child(child);
    assert_true(queue_lock_hold(l));
    queue_lock_free(l);
}

/* A queue whose directory another process has taken writes nothing into it, and keeps its blocks. */
static void a_taken_directory_is_left_alone(void **state UNUSED)
{
    struct err err = {0};
    int child[2];
    char path[300];
    struct stat st;
    struct queue_lock *l = queue_lock_new(dir, &err);
    snprintf(path, sizeof path, "%s/queue", dir);
    struct queue *q = queue_open(&(struct queue_options){.dir = path, .lock = l, .shards = 1}, NULL, &err);
    assert_non_null(q);
    delete_queues();
    assert_true(locked_by_child(child));
    fixture_pass_second(q);
    queue_write_blocks(q, 0, 0, 5);
    fixture_pass_second(q);
    assert_int_equal(stat(path, &st), -1);
    assert_true(queue_unwritten_bytes(q) > 5 * TEST_BLOCK_BYTES);
    end_child(child);
    queue_end(q, 2000, NULL, NULL);
    wait_ended(q);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    queue_close(q);
    queue_lock_free(l);
}

static bool always(void) { return true; }

static void opening_is_interrupted(void **state UNUSED)
{
    enum { ALL = 20000 };
    struct err err = {0};
    struct queue *q = hang_queue((struct queue_limits){0});
    for (uint64_t i = 0; i < ALL; i++) {
        struct block *b = block_new(10);
        b->codec = CODEC_SNAPPY;
        b->n_samples = 1;
        b->t_min = b->t_max = 1;
        b->raw_n = 16;
        memset(b->bytes, 0, 10);
        queue_write(queue_newest_shard(q, 0), b, i, (struct write_terms){0});
    }
    queue_close(q);
    atomic_store(&slow, true); /* the first poll comes before the end of the first read */
    int64_t begin = clock_mono_ms();
    q = queue_open(&(struct queue_options){.dir = dir, .shards = 1}, always, &err);
    atomic_store(&slow, false);
    assert_null(q);
    assert_int_equal(err.kind, ERR_CANCELED);
    assert_true(clock_mono_ms() - begin < 1000);
    q = hang_queue((struct queue_limits){0}); /* nothing was changed */
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, ALL);
    queue_close(q);
}

/* The thread that reads the queue does not come back for a while: nobody waits for it, and it cleans up behind itself. */
static void a_hung_disk_does_not_hold_the_start(void **state UNUSED)
{
    struct err err = {0};
    struct queue *q = hang_queue((struct queue_limits){0});
    queue_write_blocks(q, 0, 0, 10);
    queue_close(q);
    atomic_store(&hang, true);
    int64_t begin = clock_mono_ms();
    assert_null(queue_open(&(struct queue_options){.dir = dir, .shards = 1}, always, &err));
    assert_true(clock_mono_ms() - begin < 3000);
    assert_int_equal(err.kind, ERR_CANCELED);
    atomic_store(&hang, false);
    usleep(100000);
    q = hang_queue((struct queue_limits){0});
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, 10);
    queue_close(q);
}

static bool count_visit(void *arg, unsigned shard UNUSED, const struct block *b UNUSED, uint64_t seq UNUSED)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return true;
}

static bool visit_three(void *arg, unsigned shard UNUSED, const struct block *b UNUSED, uint64_t seq UNUSED)
{
    return atomic_fetch_add((atomic_int *)arg, 1) < 2;
}

/* The blocks are read by the io thread: main goes on without them, and nobody visits one afterwards. */
static void a_walk_is_interrupted(void **state UNUSED)
{
    static atomic_int n;
    struct queue *q = hang_queue((struct queue_limits){0});
    queue_write_blocks(q, 0, 0, 10);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    atomic_store(&hang, true);
    int64_t begin = clock_mono_ms();
    assert_false(queue_walk(q, 1 << 30, always, count_visit, &n));
    assert_true(clock_mono_ms() - begin < 3000);
    int before = atomic_load(&n);
    atomic_store(&hang, false);
    queue_close(q);
    assert_int_equal(atomic_load(&n), before);
    q = hang_queue((struct queue_limits){0});
    assert_false(queue_walk(q, 1 << 30, NULL, visit_three, &n));
    assert_int_equal(atomic_load(&n), before + 3);
    queue_close(q);
    q = hang_queue((struct queue_limits){0});
    assert_true(queue_walk(q, 1 << 30, NULL, count_visit, &n));
    assert_int_equal(atomic_load(&n), before + 13);
    queue_close(q);
}

#define HANG_TEST(name) cmocka_unit_test_setup_teardown(name, hang_setup, hang_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANG_TEST(a_hung_disk_costs_no_more_than_its_limit), HANG_TEST(delivered_blocks_do_not_wait_for_the_disk),
        HANG_TEST(a_push_waits_only_so_long), HANG_TEST(the_end_does_not_wait),
        HANG_TEST(blocks_that_the_end_cannot_write_are_counted),
        HANG_TEST(blocks_in_deleted_files_are_counted_at_the_end), HANG_TEST(a_delivered_backlog_is_freed),
        HANG_TEST(a_deleted_lock_is_taken_again), HANG_TEST(a_taken_directory_is_left_alone),
        HANG_TEST(opening_is_interrupted), HANG_TEST(a_hung_disk_does_not_hold_the_start),
        HANG_TEST(a_walk_is_interrupted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
