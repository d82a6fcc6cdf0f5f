// SPDX-License-Identifier: Apache-2.0
/* The queue on disk: what was written is read back, within its limits and whatever else lies in its directory. */
#include "base/text/duration.h"
#include "queue_fixture.h"

#include "writer_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void survives_reopening(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(2);
    for (uint32_t i = 0; i < 40; i++)
        queue_write(queue_newest_shard(q, 1), numbered_block(i, 1000), i, (struct write_terms){0});
    queue_ack(queue_newest_shard(q, 1), 10);
    queue_close(q);
    q = queue_open_here(2);
    struct queue_state st = queue_shard_state(queue_newest_shard(q, 1));
    assert_int_equal(st.first, 10);
    assert_int_equal(st.next, 40);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, 0);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 1), &r, 10);
    assert_int_equal(r.n, 30);
    for (unsigned i = 0; i < r.n; i++) {
        assert_int_equal(r.items[i].seq, 10 + i);
        assert_int_equal(block_number(r.items[i].block), 10 + i);
        assert_int_equal(r.items[i].block->n_samples, 10 + i);
    }
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

/* A block that is larger than a segment gets one; one that is larger than the queue is dropped and counted. */
static void a_large_block_hurts_no_other(void **state)
{
    (void)state;
    queue_home = loop_new();
    enum { LIMIT = 1 << 20 };
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = queue_dir, .shards = 1, .limits.max_bytes = LIMIT},
                                 NULL, &err);
    assert_non_null(q);
    queue_write(queue_newest_shard(q, 0), numbered_block(1, 100), 0, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(2, LIMIT / 2), 1, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(3, 100), 2, (struct write_terms){0});
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_int_equal(r.n, 3);
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    queue_read_drop(&r);
    queue_hold(queue_newest_shard(q, 0), 0);
    queue_write(queue_newest_shard(q, 0), numbered_block(4, 2 * LIMIT), 3, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(5, 100), 4, (struct write_terms){0});
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(block_number(r.items[0].block), 5);
    assert_int_equal(queue_stats(q)->blocks_dropped, 4);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

static void another_number_of_shards_waits(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(2);
    queue_write(queue_newest_shard(q, 0), numbered_block(1, 100), 0, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(4);
    const struct queue_generation *g;
    assert_int_equal(queue_generations(q, &g), 2);
    assert_int_equal(g[0].n_shards, 2);
    assert_int_equal(g[1].n_shards, 4);
    queue_ack(g[0].shards[0], 1);
    queue_close(q);
    q = queue_open_here(4);
    assert_int_equal(queue_generations(q, &g), 1); /* the drained one is gone */
    assert_int_equal(g[0].n_shards, 4);
    queue_close(q);
    loop_free(queue_home);
}

static void old_segments_go_first(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct err err;
    struct queue *q = queue_open(&(struct queue_options){.dir = queue_dir, .shards = 1, .limits.max_bytes = 40 << 20},
                                 NULL, &err);
    assert_non_null(q);
    for (uint32_t i = 0; i < 100; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, 1 << 20), i, (struct write_terms){0});
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_true(r.n > 0 && r.items[0].seq > 0);
    assert_true(queue_bytes(q) <= 42 << 20);
    assert_true(queue_stats(q)->blocks_dropped >= 100 - 42 - 16);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

/* A limit smaller than a segment is a limit too, and nothing goes where all is to be kept. */
static void small_limits_hold(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct err err;
    enum { SHARDS = 4, LIMIT = 1 << 20, BLOCKS = 400, SIZE = 10000 };
    struct queue *q = queue_open(&(struct queue_options){.dir = queue_dir, .shards = SHARDS, .limits.max_bytes = LIMIT},
                                 NULL, &err);
    assert_non_null(q);
    for (uint32_t i = 0; i < BLOCKS; i++)
        queue_write(queue_newest_shard(q, i % SHARDS), numbered_block(i, SIZE), i / SHARDS, (struct write_terms){0});
    struct queue_read r;
    for (unsigned i = 0; i < SHARDS; i++) {
        queue_read_from(queue_newest_shard(q, i), &r, 0);
        assert_true(r.n > 0 && r.items[0].seq > 0);
        queue_read_drop(&r);
    }
    assert_true(queue_bytes(q) <= LIMIT);
    assert_true(queue_stats(q)->blocks_dropped >= BLOCKS - LIMIT / SIZE);
    unsigned long long dropped = queue_stats(q)->blocks_dropped;
    queue_limit(q, &(struct queue_limits){.max_bytes = LIMIT, .keep_all = true});
    for (uint32_t i = 0; i < BLOCKS; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, SIZE), BLOCKS / SHARDS + i, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(SHARDS);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, BLOCKS / SHARDS + BLOCKS);
    assert_true(queue_bytes(q) >= (uint64_t)BLOCKS * SIZE);
    assert_true(dropped < BLOCKS);
    queue_close(q);
    loop_free(queue_home);
}

