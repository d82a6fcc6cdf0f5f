// SPDX-License-Identifier: Apache-2.0
/* One shard's files: segments to append to and read from, and the position. The io thread's (and, while opening,
 * main's). */
#ifndef WRITER_QUEUE_SHARD_H
#define WRITER_QUEUE_SHARD_H

#include "base/list.h"
#include "writer/position.h"
#include "writer/queue.h"
#include "writer/segment.h"

struct segment {
    uint64_t name, size, first, last; /* holds [first, last] when n_blocks > 0 */
    uint32_t n_blocks;
    bool damaged;          /* nothing is appended: a header cut short would take what is behind it for its body */
};
struct queue_shard {
    struct queue *queue;
    char *dir;
    uint64_t acked;        /* everything before it is done */
    uint64_t next;         /* after the last record on disk */
    struct segment *segments; size_t n, _cap; /* oldest first; the last is appended to */
    int fd;                /* of the last segment, -1 = not open */
    struct position position;
    int read_fd; uint64_t read_name, read_at; /* where the reader stands, -1 = nowhere */
    uint64_t read_next;    /* seq expected at read_at */
    bool dirty;            /* written since the last fdatasync */
    bool new_file;         /* made since the last sync of the folder */
    bool new_folder;       /* the folder itself is: those above it want a sync too */
    struct list missed;    /* blocks that could not be written and that somebody still has in memory; queue.c's */
    atomic_bool behind;
};

struct queue_stats *queue_counters(struct queue *q); /* to count on */
uint64_t queue_segment_bytes(const struct queue *q); /* where a segment ends and the next begins */
bool shard_files_open(struct queue_shard *s, struct err *err) MUST_USE; /* queue, dir and descriptors (-1) are set */
void shard_files_close(struct queue_shard *s);
/* False with errno. A sequence number that is on disk already is not written again. */
bool shard_files_append(struct queue_shard *s, const struct block *b, uint64_t seq);
void shard_files_ack(struct queue_shard *s, uint64_t next);
void shard_files_read(struct queue_shard *s, struct queue_read *r);
bool shard_files_sync(struct queue_shard *s);
/* Deletes the oldest segment that is not the one written to; returns its bytes, 0 when there is none. Counts what it
 * held. */
uint64_t shard_files_drop_oldest(struct queue_shard *s);
void shard_files_walk(struct queue_shard *s, uint64_t max_bytes, queue_visit *visit, void *arg, unsigned index);
uint64_t shard_files_bytes(const struct queue_shard *s);
bool shard_files_remove(struct queue_shard *s); /* the whole folder; nothing is left to send */

#endif
