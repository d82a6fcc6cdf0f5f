// SPDX-License-Identifier: Apache-2.0
/* A hash table from byte strings to pointers or numbers: open addressing, power-of-two size, linear probing, grows at
 * 3/4 a few entries at a time, deletes by shifting back; keyed hashes, so that peers may choose the keys. Keys are
 * borrowed: they must stay where they are while the entry lives (they are usually a field of the value). Iteration
 * order is the table's; nobody may depend on it. One thread at a time.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

union map_value { void *p; uint64_t u; };
struct map_entry {
    uint64_t hash; /* 0 = empty slot */
    struct str key;
    union map_value value;
};
struct map {
    struct map_entry *slots; /* NULL while empty */
    size_t n, cap;           /* entries, slots */
    struct map_entry *_old;  /* the table before the last growth, until all of it has moved; NULL */
    size_t _old_cap, _moved; /* its slots; so many of them have moved */
};

void map_free(struct map *m); /* the table, not what it points to */
void *map_get(const struct map *m, struct str key); /* NULL when absent */
struct map_entry *map_find(const struct map *m, struct str key);
/* Finds or adds (value zero). *added tells which. The entry is valid until the next change of the map. */
struct map_entry *map_add(struct map *m, struct str key, bool *added);
void map_set(struct map *m, struct str key, void *value);
bool map_remove(struct map *m, struct str key);
/* for (struct map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e)) */
struct map_entry *map_next(const struct map *m, struct map_entry *e);
/* A walk during which entries may be added: it meets all that are there from its begin to its end, some of them twice.
 * Begins with a zeroed struct map_walk. Removing is not allowed. */
struct map_walk { size_t _cap, _old_at, _at; };
struct map_entry *map_walk_next(const struct map *m, struct map_walk *w);

#endif
