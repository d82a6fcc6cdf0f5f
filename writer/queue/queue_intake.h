// SPDX-License-Identifier: Apache-2.0
/* The list of jobs from the lanes to the io thread: blocks to write and acknowledgements.
 *
 * A job waits here until it is due (write_terms.write_by). One that is delivered by then is never written.
 *
 * The io thread may wait for its disk for minutes. So jobs that it has not taken yet are bounded, can be read by the
 * lane, and are dropped when they are no longer needed. Rules: queue_intake.c.
 *
 * Lanes put and read, the io thread takes; the lock is held for list operations only.
 */
#ifndef WRITER_QUEUE_QUEUE_INTAKE_H
#define WRITER_QUEUE_QUEUE_INTAKE_H

#include "base/os/thread.h"
#include "writer/queue/queue_unwritten.h"

struct intake {
    struct mutex lock;      /* guards the fields below, and struct intake_shard of all shards */
    struct list jobs;       /* of all shards, oldest first; a job is removed when the io thread has finished it */
    struct list acked;      /* shards with an acknowledgement that the io thread has not taken */
    size_t n_jobs;
    int64_t next_work;      /* mono ms at which the io thread looks at the jobs again */
    struct loop *loop; struct loop_task work; /* posted when it must do so earlier, or position files must move */
    bool logged;            /* the stall is logged */
    atomic_ullong bytes;    /* of the jobs; written under the lock, read by any thread */
    atomic_bool stalled;    /* the oldest job is overdue; likewise */
};

void intake_init(struct intake *in, struct loop *loop, void (*work)(struct loop_task *task));
void intake_free(struct intake *in); /* frees the remaining jobs; their acks fail */
void intake_shard_init(struct intake_shard *s, uint64_t next);

/* Lanes. intake_put takes ownership of the job. Over the limit the oldest blocks that are in no lane's memory are
 * dropped and counted. */
void intake_put(struct intake *in, struct write_job *j, uint64_t limit);
void intake_ack(struct intake *in, struct queue_shard *s, uint64_t next);
/* As queue_ack_recorded and queue_cancel_wait. */
bool intake_ack_recorded(struct intake *in, struct queue_shard *s, uint64_t next, struct loop *home,
                         struct loop_task *recorded);
void intake_cancel_wait(struct intake *in, struct queue_shard *s);
/* Like queue_read, synchronously, when everything from r->from on is here. False: the io thread must read it. */
bool intake_read(struct intake *in, struct queue_shard *s, struct queue_read *r);

/* The io thread. intake_due: when the next job is due, INT64_MAX = there is none. intake_begin: the oldest job that is
 * due until then, which is not dropped until intake_done; NULL: none. */
int64_t intake_due(struct intake *in);
struct write_job *intake_begin(struct intake *in, int64_t until);
void intake_done(struct intake *in, struct write_job *j); /* the caller owns the job from now on */
struct queue_shard *intake_take_ack(struct intake *in, uint64_t *next); /* NULL: none */
void intake_recorded(struct intake *in, struct queue_shard *s, uint64_t next); /* the position on disk has moved there */
size_t intake_jobs(struct intake *in);

void intake_add_undelivered(struct intake *in, struct block_sum *sum); /* any thread */

#endif