/* The second copy of a block that a lane hands over when it goes. */
static void nothing_is_written_twice(void **state)
{
    (void)state;
    struct queue *q = queue_open_here(1);
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 10; i++)
            queue_write(queue_newest_shard(q, 0), numbered_block(i, 100), i, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, 10);
    assert_int_equal(queue_bytes(q), 10 * (RECORD_HEADER + 100));
    queue_close(q);
}

/* A disk that was full for a while leaves no hole, and nothing is kept of what was delivered meanwhile. */
static void what_was_missed_is_written_later(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    struct queue_read r;
    fixture_limit_files(4000);
    queue_write(queue_newest_shard(q, 0), numbered_block(0, 1000), 0, (struct write_terms){0});
    for (uint32_t i = 1; i < 4; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, i == 3 ? 100 : 5000), i, (struct write_terms){0}); /* the last would fit */
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_int_equal(r.n, 4); /* one from disk, the others from memory */
    for (unsigned i = 0; i < r.n; i++)
        assert_true(r.items[i].seq == i && block_number(r.items[i].block) == i);
    assert_true(queue_failing(q));
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    queue_read_drop(&r);
    queue_ack(queue_newest_shard(q, 0), 2);
    queue_read_from(queue_newest_shard(q, 0), &r, 2); /* behind the acknowledgement */
    queue_read_drop(&r);
    fixture_unlimit_files();
    queue_write(queue_newest_shard(q, 0), numbered_block(4, 1000), 4, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    queue_read_from(queue_newest_shard(q, 0), &r, queue_shard_state(queue_newest_shard(q, 0)).first);
    assert_int_equal(r.n, 3);
    for (unsigned i = 0; i < r.n; i++)
        assert_true(r.items[i].seq == 2 + i && block_number(r.items[i].block) == 2 + i);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

/* FIFOs, links to nowhere and directories among the segments, and strange names among the generations. */
static void foreign_names_are_ignored(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    queue_write(queue_newest_shard(q, 0), numbered_block(7, 100), 0, (struct write_terms){0});
    queue_close(q);
    char path[300], command[3000];
    snprintf(path, sizeof path, "%s/g0001-s01/00", queue_dir);
    snprintf(command, sizeof command, "mkfifo %s/0000000000000001.seg && ln -s /nonexistent %s/0000000000000002.seg && "
             "mkdir %s/0000000000000003.seg && cp -r %s/g0001-s01 %s/g1-s1 && touch %s/g0002-s02 && "
             "mkdir %s/g4294967295-s08", path, path, path, queue_dir, queue_dir, queue_dir, queue_dir);
    assert_int_equal(system(command), 0);
    q = queue_open_here(1);
    const struct queue_generation *g;
    assert_int_equal(queue_generations(q, &g), 1);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, 1);
    for (uint32_t i = 1; i < 4; i++) { /* each name that was taken is one that the queue needs */
        queue_write(queue_newest_shard(q, 0), numbered_block(i, SEGMENT_BYTES), i, (struct write_terms){0});
        struct queue_read r;
        queue_read_from(queue_newest_shard(q, 0), &r, i);
        assert_true(r.n == 1 && r.items[0].seq == i);
        queue_read_drop(&r);
    }
    queue_close(q);
    q = queue_open_here(2); /* g0002-s02 is a file */
    assert_int_equal(queue_generations(q, &g), 2);
    assert_true(g[1].number == 3 && g[1].n_shards == 2);
    queue_close(q);
    loop_free(queue_home);
}

/* The position has its full size from the beginning, also where an earlier version left it short. */
static void the_position_needs_no_space(void **state)
{
    (void)state;
    queue_home = loop_new();
    enum { POSITION_BYTES = 48 };
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/position", queue_dir);
    for (long size = POSITION_BYTES; size >= 0; size -= POSITION_BYTES / 2) {
        struct queue *q = queue_open_here(1);
        struct stat st;
        assert_true(stat(path, &st) == 0 && st.st_size == POSITION_BYTES);
        uint64_t next = queue_shard_state(queue_newest_shard(q, 0)).next;
        queue_write(queue_newest_shard(q, 0), numbered_block(1, 100), next, (struct write_terms){0});
        struct queue_read r;
        queue_read_from(queue_newest_shard(q, 0), &r, next + 1); /* behind the write */
        fixture_limit_files(POSITION_BYTES);
        queue_ack(queue_newest_shard(q, 0), next + 1);
        queue_read_from(queue_newest_shard(q, 0), &r, next + 1); /* behind the ack */
        fixture_unlimit_files();
        queue_close(q);
        q = queue_open_here(1);
        assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).first, next + 1);
        queue_close(q);
        assert_int_equal(truncate(path, size), 0);
    }
    loop_free(queue_home);
}

