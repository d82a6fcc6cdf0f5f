// SPDX-License-Identifier: Apache-2.0
/* HELP, TYPE and UNIT of what targets expose, kept once per lane: the families by their content, and the lists of
 * families by the hash of a page's metadata lines, so that ten thousand equal exporters share one list. Belongs to the
 * lane's thread; the lists of targets are read by others under the lane's mutex, which the lane holds whenever it
 * changes anything here.
 */
#ifndef SCRAPER_METADATA_H
#define SCRAPER_METADATA_H

#include "base/map.h"
#include "model/sink.h"

struct scrape_family {
    uint32_t refs;       /* lists that have it */
    struct str key;      /* owned: all fields in a row; metadata points into it */
    struct metadata metadata;
};
struct metadata_list {
    uint32_t refs;       /* targets */
    uint64_t hash;
    uint32_t n;
    struct scrape_family *families[];
};
struct metadata_store {
    struct map lists, families;
};
/* The list for a page with this hash of metadata lines, made from the page when it is not known yet; a reference. NULL
 * for a page without metadata. Families met for the first time are given to `learned`, when that is not NULL. */
struct metadata_list *metadata_get(struct metadata_store *m, uint64_t hash, struct str page,
                                   void (*learned)(void *arg, const struct metadata *m), void *arg);
void metadata_unref(struct metadata_store *m, struct metadata_list *l);
void metadata_free(struct metadata_store *m); /* no list may be left */

#endif
