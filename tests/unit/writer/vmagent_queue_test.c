// SPDX-License-Identifier: Apache-2.0
/* Persistent queues of vmagent that a queue takes over: damage, crashes in between, a vmagent that still runs. */
#include "queue_fixture.h"
#include "tests/unit/files.h"

#include "model/remote_write.h"
#include "writer/queue/vmagent_chunk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCKS = 5, HASH = 0xabc, CHUNK_SPACE = 4096 };
static struct arena arena;
static char vmagent_dir[300], from[340], chunk_path[380], metainfo[380];
static char chunk[CHUNK_SPACE];
static size_t chunk_n, ends[BLOCKS]; /* of each record */

static void add_record(unsigned number, enum codec codec)
{
    struct packer packer;
    struct buf raw = {0};
    struct err err;
    struct label items[] = {{STR(METRIC_NAME), STR("m")}, {STR("i"), arena_printf(&arena, "%u", number)}};
    struct sample sample = {1000 + number, number};
    packer_init(&packer);
    rw_append_series(&raw, labels_from(&arena, items, 2), &sample, 1);
    struct block *b = block_compress(&packer, block_form_1(codec), buf_str(&raw), 0, 0, 0, &err);
    for (int i = 0; i < 8; i++)
        chunk[chunk_n++] = (char)((uint64_t)b->n >> (8 * (7 - i)));
    assert_true(chunk_n + b->n < sizeof chunk);
    memcpy(chunk + chunk_n, b->bytes, b->n);
    ends[number] = chunk_n += b->n;
    block_unref(b);
    buf_free(&raw);
    packer_free(&packer);
}

static void write_bytes(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
}

static void write_vmagent_queue(const char *bytes, size_t n, const char *meta)
{
    mkdir(vmagent_dir, 0755);
    mkdir(from, 0755);
    write_bytes(chunk_path, bytes, n);
    write_file(metainfo, meta);
}

static void make_vmagent_queue(enum codec codec)
{
    char meta[100];
    chunk_n = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        add_record(i, codec);
    snprintf(vmagent_dir, sizeof vmagent_dir, "%s/" VMAGENT_QUEUES, queue_dir);
    snprintf(from, sizeof from, "%s/3_%016X", vmagent_dir, HASH);
    snprintf(chunk_path, sizeof chunk_path, "%s/%016X", from, 0);
    snprintf(metainfo, sizeof metainfo, "%s/metainfo.json", from);
    snprintf(meta, sizeof meta, "{\"Name\":\"3:secret-url\",\"ReaderOffset\":0,\"WriterOffset\":%zu}", chunk_n);
    write_vmagent_queue(chunk, chunk_n, meta);
}

static struct queue *open_taking_over(unsigned shards)
{
    struct err err = {0};
    char dir[300];
    snprintf(dir, sizeof dir, "%s/sink-1", queue_dir);
    struct queue *q = queue_open(&(struct queue_options){.dir = dir, .shards = shards, .vmagent = {vmagent_dir, HASH}},
                                 NULL, &err);
    if (q == NULL)
        fail_msg("%s", err.text);
    return q;
}

/* Bit i for block i, of all generations; each is delivered intact, once, and in order. */
static unsigned deliver_all(struct queue *q)
{
    const struct queue_generation *g;
    unsigned blocks = 0;
    for (size_t i = 0, n = queue_generations(q, &g); i < n; i++) {
        struct queue_shard *s = g[i].shards[0];
        struct queue_read r;
        for (uint64_t at = queue_shard_state(s).first;; at = r.next) {
            queue_read_from(s, &r, at);
            for (unsigned k = 0; k < r.n; k++) {
                const struct block *b = r.items[k].block;
                unsigned number = (unsigned)(b->t_min - 1000);
                assert_true(number < BLOCKS && blocks >> number == 0 && b->n_samples == 1 && b->t_max == b->t_min);
                blocks |= 1u << number;
            }
            queue_read_drop(&r);
            if (r.n == 0)
                break;
        }
        queue_ack(s, queue_shard_state(s).next);
    }
    return blocks;
}

static unsigned take_over_and_deliver(void)
{
    struct queue *q = open_taking_over(1);
    unsigned blocks = deliver_all(q);
    queue_close(q);
    q = open_taking_over(1);
    assert_int_equal(deliver_all(q), 0);
    queue_close(q);
    return blocks;
}

static void blocks_are_delivered_from_the_position_on(void **state)
{
    (void)state;
    char meta[100];
    for (enum codec codec = CODEC_SNAPPY; codec <= CODEC_ZSTD; codec++)
        for (unsigned delivered = 0; delivered <= BLOCKS; delivered++) {
            make_vmagent_queue(codec);
            snprintf(meta, sizeof meta, "{\"Name\":\"x\",\"ReaderOffset\":%zu,\"WriterOffset\":%zu}",
                     delivered ? ends[delivered - 1] : 0, chunk_n);
            write_vmagent_queue(chunk, chunk_n, meta);
            unsigned want = ((1u << BLOCKS) - 1) & ~((1u << delivered) - 1);
            assert_int_equal(take_over_and_deliver(), want);
            assert_int_equal(access(vmagent_dir, F_OK), -1);
        }
}

/* Bit i for the record that begins where the i-th of the intact file does. */
static unsigned read_chunk(const char *bytes, size_t n)
{
    struct packer packer;
    struct record r;
    struct block *b;
    uint64_t at = 0, skipped = 0;
    unsigned found = 0;
    packer_init(&packer);
    write_bytes(chunk_path, bytes, n);
    struct vmagent_chunk c = {.fd = open(chunk_path, O_RDONLY), .start = 7, .size = n};
    while (vmagent_chunk_next(&c, &packer, &at, &r, &b, &skipped) == SEGMENT_RECORD) {
        for (unsigned i = 0; i < BLOCKS; i++)
            found |= (unsigned)(r.seq == 7 + (i ? ends[i - 1] : 0)) << i;
        block_unref(b);
    }
    assert_int_equal(at, n);
    close(c.fd);
    packer_free(&packer);
    return found;
}

