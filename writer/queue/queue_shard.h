// SPDX-License-Identifier: Apache-2.0
/* One shard's files: segments to append to and read from, and the position. The io thread's (and, while opening,
 * main's). */
#ifndef WRITER_QUEUE_QUEUE_SHARD_H
#define WRITER_QUEUE_QUEUE_SHARD_H

#include "base/list.h"
#include "writer/queue/position.h"
#include "writer/queue/queue.h"
#include "writer/queue/segment.h"

struct segment {
    uint64_t name, size, first, last; /* holds [first, last] when n_blocks > 0 */
    uint64_t n_samples;
    int64_t t_max;         /* of its newest sample */
    uint32_t n_blocks;
    bool damaged;          /* nothing is appended: a header cut short would take what is behind it for its body */
};
enum { SEGMENT_PATH = 4096 };
/* Blocks that could not be written, kept in memory and retried; queue_unwritten.c */
struct unwritten {
    struct list jobs;      /* ascending in sequence number */
    uint64_t bytes, blocks, samples; /* of all of them */
    uint64_t only_bytes;   /* of those that the lane does not hold: as of only_from */
    uint64_t only_from;
};
/* Jobs that the io thread is not done with; guarded by the queue's intake.lock; queue_intake.c */
struct intake_shard {
    struct list jobs;      /* ascending in sequence number */
    uint64_t taken;        /* what the io thread has been given is before it */
    uint64_t acked;        /* as the lane says */
    struct list ack_node;  /* in intake.acked */
};
struct queue_shard {
    struct queue *queue;
    struct intake_shard intake;
    char *dir;
    uint64_t acked;        /* everything before it is done */
    uint64_t next;         /* after the last record on disk */
    struct segment *segments; size_t n, _cap; /* oldest first; the last is appended to */
    int fd;                /* of the last segment, -1 = not open */
    struct position position;
    int read_fd; uint64_t read_name, read_at; /* where the reader stands, -1 = nowhere */
    uint64_t read_next;    /* seq expected at read_at */
    unsigned read_errors;  /* in a row, at read_at */
    bool dirty;            /* written since the last fdatasync */
    bool new_file;         /* made since the last sync of the folder */
    bool new_folder;       /* the folder itself is: those above it want a sync too */
    bool position_stale;   /* acked is not in the position file yet */
    struct unwritten unwritten; /* blocks behind those on disk */
    atomic_ullong held;    /* blocks before it that are not acknowledged are in the lane's memory */
    atomic_bool behind;
};

struct queue_stats *queue_counters(struct queue *q); /* to count on */
uint64_t queue_segment_bytes(const struct queue *q); /* where a segment ends and the next begins */
uint64_t queue_reuse_bytes(const struct queue *q);   /* delivered bytes that a segment may keep */
bool queue_dir_usable(struct queue *q);              /* false with errno: another process has taken the directory */
bool queue_locked_out(const struct queue *q);        /* what it said last */
bool queue_interrupted(const struct queue *q);       /* while opening: files are not to be read any further */
bool shard_files_open(struct queue_shard *s, struct err *err) MUST_USE; /* queue, dir and descriptors (-1) are set */
void shard_files_close(struct queue_shard *s);
/* It was on disk and is not any more, nor acknowledged. */
bool shard_files_lack(const struct queue_shard *s, uint64_t seq);
/* False with errno. A sequence number that is on disk already is not written again. */
bool shard_files_append(struct queue_shard *s, const struct block *b, uint64_t seq);
void shard_files_ack(struct queue_shard *s, uint64_t next);
/* True: everything on disk from r->from on is in it, and there is space for more. */
bool shard_files_read(struct queue_shard *s, struct queue_read *r);
bool shard_files_sync(struct queue_shard *s);
/* Deletes the oldest segment, and counts the blocks that are lost with it. */
void shard_files_drop_oldest(struct queue_shard *s);
void shard_files_walk(struct queue_shard *s, uint64_t max_bytes, queue_visit *visit, void *arg, unsigned index);
uint64_t shard_files_bytes(const struct queue_shard *s);
void shard_files_free_delivered(struct queue_shard *s, uint64_t min_bytes);
bool shard_files_write_position(struct queue_shard *s); /* when it is stale; false with errno */
void shard_count_lost(struct queue_shard *s, uint64_t blocks, uint64_t samples, uint64_t bytes);
bool shard_files_remove(struct queue_shard *s); /* the whole folder; nothing is left to send */
struct block_sum;
void shard_files_add_undelivered(const struct queue_shard *s, struct block_sum *sum); /* in its segments; an estimate */

/* queue_restore.c. The directory was deleted or replaced: creates it again with what is still open. Also forgets single
 * segments that disappeared. False with errno: to be retried. */
struct restored { unsigned shards; uint64_t kept_bytes, lost_blocks, lost_samples; bool failed; };
bool shard_files_missing(const struct queue_shard *s);
bool shard_files_restore(struct queue_shard *s, struct restored *r);
void shard_log_restored(const char *dir, const struct restored *r); /* when anything was restored or lost */

/* Shared by queue_shard.c, queue_read.c and queue_restore.c. */
void shard_segment_path(const struct queue_shard *s, uint64_t name, char path[SEGMENT_PATH]);
void shard_close_fd(int *fd);
void shard_remove_segment(struct queue_shard *s, size_t i);
void shard_forget_segment(struct queue_shard *s, size_t i, struct restored *r); /* counts what is lost */
bool shard_segment_done(const struct queue_shard *s, const struct segment *g);

#endif
