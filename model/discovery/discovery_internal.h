// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: between the discoveries of an owner (discovery.c) and their manager (sd_manager.c). */
#ifndef MODEL_DISCOVERY_DISCOVERY_INTERNAL_H
#define MODEL_DISCOVERY_DISCOVERY_INTERNAL_H

#include "model/discovery/source/sd_source.h"

struct sd_sources { struct sd_source **items; size_t n, cap; };
struct discovery {
    struct list node;             /* in the manager's list */
    struct sd_manager *manager;
    struct sd_owner owner;        /* name: owned */
    struct sd_sources sources;    /* in the order of the configuration */
    struct sd_sources retired;    /* of previous ones: in force until the sources have replaced them */
    struct loop_timer retire;     /* checks that while there are some, without news, too */
    bool retire_due;
    bool shared;                  /* two sources read the same file, or did when changes were taken last */
    int64_t file_interval;        /* ms: the shortest refresh_interval of files; 0: no files */
    int64_t news_at;              /* loop_mono of the first news that were not used yet; 0: none */
};
void discovery_start(struct discovery *d, struct dir_watch *dirs);
void discovery_poll(struct discovery *d, struct dir_watch *dirs);
bool discovery_awaited(const struct discovery *d); /* reads of the last start have not ended */

void sd_manager_add(struct sd_manager *m, struct discovery *d);
struct sd_source_env sd_manager_source_env(struct sd_manager *m, struct sd_owner owner);
void sd_manager_tell_news(struct sd_manager *m);
struct loop *sd_manager_loop(const struct sd_manager *m);
int64_t sd_manager_now(const struct sd_manager *m); /* loop_mono */

#endif
