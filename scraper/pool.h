// SPDX-License-Identifier: Apache-2.0
/* The targets of one job, on the main thread. Fields that other threads read (targets, dropped, file_status) change
 * only under the scraper's mutex. */
#ifndef SCRAPER_POOL_H
#define SCRAPER_POOL_H

#include "scraper/discovery/file_reader.h"
#include "scraper/lane.h"

enum { DROPPED_MAX = 10000 };

struct pool_dropped { struct labels discovered; char *error; }; /* owned; error NULL: dropped by relabel_configs */
struct pool_files {                     /* status of the job's files; owned */
    char *missing;                      /* patterns without a match, or NULL */
    size_t failing;                     /* files whose last read failed */
    size_t hung;                        /* patterns whose file system does not respond */
    struct pool_file { char *path; double mtime; } *items; /* in use; mtime in Unix seconds */
    size_t n;
};

struct pool {
    const struct scrape_job *conf;      /* of the newest apply: determines the targets */
    struct job_set *job_set;      /* of conf; a reference */
    struct running_job *job;                /* settings used for scraping; possibly of an older apply */
    struct file_reader **readers;       /* one per pattern, in the order of the configuration */
    size_t n_readers;
    struct file_reader **retired;       /* of the previous configuration: in force until all readers have read once */
    size_t n_retired;
    int64_t news_at;                    /* loop_mono of the first news that were not used yet; 0: none */
    struct target **targets;
    size_t n;
    struct pool_dropped *dropped;       /* including invalid targets */
    size_t n_dropped, dropped_cap;      /* stored */
    size_t dropped_total, invalid_total;
    uint64_t invalid_ever;              /* summed over all syncs */
    struct pool_files file_status;           /* of the readers' files, for other threads */
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
};
/* Transfers the reference of job, not that of g. env: of the readers of target files. */
struct pool *pool_new(const struct scrape_job *conf, struct job_set *g, struct running_job *job,
                      const struct file_reader_env *env);
void pool_free(struct pool *p);
/* Sets a new configuration of the same job; transfers the reference of job. Must be followed by pool_sync. */
void pool_change(struct pool *p, const struct scrape_job *conf, struct job_set *g, struct running_job *job,
                 const struct file_reader_env *env);
/* Builds the targets again and records for each lane which are removed, changed or added. */
void pool_sync(struct pool *p, struct pool_sync *s);
/* Reads the files and builds the targets of a job that does not run, and reports what the readers and pool_sync would
 * log. Waits for the file system. */
void pool_check(const struct scrape_job *conf, struct target_builder *builder, void (*warn)(void *arg, const char *text),
                void *arg);
void pool_end(struct pool *p, struct pool_sync *s); /* removes all targets */

/* ---- pool_files.c ---- */

/* News of a reader wait for the job's other readers, unless these hang, or have been reading ever since. */
enum { POOL_NEWS_MS = 1000 };

struct sd_listing { const struct sd_file **items; size_t n; }; /* a file that two patterns match is listed once */
void pool_set_files(struct pool *p, const struct scrape_job *conf, const struct file_reader_env *env);
void pool_free_files(struct pool *p);
void pool_read_files(struct pool *p, struct dir_watch *dirs, bool await);
/* If the readers have news: updates file_status, under the mutex, unless other readers of the job are about to have
 * some too. True: pool_sync is needed. */
bool pool_take_news(struct pool *p, struct mutex *mutex, int64_t now);
/* Shows the files of a new configuration. */
void pool_show_files(struct pool *p, struct mutex *mutex);
bool pool_awaits_files(const struct pool *p);
/* The files in force; valid until the readers have news. Free with mem_free(items). */
struct sd_listing pool_list_files(const struct pool *p);
/* The same, read by the calling thread. */
struct checked_files { struct file_discovery *patterns; size_t n; struct sd_listing listing; };
void pool_check_files(struct checked_files *c, const struct scrape_job *conf,
                      void (*warn)(void *arg, const char *text), void *arg);
void checked_files_free(struct checked_files *c);

#endif
