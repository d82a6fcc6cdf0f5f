// SPDX-License-Identifier: Apache-2.0
/* The scraper's main struct, for scraper.c (apply, stop) and status.c (state for the API). */
#ifndef SCRAPER_SCRAPER_INTERNAL_H
#define SCRAPER_SCRAPER_INTERNAL_H

#include "base/telemetry/stats.h"
#include "base/telemetry/stats_kept.h"
#include "scraper/pool.h"

struct stopping { struct loop_task task; struct scraper *scraper; struct scrape_lane *lane; };

struct scraper {
    struct scraper_env env;
    struct scrape_lane *lanes;
    struct sd_manager *sd;
    struct target_builder builder;
    struct mutex mutex;          /* guards pools and their lists, which other threads read; lanes never lock it */
    struct pool **pools;
    size_t n_pools;
    struct stats_kept kept;      /* counters of jobs that a reload removed; main */
    uint64_t seed;               /* hash of the external labels */
    unsigned shards;             /* of the destinations */
    bool stale_on_shutdown;
    struct cluster_view *view;   /* NULL: none was set; under the mutex */
    _Atomic int64_t fence;       /* scraper_set_fence */
    struct moved_targets moved;  /* under the mutex */
    struct loop_timer view_due;  /* a member begins or ends to take part */
    struct loop_task build_due;  /* targets that this member begins to own */
    struct loop_timer flush;     /* of the jobs' failure logs */
    struct failure_files failure_files;
    struct stopping *stopping;   /* one per lane, while and after stopping */
    unsigned stopped;            /* number of stopped lanes */
    void (*stop_done)(void *arg);
    void *stop_arg;
};

void scraper_collect(struct stats_out *o, void *scraper); /* /metrics */

#endif
