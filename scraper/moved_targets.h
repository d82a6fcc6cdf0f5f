// SPDX-License-Identifier: Apache-2.0
/* Main's part of planned hand-overs (handover.h): targets that have moved away, whose last pages others may request, and
 * those that move here, which are announced after a sync. Under the scraper's mutex. */
#ifndef SCRAPER_MOVED_TARGETS_H
#define SCRAPER_MOVED_TARGETS_H

#include "base/map.h"
#include "scraper/target.h"

struct moved_target;
struct target_arrival { size_t from; int64_t time; uint64_t id; }; /* from: index of a member */
struct moved_targets {
    struct loop *main;
    struct list all;             /* of struct moved_target, oldest first */
    struct map ids;
    size_t not_handed;
    struct loop_timer due;       /* the oldest one is forgotten */
    struct mutex *mutex;
    struct target_arrival *arrivals; size_t n_arrivals, arrivals_cap;
};
void moved_init(struct moved_targets *m, struct loop *main, struct mutex *mutex);
void moved_free(struct moved_targets *m);

/* The target is no longer sent by this member any more, as planned: another one may request its page. */
void moved_add(struct moved_targets *m, struct target *t);
struct target *moved_find(const struct moved_targets *m, uint64_t id); /* borrowed; NULL: there is none */
void moved_set_handed(struct moved_targets *m, uint64_t id);
void moved_arrives(struct moved_targets *m, const struct target_arrival *a);

#endif
