// SPDX-License-Identifier: Apache-2.0
/* The directory of a queue: its generations and their shards. Main's while the queue is opened, the io thread's
 * afterwards. Layout: queue_dir.c. */
#ifndef WRITER_QUEUE_QUEUE_DIR_H
#define WRITER_QUEUE_QUEUE_DIR_H

#include "writer/queue/queue_shard.h"

struct found_generation { uint32_t number; unsigned shards; };
/* Accepts only the exact names of generations: `g1-s1` beside `g0001-s01` would be sent a second time. */
bool queue_generation_name(const char *name, struct found_generation *it);

struct queue_dir {
    struct queue *queue;
    char *dir;
    struct queue_generation *generations; size_t n, _cap; /* oldest first; new blocks go to the last */
    uint32_t last_taken;  /* highest number whose name is taken by something else; never used */
};
/* Opens all generations, takes over queues of vmagent as generations behind them, adds one with `shards` shards as the
 * last if needed, and deletes older ones with nothing to send. Must be closed also after false. */
bool queue_dir_open(struct queue_dir *f, unsigned shards, const struct vmagent_queues *vmagent,
                    struct err *err) MUST_USE;
void queue_dir_close(struct queue_dir *f);

/* Requests of other threads, executed in the io thread's loop. add: a generation behind the others (false: nothing has
 * changed); remove: the newest one. Both wait at most five seconds. retire: deletes the files of a generation, which
 * keeps its index, and does not wait. */
bool queue_dir_request_add(struct queue_dir *f, struct loop *io, unsigned shards, struct err *err) MUST_USE;
void queue_dir_request_remove(struct queue_dir *f, struct loop *io);
void queue_dir_request_retire(struct queue_dir *f, struct loop *io, size_t at);

uint64_t queue_dir_bytes(const struct queue_dir *f);         /* of segments with undelivered records */
/* The shard with the oldest segment of the oldest generation that has one; NULL: none. */
struct queue_shard *queue_dir_oldest(const struct queue_dir *f);
void queue_dir_each(const struct queue_dir *f, void (*visit)(struct queue_shard *s, void *arg), void *arg);
static inline struct queue_generation *queue_dir_newest(const struct queue_dir *f)
{
    return &f->generations[f->n - 1];
}

#endif
