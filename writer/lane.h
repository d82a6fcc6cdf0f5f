// SPDX-License-Identifier: Apache-2.0
/* What one lane has of the writer: its sink, its open piles, its part of every destination. Touched by its own thread
 * only; main and other lanes post to its loop.
 */
#ifndef WRITER_LANE_H
#define WRITER_LANE_H

#include "writer/pipeline/pending.h"
#include "writer/topology.h"
#include "writer/send/destination_lane.h"

struct stream_lane {
    const struct stream *stream;
    struct stream_labels labels;
    struct pending *piles; /* [shards]: open where this lane owns the shard, else what the batch stages for its owner */
    uint64_t dropped;     /* samples of the batch that the rules dropped */
};
struct writer_lane {
    struct sink sink;     /* first */
    unsigned id, n_lanes;
    struct loop *loop;
    struct writer_lane *all; /* [n_lanes], to post to */
    int64_t flush_ms;
    struct client *client;
    struct packer packer;
    struct topology *topology;
    struct stream_lane *streams; size_t n_streams;
    struct list open;     /* piles that hold bytes */
    struct loop_timer flush;
    struct sink_batch batch;
};

void writer_lane_init(struct writer_lane *l, unsigned id, unsigned n_lanes, struct loop *loop, struct writer_lane *all,
                      int64_t flush_ms);
void writer_lane_free(struct writer_lane *l);
/* All on the lane's thread: */
void writer_lane_adopt(struct writer_lane *l, const struct topology *next); /* before any lane switches to it */
void writer_lane_switch(struct writer_lane *l, struct topology *next);
void writer_lane_settle(struct writer_lane *l, const struct topology *p); /* after all have */
void writer_lane_seal_all(struct writer_lane *l);
bool writer_lane_idle(const struct writer_lane *l); /* nothing waits to be sent */
void writer_lane_stop(struct writer_lane *l);       /* ends requests and lets go of the plan */

extern const struct sink_ops writer_lane_sink_ops;
/* sink.c: a pile's bytes become blocks on their way to every destination of the stream. */
void writer_lane_seal(struct writer_lane *l, const struct stream *stream, unsigned shard, struct pending *p);
void writer_lane_pile_changed(struct writer_lane *l, struct stream_lane *ls, unsigned shard, int64_t due);
static inline bool writer_lane_owns(const struct writer_lane *l, unsigned shard) { return shard % l->n_lanes == l->id; }

#endif
