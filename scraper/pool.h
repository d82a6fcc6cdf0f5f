// SPDX-License-Identifier: Apache-2.0
/* The targets of one job, on the main thread. Fields that other threads read (targets, dropped, sd_status) change
 * only under the scraper's mutex. */
#ifndef SCRAPER_POOL_H
#define SCRAPER_POOL_H

#include "model/discovery/discovery.h"
#include "scraper/lane.h"
#include "scraper/moved_targets.h"

struct target_refs { struct target **items; size_t n, cap; };
/* In a cluster: where a target was found, to build it when this member begins to own it, and not before. */
struct pool_found {
    uint32_t source, group, at;  /* of pool_part.sources; of its groups; of the group's targets */
    uint64_t key;                /* hash of the labels that decide who owns it */
    struct target *target;       /* borrowed; NULL: another member's, `due` or `invalid` */
    uint32_t shown;              /* index in pool.dropped + 1; 0: it is not there */
    bool due, invalid;           /* this member's: to be built; cannot be built */
    bool never;                  /* dropped by relabel_configs */
};
/* As struct sd_found. groups NULL: those of static_configs, which may be those of a newer configuration. */
struct pool_source { const char *mechanism; struct str meta, text; struct sd_groups *groups; };
/* What a part of the discovery (discovery.h) has become. */
struct pool_part {
    const void *part;            /* NULL: static_configs, and all that is discovered without parts */
    struct target_refs targets;  /* a target is used once for each time it was found */
    size_t dropped, invalid;     /* counted */
    size_t elsewhere;            /* of the dropped ones: other members of the cluster own them */
    size_t shown;                /* of these in pool.dropped */
    struct pool_found *found; size_t n_found, found_cap;
    struct pool_source *sources; size_t n_sources;
    size_t n_due, due_from;      /* of `found`: none before due_from */
};
/* Owned. error NULL: dropped by relabel_configs, or another member's if found_at is set. */
struct pool_dropped {
    struct pool_part *part;
    struct labels discovered;
    bool invalid;
    char *error;
    size_t found_at;             /* in part->found + 1; 0: not there */
};

struct pool {
    const struct scrape_job *conf;      /* of the newest apply: determines the targets */
    struct job_set *job_set;      /* of conf; a reference */
    struct running_job *job;                /* settings used for scraping; possibly of an older apply */
    struct discovery *discovery;
    struct target **targets;
    size_t n, cap;
    struct map ids;                     /* of the targets */
    struct map parts;                   /* of struct pool_part */
    size_t n_due;                       /* targets that this member owns and that are not built yet */
    int64_t exceeded_limit;             /* target_limit if there are more targets; else 0 */
    struct pool_dropped *dropped;       /* including invalid targets */
    size_t n_dropped, dropped_cap;      /* stored */
    size_t dropped_total, invalid_total, elsewhere_total; /* as in struct pool_part */
    uint64_t invalid_ever;              /* summed over all syncs */
    struct sd_status sd_status;             /* of the discovery, for other threads */
    bool was_emptied;                       /* it had targets and lost all of them */
};

/* Input and output of a sync. */
struct pool_sync {
    struct mutex *mutex;
    struct scrape_lane *lanes;
    unsigned n_lanes, shards;
    struct scrape_lane_change **changes;       /* by lane; created on the first change */
    struct target_builder *builder;
    uint64_t seed;
    const struct cluster_view *view;           /* NULL: none was set */
    int64_t now;                               /* Unix ms */
    struct moved_targets *moved;
};
/* Transfers the reference of job, not that of g. */
struct pool *pool_new(const struct scrape_job *conf, struct job_set *g, struct running_job *job, struct sd_manager *sd);
void pool_free(struct pool *p);
/* Sets a new configuration of the same job; transfers the reference of job. True: it finds other targets, and must be
 * followed by pool_sync. */
bool pool_change(struct pool *p, const struct scrape_job *conf, struct job_set *g, struct running_job *job);
/* Builds the targets again, all or those of the parts that have changed, and records for each lane which are removed,
 * changed or added. */
void pool_sync(struct pool *p, struct pool_sync *s, enum sd_change change);
/* If the discovery has news: updates sd_status, under the mutex. Returns what pool_sync is needed for. */
enum sd_change pool_take_news(struct pool *p, struct mutex *mutex) MUST_USE;
void pool_show_discovery(struct pool *p, struct mutex *mutex); /* the same for a new configuration */
/* Reads the files and builds the targets of a job that does not run, and reports what the discovery and pool_sync would
 * log. Waits for the file system. */
void pool_check(const struct scrape_job *conf, struct target_builder *builder, void (*warn)(void *arg, const char *text),
                void *arg);
/* The members of the cluster are others. Records for each lane which targets are removed or changed; those that this
 * member owns now are left to pool_build_due, which ends at the time (clock_mono_ns). False: some are left. */
void pool_follow_view(struct pool *p, struct pool_sync *s);
bool pool_build_due(struct pool *p, struct pool_sync *s, int64_t until_ns) MUST_USE;
void pool_end(struct pool *p, struct pool_sync *s); /* removes all targets */

#endif
