// SPDX-License-Identifier: Apache-2.0
/* Open addressing with linear probing. A deletion moves the entries behind it back to where a probe will look for them,
 * so that there are no tombstones and a table that lives for weeks does not rot. */
#include "base/map.h"
#include "base/compress.h"

enum { FIRST_CAP = 16 };

static uint64_t hash_of(struct str key)
{
    uint64_t h = hash_bytes(key.p, key.n);
    return h ? h : 1; /* 0 marks an empty slot */
}

void map_free(struct map *m)
{
    mem_free(m->slots);
    *m = (struct map){0};
}

void map_clear(struct map *m)
{
    if (m->slots)
        memset(m->slots, 0, m->cap * sizeof m->slots[0]);
    m->n = 0;
}

/* The slot of the key, or the empty one where it belongs. The table has an empty slot. */
static struct map_entry *slot_of(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->slots[i];
        if (e->hash == 0 || (e->hash == hash && str_eq(e->key, key)))
            return e;
    }
}

struct map_entry *map_find(const struct map *m, struct str key)
{
    if (m->n == 0)
        return NULL;
    struct map_entry *e = slot_of(m, key, hash_of(key));
    return e->hash ? e : NULL;
}

void *map_get(const struct map *m, struct str key)
{
    struct map_entry *e = map_find(m, key);
    return e ? e->value.p : NULL;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.cap ? old.cap * 2 : FIRST_CAP;
    m->slots = mem_zalloc(m->cap * sizeof m->slots[0]);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].hash)
            *slot_of(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    mem_free(old.slots);
}

struct map_entry *map_add(struct map *m, struct str key, bool *added)
{
    if (4 * (m->n + 1) > 3 * m->cap)
        grow(m);
    uint64_t hash = hash_of(key);
    struct map_entry *e = slot_of(m, key, hash);
    *added = e->hash == 0;
    if (*added) {
        *e = (struct map_entry){.hash = hash, .key = key};
        m->n++;
    }
    return e;
}

void map_set(struct map *m, struct str key, void *value)
{
    bool added;
    map_add(m, key, &added)->value.p = value;
}

bool map_remove(struct map *m, struct str key)
{
    struct map_entry *e = map_find(m, key);
    if (e == NULL)
        return false;
    size_t mask = m->cap - 1, hole = (size_t)(e - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].hash; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* the hole lies on the way from its home to here */
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_entry){0};
    m->n--;
    return true;
}

struct map_entry *map_next(const struct map *m, struct map_entry *e)
{
    for (size_t i = e ? (size_t)(e - m->slots) + 1 : 0; i < m->cap; i++)
        if (m->slots[i].hash)
            return &m->slots[i];
    return NULL;
}
