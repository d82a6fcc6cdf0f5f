// SPDX-License-Identifier: Apache-2.0
/* In which order a backlog and new blocks are sent after an outage, how fast the backlog, and how fast all blocks.
 *
 * in_order: a generation is sent when the older ones are drained, and a shard's blocks one after the other, so that new
 * samples arrive last.
 *
 * newest_first: once a block is delivered that was pending for DRAIN_AGE_MS, and more are pending, new blocks go to a new
 * generation (queue_dir.c), which is sent beside the older ones: one request in flight per shard of each. Each of the two
 * streams, the older generations one after the other and the newest one, is in order. Each generation has its own
 * position, so that after a crash only blocks in flight are sent again. The generation is created as by a reload that
 * changes the number of shards: lanes post to main, which applies the configuration again.
 *
 * auto: newest_first while the responses are those of VictoriaMetrics, which takes samples in any order.
 *
 * Threads: drain_begin, drain_end, drain_requested, drain_end_request: main; the others: a lane.
 */
#ifndef WRITER_SEND_DRAIN_H
#define WRITER_SEND_DRAIN_H

#include "base/os/loop.h"

#include <stdatomic.h>
#include <stddef.h>

struct destination;
struct destination_lane;
struct shard;
struct writer_env;

enum drain_order { DRAIN_AUTO, DRAIN_IN_ORDER, DRAIN_NEWEST_FIRST };
enum {
    DRAIN_AGE_MS = 5000,          /* pending for longer: a backlog */
    DRAIN_MAX_BACKLOGS = 8,       /* generations that wait; no further one is begun before one of them is drained */
    DRAIN_MAX_GENERATIONS = 1000  /* of a process: each takes some memory until it ends */
};
struct drain_state {                    /* of a destination */
    atomic_bool recognized;       /* the last block was accepted by VictoriaMetrics */
    atomic_bool newest_first;     /* as in force, for metrics */
    atomic_bool requested;        /* a new generation */
    struct loop_task request;     /* posted to main */
    const struct writer_env *env;
};
struct drain_rate { int64_t bytes; /* that may be sent now; negative after a large block */ int64_t at; /* loop_mono of the last refill */ };
struct drain_limit {              /* of a destination on a lane */
    struct drain_rate backlog, all;
    struct loop_timer timer;      /* armed while a shard waits */
    size_t next;                  /* shard to begin with */
};

void drain_begin(struct drain_state *d, const struct writer_env *env);
void drain_end(struct drain_state *d);
/* A request ends when its generation is published, or could not be made: what the lanes deliver until then are blocks of
 * the backlog still, which request no other one. */
bool drain_requested(struct drain_state *d);
void drain_end_request(struct drain_state *d);
void drain_limit_begin(struct drain_limit *l);

bool drain_newest_first(const struct destination_lane *dl);
/* Whether the generation of the shard is one that is sent now. */
bool drain_may_send(const struct shard *s);
/* Charges the head against the limits. False: it has to wait; the shard is kicked then. */
bool drain_take_budget(struct shard *s);
/* The head was accepted; before it is removed. vm: by VictoriaMetrics. */
void drain_note_accepted(struct shard *s, bool vm);
void drain_settings_changed(struct destination_lane *dl);

#endif
