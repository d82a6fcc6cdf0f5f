// SPDX-License-Identifier: Apache-2.0
/* One lane's part of a destination: its shards, the settings in force, and whether the destination is accepting blocks.
 * Created and freed by main, otherwise used by the lane only. */
#ifndef WRITER_SEND_DESTINATION_LANE_H
#define WRITER_SEND_DESTINATION_LANE_H

#include "writer/send/shard.h"

struct destination_lane {
    struct destination *dest;
    unsigned index;        /* in its per_lane */
    struct dest_settings *settings; /* owned */
    struct dest_settings *_Atomic next_settings; /* set by main, taken over at the next switch */
    size_t generations;    /* number of the destination's generations that are adopted */
    struct loop *loop;
    struct client *client;
    struct places places;  /* begun if settings->lookup is not PLACES_NONE */
    struct packer *packer;
    enum codec codec;      /* for new requests */
    enum block_message message; /* likewise */
    int64_t write_2_again_at; /* mono ms; when 2.0 is tried again, while message is 1.0 and the settings say 2.0 */
    int64_t zstd_again_at; /* mono ms; when zstd is tried again, while codec is snappy with protocol auto */
    unsigned unproved;     /* consecutive blocks accepted as snappy after a 400 that does not tell why */
    bool down;             /* requests fail: the shards in `waiting` wait for a retry, of this lane or another */
    bool probe_waits;      /* counted in the destination's probe, and under its lock */
    bool failing;          /* this lane is counted in the destination's outage */
    struct list waiting;
    struct loop_timer retry;
    struct drain_limit drain_limit;
    struct loop_timer outage; /* armed while failing: time of the next log line */
    struct shard **shards; size_t n, _cap; /* owned, of all generations, oldest first */
    atomic_uint releases;  /* jobs posted to the lane by any lane (destination_lane_drained, probe.c), not yet run */
    struct backup_pair *pair;          /* it is the backup of this pair; NULL: of none. The topology's reference */
    bool pair_behind;                  /* counted in the pair's lanes_behind */
    struct destination_lane *backup;   /* of its backup; NULL = none */
    size_t settled_generations;        /* number of generations of which all lanes write to the last only */
};

struct destination_lane *destination_lane_new(struct destination *d, unsigned index, struct loop *loop); /* main */
void destination_lane_free(struct destination_lane *dl);
/* main: sets the settings to be taken over next; frees earlier ones that were not */
void destination_lane_set_next(struct destination_lane *dl, struct dest_settings *next);
void destination_lane_add(struct destination_lane *dl, struct shard *s);
/* Topologies before and after a change of the number of shards are served at the same time. */
struct shard *destination_lane_shard(const struct destination_lane *dl, size_t generation, unsigned index);

void destination_lane_up(struct shard *s);  /* a request succeeded: all waiting shards continue */
/* a request failed: the shard waits for a retry; wait_ms 0 = use the backoff */
void destination_lane_down(struct shard *s, int64_t wait_ms);
void destination_lane_continue(struct destination_lane *dl); /* a retry succeeded: the waiting shards continue */
void destination_lane_leave(struct destination_lane *dl);    /* it sends nothing more: it neither retries nor waits */
void destination_kick_lanes(struct destination *d); /* on every lane, all shards send what they may */
void destination_lane_drained(struct shard *s); /* the shard is empty: retires its generation if all its shards are */

#endif
