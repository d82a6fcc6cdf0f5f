// SPDX-License-Identifier: Apache-2.0
/* A shard of a destination: sends its blocks in order, one request at a time. Owned by one lane.
 *
 * Blocks are numbered in the order in which they are sealed. At any time:
 *
 *      delivered     |      in `entries`      |      on disk only      |  not sealed yet
 *      or dropped    |  [head.seq, read_seq)  |  [read_seq, next_seq)  |
 *
 * `entries` has no gap and is ascending in seq (the pieces of a split block share its number). While read_seq ==
 * next_seq a new block is appended to `entries`. When `entries` exceeds its share of max_memory_bytes the shard is
 * *behind*: new blocks go to disk only, and they are read back in order as `entries` drains. A shard that is not behind
 * also has its blocks on disk, unless durability is memory.
 *
 * Joint blocks. While a destination keeps up, a lane fills one block for all of its shards, since large blocks compress
 * better (writer/joint.c). It is queued in the lane's first shard. Each series stays in order, also over a crash:
 *
 * 1. A joint block is sealed only when the lane's other shards are empty: what they had before is delivered.
 * 2. While a shard has undelivered joint blocks, the lane's other shards send nothing: what they have is newer.
 * 3. Joint blocks carry a mark on disk. After a restart, when the lanes may be others, no shard of the generation sends
 *    until those that the queue had then are delivered, and lanes seal no joint block: those of two runs may share
 *    series, those of two lanes in one run cannot.
 *
 * A block that was read from disk, or written before it was delivered, would be sent again after a crash until its
 * delivery is known there. The queue has it in shared memory at once; recording it on disk, which takes microseconds,
 * overlaps with one request, and the next one waits for it, but at most RECORD_MS: a disk that does not respond delays no
 * delivery for long. Without shared memory (writer/queue/position_table.h) no request overlaps. So what arrives twice
 * after a kill is the block in flight, and where the shared memory is lost, too, seldom the one before it.
 *
 * States:
 *
 *                    block ready             2xx, or dropped
 *      +----> IDLE --------------> SENDING --------------------> IDLE
 *      |                             |  |
 *      |  piece of a block rejected  |  |  failed, to be retried
 *      +-- PAUSED <------------------+  +--------> WAITING --+--> SENDING   retry timer, one shard at a time
 *         resume timer                                       +--> IDLE      another shard succeeded
 *
 *      any state --- shard_stop ---> STOPPED --- shard_start ---> IDLE
 */
#ifndef WRITER_SEND_SHARD_H
#define WRITER_SEND_SHARD_H

#include "writer/send/backup.h"
#include "writer/send/bisect.h"

enum shard_state {
    SHARD_IDLE,    /* nothing in memory to send, or the generation is not active yet */
    SHARD_SENDING, /* one request in flight */
    SHARD_WAITING, /* in the destination_lane's waiting list until requests succeed again */
    SHARD_PAUSED,  /* between two pieces of a rejected block */
    SHARD_STOPPED  /* the lane has left the destination */
};
struct queued_block { struct block *block; uint64_t seq; int64_t queued_at; };
/* The block at the head whose requests fail, while others are delivered (sender.c). */
struct failing_block {
    uint64_t seq;
    unsigned failures;     /* each after another block, or piece, was delivered */
    unsigned attempts;     /* failures since the last of those */
    unsigned long long sent; /* blocks that the destination had accepted at the last failure */
};
struct shard {
    struct destination *dest;
    struct destination_lane *lane;
    struct destination_generation *generation; size_t generation_at;
    unsigned index;
    struct queue_shard *disk;
    enum shard_state state;
    struct queued_block *entries; size_t head, n, cap; /* ring buffer */
    size_t memory;         /* bytes of the blocks in entries */
    atomic_llong since;    /* Unix ms since which the head has been pending, 0 = none; read by any thread */
    uint64_t read_seq;     /* of the first block that is not in entries */
    uint64_t next_seq;     /* of the next sealed block */
    uint64_t read_until;   /* next_seq when the current read was requested */
    uint64_t joint_end;    /* after its last undelivered joint block; 0 = it has none */
    bool joint_backlog;    /* these are from before the start: counted in the generation's `joint_backlogs` */
    bool reading;          /* `read` is in progress */
    bool drained;          /* counted in the generation's `undrained` */
    struct queue_read read;
    struct loop_timer read_retry; /* armed after a failed read */
    uint64_t last_ack, ack_before; /* of the last two acknowledgements */
    struct loop_task recorded;     /* posted when that one of them is recorded on disk that is waited for */
    struct loop_timer record_late; /* armed while the next block waits for that */
    bool record_is_late;           /* it waits no longer */
    struct client_call *call;
    char *place;           /* of the call; NULL: the URL's host has one place */
    struct { char text[1024]; size_t n; } response; /* beginning of the response body */
    struct bisect bisect;
    struct failing_block failing;
    struct loop_timer resume;  /* armed while paused */
    bool in_doubt; uint64_t in_doubt_seq; /* the block of this number may be stored: its response was lost */
    /* the head was not accepted as zstd, or as remote write 2.0, and is being sent as snappy and 1.0 */
    enum { NOT_RESENT, RESENT_AS_SNAPPY, RESENT_AS_WRITE_1 } resent;
    bool blamed_encoding;  /* that rejection named the encoding as its reason */
    struct list node;      /* in destination_lane.waiting */
    struct backup_shard backup; /* of a backup's shard (backup.h) */
    uint64_t pair_end;     /* of a primary's: its next_seq when it got its backup */
};

struct shard *shard_new(struct destination *d, struct destination_generation *g, size_t at, unsigned index,
                        struct queue_shard *disk);
void shard_free(struct shard *s);

/* Appends a block; takes one reference. */
void shard_push(struct shard *s, struct block *b, struct write_terms terms);
void shard_kick(struct shard *s);      /* sends the head if the state allows it */
void shard_release_memory(struct shard *s); /* nothing is queued, and nothing will be */
void shard_save(struct shard *s);      /* writes blocks that are in memory only to disk */
void shard_stop(struct shard *s);      /* cancels the request and saves */
void shard_start(struct shard *s);     /* after shard_stop: the destination was configured again before its files were
                                        * closed */
bool shard_lags(const struct shard *s); /* several blocks are queued, and the oldest has been for a while */
static inline bool shard_behind(const struct shard *s) { return s->read_seq < s->next_seq; }
uint64_t shard_position(const struct shard *s); /* number of the first block that is not delivered */
static inline bool shard_empty(const struct shard *s) { return s->n == 0 && !shard_behind(s); }

/* For sender.c and bisect.c. */
struct block *shard_head(struct shard *s);
uint64_t shard_head_seq(const struct shard *s);
size_t shard_pieces(const struct shard *s); /* entries of the head's block; more than 1 when it was split */
void shard_set_head_in_doubt(struct shard *s);
bool shard_head_in_doubt(const struct shard *s);
void shard_finish_head(struct shard *s);    /* removes the head: delivered or dropped; the caller continues or pauses */
void shard_pause(struct shard *s, int64_t ms);
void shard_delivered(struct shard *s); /* removes the head and sends the next block */
void shard_rotate_head(struct shard *s); /* moves the head behind the other pieces of its block */
void shard_replace_head(struct shard *s, struct block *const *blocks, size_t n);
void sender_send(struct shard *s);
void sender_leave_place(struct shard *s, bool responded); /* the call has ended */

#endif
