// SPDX-License-Identifier: Apache-2.0
/* Service discovery: the targets that scrape jobs and server groups find while the program runs.
 *
 * A `struct discovery` belongs to one job or group and has a source for each pattern of its file_sd_configs, each name of
 * its dns_sd_configs, and each server that it requests targets from. A `struct sd_manager` is what the discoveries of one
 * owner (the scraper, all server groups) share: it reads their sources after a change of the configuration, watches
 * directories, and reports news.
 *
 *   manager = sd_manager_new(&env)
 *   discovery_new(), discovery_set() for each job of a configuration, then sd_manager_start(manager)
 *   env.news()   discovery_take_news() for each job; discovery_list() has the targets
 *
 * All functions on the main thread, unless stated otherwise. None of them waits.
 */
#ifndef MODEL_DISCOVERY_DISCOVERY_H
#define MODEL_DISCOVERY_DISCOVERY_H

#include "base/os/loop.h"
#include "model/discovery/files/file_sd.h"

/* Watches of Kubernetes, which all managers of the program share. */
struct kube_watches;
struct kube_watches *kube_watches_new(struct loop *main);
void kube_watches_free(struct kube_watches *w); /* after the managers */

struct sd_manager;
struct sd_manager_env {
    struct loop *main;
    struct kube_watches *kube;   /* outlives the manager; NULL: its own */
    void (*news)(void *arg); /* discoveries may have news */
    void *arg;
};
struct sd_manager *sd_manager_new(const struct sd_manager_env *env);
void sd_manager_free(struct sd_manager *m);  /* after its discoveries */
/* After every change of discoveries: begins to read their sources. */
void sd_manager_start(struct sd_manager *m);
void sd_manager_stop(struct sd_manager *m);  /* no news any more; tasks that wait are posted */
/* Any thread: since the first start every source has been read once, or does not respond. */
bool sd_manager_ready(const struct sd_manager *m);
/* Posts the task to the main loop when that holds for the last start (at once if it does already), or at a stop. */
void sd_manager_await(struct sd_manager *m, struct loop_task *task);

struct discovery;
struct discovery *discovery_new(struct sd_manager *m, struct sd_owner owner); /* copies the owner's name */
void discovery_free(struct discovery *d);
/* Sources that were configured before continue with their targets. Those that were removed remain in force until all
 * new ones have been read once, or cannot be read (discovery.c). */
void discovery_set(struct discovery *d, const struct sd_conf *conf);
/* Parts. A source whose targets change one by one lists them in parts, each with its own groups, and reports which of them
 * have changed: so a change costs as much as it concerns, however many targets there are. */
enum sd_change {
    SD_UNCHANGED,                /* only errors and the like may have changed */
    SD_PARTS,                    /* discovery_visit_changed() visits what may have changed */
    SD_ALL                       /* anything may have changed: discovery_visit() */
};
/* False: no source has news, or others are about to have some too. */
bool discovery_take_news(struct discovery *d, enum sd_change *change) MUST_USE;
bool discovery_was_read(const struct discovery *d); /* every source, once at least */

/* Targets of a source or a part; borrowed. Each has the label `meta` with the value `source`, unless `meta` is empty. */
struct sd_found {
    const char *mechanism;       /* "file", "http", "dns" */
    struct str meta, source;
    struct sd_groups *groups;    /* never changes; NULL: none yet, or none any more */
    const void *part;            /* the identity of the part as long as it exists; NULL: not listed in parts */
};
typedef void sd_visit_fn(void *arg, const struct sd_found *found); /* may take a reference to found->groups */
/* All of them; a file that two patterns match is visited once. What has changed until now need not be visited again. */
void discovery_visit(struct discovery *d, sd_visit_fn *visit, void *arg);
/* After SD_PARTS: the parts that have changed, those without targets too. If there are many, some of them; news follow for
 * the rest. */
void discovery_visit_changed(struct discovery *d, sd_visit_fn *visit, void *arg);
struct sd_listing { struct sd_found *items; size_t n; }; /* with references to the groups */
struct sd_listing discovery_list(struct discovery *d); /* valid until news */
void sd_listing_free(struct sd_listing *l);

/* Appends what is wrong with the sources, in one line: files that are missing, invalid or not read yet. */
void discovery_explain(const struct discovery *d, struct buf *out);

/* State of the sources, for other threads; owned. */
struct sd_status {
    char *missing;               /* patterns without a match, or NULL */
    size_t failing;              /* files whose last read failed */
    size_t hung;                 /* patterns whose file system does not respond */
    size_t unanswered;           /* URLs and names whose last read failed, or that do not respond */
    struct sd_status_file { char *path; double mtime; } *items; /* in use; mtime in Unix seconds */
    size_t n;
};
struct sd_status discovery_status(const struct discovery *d);
void sd_status_free(struct sd_status *s); /* any thread */

/* For --check-config: reads the files on the calling thread, and waits for their file systems, but requests no URLs. `warn`
 * gets what a discovery would log. */
struct sd_checked { struct file_discovery *patterns; size_t n; struct sd_listing listing; };
void discovery_check(struct sd_checked *c, const struct sd_conf *conf, void (*warn)(void *arg, const char *text),
                     void *arg);
void sd_checked_free(struct sd_checked *c);

#endif
