// SPDX-License-Identifier: Apache-2.0
/* The queue on disk: what was written is read back after any kind of end; damage costs the record it hits and no other.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "writer_fixture.h"
#include "writer/queue/queue_shard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sluice-queue-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct queue *open_queue(unsigned shards)
{
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = shards}, &err);
    if (q == NULL)
        fail_msg("%s", err.text);
    return q;
}

static struct queue_shard *shard_of(struct queue *q, unsigned i)
{
    const struct queue_generation *g;
    size_t n = queue_generations(q, &g);
    return g[n - 1].shards[i];
}

static struct block *numbered(uint32_t number, size_t n)
{
    struct block *b = block_new(n);
    b->codec = CODEC_SNAPPY;
    b->n_samples = number;
    b->t_min = number;
    b->t_max = number + 1;
    b->raw_n = 160;
    memset(b->bytes, (int)number, n);
    memcpy(b->bytes, &number, sizeof number);
    return b;
}

static uint32_t number_of(const struct block *b)
{
    uint32_t number;
    memcpy(&number, b->bytes, sizeof number);
    return number;
}

static struct loop *home;
static bool done;
static void read_done(struct queue_read *r UNUSED) { done = true; }

static void read_from(struct queue_shard *s, struct queue_read *r, uint64_t from)
{
    memset(r, 0, sizeof *r);
    r->home = home;
    r->from = from;
    r->max_bytes = 1 << 20;
    r->done = read_done;
    done = false;
    queue_read(s, r);
    while (!done)
        loop_turn(home, 100);
}

static void drop(struct queue_read *r)
{
    for (unsigned i = 0; i < r->n; i++)
        block_unref(r->items[i].block);
}

static void survives_reopening(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(2);
    for (uint32_t i = 0; i < 40; i++)
        queue_write(shard_of(q, 1), numbered(i, 1000), i, (struct pending_acks){0});
    queue_ack(shard_of(q, 1), 10);
    queue_close(q);
    q = open_queue(2);
    struct queue_state st = queue_shard_state(shard_of(q, 1));
    assert_int_equal(st.first, 10);
    assert_int_equal(st.next, 40);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, 0);
    struct queue_read r;
    read_from(shard_of(q, 1), &r, 10);
    assert_int_equal(r.n, 30);
    for (unsigned i = 0; i < r.n; i++) {
        assert_int_equal(r.items[i].seq, 10 + i);
        assert_int_equal(number_of(r.items[i].block), 10 + i);
        assert_int_equal(r.items[i].block->n_samples, 10 + i);
    }
    drop(&r);
    queue_close(q);
    loop_free(home);
}

static void spoil(const char *path, long at, const char *bytes, size_t n)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static void damage_costs_one_record(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    enum { SIZE = 500, RECORD = RECORD_HEADER + SIZE };
    for (uint32_t i = 0; i < 10; i++)
        queue_write(shard_of(q, 0), numbered(i, SIZE), i, (struct pending_acks){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, 0);
    spoil(path, 3 * RECORD + RECORD_HEADER + 20, "damage", 6); /* a body */
    spoil(path, 6 * RECORD + 4, "\xff\xff\xff\xff", 4);        /* a length */
    assert_int_equal(truncate(path, 9 * RECORD + 100), 0);     /* a torn tail */
    q = open_queue(1);
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    const uint64_t left[] = {0, 1, 2, 4, 5, 7, 8};
    assert_int_equal(r.n, LEN(left));
    for (unsigned i = 0; i < r.n; i++)
        assert_int_equal(r.items[i].seq, left[i]);
    drop(&r);
    queue_write(shard_of(q, 0), numbered(99, SIZE), 9, (struct pending_acks){0}); /* and it goes on behind the tear */
    read_from(shard_of(q, 0), &r, 9);
    assert_int_equal(r.n, 1);
    assert_int_equal(number_of(r.items[0].block), 99);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

