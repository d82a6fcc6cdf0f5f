// SPDX-License-Identifier: Apache-2.0
/* A shard of a destination: keeps the order of its series, sends one block at a time, and reads back from disk what
 * did not fit into memory. Belongs to one lane.
 *
 * Invariants: entries are ascending in seq; entries hold [head.seq, ...) without a hole while !behind;
 * behind: blocks from read_seq on are on disk only. next_seq is the number of the next sealed block.
 */
#ifndef WRITER_SEND_SHARD_H
#define WRITER_SEND_SHARD_H

#include "writer/send/bisect.h"

enum shard_state {
    SHARD_IDLE,    /* nothing under way */
    SHARD_SENDING, /* one POST in flight */
    SHARD_WAITING, /* in its dest_lane's waiting list: the destination does not take anything just now */
    SHARD_PAUSED,  /* between two pieces of a rejected block */
    SHARD_STOPPED  /* the lane has left it; nothing is sent any more */
};
struct queued_block { struct block *block; uint64_t seq; int64_t queued_at; };
struct shard {
    struct destination *dest;
    struct destination_lane *lane;
    struct destination_generation *generation; size_t generation_at;
    unsigned index;
    struct queue_shard *disk;
    enum shard_state state;
    struct queued_block *entries; size_t head, n, cap; /* a ring */
    size_t memory;         /* bytes of the blocks in entries */
    atomic_llong since;    /* Unix ms since when the head waits, 0 = there is none; read by any thread */
    uint64_t next_seq, read_seq;
    uint64_t read_until;   /* next_seq when the read under way was asked for */
    bool behind, reading, drained_told;
    struct queue_read read;
    struct loop_timer read_again; /* armed: the last read failed */
    struct client_call *call;
    struct { char text[1024]; size_t n; } answer; /* the beginning of an error body */
    struct bisect bisect;
    struct loop_timer resume;  /* armed while paused */
    bool doubted; uint64_t doubt_seq; /* the block of this number may be stored: its response was lost */
    bool resent_as_snappy; /* the head was refused as zstd and is tried once more */
    struct list node;      /* in waiting */
};

struct shard *shard_new(struct destination *d, struct destination_generation *g, size_t at, unsigned index,
                        struct queue_shard *disk);
void shard_free(struct shard *s);

/* Takes one reference of the block. */
void shard_push(struct shard *s, struct block *b, struct pending_acks acks);
void shard_kick(struct shard *s);      /* sends when there is something to send */
void shard_save(struct shard *s);      /* memory-only blocks are written to disk; those that are there already stay */
void shard_stop(struct shard *s);      /* ends what is under way, and saves */
void shard_start(struct shard *s);     /* after a stop: the destination came back before its files were closed */
static inline bool shard_empty(const struct shard *s) { return s->n == 0 && !s->behind; }

/* For sender.c. */
struct block *shard_head(struct shard *s);
uint64_t shard_head_seq(const struct shard *s);
size_t shard_pieces(const struct shard *s); /* entries of the head's block; 1 unless it was split */
void shard_doubt_head(struct shard *s);
bool shard_head_doubted(const struct shard *s);
void shard_finish_head(struct shard *s);    /* delivered or dropped; the caller delivers or pauses next */
void shard_pause(struct shard *s, int64_t ms);
void shard_delivered(struct shard *s); /* the head is done, one way or the other */
void shard_replace_head(struct shard *s, struct block *const *blocks, size_t n);
void sender_send(struct shard *s);

#endif
