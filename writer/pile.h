// SPDX-License-Identifier: Apache-2.0
/* A pile: the raw bytes of one stream's shard that are not yet a block. Belongs to one lane.
 *
 * A batch adds series behind the mark; abort goes back to the mark. Where about 2,000 samples are reached a cut is
 * noted, so that sealing makes one block from each piece and no piece is copied before it is packed.
 */
#ifndef WRITER_PILE_H
#define WRITER_PILE_H

#include "base/list.h"
#include "model/sink.h"

struct receipt;
struct piece { size_t end; uint32_t n_samples; int64_t t_min, t_max; }; /* ends at byte `end` of raw */
struct pile {
    struct buf raw;
    struct piece *pieces; size_t n_pieces, _cap_pieces; /* closed ones */
    struct piece open;          /* the last one; open.end == raw.n */
    size_t mark_pieces; struct piece mark_open; size_t mark_n; /* where the batch began */
    bool touched;               /* by the batch under way */
    int64_t due;                /* loop_mono when it must be sealed; 0 = empty */
    struct list node;           /* in the lane's list of open piles while not empty */
    struct receipt **receipts; size_t n_receipts, _cap_receipts; /* who waits for these bytes to be safe */
};

void pile_free(struct pile *p);
void pile_mark(struct pile *p);
void pile_rollback(struct pile *p);
void pile_add(struct pile *p, struct labels labels, const struct series_in *in);
void pile_add_metadata(struct pile *p, const struct metadata *m);
/* The same bytes behind those of `to`, piece by piece. */
void pile_join(struct pile *to, const struct pile *from);
bool pile_full(const struct pile *p);   /* at least one block's worth */
static inline bool pile_empty(const struct pile *p) { return p->raw.n == 0; }
void pile_clear(struct pile *p);        /* bytes only: receipts are the caller's */

#endif
