// SPDX-License-Identifier: Apache-2.0
/* How series flow through the stages of a lane (pipeline/stage.h): from its sink through the global chain, then through that
 * of each stream that gets them, to the pending bytes of a shard. For sink.c, lane.c and writer.c; the lane's thread. */
#ifndef WRITER_FLOW_H
#define WRITER_FLOW_H

#include "writer/lane.h"

void flow_init(struct writer_lane *l);
/* The streams that get the series of batches of a route from now on. False: the topology has no such destination. */
bool flow_choose(struct writer_lane *l, uint64_t route) MUST_USE;
void flow_series(struct sink *sink, const struct series_in *in); /* of writer_lane_sink_ops */
/* Ends the part that stages have in the batch; commit before the pending bytes are committed, since it may add some. */
void flow_commit(struct writer_lane *l);
void flow_abort(struct writer_lane *l);

/* When the lane has switched from `old` to l->topology: makes the chains of l->streams, which move the states of the
 * former chains there, and takes bytes of other lanes that came before the switch. */
void flow_create(struct writer_lane *l, const struct topology *old, struct chain_lane *global,
                 const struct stream_lane *streams);
/* Ends the stages that `next` does not have. */
void flow_end_removed(struct writer_lane *l, const struct topology *next);
void flow_settle(struct writer_lane *l); /* all lanes have switched to l->topology */
bool flow_end_some(struct writer_lane *l); /* the program stops; true: call it again in the next turn */
void flow_stop(struct writer_lane *l);

#endif