/* Each byte of the chunk file is flipped, and it is cut at each length: all other blocks are delivered. */
static void damage_to_a_chunk_costs_one_block(void **state)
{
    (void)state;
    enum { ALL = (1 << BLOCKS) - 1 };
    for (enum codec codec = CODEC_SNAPPY; codec <= CODEC_ZSTD; codec++) {
        make_vmagent_queue(codec);
        for (size_t at = 0, record = 0; at < chunk_n; at++) {
            record += at == ends[record];
            char bit = (char)(1 << at % 8);
            chunk[at] ^= bit;
            assert_int_equal(read_chunk(chunk, chunk_n) | 1u << record, ALL); /* it may pass: it has no checksum */
            chunk[at] ^= bit;
        }
        for (size_t length = 0, record = 0; length < chunk_n; length++) {
            record += length == ends[record];
            assert_int_equal(read_chunk(chunk, length), (1u << record) - 1);
        }
    }
}

/* vmagent deletes everything then. */
static void an_unreadable_position_loses_nothing(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "{", "{\"ReaderOffset\":\"a\"}", "{\"ReaderOffset\":-1}", "[]"};
    for (size_t i = 0; i < LEN(broken); i++) {
        make_vmagent_queue(CODEC_ZSTD);
        write_file(metainfo, broken[i]);
        assert_int_equal(take_over_and_deliver(), (1 << BLOCKS) - 1);
    }
    make_vmagent_queue(CODEC_ZSTD);
    assert_int_equal(unlink(metainfo), 0);
    assert_int_equal(take_over_and_deliver(), (1 << BLOCKS) - 1);
}

/* Two chunk files, of which one was moved before a crash: the other one follows it. */
static void a_crash_in_between_keeps_the_order(void **state)
{
    (void)state;
    char second[380], moved[1200];
    make_vmagent_queue(CODEC_ZSTD);
    snprintf(second, sizeof second, "%s/%016zX", from, ends[2]);
    write_bytes(second, chunk + ends[2], chunk_n - ends[2]);
    assert_int_equal(truncate(chunk_path, (off_t)ends[2]), 0);
    snprintf(moved, sizeof moved, "mkdir -p %s/sink-1/g0001-s01/00 && mv %s %s/sink-1/g0001-s01/00/%016x.vmq", queue_dir,
             chunk_path, queue_dir, 0);
    assert_int_equal(system(moved), 0);
    assert_int_equal(take_over_and_deliver(), (1 << BLOCKS) - 1);
    assert_int_equal(access(vmagent_dir, F_OK), -1);
}

static void a_queue_in_use_is_left_alone(void **state)
{
    (void)state;
    char lock[380];
    make_vmagent_queue(CODEC_ZSTD);
    snprintf(lock, sizeof lock, "%s/flock.lock", from);
    int fd = open(lock, O_RDWR | O_CREAT, 0644);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(take_over_and_deliver(), 0);
    assert_int_equal(access(chunk_path, F_OK), 0);
    close(fd);
    assert_int_equal(take_over_and_deliver(), (1 << BLOCKS) - 1);
}

/* vmagent ran between two runs of this program: its blocks are newer than those here, and older than those to come. */
static void blocks_follow_what_the_queue_has(void **state)
{
    (void)state;
    enum { SHARDS = 2 };
    make_vmagent_queue(CODEC_ZSTD);
    struct queue_read r;
    const struct queue_generation *g;
    char away[310];
    snprintf(away, sizeof away, "%s.away", vmagent_dir);
    assert_int_equal(rename(vmagent_dir, away), 0);
    struct queue *q = open_taking_over(SHARDS);
    queue_write(queue_newest_shard(q, 0), numbered_block(70, 100), 0, (struct write_terms){0});
    queue_close(q);
    assert_int_equal(rename(away, vmagent_dir), 0);
    q = open_taking_over(SHARDS);
    assert_int_equal(queue_generations(q, &g), 3);
    queue_read_from(g[0].shards[0], &r, 0);
    assert_true(r.n == 1 && block_number(r.items[0].block) == 70);
    queue_read_drop(&r);
    assert_int_equal(g[1].n_shards, 1);
    queue_read_from(g[1].shards[0], &r, 0);
    assert_int_equal(r.n, BLOCKS);
    queue_read_drop(&r);
    assert_int_equal(g[2].n_shards, SHARDS);
    assert_int_equal(queue_shard_state(g[2].shards[0]).next, 0);
    queue_close(q);
}

static int begin_vmagent_test(void **state)
{
    arena_init(&arena, 0);
    queue_home = loop_new();
    return queue_make_dir(state);
}

static int end_vmagent_test(void **state)
{
    arena_free(&arena);
    loop_free(queue_home);
    return queue_remove_dir(state);
}
#define VMAGENT_TEST(name) cmocka_unit_test_setup_teardown(name, begin_vmagent_test, end_vmagent_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VMAGENT_TEST(blocks_are_delivered_from_the_position_on),
        VMAGENT_TEST(damage_to_a_chunk_costs_one_block),
        VMAGENT_TEST(an_unreadable_position_loses_nothing),
        VMAGENT_TEST(a_crash_in_between_keeps_the_order),
        VMAGENT_TEST(a_queue_in_use_is_left_alone),
        VMAGENT_TEST(blocks_follow_what_the_queue_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
