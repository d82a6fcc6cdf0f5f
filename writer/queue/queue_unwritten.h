// SPDX-License-Identifier: Apache-2.0
/* Blocks of a shard that could not be written: the tail of its queue, in memory. The io thread's.
 *
 * They follow everything that the shard has on disk, are written before any later block, are read like those on disk,
 * and are removed when they are written, acknowledged or dropped. Those before `held` are in the lane's memory as well:
 * dropping such a block here would free no memory and is never done.
 */
#ifndef WRITER_QUEUE_QUEUE_UNWRITTEN_H
#define WRITER_QUEUE_QUEUE_UNWRITTEN_H

#include "writer/queue/queue_shard.h"

struct write_job {
    struct list order;  /* in intake.jobs */
    struct list node;   /* in intake_shard.jobs, later in unwritten.jobs */
    struct queue_shard *shard;
    struct block *block;
    uint64_t seq;
    int64_t write_by;   /* mono ms at which the io thread takes it */
    bool busy;          /* the io thread is writing it */
    bool more;          /* the same acks wait for a later block too */
    size_t n;
    struct ack *acks[];
};
static inline uint64_t write_job_bytes(const struct write_job *j) { return sizeof *j + j->block->n; }
static inline void write_job_end(struct write_job *j, bool safe) /* drops its acks */
{
    for (size_t i = 0; i < j->n; i++)
        ack_release(j->acks[i], safe);
    j->n = 0;
}
static inline void write_job_free(struct write_job *j)
{
    block_unref(j->block);
    mem_free(j);
}

struct block_sum { uint64_t blocks, samples, bytes; };

void unwritten_init(struct unwritten *u);
void unwritten_add_sum(const struct queue_shard *s, struct block_sum *sum);
void unwritten_add(struct queue_shard *s, struct write_job *j);
struct write_job *unwritten_first(const struct queue_shard *s); /* NULL: none */
void unwritten_remove(struct queue_shard *s, struct write_job *j); /* frees it */
bool unwritten_has(const struct queue_shard *s, uint64_t seq);
void unwritten_ack(struct queue_shard *s);                      /* removes those that are acknowledged */
uint64_t unwritten_exclusive_bytes(struct queue_shard *s);           /* of blocks that are in no lane's memory */
struct write_job *unwritten_first_exclusive(struct queue_shard *s);  /* the oldest such block; NULL: none */
void unwritten_read(struct queue_shard *s, struct queue_read *r); /* appends what fits in r */

#endif