/* A block is written when it is due, with the earlier ones of its shard, unless it is delivered before. */
static void what_is_delivered_soon_is_not_written(void **state UNUSED)
{
    queue_home = loop_new();
    struct queue *q = queue_open_here(2);
    struct queue_shard *a = queue_newest_shard(q, 0), *b = queue_newest_shard(q, 1);
    struct write_terms later = {.write_by = clock_mono_ms() + 60000};
    for (uint64_t seq = 0; seq < 4; seq++) {
        queue_write(a, numbered_block((unsigned)seq, 100), seq, later);
        queue_write(b, numbered_block((unsigned)seq, 100), seq, later);
    }
    queue_ack(a, 2);
    usleep(20000);
    assert_int_equal(queue_stats(q)->bytes_written, 0);
    queue_write(a, numbered_block(4, 100), 4, (struct write_terms){.write_by = clock_mono_ms() + 50});
    usleep(10000);
    assert_int_equal(queue_stats(q)->bytes_written, 0);
    int64_t until = clock_mono_ms() + 5000;
    while (queue_stats(q)->bytes_written < 300 && clock_mono_ms() < until)
        usleep(1000);
    usleep(5000);
    assert_int_equal(queue_stats(q)->bytes_written, 300);
    struct queue_read r;
    queue_read_from(b, &r, 0); /* a read has what waits to be written */
    assert_int_equal(r.n, 4);
    for (unsigned i = 0; i < r.n; i++)
        block_unref(r.items[i].block);
    queue_ack(a, 5);
    queue_ack(b, 4);
    queue_write(a, numbered_block(5, 100), 5, later);
    queue_write(a, numbered_block(6, 100), 6, later);
    queue_ack(a, 6);
    queue_write(b, numbered_block(4, 100), 4, later);
    queue_close(q); /* writes what is not delivered, due or not */
    q = queue_open_here(2);
    struct queue_state at = queue_shard_state(queue_newest_shard(q, 0));
    assert_in_range(at.first, 5, 6); /* 5: its ack was taken alone, and the position moves for what is on disk only */
    assert_int_equal(at.next, 7);
    queue_read_from(queue_newest_shard(q, 0), &r, at.first);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.items[0].seq, 6);
    block_unref(r.items[0].block);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 1)).first, 4);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 1)).next, 5);
    queue_close(q);
    loop_free(queue_home);
}

struct recorded_wait { struct loop_task task; bool done; };
static void note_recorded(struct loop_task *task) { CONTAINER(task, struct recorded_wait, task)->done = true; }

/* When an acknowledgement counts as recorded, the position on disk has moved. */
static void acknowledgements_are_recorded(void **state UNUSED)
{
    enum { BLOCKS = 300 };
    char dir[300];
    unsigned waits = 0;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    struct queue_shard *s = queue_newest_shard(q, 0);
    snprintf(dir, sizeof dir, "%s/g0001-s01/00", queue_dir);
    queue_write_blocks(q, 0, 0, BLOCKS);
    struct queue_read r;
    queue_read_from(s, &r, 0); /* behind the writes */
    queue_read_drop(&r);
    for (uint64_t next = 1; next <= BLOCKS; next++) {
        struct recorded_wait wait = {{.run = note_recorded}, false};
        queue_ack(s, next);
        wait.done = queue_ack_recorded(s, next, queue_home, &wait.task);
        waits += !wait.done;
        while (!wait.done)
            loop_turn(queue_home, 1000);
        assert_int_equal(position_read(dir), next);
    }
    assert_true(waits > 0);
    struct recorded_wait wait = {{.run = note_recorded}, false};
    queue_write_blocks(q, 0, BLOCKS, BLOCKS + 1);
    queue_ack(s, BLOCKS + 1);
    (void)queue_ack_recorded(s, BLOCKS + 1, queue_home, &wait.task);
    queue_cancel_wait(s);
    loop_unpost(queue_home, &wait.task);
    queue_close(q);
    loop_turn(queue_home, 0);
    assert_false(wait.done);
    loop_free(queue_home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(survives_reopening),
        QUEUE_TEST(a_large_block_hurts_no_other),
        QUEUE_TEST(another_number_of_shards_waits),
        QUEUE_TEST(old_segments_go_first),
        QUEUE_TEST(small_limits_hold),
        QUEUE_TEST(nothing_is_written_twice),
        QUEUE_TEST(what_is_delivered_soon_is_not_written),
        QUEUE_TEST(what_was_missed_is_written_later),
        QUEUE_TEST(foreign_names_are_ignored),
        QUEUE_TEST(the_position_needs_no_space),
        QUEUE_TEST(acknowledgements_are_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
