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
        uint64_t sum = hash_bytes(head, RECORD_HEADER - 8);
        for (unsigned k = 0; k < 8; k++)
            head[RECORD_HEADER - 8 + k] = (uint8_t)(sum >> (8 * k));
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

enum { SMALL_BLOCKS = 5, SMALL_BYTES = 30, SMALL_RECORD = RECORD_HEADER + SMALL_BYTES, SMALL_ACKED = 1 };

/* A queue of SMALL_BLOCKS records, of which the first is delivered. */
static void write_small_queue(char segment[300], char position[300])
{
    struct queue *q = queue_open_here(1);
    for (uint32_t i = 0; i < SMALL_BLOCKS; i++)
        queue_write(queue_newest_shard(q, 0), numbered_block(i, SMALL_BYTES), i, (struct write_terms){0});
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0); /* all are written: what is delivered earlier would not be */
    queue_read_drop(&r);
    queue_ack(queue_newest_shard(q, 0), SMALL_ACKED);
    queue_close(q);
    snprintf(segment, 300, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    snprintf(position, 300, "%s/g0001-s01/00/position", queue_dir);
}

static size_t read_small_file(const char *path, char *to, size_t space)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, to, space);
    close(fd);
    assert_true(n > 0 && (size_t)n < space);
    return (size_t)n;
}

static void write_small_file(const char *path, const char *text, size_t n)
{
    assert_int_equal(truncate(path, 0), 0);
    spoil_file(path, 0, text, n);
}

/* What a start delivers: bit i is set for block i, each of them once, in order and intact. skipped: corrupted records. */
static unsigned small_queue_delivers(uint64_t *first, uint64_t *skipped)
{
    unsigned blocks = 0;
    struct queue *q = queue_open_here(1);
    struct queue_state state = queue_shard_state(queue_newest_shard(q, 0));
    struct queue_read r;
    uint64_t from = *first = state.first;
    do {
        queue_read_from(queue_newest_shard(q, 0), &r, from);
        for (unsigned i = 0; i < r.n; i++) {
            uint32_t number = block_number(r.items[i].block);
            assert_true(number < SMALL_BLOCKS && r.items[i].seq == number && blocks >> number == 0);
            blocks |= 1u << number;
        }
        from = r.next;
        queue_read_drop(&r);
    } while (r.n > 0);
    *skipped = queue_stats(q)->bad_records;
    queue_close(q);
    return blocks;
}

/* Each byte of the segment and of the position is flipped, and each file is cut at each length. */
static void damage_at_every_byte(void **state)
{
    (void)state;
    enum { ALL = (1 << SMALL_BLOCKS) - 1, LEFT = ALL & ~((1 << SMALL_ACKED) - 1) };
    char segment[300], position[300], records[1024], done[64];
    uint64_t first, skipped;
    queue_home = loop_new();
    write_small_queue(segment, position);
    size_t n = read_small_file(segment, records, sizeof records), n_done = read_small_file(position, done, sizeof done);
    assert_int_equal(n, SMALL_BLOCKS * SMALL_RECORD);
    assert_int_equal(small_queue_delivers(&first, &skipped), LEFT);
    for (size_t at = 0; at < n; at++) {
        char flipped = (char)(records[at] ^ (1 << at % 8));
        spoil_file(segment, (long)at, &flipped, 1);
        unsigned hit = 1u << at / SMALL_RECORD;
        assert_int_equal(small_queue_delivers(&first, &skipped), LEFT & ~hit);
        write_small_file(segment, records, n);
    }
    for (size_t length = 0; length < n; length++) {
        assert_int_equal(truncate(segment, (long)length), 0);
        unsigned complete = (1u << length / SMALL_RECORD) - 1;
        assert_int_equal(small_queue_delivers(&first, &skipped), LEFT & complete);
        close(open(segment, O_WRONLY | O_CREAT, 0640)); /* one without records was deleted */
        write_small_file(segment, records, n);
        write_small_file(position, done, n_done);
    }
    for (size_t at = 0; at < n_done; at++) { /* at worst it is one step back: delivered blocks arrive again, none is lost */
        char flipped = (char)(done[at] ^ (1 << at % 8));
        spoil_file(position, (long)at, &flipped, 1);
        unsigned got = small_queue_delivers(&first, &skipped);
        assert_true(first <= SMALL_ACKED && got == (unsigned)(ALL & ~((1 << first) - 1)));
        write_small_file(position, done, n_done);
    }
    for (size_t length = 0; length < n_done; length++) {
        assert_int_equal(truncate(position, (long)length), 0);
        unsigned got = small_queue_delivers(&first, &skipped);
        assert_true(first <= SMALL_ACKED && got == (unsigned)(ALL & ~((1 << first) - 1)));
        write_small_file(position, done, n_done);
    }
    loop_free(queue_home);
}

