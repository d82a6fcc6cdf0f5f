// SPDX-License-Identifier: Apache-2.0
/* Damage to files of the queue costs the record or position that it hits and no other. */
#include "queue_fixture.h"

#include "base/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void damage_costs_one_record(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    enum { SIZE = 500, RECORD = RECORD_HEADER + SIZE };
    for (uint32_t i = 0; i < 10; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, SIZE), i, (struct write_terms){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    spoil_file(path, 3 * RECORD + RECORD_HEADER + 20, "damage", 6); /* a body */
    spoil_file(path, 6 * RECORD + 4, "\xff\xff\xff\xff", 4);        /* a length */
    assert_int_equal(truncate(path, 9 * RECORD + 100), 0);     /* a torn tail */
    q = queue_open_here(1);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    const uint64_t left[] = {0, 1, 2, 4, 5, 7, 8};
    assert_int_equal(r.n, LEN(left));
    for (unsigned i = 0; i < r.n; i++)
        assert_int_equal(r.items[i].seq, left[i]);
    queue_read_drop(&r);
    /* and it goes on behind the tear */
    queue_write(queue_newest_shard(q, 0), numbered_block(99, SIZE), 9, (struct write_terms){0});
    queue_read_from(queue_newest_shard(q, 0), &r, 9);
    assert_int_equal(r.n, 1);
    assert_int_equal(block_number(r.items[0].block), 99);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

/* A record within the body of another one, as a label value may hold it: damage to the outer one does not bring it out. */
static void a_record_within_a_body_is_not_read(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    struct block *inner = numbered_block(77, 100), *outer = numbered_block(1, 1000);
    record_encode(outer->bytes + 200, inner, 1);
    memcpy(outer->bytes + 200 + RECORD_HEADER, inner->bytes, inner->n);
    block_unref(inner);
    queue_write(queue_newest_shard(q, 0), numbered_block(0, 100), 0, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), outer, 1, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(2, 100), 2, (struct write_terms){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    spoil_file(path, (RECORD_HEADER + 100) + RECORD_HEADER + 20, "damage", 6);
    q = queue_open_here(1);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_int_equal(r.n, 2);
    assert_int_equal(block_number(r.items[0].block), 0);
    assert_int_equal(block_number(r.items[1].block), 2);
    assert_int_equal(queue_stats(q)->bad_records, 1);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

/* Headers with good sums whose length is beyond the file, or beyond what a block may have, hide none of the others. */
static void wrong_lengths_hide_nothing(void **state)
{
    (void)state;
    queue_home = loop_new();
    enum { SIZE = 500, RECORD = RECORD_HEADER + SIZE };
    struct queue *q = queue_open_here(1);
    for (uint32_t i = 0; i < 10; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, SIZE), i, (struct write_terms){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
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
        spoil_file(path, wrong[i].at * (long)RECORD, (const char *)head, sizeof head);
    }
    q = queue_open_here(1);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    const uint64_t left[] = {0, 1, 3, 5, 7, 9};
    assert_int_equal(r.n, LEN(left));
    for (unsigned i = 0; i < r.n; i++)
        assert_int_equal(r.items[i].seq, left[i]);
    queue_read_drop(&r);
    queue_close(q);
    loop_free(queue_home);
}

static void random_damage_never_misleads(void **state)
{
    (void)state;
    enum { BLOCKS = 60 };
    queue_home = loop_new();
    srand(7);
    for (int round = 0; round < 60; round++) {
        struct queue *q = queue_open_here(1);
        struct queue_state st = queue_shard_state(queue_newest_shard(q, 0));
        for (uint32_t i = 0; i < BLOCKS; i++)
            queue_write(queue_newest_shard(q, 0), numbered_block((uint32_t)st.next + i, 100 + (size_t)rand() % 900),
                        st.next + i, (struct write_terms){0});
        queue_ack(queue_newest_shard(q, 0), st.next);
        queue_close(q);
        char command[400];
        snprintf(command, sizeof command, "for f in %s/g*/00/*.seg; do dd if=/dev/urandom of=$f bs=1 count=%d seek=%d conv=notrunc 2>/dev/null; done", queue_dir, 1 + rand() % 40, rand() % 20000);
        assert_int_equal(system(command), 0);
        q = queue_open_here(1);
        struct queue_read r;
        queue_read_from(queue_newest_shard(q, 0), &r, queue_shard_state(queue_newest_shard(q, 0)).first);
        for (unsigned i = 0; i < r.n; i++)
            assert_int_equal(block_number(r.items[i].block), (uint32_t)r.items[i].seq);
        assert_true(r.n >= BLOCKS - 4);
        queue_read_drop(&r);
        queue_ack(queue_newest_shard(q, 0), queue_shard_state(queue_newest_shard(q, 0)).next);
        queue_close(q);
    }
    loop_free(queue_home);
}

static void spoil_slot(int slot)
{
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/position", queue_dir);
    spoil_file(path, slot * 24L + 9, "torn", 4);
}

/* Acknowledgements in steps of two: the slots take turns all the same. */
static void a_torn_position_costs_one_step(void **state)
{
    (void)state;
    queue_home = loop_new();
    for (int slot = 0; slot < 2; slot++) {
        struct queue_read r;
        struct queue *q = queue_open_here(1);
        uint64_t begin = queue_shard_state(queue_newest_shard(q, 0)).next;
        for (uint32_t i = 0; i < 20; i++)
            queue_write(queue_newest_shard(q, 0), numbered_block(i, 100), begin + i, (struct write_terms){0});
        for (uint64_t i = 2; i <= 10; i += 2) {
            queue_ack(queue_newest_shard(q, 0), begin + i);
            queue_read_from(queue_newest_shard(q, 0), &r, begin + 20); /* else the io thread may take them together */
        }
        queue_close(q);
        spoil_slot(slot);
        q = queue_open_here(1);
        uint64_t first = queue_shard_state(queue_newest_shard(q, 0)).first;
        assert_true(first == begin + 8 || first == begin + 10);
        queue_ack(queue_newest_shard(q, 0), begin + 20);
        queue_close(q);
    }
    loop_free(queue_home);
}

/* A file that cannot be opened now is not a file without blocks; one that is gone is. */
static void what_cannot_be_opened_is_not_given_up(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    queue_write(queue_newest_shard(q, 0), numbered_block(1, 100), 0, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    char path[300], away[310];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(symlink(path, path), 0); /* ELOOP */
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_true(r.failed && r.n == 0 && r.next == 0);
    assert_int_equal(rename(away, path), 0);
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_true(!r.failed && r.n == 1);
    queue_read_drop(&r);
    queue_close(q);
    q = queue_open_here(1);
    assert_int_equal(unlink(path), 0);
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_true(!r.failed && r.n == 0 && r.next == 1);
    queue_close(q);
    loop_free(queue_home);
}

/* A file of zeros, as a power cut leaves them, has the name that the next one wants. */
static void a_file_without_records_is_no_trap(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    enum { FIRST = 3 };
    for (uint32_t i = 0; i < FIRST; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, 8 << 20), i, (struct write_terms){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, FIRST);
    int fd = open(path, O_WRONLY | O_CREAT, 0640);
    assert_true(fd >= 0 && ftruncate(fd, SEGMENT_BYTES) == 0);
    close(fd);
    q = queue_open_here(1);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, FIRST);
    assert_int_equal(access(path, F_OK), -1); /* its name is free for the next blocks */
    for (uint32_t i = FIRST; i < 3 * FIRST; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, 8 << 20), i, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    struct queue_read r;
    for (uint32_t i = 0; i < 3 * FIRST; i++) {
        queue_read_from(queue_newest_shard(q, 0), &r, i);
        assert_int_equal(r.items[0].seq, i);
        assert_int_equal(block_number(r.items[0].block), i);
        queue_read_drop(&r);
    }
    queue_close(q);
    loop_free(queue_home);
}

/* A header that was cut short has a length: with what is appended later that reaches over good records. */
static void a_torn_header_hides_nothing(void **state)
{
    (void)state;
    queue_home = loop_new();
    enum { SIZE = 1000, TORN = 5000, AFTER = 5 };
    struct queue *q = queue_open_here(1);
    queue_write(queue_newest_shard(q, 0), numbered_block(0, SIZE), 0, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(1, TORN), 1, (struct write_terms){0});
    queue_close(q);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    assert_int_equal(truncate(path, RECORD_HEADER + SIZE + RECORD_HEADER + 100), 0);
    q = queue_open_here(1);
    for (uint32_t i = 0; i < AFTER; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(1 + i, SIZE), 1 + i, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    assert_int_equal(queue_shard_state(queue_newest_shard(q, 0)).next, 1 + AFTER);
    struct queue_read r;
    uint64_t from = 0;
    for (unsigned got = 0; got < 1 + AFTER; got += r.n, from = r.next) {
        queue_read_from(queue_newest_shard(q, 0), &r, from);
        assert_true(r.n > 0 && r.items[0].seq == got);
        queue_read_drop(&r);
    }
    queue_close(q);
    loop_free(queue_home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(damage_costs_one_record),
        QUEUE_TEST(a_record_within_a_body_is_not_read),
        QUEUE_TEST(wrong_lengths_hide_nothing),
        QUEUE_TEST(random_damage_never_misleads),
        QUEUE_TEST(a_torn_position_costs_one_step),
        QUEUE_TEST(what_cannot_be_opened_is_not_given_up),
        QUEUE_TEST(a_file_without_records_is_no_trap),
        QUEUE_TEST(a_torn_header_hides_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
