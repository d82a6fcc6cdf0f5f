// SPDX-License-Identifier: Apache-2.0
/* A queue in a new directory, without a writer: numbered blocks go in and come out. */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include "writer/queue/queue_shard.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

extern char queue_dir[256];
extern struct loop *queue_home; /* of reads; the test's */

/* In one step; NULL: err is set. interrupted: as for queue_open_end */
struct queue *queue_open(const struct queue_options *o, bool (*interrupted)(void), struct err *err);
struct queue *queue_open_here(unsigned shards);
struct queue_shard *queue_newest_shard(struct queue *q, unsigned i); /* of the newest generation */
struct block *numbered_block(uint32_t number, size_t n);
uint32_t block_number(const struct block *b);
/* Blocks of the same size, whose number is in their times only. */
enum { TEST_BLOCK_BYTES = 5000, TEST_BLOCK_SAMPLES = 10 };
struct block *sized_block(uint64_t number);
void queue_write_blocks(struct queue *q, unsigned shard, uint64_t from, uint64_t to); /* without acks */
void queue_read_from(struct queue_shard *s, struct queue_read *r, uint64_t from); /* waits; release: queue_read_drop */
void queue_read_drop(struct queue_read *r);
/* A log line with this message, in log_capture_text(), tells the samples of a block. */
void queue_assert_drop_logged(const char *message);
void spoil_file(const char *path, long at, const char *bytes, size_t n);

int queue_make_dir(void **state);
int queue_remove_dir(void **state);
#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, queue_make_dir, queue_remove_dir)

#endif
