// SPDX-License-Identifier: Apache-2.0
/* Private to model/discovery/: the targets of a list that is read again and again, divided into parts by their addresses, so
 * that a list in which little has changed costs little: the parts whose targets differ from those of the last list are known,
 * and may be visited some at a time. A target whose labels change remains in its part. One thread at a time.
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
    struct map parts;            /* of struct sd_part, those without targets not after their visit */
    struct list changed;         /* of struct sd_part */
};
void sd_parts_init(struct sd_parts *p);
/* The first half of sd_parts_set(), which may be done by the thread that makes the groups. */
void sd_parts_lay_out(struct sd_groups *groups);
void sd_parts_set(struct sd_parts *p, struct sd_groups *groups); /* takes the reference */
static inline bool sd_parts_changed(const struct sd_parts *p) { return !list_empty(&p->changed); }

/* part: its identity as long as it has targets, and until it was visited without; groups: its targets; NULL: it has none any
 * more. A reference may be taken. */
typedef void sd_part_fn(void *arg, const void *part, struct sd_groups *groups);
void sd_parts_visit(struct sd_parts *p, sd_part_fn *visit, void *arg); /* all; nothing has changed then */
void sd_parts_settle(struct sd_parts *p); /* the same without a visit */
/* Of those that have changed as many as there is time for until clock_mono_ns() is `until`, but one at least. */
void sd_parts_visit_changed(struct sd_parts *p, int64_t until, sd_part_fn *visit, void *arg);
void sd_parts_free(struct sd_parts *p);

#endif