/* A record within the body of another one, as a label value may hold it: damage to the outer one does not bring it out. */
static void a_record_within_a_body_is_not_read(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    struct block *inner = numbered(77, 100), *outer = numbered(1, 1000);
    record_encode(outer->bytes + 200, inner, 1);
    memcpy(outer->bytes + 200 + RECORD_HEADER, inner->bytes, inner->n);
    block_unref(inner);
    queue_write(shard_of(q, 0), numbered(0, 100), 0, (struct pending_acks){0});
    queue_write(shard_of(q, 0), outer, 1, (struct pending_acks){0});
    queue_write(shard_of(q, 0), numbered(2, 100), 2, (struct pending_acks){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, 0);
    spoil(path, (RECORD_HEADER + 100) + RECORD_HEADER + 20, "damage", 6);
    q = open_queue(1);
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    assert_int_equal(r.n, 2);
    assert_int_equal(number_of(r.items[0].block), 0);
    assert_int_equal(number_of(r.items[1].block), 2);
    assert_int_equal(queue_stats(q)->bad_records, 1);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

/* Headers with good sums whose length is beyond the file, or beyond what a block may have, hide none of the others. */
static void wrong_lengths_hide_nothing(void **state)
{
    (void)state;
    home = loop_new();
    enum { SIZE = 500, RECORD = RECORD_HEADER + SIZE };
    struct queue *q = open_queue(1);
    for (uint32_t i = 0; i < 10; i++)
        queue_write(shard_of(q, 0), numbered(i, SIZE), i, (struct pending_acks){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, 0);
    static const struct { unsigned at, n; } wrong[] = {
        {2, 8 * RECORD}, {4, BLOCK_MAX_BYTES}, {6, BLOCK_MAX_BYTES + 1}, {8, UINT32_MAX}};
    for (unsigned i = 0; i < LEN(wrong); i++) {
        uint8_t head[RECORD_HEADER];
        int fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, head, sizeof head, wrong[i].at * (long)RECORD), RECORD_HEADER);
        close(fd);
        for (unsigned k = 0; k < 4; k++)
            head[4 + k] = (uint8_t)(wrong[i].n >> (8 * k));
        uint64_t sum = hash_bytes(head, 48);
        for (unsigned k = 0; k < 8; k++)
            head[48 + k] = (uint8_t)(sum >> (8 * k));
        spoil(path, wrong[i].at * (long)RECORD, (const char *)head, sizeof head);
    }
    q = open_queue(1);
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    const uint64_t left[] = {0, 1, 3, 5, 7, 9};
    assert_int_equal(r.n, LEN(left));
    for (unsigned i = 0; i < r.n; i++)
        assert_int_equal(r.items[i].seq, left[i]);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

/* A block that is larger than a segment gets one; one that is larger than the queue is dropped and counted. */
static void a_large_block_hurts_no_other(void **state)
{
    (void)state;
    home = loop_new();
    enum { LIMIT = 1 << 20 };
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = 1, .limits.max_bytes = LIMIT}, &err);
    assert_non_null(q);
    queue_write(shard_of(q, 0), numbered(1, 100), 0, (struct pending_acks){0});
    queue_write(shard_of(q, 0), numbered(2, LIMIT / 2), 1, (struct pending_acks){0});
    queue_write(shard_of(q, 0), numbered(3, 100), 2, (struct pending_acks){0});
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    assert_int_equal(r.n, 3);
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    drop(&r);
    queue_hold(shard_of(q, 0), 0);
    queue_write(shard_of(q, 0), numbered(4, 2 * LIMIT), 3, (struct pending_acks){0});
    queue_write(shard_of(q, 0), numbered(5, 100), 4, (struct pending_acks){0});
    read_from(shard_of(q, 0), &r, 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(number_of(r.items[0].block), 5);
    assert_int_equal(queue_stats(q)->blocks_dropped, 4);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

static void random_damage_never_misleads(void **state)
{
    (void)state;
    enum { BLOCKS = 60 };
    home = loop_new();
    srand(7);
    for (int round = 0; round < 60; round++) {
        struct queue *q = open_queue(1);
        struct queue_state st = queue_shard_state(shard_of(q, 0));
        for (uint32_t i = 0; i < BLOCKS; i++)
            queue_write(shard_of(q, 0), numbered((uint32_t)st.next + i, 100 + (size_t)rand() % 900), st.next + i, (struct pending_acks){0});
        queue_ack(shard_of(q, 0), st.next);
        queue_close(q);
        char command[400];
        snprintf(command, sizeof command, "for f in %s/g*/00/*.seg; do dd if=/dev/urandom of=$f bs=1 count=%d seek=%d conv=notrunc 2>/dev/null; done", dir, 1 + rand() % 40, rand() % 20000);
        assert_int_equal(system(command), 0);
        q = open_queue(1);
        struct queue_read r;
        read_from(shard_of(q, 0), &r, queue_shard_state(shard_of(q, 0)).first);
        for (unsigned i = 0; i < r.n; i++)
            assert_int_equal(number_of(r.items[i].block), (uint32_t)r.items[i].seq);
        assert_true(r.n >= BLOCKS - 4);
        drop(&r);
        queue_ack(shard_of(q, 0), queue_shard_state(shard_of(q, 0)).next);
        queue_close(q);
    }
    loop_free(home);
}

static void another_number_of_shards_waits(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(2);
    queue_write(shard_of(q, 0), numbered(1, 100), 0, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(4);
    const struct queue_generation *g;
    assert_int_equal(queue_generations(q, &g), 2);
    assert_int_equal(g[0].n_shards, 2);
    assert_int_equal(g[1].n_shards, 4);
    queue_ack(g[0].shards[0], 1);
    queue_close(q);
    q = open_queue(4);
    assert_int_equal(queue_generations(q, &g), 1); /* the drained one is gone */
    assert_int_equal(g[0].n_shards, 4);
    queue_close(q);
    loop_free(home);
}

static void old_segments_go_first(void **state)
{
    (void)state;
    home = loop_new();
    struct err err;
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = 1, .limits.max_bytes = 40 << 20}, &err);
    assert_non_null(q);
    for (uint32_t i = 0; i < 100; i++)
        queue_write(shard_of(q, 0), numbered(i, 1 << 20), i, (struct pending_acks){0});
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    assert_true(r.n > 0 && r.items[0].seq > 0);
    assert_true(queue_bytes(q) <= 42 << 20);
    assert_true(queue_stats(q)->blocks_dropped >= 100 - 42 - 16);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

/* A limit smaller than a segment is a limit too, and nothing goes where all is to be kept. */
static void small_limits_hold(void **state)
{
    (void)state;
    home = loop_new();
    struct err err;
    enum { SHARDS = 4, LIMIT = 1 << 20, BLOCKS = 400, SIZE = 10000 };
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = SHARDS, .limits.max_bytes = LIMIT}, &err);
    assert_non_null(q);
    for (uint32_t i = 0; i < BLOCKS; i++)
        queue_write(shard_of(q, i % SHARDS), numbered(i, SIZE), i / SHARDS, (struct pending_acks){0});
    struct queue_read r;
    for (unsigned i = 0; i < SHARDS; i++) {
        read_from(shard_of(q, i), &r, 0);
        assert_true(r.n > 0 && r.items[0].seq > 0);
        drop(&r);
    }
    assert_true(queue_bytes(q) <= LIMIT);
    assert_true(queue_stats(q)->blocks_dropped >= BLOCKS - LIMIT / SIZE);
    unsigned long long dropped = queue_stats(q)->blocks_dropped;
    queue_limit(q, &(struct queue_limits){.max_bytes = LIMIT, .keep_all = true});
    for (uint32_t i = 0; i < BLOCKS; i++)
        queue_write(shard_of(q, 0), numbered(i, SIZE), BLOCKS / SHARDS + i, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(SHARDS);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, BLOCKS / SHARDS + BLOCKS);
    assert_true(queue_bytes(q) >= (uint64_t)BLOCKS * SIZE);
    assert_true(dropped < BLOCKS);
    queue_close(q);
    loop_free(home);
}

