// SPDX-License-Identifier: Apache-2.0
/* The targets of one job, as the main thread sees them. Lists that the API reads (targets, dropped) change only under
 * the scraper's mutex.
 */
#ifndef SCRAPER_POOL_H
#define SCRAPER_POOL_H

#include "scraper/file_sd.h"
#include "scraper/lane.h"

enum { DROPPED_MAX = 10000 };

struct pool {
    const struct scrape_job *conf;      /* of the newest apply: decides which targets there are */
    struct generation *generation;      /* that conf is of; a reference */
    struct job_run *job;                /* how they are scraped; perhaps of an older apply */
    struct file_discovery *files;       /* one a file_sd_config */
    struct target **targets;
    size_t n, cap;
    struct labels *dropped;             /* each owned */
    size_t n_dropped, dropped_cap;      /* remembered */
    size_t dropped_total;
};

/* What a sync needs and what it changes. */
struct pool_sync {
    struct mutex *mutex;
    struct scrape_lane *lanes;
    unsigned n_lanes, shards;
    struct scrape_lane_change **changes;       /* by lane; made when the first change comes */
    struct target_maker *maker;
    uint64_t seed;
};
/* takes the reference of job, not of g */
struct pool *pool_new(const struct scrape_job *conf, struct generation *g, struct job_run *job);
void pool_free(struct pool *p);
/* Another configuration for the same job; the reference of job is taken. A pool_refresh and pool_sync follow. */
void pool_change(struct pool *p, const struct scrape_job *conf, struct generation *g, struct job_run *job);
bool pool_refresh(struct pool *p);      /* reads files; true when targets may have changed */
/* Makes the targets anew and notes for each lane what is gone, changed or new. */
void pool_sync(struct pool *p, struct pool_sync *s);
void pool_end(struct pool *p, struct pool_sync *s); /* all targets are gone */

#endif
