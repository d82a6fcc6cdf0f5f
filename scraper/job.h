// SPDX-License-Identifier: Apache-2.0
/* A job as targets use it: the configuration and what is made of it once. Immutable (but for the log of failures) and
 * refcounted, so that a reload leaves targets alone whose job did not change: they go on with the old one. Any thread
 * may take and give references.
 */
#ifndef SCRAPER_JOB_H
#define SCRAPER_JOB_H

#include "scraper/failure_log.h"
#include "scraper/scraper.h"

#include <stdatomic.h>

/* The jobs of one scraper_apply. When the last user is gone, `release` runs on the main loop. */
struct generation {
    atomic_uint refs;
    struct loop *main;
    bool at_once;             /* the main thread ends everything: release without the loop */
    struct loop_task task;
    void (*release)(void *arg);
    void *arg;
};
/* one reference; release is set by scraper_apply once all is well */
struct generation *generation_new(struct loop *main);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g);

struct job_run {
    atomic_uint refs;
    struct generation *generation;
    const struct scrape_job *conf;
    struct client_profile *profile;
    struct relabel_rules metric_rules;
    /* Target labels whose values metric_rules read; all of them when reads_all. Names, which labeldrop and labelkeep
     * look at, do not count. */
    struct str_list reads;
    bool reads_all;
    size_t body_max;
    struct arena arena;
    struct failure_log failures;
};
struct job_run *job_run_new(struct generation *g, const struct scrape_job *conf, struct err *err); /* NULL: err */
struct job_run *job_run_ref(struct job_run *j);
void job_run_unref(struct job_run *j);
bool job_run_reads(const struct job_run *j, struct str label);

#endif
