// SPDX-License-Identifier: Apache-2.0
/* Deduplication of series that replicas of one Prometheus push, as Mimir's HA tracker: a stage before all others, which
 * passes the samples of one replica of each cluster, without the replica label, and drops those of the others.
 *
 * 1. A series without the labels of cluster and replica passes as it is.
 * 2. The first replica of a cluster that arrives is elected.
 * 3. A sample of another replica elects that one if none of the elected replica has arrived for failover_timeout.
 * 4. A cluster of which nothing has arrived for 30 minutes (or failover_timeout, if that is longer) is forgotten.
 *
 * Decided for each series by the time at which it arrives. Lanes share the elections; a lane looks a cluster up when the
 * cluster or replica differs from that of the series before. */
#ifndef WRITER_PIPELINE_HA_H
#define WRITER_PIPELINE_HA_H

#include "writer/pipeline/stage.h"
#include "writer/writer.h"

struct stage *ha_stage_new(const struct ha_conf *conf);

struct ha_elections; /* shared state, reference counted */
struct ha_elections *ha_elections_of(const struct stage *s); /* a reference; NULL: it is another stage */
void ha_elections_unref(struct ha_elections *e);
/* Any thread: each cluster, under a lock. */
struct ha_election_view { struct str cluster, elected; int64_t seen_ms; uint64_t changes, dropped; };
void ha_elections_each(struct ha_elections *e, void (*visit)(const struct ha_election_view *v, void *arg), void *arg);

#endif
