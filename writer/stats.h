// SPDX-License-Identifier: Apache-2.0
/* The writer's metrics, with the names that vmagent's dashboards and alerts use (docs/metrics.md). */
#ifndef WRITER_STATS_H
#define WRITER_STATS_H

#include "base/telemetry/stats.h"
#include "writer/send/destination.h"

#define WRITER_STATS(X) \
    X(WRITER_CONNECTIONS, "vmagent_remotewrite_conns", STATS_GAUGE, "Open connections to all destinations")
enum writer_stat { WRITER_STATS(STATS_ID) };
extern struct stats_group writer_stats;

struct writer;
void writer_stats_start(struct writer *w);
void writer_stats_stop(struct writer *w);

/* writer.c: visits every destination, under the writer's lock. */
void writer_each_destination(struct writer *w, void (*visit)(struct destination *d, void *arg), void *arg);

#endif
