// SPDX-License-Identifier: Apache-2.0
/* Labels of series that clients push again and again, by the hash (hash_keyed) of what they are made of: the text in the
 * body, and the parameters that add labels. One lane's thread.
 *
 * Entries and their labels lie in the order in which they were added. Clients repeat their series in the same order, so
 * that the entry after the one found last is usually the next: found without a lookup, in memory that the processor has
 * fetched already. A full cache is emptied. */
#ifndef GATEWAY_INGEST_SERIES_CACHE_H
#define GATEWAY_INGEST_SERIES_CACHE_H

#include "base/buf.h"
#include "model/labels.h"

enum { SERIES_CACHE_ENTRIES = 1 << 16, SERIES_CACHE_BYTES = 8 << 20 /* of labels */ };
struct series_cache_entry { uint64_t hash; uint32_t at, n, count; }; /* at: of its labels in `bytes` */
struct series_cache { /* zeroed: empty, without memory */
    struct series_cache_entry *entries; uint32_t n, cap;
    uint32_t *slots, mask; /* index of an entry + 1, or 0; at most half are used */
    struct buf bytes;
    uint32_t next;
};
void series_cache_free(struct series_cache *c); /* is empty then */
/* The labels, until the next call of put. False: not cached. */
bool series_cache_get(struct series_cache *c, uint64_t hash, struct labels *out) MUST_USE;
void series_cache_put(struct series_cache *c, uint64_t hash, struct labels labels); /* of a hash that is not cached */

#endif
