// SPDX-License-Identifier: Apache-2.0
/* The queue on disk of one destination, and the io thread that owns its files.
 *
 * A block is written when it is sealed (page cache, no sync); fdatasync at most once a second, and only while the
 * destination is behind. Positions are written on every answer. After kill -9 nothing that was sealed is lost; after
 * power loss at most a second of it. The layout is told in queue_dir.c, queue_shard.c and segment.c.
 *
 * Threads. queue_open and queue_close: main. The other calls: the lane that owns the shard; they post to the io
 * thread, which answers by posting to the lane. Order of calls of one lane is kept.
 */
#ifndef WRITER_QUEUE_QUEUE_H
#define WRITER_QUEUE_QUEUE_H

#include "base/err.h"
#include "base/os/loop.h"
#include "writer/queue/block.h"
#include "writer/queue/queue_lock.h"
#include "writer/queue/ack.h"

struct queue;
struct queue_shard; /* one shard of one generation */

struct queue_limits {
    uint64_t max_bytes;     /* 0 = none; over it the oldest segments are dropped */
    uint64_t max_memory;    /* of blocks that cannot be written and that no lane holds; 0 = none */
    bool sync_writes;       /* durability always: a receipt is dropped after fdatasync */
    bool keep_all;          /* nothing is dropped for space: whoever writes checks queue_bytes first */
};
struct queue_options {
    bool (*interrupted)(void); /* polled while files are read: whether to give up; NULL = never */
    const char *dir;        /* created when it does not exist */
    struct queue_lock *lock; /* of the directory that dir is in; NULL = nobody else uses it */
    unsigned shards;        /* wanted now; another number on disk becomes an older generation, to be sent first */
    struct queue_limits limits;
};
struct queue *queue_open(const struct queue_options *o, struct err *err) MUST_USE;
/* Main; after every lane's last call. end: writes what was posted, retrying for retry_ms, syncs, ends the io thread,
 * and then posts `ended` to the loop `home` (both may be NULL). Blocks that cannot be written until then are counted as
 * dropped and logged. close: waits for it, ending the queue first if need be; a disk that does not respond is waited
 * for no longer than five seconds. */
void queue_end(struct queue *q, int64_t retry_ms, struct loop *home, struct loop_task *ended);
bool queue_ended(struct queue *q);
void queue_close(struct queue *q);
/* Main, at the end of the process: the disk does not respond, and what was not written is lost. Logs how much. */
void queue_log_abandoned(struct queue *q);

struct queue_generation { uint32_t number; unsigned n_shards; struct queue_shard **shards; };
/* Oldest first; the last one is written to. Older ones without anything to send are deleted by queue_open. */
size_t queue_generations(const struct queue *q, const struct queue_generation **out);
/* Every good record on disk of the newest generation, sent ones too, oldest first per shard; main, right after
 * queue_open. At most the newest max_bytes of each shard. */
typedef void queue_visit(void *arg, unsigned shard, const struct block *b);
void queue_walk(struct queue *q, uint64_t max_bytes, queue_visit *visit, void *arg);
/* A generation with another number of shards behind the others, while the queue is in use (a reload). Waits for the
 * io thread, at most five seconds. queue_shrink takes it away again, when nobody has used it. */
const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err) MUST_USE;
void queue_shrink(struct queue *q);
/* Of generation `at` everything is delivered, and nobody will write to it: its files go. Any lane. */
void queue_retire(struct queue *q, size_t at);
void queue_limit(struct queue *q, const struct queue_limits *limits); /* new limits, any time */
uint64_t queue_bytes(const struct queue *q); /* on disk and not yet acknowledged; any thread */
uint64_t queue_unwritten_bytes(const struct queue *q); /* of blocks that are not on disk yet; any thread */
uint64_t queue_free_bytes(const struct queue *q);      /* of its file system; UINT64_MAX: not known; any thread */
double queue_seconds_until_full(const struct queue *q); /* +Inf while nothing grows; any thread */
bool queue_failing(const struct queue *q);   /* the last write failed, or the disk does not respond; any thread */

struct queue_state { uint64_t first, next; }; /* sequence numbers: [first, next) wait to be sent */
struct queue_state queue_shard_state(const struct queue_shard *s); /* as found by queue_open */

/* Takes one reference of the block. The receipts' holds are dropped when it is as safe as the options ask. What is on
 * disk already is not written again. A block that could not be written stays in memory, is read from there, and is
 * retried before the next one of its shard and once a second, until it is acknowledged. When such blocks exceed
 * max_memory, segments are dropped if the disk is full, else the oldest such block; keep_all drops nothing. The same
 * holds for blocks that the io thread cannot take because its disk does not respond (queue_intake.c). */
void queue_write(struct queue_shard *s, struct block *b, uint64_t seq, struct pending_acks who);
/* The lane has blocks before `until` that are not acknowledged in its memory: they are not lost when the disk loses
 * them. A read moves it too, so the lane calls this only while none is under way. */
void queue_hold(struct queue_shard *s, uint64_t until);
void queue_ack(struct queue_shard *s, uint64_t next); /* everything before `next` is delivered or given up */

struct queue_read {             /* one at a time per shard; the memory is the caller's until done has run */
    struct loop_task task;      /* private */
    struct queue_shard *shard;  /* private */
    struct loop *home;
    uint64_t from;              /* first sequence number wanted */
    size_t max_bytes;
    void (*done)(struct queue_read *r);
    struct { struct block *block; uint64_t seq; } items[64]; /* references are the caller's */
    unsigned n;
    uint64_t next;              /* after the last one read; larger than expected when records were lost */
    bool failed;                /* a file could not be opened (too many are open): to be tried again */
};
void queue_read(struct queue_shard *s, struct queue_read *r);
/* Without the io thread and without done: when everything from r->from on is still in memory. Else false. */
bool queue_read_memory(struct queue_shard *s, struct queue_read *r);
void queue_behind(struct queue_shard *s, bool behind); /* whether syncs are wanted */

/* Counted by the io thread, read by anyone. */
struct queue_stats {
    atomic_ullong blocks_dropped, samples_dropped, bytes_dropped; /* for space, or with files that disappeared */
    atomic_ullong bytes_written, bytes_read, bad_records, write_errors, syncs, sync_ns, write_ns,
        read_ns;
};
const struct queue_stats *queue_stats(const struct queue *q);

#endif
