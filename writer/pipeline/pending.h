// SPDX-License-Identifier: Apache-2.0
/* A pile: the raw bytes of one stream's shard that are not yet a block. Belongs to one lane.
 *
 * A batch adds series behind the mark; abort goes back to the mark. Where about 2,000 samples are reached a cut is
 * noted, so that sealing makes one block from each piece and no piece is copied before it is packed.
 */
#ifndef WRITER_PIPELINE_PENDING_H
#define WRITER_PIPELINE_PENDING_H

#include "base/list.h"
#include "model/sink.h"

struct ack;
struct pending_block { size_t end; uint32_t n_samples; int64_t t_min, t_max; }; /* ends at byte `end` of raw */
struct pending {
    struct buf raw;
    struct pending_block *blocks; size_t n_blocks, _cap_blocks; /* closed ones */
    struct pending_block open;  /* the last one; open.end == raw.n */
    size_t mark_blocks; struct pending_block mark_open; size_t mark_n; /* where the batch began */
    bool touched;               /* by the batch under way */
    int64_t due;                /* loop_mono when it must be sealed; 0 = empty */
    struct list node;           /* in the lane's list of open piles while not empty */
    struct ack **acks; size_t n_acks, _cap_acks; /* who waits for these bytes to be safe */
};

void pending_free(struct pending *p);
void pending_mark(struct pending *p);
void pending_rollback(struct pending *p);
void pending_add(struct pending *p, struct labels labels, const struct series_in *in);
void pending_add_metadata(struct pending *p, const struct metadata *m);
/* The same bytes behind those of `to`, piece by piece. */
void pending_join(struct pending *to, const struct pending *from);
bool pending_full(const struct pending *p); /* at least one block's worth */
static inline bool pending_empty(const struct pending *p) { return p->raw.n == 0; }
void pending_clear(struct pending *p);  /* bytes only: receipts are the caller's */

#endif
