// SPDX-License-Identifier: Apache-2.0
/* What one lane knows of one destination: the shards that it owns, the settings in force, and whether the destination
 * takes anything just now. Made and freed by main, else the lane's.
 */
#ifndef WRITER_SEND_DESTINATION_LANE_H
#define WRITER_SEND_DESTINATION_LANE_H

#include "writer/send/shard.h"

struct destination_lane {
    struct destination *dest;
    struct dest_settings *settings; /* owned */
    struct dest_settings *_Atomic next_settings; /* put there by main for the next switch */
    size_t generations;    /* how many of the destination's have been adopted */
    struct loop *loop;
    struct client *client;
    struct packer *packer;
    enum codec codec;      /* that new requests use */
    bool down;             /* waiting shards are let go one at a time */
    bool failing;          /* its requests fail: part of the destination's outage */
    int64_t backoff;
    struct list waiting;
    struct loop_timer retry;
    struct loop_timer outage; /* armed while failing: the next line of the log */
    struct shard **shards; size_t n, _cap; /* owned, of all generations, oldest first */
    size_t settled;        /* of so many generations the last is written to, and the others by no lane any more */
};

struct destination_lane *destination_lane_new(struct destination *d, struct loop *loop); /* main */
void destination_lane_free(struct destination_lane *dl);
/* main: takes over the next settings */
void destination_lane_push(struct destination_lane *dl, struct dest_settings *next);
void destination_lane_add(struct destination_lane *dl, struct shard *s);
/* Plans of before and after a change of the number of shards are served at once. */
struct shard *destination_lane_shard(const struct destination_lane *dl, size_t generation, unsigned index);

void shard_accepted(struct shard *s);  /* the destination takes blocks (again): those that wait go on */
void shard_refused(struct shard *s, int64_t wait_ms); /* not now: wait_ms 0 = the backoff decides */
void destination_lane_drained(struct shard *s); /* the shard is empty: is its generation through? */

#endif