static void put_number(uint8_t *to, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

/* A record as 0.1.0 wrote it; lanes: of a joint block, 0 = of one shard. Returns its length. */
static size_t encode_version_1(uint8_t *to, uint64_t seq, const struct block *b, unsigned lanes)
{
    memcpy(to, "SLQ1", 4);
    put_number(to + 4, b->n, 4);
    put_number(to + 8, hash_bytes(b->bytes, b->n), 8);
    put_number(to + 16, seq, 8);
    put_number(to + 24, (uint64_t)b->t_min, 8);
    put_number(to + 32, (uint64_t)b->t_max, 8);
    put_number(to + 40, b->n_samples | lanes << 20, 4);
    put_number(to + 44, (1000 / 16) | (uint32_t)b->codec << 28 | (lanes > 0 ? 1u << 31 : 0), 4);
    put_number(to + 48, hash_bytes(to, 48), 8);
    memcpy(to + RECORD_HEADER_1, b->bytes, b->n);
    return RECORD_HEADER_1 + b->n;
}

/* Records of both versions in one segment, with a body shorter than the difference of the headers, and damage between. */
static void version_1_is_read(void **state)
{
    (void)state;
    queue_home = loop_new();
    queue_close(queue_open_here(1));
    uint8_t text[4000];
    struct block *b = numbered_block(7, 100), *tiny = numbered_block(9, 4);
    size_t n = encode_version_1(text, 0, b, 0);
    n += encode_version_1(text + n, 1, b, 3);
    size_t damaged = n;
    n += encode_version_1(text + n, 2, b, 0);
    text[damaged + 50]++;
    record_encode(text + n, b, 3);
    memcpy(text + n + RECORD_HEADER, b->bytes, b->n);
    n += RECORD_HEADER + b->n;
    n += encode_version_1(text + n, 4, tiny, 0);
    char path[300];
    snprintf(path, sizeof path, "%s/g0001-s01/00/%016x.seg", queue_dir, 0);
    close(open(path, O_WRONLY | O_CREAT, 0640));
    spoil_file(path, 0, (const char *)text, n);
    struct queue *q = queue_open_here(1);
    struct queue_state at = queue_shard_state(queue_newest_shard(q, 0));
    assert_int_equal(at.first, 0);
    assert_int_equal(at.next, 5);
    assert_int_equal(at.joint_end, 2);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    static const struct { uint64_t seq; unsigned lanes, number; } left[] = {{0, 0, 7}, {1, 3, 7}, {3, 0, 7}, {4, 0, 9}};
    assert_int_equal(r.n, LEN(left));
    for (unsigned i = 0; i < r.n; i++) {
        const struct block *read = r.items[i].block, *wrote = i < 3 ? b : tiny;
        assert_int_equal(r.items[i].seq, left[i].seq);
        assert_int_equal(read->joint_lanes, left[i].lanes);
        assert_int_equal(read->message, MESSAGE_WRITE_1);
        assert_int_equal(block_number(read), left[i].number);
        assert_true(read->n_samples == wrote->n_samples && read->t_min == wrote->t_min && read->t_max == wrote->t_max &&
                    read->codec == wrote->codec && read->n == wrote->n);
    }
    queue_read_drop(&r);
    assert_int_equal(queue_stats(q)->bad_records, 1);
    queue_close(q);
    block_unref(b);
    block_unref(tiny);
    loop_free(queue_home);
}

/* A message that this program does not know, with a good sum: skipped and counted, never sent as something else. */
static void an_unknown_message_is_skipped(void **state)
{
    (void)state;
    queue_home = loop_new();
    struct queue *q = queue_open_here(1);
    struct block *other = numbered_block(1, 100);
    other->message = (enum block_message)3;
    queue_write(queue_newest_shard(q, 0), other, 0, (struct write_terms){0});
    queue_write(queue_newest_shard(q, 0), numbered_block(2, 100), 1, (struct write_terms){0});
    queue_close(q);
    q = queue_open_here(1);
    struct queue_read r;
    queue_read_from(queue_newest_shard(q, 0), &r, 0);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.items[0].seq, 1);
    assert_int_equal(queue_stats(q)->bad_records, 1);
    queue_read_drop(&r);
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
        QUEUE_TEST(damage_at_every_byte),
        QUEUE_TEST(version_1_is_read),
        QUEUE_TEST(an_unknown_message_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
