// SPDX-License-Identifier: Apache-2.0
/* One lane's part of the writer: its sink, its pending blocks, its part of every destination. Used by the lane's thread
 * only; main and other lanes post tasks to its loop. */
#ifndef WRITER_LANE_H
#define WRITER_LANE_H

#include "writer/pipeline/pending.h"
#include "writer/topology.h"
#include "writer/send/destination_lane.h"

struct stream_lane {
    const struct stream *stream;
    struct writer_lane *lane;
    struct chain_lane chain;
    struct pending *pending; /* [shards]; of this lane's */
    struct pending *staged; /* [lanes]: until commit, of all shards that the other lane owns */
    struct pending joint_pending; /* of all shards of this lane, while `joint` (joint.h) */
    struct pending **target; /* [shards]: where a shard's series are appended */
    bool joint;
    int64_t joint_again;  /* loop_mono from which the shards may share blocks */
    bool touched;         /* by the current batch */
    uint64_t too_large;   /* samples of the batch that exceed the limits of a block alone */
};
struct writer_lane {
    struct sink sink;     /* must be first */
    unsigned id, n_lanes;
    struct loop *loop;
    struct writer_lane *all; /* [n_lanes], to post to */
    int64_t flush_ms, flush_most; /* flush_ms: of this topology, at most flush_most */
    struct client *client;
    struct packer packer;
    struct topology *topology;
    struct list adoptions;       /* topologies to adopt (reload.c); pending blocks are sealed before the first */
    struct chain_lane global;    /* flow.c */
    struct stream_lane *streams; size_t n_streams;
    struct stream_lane **receivers; size_t n_receivers; /* those that get batches of `route` (flow_choose) */
    uint64_t route;
    struct buf sharding_key;     /* scratch */
    struct stage_counts *counts; /* of the global chain, of all lanes */
    struct list early;           /* messages of stages for a topology that this lane does not have yet (flow.c) */
    struct loop_timer stages;    /* armed while a stage waits for its time (flow.c) */
    struct list open;     /* pending blocks that hold bytes */
    struct loop_timer flush;
    _Atomic int64_t unsealed; /* loop_mono: what was committed before is sealed; 0: nothing is pending. Any thread */
    struct loop_timer release; /* armed while pending blocks hold memory */
    struct sink_batch batch;
};

void writer_lane_init(struct writer_lane *l, unsigned id, unsigned n_lanes, struct loop *loop, struct writer_lane *all,
                      int64_t flush_ms, struct stage_counts *counts);
void writer_lane_free(struct writer_lane *l);
/* All on the lane's thread: */
/* prepares for a topology, before any lane switches to it */
void writer_lane_adopt(struct writer_lane *l, const struct topology *next);
void writer_lane_switch(struct writer_lane *l, struct topology *next);
void writer_lane_settle(struct writer_lane *l, const struct topology *p); /* after all lanes have switched */
void writer_lane_seal_all(struct writer_lane *l);
bool writer_lane_seal_some(struct writer_lane *l); /* a slice of it; false: call it again in the next turn */
bool writer_lane_idle(const struct writer_lane *l); /* nothing is left to send */
void writer_lane_stop(struct writer_lane *l);       /* cancels requests and releases the topology */

extern const struct sink_ops writer_lane_sink_ops;
/* sink.c: seals the pending bytes of a shard, or the joint ones, into blocks and pushes them to every destination of the
 * stream. */
/* Counts pending bytes against the memory of the stream's destinations; after each change of them. */
void stream_charge_pending(const struct stream *s, struct pending *p);
enum { LANE_RELEASE_MS = 5000 };
void stream_lane_seal(struct writer_lane *l, struct stream_lane *ls, unsigned shard, struct pending *p);
void writer_lane_pending_changed(struct writer_lane *l, struct stream_lane *ls, unsigned shard, int64_t due);
/* Within a batch: the pending bytes of a shard. */
static inline struct pending *stream_lane_pending(struct stream_lane *ls, unsigned shard)
{
    struct pending *p = ls->target[shard];
    if (!p->touched) {
        ls->touched = true;
        pending_mark(p);
    }
    if (p->divided)
        pending_choose_shard(p, shard);
    return p;
}
/* Within a batch: adds what the stages have left of a series. key: its hash, or that of its target. */
static inline void stream_lane_append(struct stream_lane *ls, uint64_t key, const struct series_in *in)
{
    const struct stream *s = ls->stream;
    ls->too_large += pending_add(stream_lane_pending(ls, (unsigned)(key % s->shards)), &s->limits, in->labels, in);
}

#endif
