// SPDX-License-Identifier: Apache-2.0
/* The writer's metrics, with the names that vmagent's dashboards and alerts use (docs/metrics.md). */
#ifndef WRITER_STATS_H
#define WRITER_STATS_H

#include "base/telemetry/stats.h"
#include "base/telemetry/stats_kept.h"
#include "writer/send/destination.h"

#define WRITER_STATS(X) \
    X(WRITER_CONNECTIONS, "vmagent_remotewrite_conns", STATS_GAUGE, "Open connections to all destinations")
enum writer_stat { WRITER_STATS(STATS_ID) };
extern struct stats_group writer_stats;

struct recent;
struct topology;
struct writer;
void writer_stats_start(struct writer *w);
void writer_stats_stop(struct writer *w);

/* A counter never goes backwards under a name, even if the name moves to another destination: its value is the count of
 * the destination plus the last value under that name before. Under the writer's lock. keep: a destination loses
 * `name`; carry: it has got its name, and is `fresh` if it has counted nothing yet. Call keep for all before carry. */
void writer_stats_keep(struct writer *w, struct destination *d, const char *name);
void writer_stats_carry(struct writer *w, struct destination *d, bool fresh);
/* The recent store is replaced, or ends. */
void writer_stats_keep_recent(struct writer *w, struct recent *r);

/* The topology whose stages of aggregation are shown; NULL: none. */
void writer_stats_show_aggregation(struct writer *w, const struct topology *p);

/* writer.c: every destination that is not leaving, under the writer's lock. */
void writer_each_destination(struct writer *w, void (*visit)(struct destination *d, void *arg), void *arg);

#endif
