// SPDX-License-Identifier: Apache-2.0
/* Records of equal size that are found by a 64-bit identity, and keep their number while they exist.
 *
 * A record begins with its identity, which is a hash and the only key; 0 means that the record is free. The records
 * are in chunks that never move, so that a pointer to one is valid until it is freed, and growing copies nothing.
 * Numbers of freed records are used again. One lane's thread. */
#ifndef WRITER_AGGREGATE_AGGREGATE_TABLE_H
#define WRITER_AGGREGATE_AGGREGATE_TABLE_H

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

#define TABLE_NONE UINT32_MAX
enum { TABLE_CHUNK_BITS = 10, TABLE_CHUNK = 1 << TABLE_CHUNK_BITS /* records of a chunk */, TABLE_SEGMENTS = 64 };

struct table_chunk { char *records; bool changed; };
struct table_segment { struct table_line *lines; uint32_t n_lines, n; };
struct aggregate_table {
    struct table_chunk *chunks; size_t n_chunks, _cap_chunks;
    uint32_t size;      /* bytes of a record, a multiple of 4 */
    uint32_t used;      /* records ever used: their numbers are below */
    uint32_t n;         /* that exist */
    uint32_t free;      /* first free number, or TABLE_NONE; the next one follows the identity */
    struct table_segment *index; /* [TABLE_SEGMENTS], or NULL */
};

void table_init(struct aggregate_table *t, size_t record_size);
void table_free(struct aggregate_table *t); /* not what records point to */
static inline void *table_at(const struct aggregate_table *t, uint32_t i)
{
    return t->chunks[i >> TABLE_CHUNK_BITS].records + (size_t)(i & (TABLE_CHUNK - 1)) * t->size;
}
static inline uint64_t table_id(const struct aggregate_table *t, uint32_t i)
{
    uint64_t id;
    memcpy(&id, table_at(t, i), sizeof id);
    return id;
}
static inline void table_touch(struct aggregate_table *t, uint32_t i)
{
    t->chunks[i >> TABLE_CHUNK_BITS].changed = true;
}
/* For a walk over the records: i, or if that begins a chunk without a record that was touched since the last walk, the
 * beginning of the next one. */
static inline uint32_t table_skip_untouched(struct aggregate_table *t, uint32_t i)
{
    if (i % TABLE_CHUNK != 0 || i >= t->used)
        return i;
    bool changed = t->chunks[i >> TABLE_CHUNK_BITS].changed;
    t->chunks[i >> TABLE_CHUNK_BITS].changed = false;
    return changed ? i : i + TABLE_CHUNK;
}
uint32_t table_find(const struct aggregate_table *t, uint64_t id); /* TABLE_NONE: there is none */
/* Whether it is the record of this number, which has perhaps been forgotten: identities that come in the order in which
 * they were added need no search. */
static inline bool table_is_at(const struct aggregate_table *t, uint32_t i, uint64_t id)
{
    return i < t->used && table_id(t, i) == id;
}
/* A new record, zeroed but for its identity, which is not 0 and not in the table. TABLE_NONE: there are too many. */
enum { TABLE_MOST = 1 << 28 };
uint32_t table_add(struct aggregate_table *t, uint64_t id);
/* It is not found any more; its number remains in use until table_release. */
void table_forget(struct aggregate_table *t, uint32_t i);
void table_release(struct aggregate_table *t, uint32_t i);
size_t table_bytes(const struct aggregate_table *t);

#endif
