// SPDX-License-Identifier: Apache-2.0
/* Results of a stream's relabel rules by label set: 16 bytes per series, and the labels if the rules change them. The
 * hash of the labels (hash_keyed) is the only key. One lane's thread.
 *
 * The cache consists of many small tables, chosen by the upper bits of the hash, each with a separate limit: growing or
 * clearing one takes less than 0.1 ms for any number of series. */
#ifndef WRITER_PIPELINE_RELABEL_CACHE_H
#define WRITER_PIPELINE_RELABEL_CACHE_H

#include "base/buf.h"
#include "model/labels.h"

enum { RELABEL_TABLES = 256, RELABEL_TABLE_ENTRIES = 4096, RELABEL_TABLE_BYTES = 256 << 10 }; /* 1M series, 64 MiB */

enum relabel_result { RELABEL_ENTRY_NONE, RELABEL_ENTRY_SAME, RELABEL_ENTRY_DROPPED, RELABEL_ENTRY_CHANGED };
/* CHANGED: bytes at `at` of texts; n_kind = n << 2 | kind */
struct relabel_entry { uint64_t hash; uint32_t at, n_kind; };
struct relabel_cache { /* zeroed: empty */
    struct relabel_table { struct relabel_entry *entries; uint32_t n, cap; struct buf texts; } *tables;
};
void relabel_cache_free(struct relabel_cache *c);
/* The result for `in`, whose hash it is: NONE if it is not cached; *out is set for SAME and CHANGED, until the next
 * relabel_cache_put. */
enum relabel_result relabel_cache_get(const struct relabel_cache *c, uint64_t hash, struct labels in,
                                      struct labels *out);
/* Once for each hash that is not cached. A full table is cleared first. */
void relabel_cache_put(struct relabel_cache *c, uint64_t hash, struct labels in, bool kept, struct labels out);

#endif
