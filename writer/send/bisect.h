// SPDX-License-Identifier: Apache-2.0
/* Blocks that a destination rejects: narrowed down to the rejected series. Lane of the shard.
 */
#ifndef WRITER_SEND_BISECT_H
#define WRITER_SEND_BISECT_H

#include "writer/send/destination.h"

struct shard;
struct bisect {            /* of the block at the head of a shard */
    uint64_t seq;          /* of that block; its pieces keep it */
    unsigned requests;     /* made for it and judged; by size: since the last one that was taken */
    unsigned limit;        /* 0 until its first rejection */
    bool taken;            /* a piece of it was */
    bool by_size;          /* the receiver said 413 */
    unsigned barren;       /* blocks before it of which nothing was taken, in a row */
};

/* 2 * log2(series) + 16, half of that for each barren block before it, 8 at the least. */
unsigned bisect_limit(uint32_t n_series, unsigned barren);
void bisect_request_judged(struct shard *s); /* a response about the head, whatever it says */
void bisect_taken(struct shard *s);          /* the head is delivered; before shard_delivered */
/* The head is halved, or dropped when it is one sample or the limit forbids it; the shard goes on after a pause. */
void bisect_rejected(struct shard *s, enum drop_reason reason, int status, const char *why);
/* The head is dropped as it is; before shard_delivered. */
void bisect_drop_head(struct shard *s, int status, const char *why);

#endif
