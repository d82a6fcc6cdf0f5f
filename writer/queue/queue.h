// SPDX-License-Identifier: Apache-2.0
/* The queue on disk of one destination, and the io thread that owns its files.
 *
 * A block is written when its caller demands (page cache, no sync), unless it is delivered by then; fdatasync runs at
 * most once a second, and only while the destination is behind. Positions are written on every acknowledgement of a block
 * that was written, and are in shared memory before (position_table.h). kill -9 loses nothing that was due; a power loss loses at most one second of it. Formats:
 * queue_dir.c, queue_shard.c, segment.c.
 *
 * Threads. queue_open and queue_close: main. The other calls: the lane that owns the shard; they post to the io thread,
 * which posts the result back. Calls of one lane are executed in order.
 */
#ifndef WRITER_QUEUE_QUEUE_H
#define WRITER_QUEUE_QUEUE_H

#include "base/err.h"
#include "base/os/loop.h"
#include "writer/queue/block.h"
#include "writer/queue/quarantine.h"
#include "writer/queue/queue_lock.h"
#include "writer/queue/ack.h"
#include "writer/queue/vmagent_queue.h"

struct queue;
struct queue_shard; /* one shard of one generation */

struct queue_limits {
    uint64_t max_bytes;     /* 0 = unlimited; over it the oldest segments are dropped */
    uint64_t max_memory;    /* of blocks that cannot be written and are in no lane's memory; 0 = unlimited */
    uint64_t max_quarantine; /* bytes of rejected blocks (quarantine.h); 0 = none are kept */
    bool sync_writes;       /* durability always: acks are dropped after fdatasync */
    bool keep_all;          /* nothing is dropped for space: writers check queue_bytes first */
};
struct queue_options {
    const char *dir;        /* created when it does not exist */
    struct queue_lock *lock; /* of the parent directory; NULL = no other process uses it */
    unsigned shards;        /* another number on disk becomes an older generation, which is sent first */
    struct queue_limits limits;
    struct vmagent_queues vmagent; /* taken over behind what the queue has; dir NULL = none */
};
/* Opens in steps, since the disk may hang. begin starts the io thread, end waits for it: until it has read the
 * directory, or has done nothing for hang_ms (QUEUE_HANGS: it is still being opened, and end may be called again), or
 * `interrupted` is true (NULL: never). QUEUE_FAILED: the queue is freed. cancel: closes it, or abandons it while its
 * disk hangs; it may then open files later, and closes them. */
enum { QUEUE_HANG_MS = 5000 };
struct queue *queue_open_begin(const struct queue_options *o, struct err *err) MUST_USE;
enum queue_opened queue_open_end(struct queue *q, int64_t hang_ms, bool (*interrupted)(void), struct err *err) MUST_USE;
bool queue_open_hangs(struct queue *q);
void queue_open_notify(struct queue *q, struct loop *home, struct loop_task *task); /* posted when it is read */
void queue_open_cancel(struct queue *q);
/* Main; after the last call of every lane. queue_end: writes what was posted, retries for retry_ms, syncs, ends the io
 * thread, and posts `ended` to the loop `home` (both may be NULL). Blocks that are not written by then are counted as
 * dropped and logged. queue_close: waits for the end, starting it if needed; waits at most five seconds for a
 * disk that does not respond.
 */
void queue_end(struct queue *q, int64_t retry_ms, struct loop *home, struct loop_task *ended);
bool queue_ended(struct queue *q);
void queue_close(struct queue *q);
/* Main, at the end of the process: the disk does not respond, unwritten blocks are lost. Logs how many. */
void queue_log_abandoned(struct queue *q);

struct queue_generation { uint32_t number; unsigned n_shards; struct queue_shard **shards; };
/* Oldest first; new blocks go to the last one. queue_open deletes older ones that have nothing to send. */
size_t queue_generations(const struct queue *q, const struct queue_generation **out);
/* Visits every valid record on disk of the newest generation, delivered ones too, oldest first per shard, at most the
 * newest max_bytes of each shard. Main, once, right after queue_open; the io thread calls visit, meanwhile main waits.
 * False: not all of them, because the disk hangs, `interrupted` became true, or a visit returned false. */
