// SPDX-License-Identifier: Apache-2.0
/* Target groups that were discovered together. */
#ifndef MODEL_DISCOVERY_GROUPS_SD_GROUPS_H
#define MODEL_DISCOVERY_GROUPS_SD_GROUPS_H

#include "base/refs.h"
#include "model/discovery/source/sd_conf.h"

enum { SD_GROUPS_MAX = 256 << 20 }; /* bytes of the targets of an API: a short response can yield many */
struct sd_layout;
struct sd_groups {               /* the groups of a file or response; never change */
    struct refs _refs;
    struct sd_groups *whole;     /* of a view: owns the texts; NULL: the arena does */
    struct arena arena;
    struct static_group *items;
    size_t n;
    struct sd_layout *layout;    /* of sd_parts.h, in the arena; NULL: not made yet */
    bool too_large;              /* incomplete, over SD_GROUPS_MAX: not to be used (sd_build.h) */
};
struct sd_groups *sd_groups_new(void);    /* empty, with one reference */
/* A view of n groups of `whole`; the caller fills items. Takes a reference to `whole`. */
struct sd_groups *sd_groups_view(struct sd_groups *whole, size_t n);
struct sd_groups *sd_groups_ref(struct sd_groups *g); /* NULL is fine */
void sd_groups_unref(struct sd_groups *g); /* any thread; NULL is fine */

#endif
