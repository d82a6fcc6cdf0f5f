// SPDX-License-Identifier: Apache-2.0
/* A job in use: its configuration and everything derived from it once. Immutable except the failure log, and reference
 * counted: after a reload, targets of an unchanged job keep using the previous one. Any thread may take and drop
 * references. */
#ifndef SCRAPER_JOB_H
#define SCRAPER_JOB_H

#include "base/refs.h"
#include "scraper/failures/failure_file.h"
#include "scraper/failures/failure_log.h"
#include "scraper/scraper.h"

#include <stdatomic.h>

/* The jobs of one scraper_apply. When the last reference is dropped, `release` runs on the main loop. */
struct job_set {
    struct refs refs;
    struct loop *main;
    bool synchronous;             /* the scraper is being freed: call release directly */
    struct loop_task task;
    void (*release)(void *arg);
    void *arg;
};
/* one reference; scraper_apply sets release when it succeeds */
struct job_set *job_set_new(struct loop *main);
struct job_set *job_set_ref(struct job_set *g);
void job_set_unref(struct job_set *g);

struct running_job {
    struct refs refs;
    struct job_set *job_set;
    const struct scrape_job *conf;
    struct client_profile *profile;
    struct relabel_rules metric_rules;
    /* Target labels whose values metric_rules read, beside those that external labels rename; all if reads_all. Names
     * that labeldrop and labelkeep match are not included. */
    struct str_list reads;
    bool reads_all;
    int max_schema;               /* of native histograms */
    const char *accept;           /* the request header */
    struct arena arena;
    struct failure_log failures;
    struct line_file *failure_file; /* NULL: none; belongs to the scraper */
};
struct running_job *running_job_new(struct job_set *g, const struct scrape_job *conf, struct err *err); /* NULL: err */
struct running_job *running_job_ref(struct running_job *j);
void running_job_unref(struct running_job *j);
bool running_job_reads(const struct running_job *j, struct str label);

/* Whether both jobs have the same targets: all keys are equal, and so are the fields without a key that target_make()
 * reads. */
bool scrape_job_targets_equal(const struct scrape_job *a, const struct scrape_job *b);

#endif
