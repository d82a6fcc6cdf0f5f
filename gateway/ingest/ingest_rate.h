// SPDX-License-Identifier: Apache-2.0
/* -maxIngestionRate: a limit of the samples accepted per second, over all lanes. A token bucket holds those of one
 * second.
 *
 * Each lane's sink is wrapped: the samples of a committed batch are taken from the bucket, which may go below zero.
 * Pushes then wait until it is above zero again, and their clients are not read meanwhile. Scrapes are counted, but do
 * not wait: a target has its own times. If scrapes alone exceed the rate, pushes resume at most a minute after they no
 * longer do.
 */
#ifndef GATEWAY_INGEST_INGEST_RATE_H
#define GATEWAY_INGEST_INGEST_RATE_H

#include "base/telemetry/stats.h"
#include "model/sink.h"

extern struct stats_group ingest_rate_stats;
struct ingest_rate;
struct ingest_rate *ingest_rate_new(int64_t per_second, unsigned n_lanes);
void ingest_rate_free(struct ingest_rate *r); /* NULL is allowed */
struct sink *ingest_rate_sink(struct ingest_rate *r, unsigned lane, struct sink *to); /* r NULL: `to` */
/* Any thread: ms after which pushes check again, at most a second; 0: they may proceed. r NULL: there is no limit. */
int64_t ingest_rate_wait(struct ingest_rate *r);

#endif