static void spoil_slot(int slot)
{
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/position", dir);
    spoil(path, slot * 24L + 9, "torn", 4);
}

/* Acknowledgements in steps of two: the slots take turns all the same. */
static void a_torn_position_costs_one_step(void **state)
{
    (void)state;
    home = loop_new();
    for (int slot = 0; slot < 2; slot++) {
        struct queue_read r;
        struct queue *q = open_queue(1);
        uint64_t begin = queue_shard_state(shard_of(q, 0)).next;
        for (uint32_t i = 0; i < 20; i++)
            queue_write(shard_of(q, 0), numbered(i, 100), begin + i, (struct pending_acks){0});
        for (uint64_t i = 2; i <= 10; i += 2) {
            queue_ack(shard_of(q, 0), begin + i);
            read_from(shard_of(q, 0), &r, begin + 20); /* else the io thread may take them together */
        }
        queue_close(q);
        spoil_slot(slot);
        q = open_queue(1);
        uint64_t first = queue_shard_state(shard_of(q, 0)).first;
        assert_true(first == begin + 8 || first == begin + 10);
        queue_ack(shard_of(q, 0), begin + 20);
        queue_close(q);
    }
    loop_free(home);
}

/* A file that cannot be opened now is not a file without blocks; one that is gone is. */
static void what_cannot_be_opened_is_not_given_up(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    queue_write(shard_of(q, 0), numbered(1, 100), 0, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(1);
    char path[300], away[310];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, 0);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(symlink(path, path), 0); /* ELOOP */
    struct queue_read r;
    read_from(shard_of(q, 0), &r, 0);
    assert_true(r.failed && r.n == 0 && r.next == 0);
    assert_int_equal(rename(away, path), 0);
    read_from(shard_of(q, 0), &r, 0);
    assert_true(!r.failed && r.n == 1);
    drop(&r);
    queue_close(q);
    q = open_queue(1);
    assert_int_equal(unlink(path), 0);
    read_from(shard_of(q, 0), &r, 0);
    assert_true(!r.failed && r.n == 0 && r.next == 1);
    queue_close(q);
    loop_free(home);
}

