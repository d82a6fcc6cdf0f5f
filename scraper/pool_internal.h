// SPDX-License-Identifier: Apache-2.0
/* Between the files of a pool: pool.c (a sync), pool_parts.c (what was found where), pool_view.c (changes of the
 * cluster's members). */
#ifndef SCRAPER_POOL_INTERNAL_H
#define SCRAPER_POOL_INTERNAL_H

#include "scraper/pool.h"

/* One sync. */
struct pool_batch {
    struct pool *pool;
    struct pool_sync *sync;
    struct target_refs released;  /* of the parts, before; a target may be in it several times */
    struct target_refs added, kept;
    size_t duplicates, invalid;   /* found now */
    struct buf first_invalid; struct err invalid_err; /* the first invalid address, without secrets, and its error */
    const struct target *first_duplicate;             /* one of the pool */
};
void target_refs_add(struct target_refs *l, struct target *t);
void pool_batch_release(struct pool_batch *b, struct pool_part *part); /* takes the targets from the part */
void pool_batch_keep(struct pool_batch *b, struct pool_part *part, struct target *t); /* gives one back to it */
/* Builds a target, which the part uses, or drops it. f: where it was found, in a cluster; else NULL. */
void pool_batch_make(struct pool_batch *b, struct pool_part *part, const struct target_source *from,
                     struct pool_found *f);
void pool_batch_note_changes(struct pool_batch *b); /* for the lanes */
void pool_batch_end(struct pool_batch *b);
static inline struct target_environment pool_environment(const struct pool_sync *s)
{
    return (struct target_environment){s->seed, s->view, s->now};
}

/* ---- pool_parts.c ---- */

struct pool_part *pool_get_part(struct pool *p, const void *part); /* creates it */
void pool_part_remove(struct pool *p, struct pool_part *part);
/* Forgets what was found and dropped; pool_batch_release has taken the targets. */
void pool_clear_parts(struct pool *p);
void pool_part_clear(struct pool *p, struct pool_part *part); /* the same for one */
size_t pool_part_add_source(struct pool_part *part, const struct sd_found *from); /* returns its index */
struct pool_found *pool_part_add_found(struct pool_part *part, const struct pool_found *found);
/* See struct pool_dropped. */
void pool_drop(struct pool *p, struct pool_part *part, struct labels discovered, bool invalid, const char *error,
               size_t found_at);
void pool_undrop(struct pool *p, struct pool_part *part, struct pool_found *found); /* it is to be built */
/* One that was invalid is another member's now. */
void pool_drop_invalid(struct pool *p, struct pool_part *part, struct pool_found *found);
void pool_set_due(struct pool *p, struct pool_part *part, struct pool_found *found, bool due);

#endif
