// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: between the discoveries of an owner (discovery.c) and their manager (sd_manager.c). */
#ifndef MODEL_DISCOVERY_DISCOVERY_INTERNAL_H
#define MODEL_DISCOVERY_DISCOVERY_INTERNAL_H

#include "base/map.h"
#include "model/discovery/discovery.h"
#include "model/discovery/file_reader.h"

struct discovery {
    struct list node;             /* in the manager's list */
    struct sd_manager *manager;
    struct sd_owner owner;        /* name: owned */
    struct file_reader **readers; /* one per pattern, in the order of the configuration */
    size_t n_readers;
    struct file_reader **retired; /* of the previous configuration: in force until all readers have read once */
    size_t n_retired;
    int64_t file_interval;        /* ms: the shortest refresh_interval; 0: no files */
    int64_t news_at;              /* loop_mono of the first news that were not used yet; 0: none */
};
void discovery_read(struct discovery *d, struct dir_watch *dirs, bool await);
bool discovery_awaited(const struct discovery *d); /* reads of the last start have not ended */

void sd_manager_add(struct sd_manager *m, struct discovery *d);
struct file_reader_env sd_manager_reader_env(struct sd_manager *m);
int64_t sd_manager_now(const struct sd_manager *m); /* loop_mono */

#endif
