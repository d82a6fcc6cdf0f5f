// SPDX-License-Identifier: Apache-2.0
/* A target: its labels, its URL, its identity. Made by the main thread, which keeps one reference; the lane that
 * scrapes it has another, and reports keep theirs while they are written.
 */
#ifndef SCRAPER_TARGET_H
#define SCRAPER_TARGET_H

#include "scraper/scrape_cache.h"
#include "scraper/job.h"

/* What readers of the API see. Under the mutex of the target's lane. */
struct target_live {
    enum target_health health;
    char *last_error; /* owned; NULL = none */
    int64_t last_scrape;
    double last_duration;
    uint64_t scrapes, failures, last_samples, last_bytes;
};

struct scrape_lane;
struct scrape;
struct metadata_list;
struct target {
    atomic_uint refs;
    /* Immutable. The texts follow the struct in one allocation. */
    uint64_t id;
    /* Those of its predecessor, if it has one (pool.c). source: what its batches carry, which decides their shard;
     * place: where in the interval, as a part of 2^64. */
    uint64_t source, place;
    struct str job_name, url;     /* url: NUL-terminated */
    struct labels discovered;
    struct target_labels labels;
    const char *mechanism;        /* "static" or "file" */
    struct scrape_lane *lane;            /* NULL until the main thread hands it to one */
    /* The main thread's: */
    const struct job_run *wanted; /* what the lane was told last; borrowed from the pool */
    int64_t wanted_interval, wanted_timeout;
    bool wanted_refused;
    bool seen;                    /* mark while a pool looks what is gone */
    /* The lane's: */
    struct list node;
    struct loop_timer timer;
    int64_t tick;                 /* the wall time this scrape stands for */
    int64_t last_t;               /* timestamp written last for it */
    enum err_kind failing;        /* why its last scrape failed; ERR_NONE: it did not */
    int64_t failing_since;        /* wall time of the first of these failures */
    bool failure_logged;
    bool hung;                    /* its last scrape timed out */
    struct job_run *job;
    struct template_group *templates;
    struct scrape_cache last;
    struct scrape *scrape;        /* under way; NULL when none */
    bool leaving;                 /* a change takes it away: no scrape begins any more */
    bool refused;                 /* the pool is over its target_limit: every scrape fails */
    /* Changed by the lane under its mutex: */
    int64_t interval, timeout;
    struct target_live live;
    struct metadata_list *metadata;
};

enum target_result { TARGET_CREATED, TARGET_DROPPED, TARGET_INVALID };
struct target_source { struct str address; struct str_map labels; struct str file; const char *mechanism; };
struct target_builder {  /* memory that making needs; one per thread */
    struct labels_builder builder;
    struct arena scratch;
    struct labels discovered; /* of the last one made or dropped; valid until the next */
};
/* Labels, relabeling, URL. INVALID: err says why. *out has one reference. */
enum target_result target_make(struct target_builder *m, const struct scrape_job *job, uint64_t seed,
                               const struct target_source *from, struct target **out, struct err *err);
void target_builder_free(struct target_builder *m);

struct target *target_ref(struct target *t);
void target_unref(struct target *t); /* what the lane owns must have been given back */

#endif
