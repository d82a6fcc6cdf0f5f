// SPDX-License-Identifier: Apache-2.0
/* Labels of series that clients push again and again, by the hash (hash_keyed) of what they are made of: the text in the
 * body, and the parameters that add labels. One lane's thread.
 *
 * Entries and their labels lie in the order in which they were added. Clients repeat their series in the same order, so
 * that the entry after the one found last is usually the next: found without a lookup, in memory that the processor has
 * fetched already. With the text that the body has for it, nothing of a series that was expected is parsed or hashed. A
 * full cache is emptied. */
#ifndef GATEWAY_INGEST_SERIES_CACHE_H
#define GATEWAY_INGEST_SERIES_CACHE_H

#include "base/buf.h"
#include "model/labels.h"

enum { SERIES_CACHE_ENTRIES = 1 << 16, SERIES_CACHE_BYTES = 16 << 20 /* of labels and texts */ };
struct series_cache_entry {
    uint64_t hash, same;                /* same: hash of the parameters; of entries with a text */
    uint32_t at, n, count, text_n;      /* at: of its labels in `bytes`; its text follows */
    bool continues;                     /* its text continues the line of the entry before */
};
struct series_cache { /* zeroed: empty, without memory */
    struct series_cache_entry *entries; uint32_t n, cap;
    uint32_t *slots, mask; /* index of an entry + 1, or 0; at most half are used */
    struct buf bytes;
    uint32_t next;
};
void series_cache_free(struct series_cache *c); /* is empty then */
/* The labels, until the next call of put. False: not cached. */
bool series_cache_get(struct series_cache *c, uint64_t hash, struct labels *out) MUST_USE;
/* Of a hash that is not cached. text: what the body has for it with parameters of the hash `same`; empty: it is never
 * expected. before: 0, or the hash of the series that the line of the text has before it: only behind that one is it
 * expected. */
void series_cache_put(struct series_cache *c, uint64_t hash, struct labels labels, uint64_t same, struct str text,
                      uint64_t before);
/* The text of the i-th series of a line that is expected next; empty: none. Until the next call of put. */
struct str series_cache_expected(const struct series_cache *c, uint64_t same, size_t i);
/* Its labels. */
struct labels series_cache_labels(const struct series_cache *c, size_t i);
void series_cache_advance(struct series_cache *c, size_t n); /* n expected series have come */

#endif