typedef bool queue_visit(void *arg, unsigned shard, const struct block *b, uint64_t seq);
bool queue_walk(struct queue *q, uint64_t max_bytes, bool (*interrupted)(void), queue_visit *visit, void *arg) MUST_USE;
/* Adds a generation with another number of shards behind the others while the queue is in use (a reload). Waits for the
 * io thread, at most five seconds. queue_shrink removes it again if it was never used. */
const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err) MUST_USE;
void queue_shrink(struct queue *q);
/* Deletes the files of generation `at`: all of it is delivered, and no lane writes to it. Any lane. */
void queue_retire(struct queue *q, size_t at);
struct quarantine *queue_quarantine(struct queue *q);
void queue_limit(struct queue *q, const struct queue_limits *limits); /* new limits; any time */
uint64_t queue_bytes(const struct queue *q); /* on disk and not yet acknowledged; any thread */
uint64_t queue_unwritten_bytes(const struct queue *q); /* of blocks that are not on disk yet; any thread */
uint64_t queue_free_bytes(const struct queue *q);      /* of its file system; UINT64_MAX: unknown; any thread */
double queue_seconds_until_full(const struct queue *q); /* +Inf while nothing grows; any thread */
bool queue_failing(const struct queue *q);   /* the last write failed or the disk does not respond; any thread */

struct queue_backlog { uint64_t blocks, samples, bytes; int64_t oldest; /* Unix ms of the oldest sample */ };
struct queue_backlog queue_backlog(const struct queue *q); /* undelivered blocks as found by queue_open */

/* Sequence numbers: [first, next) are to be sent; some of them may never have been written, but were delivered.
 * joint_end: after the last joint block of them, 0 = none. */
struct queue_state { uint64_t first, next, joint_end; };
struct queue_state queue_shard_state(const struct queue_shard *s); /* as found by queue_open */

/* Writes a block when the terms say; takes one reference. The acks' references are dropped when the block is as safe as the options
 * demand. A block that is on disk already is not written again. A block that cannot be written is kept in memory, is
 * read from there, and is retried before the next one of its shard and once a second, until it is acknowledged. When
 * such blocks exceed max_memory, segments are dropped if the disk is full, else the oldest such block; keep_all drops
 * nothing. The same holds for blocks that the io thread cannot accept because its disk does not respond
 * (queue_intake.c).
 */
void queue_write(struct queue_shard *s, struct block *b, uint64_t seq, struct write_terms terms);
/* Declares that the lane has all unacknowledged blocks before `until` in its memory, so that they are not lost when the
 * disk loses them. A read moves it too: call this only while no read is in progress. */
void queue_hold(struct queue_shard *s, uint64_t until);
void queue_ack(struct queue_shard *s, uint64_t next); /* everything before `next` is delivered or dropped */
/* Whether the acknowledgement of everything before `next` is recorded on disk, so that a crash does not send it again.
 * False: `recorded` is posted to `home` when it is, unless the wait is canceled, on the thread of `home`. */
bool queue_ack_recorded(struct queue_shard *s, uint64_t next, struct loop *home, struct loop_task *recorded);
void queue_cancel_wait(struct queue_shard *s);
/* Acknowledgements survive the end of the process before they are recorded on disk (position_table.h). */
bool queue_position_shared(const struct queue_shard *s);

struct queue_read {             /* one at a time per shard; the memory is the caller's until done has run */
    struct loop_task task;      /* private */
    struct queue_shard *shard;  /* private */
    struct loop *home;
    uint64_t from;              /* first sequence number to read */
    size_t max_bytes;
    void (*done)(struct queue_read *r);
    struct { struct block *block; uint64_t seq; } items[64]; /* references are the caller's */
    unsigned n;
    uint64_t next;              /* after the last one read; larger than expected when records were lost */
    bool failed;                /* a file could not be opened (too many are open); retry later */
};
void queue_read(struct queue_shard *s, struct queue_read *r);
/* Reads without the io thread and without calling done. False: not everything from r->from on is in memory. */
bool queue_read_memory(struct queue_shard *s, struct queue_read *r);
void queue_behind(struct queue_shard *s, bool behind); /* behind: syncs are needed */

/* Written by the io thread, read by any thread. */
struct queue_stats {
    /* for lack of space, or with files that disappeared */
    atomic_ullong blocks_dropped, samples_dropped, bytes_dropped;
    atomic_ullong bytes_written, bytes_read, bad_records, write_errors, syncs, sync_ns, write_ns,
        read_ns;
};
const struct queue_stats *queue_stats(const struct queue *q);

#endif
