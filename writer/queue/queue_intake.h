// SPDX-License-Identifier: Apache-2.0
/* What the lanes hand to the io thread: blocks to write and acknowledgements.
 *
 * The io thread may wait for its disk for minutes. So what it has not taken yet is bounded, can be read by the lane
 * without it, and is dropped when it is of no use any more. The rules are told in queue_intake.c.
 *
 * Lanes put and read, the io thread takes; the lock is held for list work only.
 */
#ifndef WRITER_QUEUE_QUEUE_INTAKE_H
#define WRITER_QUEUE_QUEUE_INTAKE_H

#include "base/os/thread.h"
#include "writer/queue/queue_unwritten.h"

struct intake {
    struct mutex lock;      /* guards what follows, and struct intake_shard of all shards */
    struct list jobs;       /* of all shards, oldest first; a job stays here until the io thread is done with it */
    struct list acked;      /* shards with an acknowledgement that the io thread has not taken */
    size_t n_jobs;
    struct loop *loop; struct loop_task work; /* posted when there is something to take */
    bool logged;            /* that the disk does not respond */
    atomic_ullong bytes;    /* of the jobs; written under the lock, read by any thread */
    atomic_bool stalled;    /* the oldest job waits too long; likewise */
};

void intake_init(struct intake *in, struct loop *loop, void (*work)(struct loop_task *task));
void intake_free(struct intake *in); /* jobs that are left are freed, their receipts fail */
void intake_shard_init(struct intake_shard *s, uint64_t next);

/* Lanes. The job is taken over. Over the limit the oldest blocks that no lane holds are dropped and counted. */
void intake_put(struct intake *in, struct write_job *j, uint64_t limit);
void intake_ack(struct intake *in, struct queue_shard *s, uint64_t next);
/* As queue_read, at once, when everything from r->from on is here. False: it must be read by the io thread. */
bool intake_read(struct intake *in, struct queue_shard *s, struct queue_read *r);

/* The io thread. begin: the oldest job, which nobody drops until done; NULL: none. */
struct write_job *intake_begin(struct intake *in);
void intake_done(struct intake *in, struct write_job *j); /* the job is the caller's from now on */
struct queue_shard *intake_take_ack(struct intake *in, uint64_t *next); /* NULL: none */
size_t intake_jobs(struct intake *in);

void intake_add_undelivered(struct intake *in, struct block_sum *sum); /* any thread */

#endif
