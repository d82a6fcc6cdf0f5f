// SPDX-License-Identifier: Apache-2.0
/* The main thread's part of the writer, for writer.c, reload.c, retire.c, orphans.c and stats.c only. */
#ifndef WRITER_WRITER_INTERNAL_H
#define WRITER_WRITER_INTERNAL_H

#include "writer/lane.h"
#include "writer/late.h"
#include "writer/orphans.h"
#include "writer/pipeline/ha.h"
#include "writer/pipeline/limits.h"
#include "writer/recent/recent.h"
#include "writer/stats.h"

enum { RECENT_COUNTERS = sizeof(struct recent_stats) / sizeof(uint64_t) };

struct writer {
    struct writer_env env;
    char *dir;
    struct queue_lock *queue_lock; /* NULL until there is a destination */
    struct writer_lane *lanes;
    struct destination **destinations; size_t n, _cap; /* main's; other threads read it under the lock */
    struct mutex lock;
    struct stats_kept kept;    /* counters of names that no destination has; under the lock */
    double recent_carried[RECENT_COUNTERS]; /* of stores before; under the lock */
    struct recent *recent;     /* the current store; under the lock */
    struct recent_conf recent_conf;
    struct stage_counts stages; /* of the global chain */
    struct ha_elections *elections; /* likewise */
    struct series_limits *limits; /* of the newest topology's global chain; NULL: none; under the lock */
    struct aggregate_report **reports; size_t n_reports; /* of its stages of aggregation; under the lock */
    struct topology *topology; /* the newest; main's reference */
    unsigned rollouts;         /* topologies that are not yet in force on all lanes */
    struct loop_task **awaiting; size_t n_awaiting, _cap_awaiting; /* posted when rollouts is 0 */
    atomic_bool ready, has_streams;
    struct late_opens late;    /* queue directories that hang (late.c) */
    atomic_bool unclean;       /* the last run of this queue directory did not stop cleanly */
    atomic_uint n_late;        /* destinations that are not used because of it */
    atomic_uint n_without_rules; /* destinations whose relabeling rules are not read yet */
    struct list retiring;      /* removed destinations (retire.c) */
    struct orphan_list orphans; /* under the lock (orphans.c) */
    struct loop_timer orphans_timer;
    struct orphans_scan *orphans_scan; /* the running scan; NULL = none */
    bool orphans_logged, orphans_rescan;
    void (*stopped)(void *arg); void *stopped_arg; /* set when stopping */
    unsigned lanes_ending;     /* whose stages have not ended yet */
    unsigned lanes_stopping;
    struct loop_timer stop_timeout; /* armed while stopping waits for the queues */
    bool abandoned;
    int64_t grace;
};

/* reload.c: retires destinations that the topology does not have; NULL has none. Every lane has left them. */
void writer_retire_unused(struct writer *w, const struct topology *p);
void writer_run_awaiting(struct writer *w);

/* retire.c: frees a destination whose lanes have left it, and closes its files. */
void retire_add(struct writer *w, struct destination *d);
/* writer.c: finishes stopping when no destination is being retired. */
void writer_stop_if_retired(struct writer *w);
/* Stops waiting for disks: logs what the queues still have in memory. */
void retire_abandon(struct writer *w);
/* Waits until a destination that is configured again has closed its files. Two must not have them open. */
bool retire_wait(struct writer *w, const char *identity, struct err *err) MUST_USE;

#endif
