// SPDX-License-Identifier: Apache-2.0
/* The backup of a destination: a second destination that sends only while the first one, its primary, does not accept
 * samples (writer/failover.h decides when).
 *
 * Both are in one stream, so each block goes to the same shard of both, on the same lane. The backup's shards keep their
 * blocks, unsent, until the primary has them:
 *
 *      blocks of a backup's shard    |  unmatched  |     run      |   run   | ...
 *                                    0         unmatched_end
 *
 * - A run maps consecutive blocks to those of one shard of the primary, which has numbers of its own (with drain:
 *   newest_first, generations of its own, too). Blocks are removed up to the first one that the primary's shard has not
 *   delivered or dropped.
 * - Blocks that were sealed before the two were a pair, in this run or an earlier one, are not matched. They are removed
 *   once everything is delivered that the primary's shards had then, on all lanes.
 *
 * From the decision to send on, nothing is removed: it gets all of its blocks, also those that the primary accepts meanwhile.
 *
 * Threads: backup_pair_*: main; the rest: the lane.
 */
#ifndef WRITER_SEND_BACKUP_H
#define WRITER_SEND_BACKUP_H

#include "base/refs.h"

#include <stdint.h>

struct destination;
struct destination_lane;
struct shard;

struct backup_pair {
    struct refs refs;
    struct destination *primary, *backup; /* valid while a topology with the pair is in force or coming into force */
    atomic_bool keeps;         /* the backup keeps its blocks, though the primary may have them: it sends or is about to */
    atomic_bool sends;         /* it sends them */
    atomic_uint lanes_behind;  /* lanes on which the primary has not delivered what it had when they became a pair */
    atomic_llong sent_min, sent_max; /* Unix ms, of the samples that the backup accepted since backup_pair_open */
};
struct backup_run { uint64_t first, end; const struct shard *primary; uint64_t primary_first; };
struct backup_shard {          /* of a shard whose destination is a backup */
    uint64_t unmatched_end;
    struct backup_run *runs; size_t n, _cap; /* ascending, without gaps, the last ends at the newest block */
};

struct backup_pair *backup_pair_new(struct destination *primary, struct destination *backup, unsigned n_lanes);
struct backup_pair *backup_pair_ref(struct backup_pair *p); /* NULL stays NULL */
void backup_pair_unref(struct backup_pair *p);              /* NULL is fine */
/* The lanes are told by destination_kick_lanes. A new pair keeps. */
void backup_pair_keep(struct backup_pair *p);
void backup_pair_open(struct backup_pair *p);
void backup_pair_close(struct backup_pair *p);

/* From now on the destination is the backup of this pair; NULL: of none, it sends everything. */
void backup_lane_use(struct destination_lane *backup, struct backup_pair *p);
/* Both have just got the same block as their newest. */
void backup_match_newest(struct shard *s, const struct shard *primary);
bool backup_may_send(const struct shard *s);
/* The number before which the shard's blocks need not be sent. */
uint64_t backup_needless_until(struct shard *s);
/* Blocks of the primary's shard were delivered or dropped: removes those of its backup. */
void backup_primary_moved(const struct shard *primary);
void backup_note_sent(const struct shard *s);        /* its head was accepted */
void backup_lane_gate_changed(struct destination_lane *backup);
void backup_shard_free(struct backup_shard *b);

#endif
