// SPDX-License-Identifier: Apache-2.0
/* HELP, TYPE and UNIT of targets, stored once per lane: families by content, and lists of families by the hash of a
 * response's metadata lines, so that ten thousand identical exporters share one list. The lane's thread only, but
 * for lists to which a snapshot has a reference: other threads may read these, which are immutable while they have
 * references. */
#ifndef SCRAPER_METADATA_H
#define SCRAPER_METADATA_H

#include "base/map.h"
#include "model/exposition/exposition.h"
#include "model/sink.h"

struct scrape_family {
    uint32_t refs;       /* number of lists that contain it */
    uint64_t route;      /* of its targets (model/sink.h) */
    struct str key;      /* owned: all fields concatenated; metadata points into it */
    struct metadata metadata;
};
struct metadata_list {
    uint32_t refs;       /* number of targets, and of states in snapshots */
    uint64_t hash;
    uint32_t n;
    struct metadata_list *next_unused;
    struct scrape_family *families[];
};
struct metadata_store {
    struct map lists, families;
    struct metadata_list *unused; /* lists without references, to be freed */
};
struct metadata_line { /* a HELP, TYPE or UNIT line: where name and text are in the page */
    uint32_t name_at, name_n, text_at, text_n;
    enum exposition_kind kind;
};
struct metadata_builder { /* builds a list in slices */
    struct metadata_store *store;
    uint64_t hash, route;
    struct page_text page;
    const struct metadata_line *lines; size_t n_lines, line; /* line: the next one */
    struct metadata *items; size_t n, cap; /* the families that the lines describe */
    struct map names;    /* of families -> index in items */
    struct arena arena;
    struct metadata_list *list; /* its first n families are stored */
};
/* A reference to the list with this hash of metadata lines; NULL: it must be built. */
struct metadata_list *metadata_find(struct metadata_store *m, uint64_t hash);
/* hash: includes the route unless that is 0. page and lines are borrowed until the end. Then metadata_collect_some,
 * metadata_store_some, each while it returns true, and metadata_build_end. New families are passed to `learned`, unless
 * NULL. */
void metadata_build_start(struct metadata_builder *b, struct metadata_store *store, uint64_t hash, uint64_t route,
                          struct page_text page, const struct metadata_line *lines, size_t n);
bool metadata_collect_some(struct metadata_builder *b, size_t lines);
bool metadata_store_some(struct metadata_builder *b, size_t families,
                         void (*learned)(void *arg, const struct metadata *m), void *arg);
struct metadata_list *metadata_build_end(struct metadata_builder *b); /* a reference */

void metadata_ref(struct metadata_list *l);
void metadata_unref(struct metadata_store *m, struct metadata_list *l); /* NULL is fine */
bool metadata_free_unused(struct metadata_store *m, size_t families);   /* true while there is more */
void metadata_free(struct metadata_store *m); /* all lists must be unreferenced */

#endif