/* A file of zeros, as a power cut leaves them, has the name that the next one wants. */
static void a_file_without_records_is_no_trap(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    enum { FIRST = 3 };
    for (uint32_t i = 0; i < FIRST; i++)
        queue_write(shard_of(q, 0), numbered(i, 8 << 20), i, (struct pending_acks){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, FIRST);
    int fd = open(path, O_WRONLY | O_CREAT, 0640);
    assert_true(fd >= 0 && ftruncate(fd, SEGMENT_BYTES) == 0);
    close(fd);
    q = open_queue(1);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, FIRST);
    for (uint32_t i = FIRST; i < 3 * FIRST; i++)
        queue_write(shard_of(q, 0), numbered(i, 8 << 20), i, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(1);
    struct queue_read r;
    for (uint32_t i = 0; i < 3 * FIRST; i++) {
        read_from(shard_of(q, 0), &r, i);
        assert_int_equal(r.items[0].seq, i);
        assert_int_equal(number_of(r.items[0].block), i);
        drop(&r);
    }
    queue_close(q);
    loop_free(home);
}

/* The second copy of a block that a lane hands over when it goes. */
static void nothing_is_written_twice(void **state)
{
    (void)state;
    struct queue *q = open_queue(1);
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 10; i++)
            queue_write(shard_of(q, 0), numbered(i, 100), i, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(1);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, 10);
    assert_int_equal(queue_bytes(q), 10 * (RECORD_HEADER + 100));
    queue_close(q);
}

