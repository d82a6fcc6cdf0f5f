// SPDX-License-Identifier: Apache-2.0
/* The targets of one job, as the main thread sees them. What other threads read (targets, dropped, shown) changes
 * only under the scraper's mutex.
 */
#ifndef SCRAPER_POOL_H
#define SCRAPER_POOL_H

#include "scraper/discovery/file_sd.h"
#include "scraper/lane.h"

enum { DROPPED_MAX = 10000 };

struct pool_dropped { struct labels discovered; char *error; }; /* owned; error NULL: by relabel_configs */
struct pool_files {                     /* what is told of files; owned */
    char *missing;                      /* patterns without a match, or NULL */
    size_t failing;                     /* files that could not be read */
    struct pool_file { char *path; double mtime; } *items; /* in use; mtime in Unix seconds */
    size_t n;
};

struct pool {
    const struct scrape_job *conf;      /* of the newest apply: decides which targets there are */
    struct generation *generation;      /* that conf is of; a reference */
    struct job_run *job;                /* how they are scraped; perhaps of an older apply */
    struct file_discovery *files;       /* one a file_sd_config */
    struct target **targets;
    size_t n, cap;
    struct pool_dropped *dropped;       /* and those that are invalid */
    size_t n_dropped, dropped_cap;      /* remembered */
    size_t dropped_total, invalid_total;
    uint64_t invalid_ever;              /* counted at each sync */
    struct pool_files shown;            /* of `files`, for other threads */
    bool emptied;                       /* it had targets and has none */
};

/* What a sync needs and what it changes. */
struct pool_sync {
    struct mutex *mutex;
    struct scrape_lane *lanes;
    unsigned n_lanes, shards;
    struct scrape_lane_change **changes;       /* by lane; made when the first change comes */
    struct target_builder *maker;
    uint64_t seed;
};
/* takes the reference of job, not of g */
struct pool *pool_new(const struct scrape_job *conf, struct generation *g, struct job_run *job);
void pool_free(struct pool *p);
/* Another configuration for the same job; the reference of job is taken. A pool_refresh and pool_sync follow. */
void pool_change(struct pool *p, const struct scrape_job *conf, struct generation *g, struct job_run *job);
/* Reads files; true when targets may have changed. The mutex is the scraper's: it is held for the change of `shown`. */
bool pool_refresh(struct pool *p, struct mutex *mutex);
/* Makes the targets anew and notes for each lane what is gone, changed or new. */
void pool_sync(struct pool *p, struct pool_sync *s);
void pool_end(struct pool *p, struct pool_sync *s); /* all targets are gone */

#endif
