// SPDX-License-Identifier: Apache-2.0
/* The files of one shard: segments, which are appended to and read, and the position. The io thread's (main's while the
 * queue is opened). */
#ifndef WRITER_QUEUE_QUEUE_SHARD_H
#define WRITER_QUEUE_QUEUE_SHARD_H

#include "base/list.h"
#include "writer/queue/position.h"
#include "writer/queue/position_table.h"
#include "writer/queue/queue.h"
#include "writer/queue/segment.h"

struct segment {
    uint64_t name, size, first, last; /* holds [first, last] when n_blocks > 0 */
    uint64_t n_samples;
    int64_t t_max;         /* of its newest sample */
    uint32_t n_blocks;
    bool corrupted;          /* never appended to: a truncated header would take the next record for its body */
    bool foreign;            /* a chunk file of vmagent (vmagent_chunk.h); never appended to */
};
enum { SEGMENT_PATH = 4096 };
/* Blocks that could not be written, kept in memory and retried (queue_unwritten.c). */
struct unwritten {
    struct list jobs;      /* ascending in sequence number */
    uint64_t bytes, blocks, samples; /* of all of them */
    uint64_t exclusive_bytes;   /* of blocks from exclusive_from on, which are not in the lane's memory */
    uint64_t exclusive_from;
};
/* Jobs that the io thread has not finished; guarded by the queue's intake.lock (queue_intake.c). */
struct intake_shard {
    struct list jobs;      /* ascending in sequence number */
    uint64_t done_until;    /* the io thread has finished the jobs before it */
    uint64_t acked;        /* as reported by the lane */
    uint64_t recorded;     /* blocks between it and `acked` may be on disk, and the position there is older */
    struct loop *waiting_loop; struct loop_task *waiting; /* posted when `recorded` is... */
    uint64_t waiting_for;  /* ...this; waiting NULL: nobody waits */
    struct list ack_node;  /* in intake.acked */
};
struct queue_shard {
    struct queue *queue;
    struct intake_shard intake;
    char *dir;
    uint64_t acked;        /* everything before it is delivered or dropped */
    uint64_t next;         /* after the last record on disk */
    struct queue_backlog backlog; /* as found at the opening */
    uint64_t joint_end;    /* likewise: after the last undelivered joint block; 0 = none */
    struct segment *segments; size_t n, _cap; /* oldest first; records are appended to the last */
    int fd;                /* of the last segment, -1 = not open */
    struct file_identity file; /* likewise, while it is open */
    struct position position;
    struct shared_position shared; /* set by the lane */
    struct packer packer;  /* reads the contents of foreign segments */
    int read_fd; uint64_t read_name, read_at; /* position of the reader; read_fd -1 = not open */
    uint64_t read_next;    /* seq expected at read_at */
    unsigned read_errors;  /* in a row, at read_at */
    bool dirty;            /* written since the last fdatasync */
    bool new_file;         /* created since the last sync of the directory */
    bool new_dir;       /* the directory is new: its parents need a sync too */
    bool position_stale;   /* acked is not yet in the position file */
    struct unwritten unwritten; /* blocks that follow those on disk */
    atomic_ullong held;    /* unacknowledged blocks before it are in the lane's memory */
    atomic_bool behind;
};

struct queue_stats *queue_counters(struct queue *q); /* to count on */
uint64_t queue_segment_bytes(const struct queue *q); /* size at which a new segment is started */
/* delivered bytes that a segment may keep before it is truncated */
uint64_t queue_reuse_bytes(const struct queue *q);
struct queue_lock *queue_lock_of(struct queue *q);
bool queue_dir_usable(struct queue *q);              /* false with errno: another process uses the directory */
bool queue_locked_out(const struct queue *q);        /* the last result of queue_dir_usable */
bool queue_interrupted(struct queue *q);             /* while opening, for each record: stop reading files */
/* queue, dir and descriptors (-1) must be set */
bool shard_files_open(struct queue_shard *s, struct err *err) MUST_USE;
void shard_share_position(struct queue_shard *s, const struct queue_lock *lock); /* after that; lock NULL: no */
void shard_files_close(struct queue_shard *s);
/* The block was on disk, is not acknowledged, and has been lost with its segment. */
bool shard_files_lost(const struct queue_shard *s, uint64_t seq);
/* Appends a record. False with errno. A sequence number that is on disk already is not written again. */
bool shard_files_append(struct queue_shard *s, const struct block *b, uint64_t seq);
void shard_files_ack(struct queue_shard *s, uint64_t next);
/* True: all records from r->from on are in r, and there is space for more. */
bool shard_files_read(struct queue_shard *s, struct queue_read *r);
bool shard_files_sync(struct queue_shard *s);
unsigned shard_new_names(const struct queue_shard *s); /* directories that must be synced, too: its own and parents */
/* Deletes the oldest segment and counts the undelivered blocks in it as dropped. */
void shard_files_drop_oldest(struct queue_shard *s);
/* False: a visit has ended it. */
bool shard_files_walk(struct queue_shard *s, uint64_t max_bytes, queue_visit *visit, void *arg, unsigned index);
uint64_t shard_files_bytes(const struct queue_shard *s);
void shard_files_free_delivered(struct queue_shard *s, uint64_t min_bytes);
bool shard_files_write_position(struct queue_shard *s); /* if it is stale; false with errno */
void shard_count_lost(struct queue_shard *s, uint64_t blocks, uint64_t samples, uint64_t bytes);
bool shard_files_remove(struct queue_shard *s); /* deletes the directory; nothing is left to send */
struct block_sum;
/* blocks in its segments; an estimate */
void shard_files_add_undelivered(const struct queue_shard *s, struct block_sum *sum);

/* queue_restore.c: a directory that was deleted or replaced while in use. Creates it again from the files that are
 * still open, and drops segments that disappeared. False with errno: retry. */
struct restored { unsigned shards; uint64_t kept_bytes, lost_blocks, lost_samples; bool failed; };
bool shard_files_missing(const struct queue_shard *s);
bool shard_files_restore(struct queue_shard *s, struct restored *r);
void shard_log_restored(const char *dir, const struct restored *r); /* if anything was restored or lost */

/* Internals shared by queue_shard.c, queue_read.c and queue_restore.c. */
void shard_segment_path(const struct queue_shard *s, const struct segment *g, char path[SEGMENT_PATH]);
/* As segment_next, in the format of the segment. */
enum segment_step shard_segment_next(struct queue_shard *s, const struct segment *g, int fd, uint64_t *at,
                                     struct record *r, struct block **body, uint64_t *skipped);
void shard_close_fd(int *fd);
void shard_remove_segment(struct queue_shard *s, size_t i);
/* counts its undelivered blocks as lost */
void shard_forget_segment(struct queue_shard *s, size_t i, struct restored *r);
bool shard_segment_done(const struct queue_shard *s, const struct segment *g);

#endif
