// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the targets of a list that is read periodically, divided into parts by their addresses,
 * so that a list with few changes costs little: only the parts whose targets differ from the last list have to be
 * visited, some at a time. A target whose labels change remains in its part. One thread at a time.
 */
#ifndef MODEL_DISCOVERY_GROUPS_SD_PARTS_H
#define MODEL_DISCOVERY_GROUPS_SD_PARTS_H

#include "base/list.h"
#include "base/map.h"
#include "model/discovery/groups/sd_groups.h"

struct sd_part;
struct sd_parts {                /* zeroed: nothing was listed yet; then sd_parts_init */
    struct sd_groups *groups;    /* of the last list; NULL: none */
    uint64_t sets;               /* number of lists so far */
    struct map parts;            /* of struct sd_part; one without targets is removed after its visit */
    struct list changed;         /* of struct sd_part */
};
void sd_parts_init(struct sd_parts *p);
/* Prepares groups for sd_parts_set(), on the thread that makes them. Optional: sd_parts_set() does it if necessary. */
void sd_parts_lay_out(struct sd_groups *groups);
void sd_parts_set(struct sd_parts *p, struct sd_groups *groups); /* takes the reference */
static inline bool sd_parts_changed(const struct sd_parts *p) { return !list_empty(&p->changed); }

/* part: its identity, until it was visited without targets; groups: its targets, NULL: it has none any more. The
 * visitor may take a reference. */
typedef void sd_part_fn(void *arg, const void *part, struct sd_groups *groups);
void sd_parts_visit(struct sd_parts *p, sd_part_fn *visit, void *arg); /* all parts; none counts as changed then */
void sd_parts_settle(struct sd_parts *p); /* the same without visits */
/* Visits changed parts, at least one, until clock_mono_ns() reaches `until`. */
void sd_parts_visit_changed(struct sd_parts *p, int64_t until, sd_part_fn *visit, void *arg);
void sd_parts_free(struct sd_parts *p);

#endif
