// SPDX-License-Identifier: Apache-2.0
/* Joint blocks: one pending block for all shards of a lane, while the destinations keep up. The lane's thread.
 *
 * Large blocks compress better and cost fewer requests, writes and acknowledgements, but a shard has one request in
 * flight. So a stream of a lane is in one of two modes:
 *
 * - Joint: series of all of the lane's shards are appended to one pending block, which goes to the lane's first shard.
 * - Apart: each shard fills its own block, and the shards send in parallel.
 *
 * A stream begins apart. It becomes joint when all of its shards on this lane are empty, in every destination, and what
 * is pending fits in one block. It comes apart when a joint block is sealed while the first shard of a destination lags
 * (shard_lags()), and then remains apart for at least JOINT_AGAIN_MS. What keeps series in order is told in
 * send/shard.h: while a stream is joint, its shards but the first stay empty.
 */
#ifndef WRITER_JOINT_H
#define WRITER_JOINT_H

#include "writer/lane.h"

/* After a commit and before a flush: joins the pending blocks if the conditions hold. */
void stream_lane_try_join(struct writer_lane *l, struct stream_lane *ls);
/* Before a joint block is sealed: true if the stream must come apart afterwards (stream_lane_part). */
bool stream_lane_lags(const struct writer_lane *l, const struct stream_lane *ls);
/* Comes apart; the joint block is empty. again_ms: how long it remains so. */
enum { JOINT_AGAIN_MS = 10000 };
void stream_lane_part(struct writer_lane *l, struct stream_lane *ls, int64_t again_ms);

#endif
