// SPDX-License-Identifier: Apache-2.0
/* The folder of a queue on disk: its generations and the shards in them. Main's while it is opened, the io thread's
 * afterwards. The layout is told in queue_dir.c.
 */
#ifndef WRITER_QUEUE_QUEUE_DIR_H
#define WRITER_QUEUE_QUEUE_DIR_H

#include "writer/queue/queue_shard.h"

struct queue_dir {
    struct queue *queue;
    char *dir;
    struct queue_generation *generations; size_t n, _cap; /* oldest first; the last is written to */
    uint32_t last_taken;  /* the highest number whose name something else has, which is never used */
};
/* Whatever is there, and a generation of so many shards as the last; older ones with nothing to send are deleted.
 * After false there is something to close all the same. */
bool queue_dir_open(struct queue_dir *f, unsigned shards, struct err *err) MUST_USE;
void queue_dir_close(struct queue_dir *f);

/* Asked for by other threads and done in the io thread's loop: a generation behind the others (false: all is as
 * before), and away with it again, both waited for, at most five seconds; away with the files of one, which keeps its
 * place. */
bool queue_dir_request_add(struct queue_dir *f, struct loop *io, unsigned shards, struct err *err) MUST_USE;
void queue_dir_request_remove(struct queue_dir *f, struct loop *io);
void queue_dir_request_retire(struct queue_dir *f, struct loop *io, size_t at);

uint64_t queue_dir_bytes(const struct queue_dir *f);         /* of segments that hold something to send */
/* The shard whose first segment is the oldest of the oldest generation that has one; NULL: there is none. */
struct queue_shard *queue_dir_oldest(const struct queue_dir *f);
void queue_dir_each(const struct queue_dir *f, void (*visit)(struct queue_shard *s, void *arg), void *arg);
static inline struct queue_generation *queue_dir_newest(const struct queue_dir *f)
{
    return &f->generations[f->n - 1];
}

#endif
