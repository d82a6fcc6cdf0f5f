// SPDX-License-Identifier: Apache-2.0
/* Narrows a rejected block down to the rejected samples. On the lane of the shard. */
#ifndef WRITER_SEND_BISECT_H
#define WRITER_SEND_BISECT_H

#include "writer/send/destination.h"

struct shard;
struct bisect {            /* of the block at the head of a shard */
    uint64_t seq;          /* of that block; its pieces keep the number */
    unsigned requests;     /* responses received for it; with by_size: since the last accepted piece */
    unsigned limit;        /* 0 until the first rejection */
    bool accepted;         /* the destination has accepted a piece of it */
    bool by_size;          /* the destination has responded with 413 */
    unsigned rejected_blocks;       /* consecutive earlier blocks of which nothing was accepted */
};

/* Largest number of requests for a block: 2 * log2(series) + 16, halved for each rejected block before it, at least
 * 8. */
unsigned bisect_limit(uint32_t n_series, unsigned rejected_blocks);
void bisect_count_request(struct shard *s); /* counts a response to the head, of any status */
void bisect_accepted(struct shard *s);          /* the head is delivered; call before shard_delivered */
/* Splits the head, or drops it when it is a single sample or the limit is reached; pauses the shard. */
bool bisect_divide(struct shard *s); /* splits an unsplit head by series into two pieces; false: it has one series */
void bisect_rejected(struct shard *s, enum drop_reason reason, int status, const char *why);
/* Drops the head unsplit; call before shard_delivered. */
void bisect_drop_head(struct shard *s, int status, const char *why);

#endif
