// SPDX-License-Identifier: Apache-2.0
#include "queue_fixture.h"
#include "tests/unit/log_capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char queue_dir[256];

int queue_make_dir(void **state)
{
    (void)state;
    snprintf(queue_dir, sizeof queue_dir, "/tmp/sluice-queue-XXXXXX");
    return mkdtemp(queue_dir) == NULL;
}

int queue_remove_dir(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", queue_dir);
    return system(command);
}

struct queue *queue_open(const struct queue_options *o, bool (*interrupted)(void), struct err *err)
{
    struct queue *q = queue_open_begin(o, err);
    if (q == NULL)
        return NULL;
    enum queue_opened opened = queue_open_end(q, QUEUE_HANG_MS, interrupted, err);
    if (opened == QUEUE_OPEN)
        return q;
    if (opened == QUEUE_HANGS) {
        err_set(err, ERR_UNAVAILABLE, "%s: the disk does not respond", o->dir);
        queue_open_cancel(q);
    }
    return NULL;
}

struct queue *queue_open_here(unsigned shards)
{
    struct err err = {0};
    struct queue *q = queue_open(&(struct queue_options){.dir = queue_dir, .shards = shards}, NULL, &err);
    if (q == NULL)
        fail_msg("%s", err.text);
    return q;
}

struct queue_shard *queue_newest_shard(struct queue *q, unsigned i)
{
    const struct queue_generation *g;
    size_t n = queue_generations(q, &g);
    return g[n - 1].shards[i];
}

struct block *numbered_block(uint32_t number, size_t n)
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

uint32_t block_number(const struct block *b)
{
    uint32_t number;
    memcpy(&number, b->bytes, sizeof number);
    return number;
}

struct block *sized_block(uint64_t number)
{
    struct block *b = block_new(TEST_BLOCK_BYTES);
    b->codec = CODEC_SNAPPY;
    b->n_samples = TEST_BLOCK_SAMPLES;
    b->t_min = b->t_max = (int64_t)number + 1;
    b->raw_n = 160;
    memset(b->bytes, (int)number, TEST_BLOCK_BYTES);
    return b;
}

void queue_write_blocks(struct queue *q, unsigned shard, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        queue_write(queue_newest_shard(q, shard), sized_block(i), i, (struct write_terms){0});
}

struct loop *queue_home;
static bool queue_was_read;
static void queue_note_read(struct queue_read *r UNUSED) { queue_was_read = true; }

void queue_read_from(struct queue_shard *s, struct queue_read *r, uint64_t from)
{
    memset(r, 0, sizeof *r);
    r->home = queue_home;
    r->from = from;
    r->max_bytes = 1 << 20;
    r->done = queue_note_read;
    queue_was_read = false;
    queue_read(s, r);
    while (!queue_was_read)
        loop_turn(queue_home, 100);
}

void queue_read_drop(struct queue_read *r)
{
    for (unsigned i = 0; i < r->n; i++)
        block_unref(r->items[i].block);
}

void queue_assert_drop_logged(const char *message)
{
    const char *line = strstr(log_capture_text(), message);
    assert_non_null(line);
    const char *samples = strstr(line, " samples="), *end = strchr(line, '\n');
    assert_true(samples && end && samples < end);
    assert_int_equal(strtol(samples + strlen(" samples="), NULL, 10), TEST_BLOCK_SAMPLES);
}

void spoil_file(const char *path, long at, const char *bytes, size_t n)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}