/* A header that was cut short has a length: with what is appended later that reaches over good records. */
static void a_torn_header_hides_nothing(void **state)
{
    (void)state;
    home = loop_new();
    enum { SIZE = 1000, TORN = 5000, AFTER = 5 };
    struct queue *q = open_queue(1);
    queue_write(shard_of(q, 0), numbered(0, SIZE), 0, (struct pending_acks){0});
    queue_write(shard_of(q, 0), numbered(1, TORN), 1, (struct pending_acks){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", dir, 0);
    assert_int_equal(truncate(path, RECORD_HEADER + SIZE + RECORD_HEADER + 100), 0);
    q = open_queue(1);
    for (uint32_t i = 0; i < AFTER; i++)
        queue_write(shard_of(q, 0), numbered(1 + i, SIZE), 1 + i, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(1);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, 1 + AFTER);
    struct queue_read r;
    uint64_t from = 0;
    for (unsigned got = 0; got < 1 + AFTER; got += r.n, from = r.next) {
        read_from(shard_of(q, 0), &r, from);
        assert_true(r.n > 0 && r.items[0].seq == got);
        drop(&r);
    }
    queue_close(q);
    loop_free(home);
}

/* A disk that was full for a while leaves no hole, and nothing is kept of what was delivered meanwhile. */
static void what_was_missed_is_written_later(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    struct queue_read r;
    fixture_limit_files(4000);
    queue_write(shard_of(q, 0), numbered(0, 1000), 0, (struct pending_acks){0});
    for (uint32_t i = 1; i < 4; i++)
        queue_write(shard_of(q, 0), numbered(i, i == 3 ? 100 : 5000), i, (struct pending_acks){0}); /* the last would fit */
    read_from(shard_of(q, 0), &r, 0);
    assert_int_equal(r.n, 4); /* one from disk, the others from memory */
    for (unsigned i = 0; i < r.n; i++)
        assert_true(r.items[i].seq == i && number_of(r.items[i].block) == i);
    assert_true(queue_failing(q));
    assert_int_equal(queue_stats(q)->blocks_dropped, 0);
    drop(&r);
    queue_ack(shard_of(q, 0), 2);
    read_from(shard_of(q, 0), &r, 2); /* behind the acknowledgement */
    drop(&r);
    fixture_unlimit_files();
    queue_write(shard_of(q, 0), numbered(4, 1000), 4, (struct pending_acks){0});
    queue_close(q);
    q = open_queue(1);
    read_from(shard_of(q, 0), &r, queue_shard_state(shard_of(q, 0)).first);
    assert_int_equal(r.n, 3);
    for (unsigned i = 0; i < r.n; i++)
        assert_true(r.items[i].seq == 2 + i && number_of(r.items[i].block) == 2 + i);
    drop(&r);
    queue_close(q);
    loop_free(home);
}

/* FIFOs, links to nowhere and directories among the segments, and strange names among the generations. */
static void foreign_names_are_ignored(void **state)
{
    (void)state;
    home = loop_new();
    struct queue *q = open_queue(1);
    queue_write(shard_of(q, 0), numbered(7, 100), 0, (struct pending_acks){0});
    queue_close(q);
    char path[300], command[3000];
    snprintf(path, sizeof path, "%s/g0001-s01/00", dir);
    snprintf(command, sizeof command, "mkfifo %s/0000000000000001.seg && ln -s /nonexistent %s/0000000000000002.seg && "
             "mkdir %s/0000000000000003.seg && cp -r %s/g0001-s01 %s/g1-s1 && touch %s/g0002-s02 && "
             "mkdir %s/g4294967295-s08", path, path, path, dir, dir, dir, dir);
    assert_int_equal(system(command), 0);
    q = open_queue(1);
    const struct queue_generation *g;
    assert_int_equal(queue_generations(q, &g), 1);
    assert_int_equal(queue_shard_state(shard_of(q, 0)).next, 1);
    for (uint32_t i = 1; i < 4; i++) { /* each name that was taken is one that the queue needs */
        queue_write(shard_of(q, 0), numbered(i, SEGMENT_BYTES), i, (struct pending_acks){0});
        struct queue_read r;
        read_from(shard_of(q, 0), &r, i);
        assert_true(r.n == 1 && r.items[0].seq == i);
        drop(&r);
    }
    queue_close(q);
    q = open_queue(2); /* g0002-s02 is a file */
    assert_int_equal(queue_generations(q, &g), 2);
    assert_true(g[1].number == 3 && g[1].n_shards == 2);
    queue_close(q);
    loop_free(home);
}

/* The position has its full size from the beginning, also where an earlier version left it short. */
static void the_position_needs_no_space(void **state)
{
    (void)state;
    home = loop_new();
    enum { POSITION_BYTES = 48 };
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/position", dir);
    for (long size = POSITION_BYTES; size >= 0; size -= POSITION_BYTES / 2) {
        struct queue *q = open_queue(1);
        struct stat st;
        assert_true(stat(path, &st) == 0 && st.st_size == POSITION_BYTES);
        uint64_t next = queue_shard_state(shard_of(q, 0)).next;
        queue_write(shard_of(q, 0), numbered(1, 100), next, (struct pending_acks){0});
        fixture_limit_files(POSITION_BYTES);
        queue_ack(shard_of(q, 0), next + 1);
        struct queue_read r;
        read_from(shard_of(q, 0), &r, next + 1); /* behind the ack */
        fixture_unlimit_files();
        queue_close(q);
        q = open_queue(1);
        assert_int_equal(queue_shard_state(shard_of(q, 0)).first, next + 1);
        queue_close(q);
        assert_int_equal(truncate(path, size), 0);
    }
    loop_free(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(survives_reopening), TEST(damage_costs_one_record), TEST(random_damage_never_misleads),
        TEST(another_number_of_shards_waits), TEST(old_segments_go_first), TEST(small_limits_hold),
        TEST(a_record_within_a_body_is_not_read), TEST(wrong_lengths_hide_nothing), TEST(a_large_block_hurts_no_other),
        TEST(a_torn_position_costs_one_step), TEST(what_cannot_be_opened_is_not_given_up),
        TEST(a_file_without_records_is_no_trap), TEST(nothing_is_written_twice), TEST(a_torn_header_hides_nothing),
        TEST(what_was_missed_is_written_later), TEST(foreign_names_are_ignored),
        TEST(the_position_needs_no_space)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
