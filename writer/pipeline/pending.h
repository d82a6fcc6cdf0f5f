// SPDX-License-Identifier: Apache-2.0
/* Pending blocks of one shard of one stream: raw bytes that are not sealed yet. Owned by one lane.
 *
 * A batch appends series after the mark; abort truncates to the mark. Where the next series would exceed a limit of the
 * block, a boundary is recorded, so that sealing creates one block per range without copying. A series that exceeds a
 * limit alone is halved by samples.
 *
 * Bytes for the shards of another lane are staged together, in the order in which they came, until that lane joins them
 * (`divided`): their blocks end where the shard changes, too.
 */
#ifndef WRITER_PIPELINE_PENDING_H
#define WRITER_PIPELINE_PENDING_H

#include "base/list.h"
#include "model/sink.h"

struct ack;
/* Of one block. `labels` may be exceeded by a single series. */
struct block_limits {
    uint32_t samples; /* and families of metadata */
    uint32_t labels;
    size_t bytes;     /* before compression */
};
struct pending_block { /* ends at byte `end` of raw */
    size_t end;
    uint32_t n_samples, n_labels, n_metadata; /* n_metadata: families */
    uint32_t shard; /* if the bytes are divided */
    int64_t t_min, t_max;
};
struct pending {
    struct buf raw;
    struct pending_block *blocks; size_t n_blocks, _cap_blocks; /* the closed ones */
    struct pending_block open;  /* the last one; open.end == raw.n */
    size_t mark_blocks; struct pending_block mark_open; size_t mark_n; /* state at the start of the batch */
    bool divided;               /* each block has the bytes of one shard */
    bool touched;               /* changed by the current batch */
    bool used;                  /* since pending_release_idle was called last */
    size_t charged;             /* of raw.n, against the destinations' memory (sink.c) */
    int64_t due;                /* loop_mono at which it must be sealed; 0 = empty */
    struct list node;           /* in the lane's `open` list while not empty */
    struct ack **acks; size_t n_acks, _cap_acks; /* acks that wait for these bytes */
};

void pending_free(struct pending *p);
void pending_mark(struct pending *p);
void pending_rollback(struct pending *p);
/* Returns the number of samples and histograms that are too large for a block, each of them alone; they are skipped. */
size_t pending_add(struct pending *p, const struct block_limits *limits, struct labels labels,
                   const struct series_in *in);
bool pending_add_metadata(struct pending *p, const struct block_limits *limits, const struct metadata *m); /* likewise */
void pending_change_shard(struct pending *p, uint32_t shard);
/* Divided: what is added next is for this shard. */
static inline void pending_choose_shard(struct pending *p, uint32_t shard)
{
    if (p->open.shard != shard)
        pending_change_shard(p, shard);
}
/* The i-th block; the open one is the last. */
static inline const struct pending_block *pending_block_at(const struct pending *p, size_t i)
{
    return i < p->n_blocks ? &p->blocks[i] : &p->open;
}
/* Appends the bytes of the blocks from..to-1 of another one: as one if they fit into the open block, else block by
 * block. */
void pending_join_some(struct pending *p, const struct block_limits *limits, const struct pending *other, size_t from,
                       size_t to);
void pending_join(struct pending *p, const struct block_limits *limits, const struct pending *other);
void pending_add_ack(struct pending *p, struct ack *a); /* takes the reference */
bool pending_full(const struct pending *p); /* holds at least one complete block */
/* All of it is complete blocks. */
static inline bool pending_only_complete(const struct pending *p)
{
    return p->n_blocks > 0 && p->blocks[p->n_blocks - 1].end == p->raw.n;
}
void pending_drop_complete(struct pending *p); /* removes the complete blocks; the acks wait for the rest, too */
static inline bool pending_empty(const struct pending *p) { return p->raw.n == 0; }
void pending_clear(struct pending *p);  /* does not release the acks */
/* Frees the memory if it was not used since the last call. True: it holds memory. */
bool pending_release_idle(struct pending *p);

#endif
