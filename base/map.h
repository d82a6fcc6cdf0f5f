// SPDX-License-Identifier: Apache-2.0
/* A hash table from byte strings to pointers or numbers: open addressing, power-of-two size, linear probing. It grows
 * before 3/4 load, a few entries at a time, and deletes by shifting back. Hashes are keyed, so peers may choose the keys.
 * Keys are borrowed: they must not move while the entry exists (usually a key is a field of the value). The iteration
 * order is unspecified. One thread at a time.
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
    struct map_entry *_old;  /* the table before the last growth, until all its entries have moved; NULL */
    size_t _old_cap, _moved; /* slots of _old; how many of them have moved */
    struct map_entry *_next; /* the table after the next growth, while its pages are touched; NULL */
    size_t _touched;         /* bytes of _next */
};

void map_free(struct map *m); /* frees the table, not the values */
void *map_get(const struct map *m, struct str key); /* NULL when absent */
struct map_entry *map_find(const struct map *m, struct str key);
/* Finds the key or adds it with value zero; *added says which. The entry is valid until the map changes. */
struct map_entry *map_add(struct map *m, struct str key, bool *added);
void map_set(struct map *m, struct str key, void *value);
bool map_remove(struct map *m, struct str key);
/* for (struct map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e)) */
struct map_entry *map_next(const struct map *m, struct map_entry *e);
/* An iteration during which entries may be added. It visits every entry that exists from start to end, possibly
 * twice. Starts with a zeroed struct map_walk. Removing is not allowed. */
struct map_walk { size_t _cap, _old_at, _at; };
struct map_entry *map_walk_next(const struct map *m, struct map_walk *w);

#endif
