// SPDX-License-Identifier: Apache-2.0
/* HELP, TYPE and UNIT of targets, stored once per lane: families by content, and lists of families by the hash of a
 * response's metadata lines, so that ten thousand identical exporters share one list. The lane's thread writes; other
 * threads read the lists of targets under the lane's mutex, which the lane holds during every change. */
#ifndef SCRAPER_METADATA_H
#define SCRAPER_METADATA_H

#include "base/map.h"
#include "model/sink.h"

struct scrape_family {
    uint32_t refs;       /* number of lists that contain it */
    struct str key;      /* owned: all fields concatenated; metadata points into it */
    struct metadata metadata;
};
struct metadata_list {
    uint32_t refs;       /* number of targets */
    uint64_t hash;
    uint32_t n;
    struct scrape_family *families[];
};
struct metadata_store {
    struct map lists, families;
};
/* Returns a reference to the list with this hash of metadata lines, built from the page if it is new; NULL for a page
 * without metadata. New families are passed to `learned`, unless NULL. */
struct metadata_list *metadata_get(struct metadata_store *m, uint64_t hash, struct str page,
                                   void (*learned)(void *arg, const struct metadata *m), void *arg);
void metadata_unref(struct metadata_store *m, struct metadata_list *l);
void metadata_free(struct metadata_store *m); /* all lists must be unreferenced */

#endif
