// SPDX-License-Identifier: Apache-2.0
/* The hash table: open addressing with linear probing. A deletion shifts the following entries back towards their
 * home slots, so there are no tombstones and a table that lives for weeks does not degrade.
 *
 * Slots are chosen by a hash under the secret of the process (hash_keyed), so a peer that chooses the keys cannot
 * choose the slots.
 *
 * A large table grows without a pause, since moving a million entries would block a lane for 100 ms, and so would the
 * page faults of a new table, whose slots are used in random order: an empty slot is read, then written, which are two
 * faults, 2 to 7 us each.
 *
 *   1. At 2/3 load a table of twice the size is allocated as `_next`. Each addition touches the next TOUCHED_AT_ONCE
 *      bytes of it, one page in four additions.
 *   2. When all its pages are there, before 3/4 load, it becomes the table, and the previous one is kept as `_old`.
 *   3. Each addition moves the next MOVED_AT_ONCE slots of `_old`. When the last one has moved the new table is at
 *      most 7/16 full, so `_old` is empty long before the next growth.
 *   4. A key that is not in the new table is looked up in `_old`, in the slots that have not moved. Moved slots keep
 *      their hashes, so that probes pass through them; so does a deleted one (key.n = NO_KEY).
 */
#include "base/map.h"
#include "base/hash.h"

enum { FIRST_CAP = 16, MOVED_AT_ONCE = 8, MOVED_IN_ONE_STEP = 1024 /* slots of a table that moves completely */,
       TOUCHED_AT_ONCE = 1024 };
#define NO_KEY SIZE_MAX

static uint64_t hash_of(struct str key)
{
    uint64_t h = hash_keyed(key.p, key.n);
    return h ? h : 1; /* 0 marks an empty slot */
}

static void free_old(struct map *m)
{
    mem_free(m->_old);
    m->_old = NULL;
    m->_old_cap = m->_moved = 0;
}

void map_free(struct map *m)
{
    free_old(m);
    mem_free(m->slots);
    mem_free(m->_next);
    *m = (struct map){0};
}

/* The slot of the key, or the empty slot where it belongs. The table has an empty slot. */
static struct map_entry *map_slot_of(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->slots[i];
        if (e->hash == 0 || (e->hash == hash && str_eq(e->key, key)))
            return e;
    }
}

static struct map_entry *find_old(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->_old_cap - 1;
    for (size_t i = hash & mask; m->_old[i].hash; i = (i + 1) & mask) /* the key of a moved slot may be freed */
        if (i >= m->_moved && m->_old[i].hash == hash && str_eq(m->_old[i].key, key))
            return &m->_old[i];
    return NULL;
}

static struct map_entry *find_hashed(const struct map *m, struct str key, uint64_t hash)
{
    struct map_entry *e = map_slot_of(m, key, hash);
    if (e->hash)
        return e;
    return m->_old ? find_old(m, key, hash) : NULL;
}

struct map_entry *map_find(const struct map *m, struct str key)
{
    return m->n > 0 ? find_hashed(m, key, hash_of(key)) : NULL;
}

void *map_get(const struct map *m, struct str key)
{
    struct map_entry *e = map_find(m, key);
    return e ? e->value.p : NULL;
}

/* --- growing ------------------------------------------------------------------------------------------------------ */

static void move_slots(struct map *m, size_t n)
{
    size_t mask = m->cap - 1, end = m->_old_cap - m->_moved > n ? m->_moved + n : m->_old_cap;
    for (; m->_moved < end; m->_moved++) {
        const struct map_entry *from = &m->_old[m->_moved];
        if (from->hash == 0 || from->key.n == NO_KEY)
            continue;
        size_t i = from->hash & mask;
        while (m->slots[i].hash)
            i = (i + 1) & mask;
        m->slots[i] = *from;
    }
    if (m->_moved == m->_old_cap)
        free_old(m);
}

/* Makes `slots`, empty and twice the size, the table. */
static void map_switch(struct map *m, struct map_entry *slots)
{
    if (m->_old)
        move_slots(m, SIZE_MAX);
    m->_old = m->slots;
    m->_old_cap = m->cap;
    m->cap = m->cap ? m->cap * 2 : FIRST_CAP;
    m->slots = slots;
}

static void map_grow_small(struct map *m)
{
    map_switch(m, mem_zalloc((m->cap ? m->cap * 2 : FIRST_CAP) * sizeof *m->slots));
    move_slots(m, SIZE_MAX);
}

/* A part of the way to a table of twice the size. */
static void map_grow_large(struct map *m)
{
    size_t bytes = 2 * m->cap * sizeof *m->slots;
    if (m->_next == NULL)
        m->_next = mem_zalloc(bytes);
    m->_touched = mem_touch(m->_next, bytes, m->_touched, TOUCHED_AT_ONCE);
    if (m->_touched < bytes)
        return;
    map_switch(m, m->_next);
    m->_next = NULL;
    m->_touched = 0;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

struct map_entry *map_add(struct map *m, struct str key, bool *added)
{
    if (m->_old)
        move_slots(m, MOVED_AT_ONCE);
    if (m->cap > MOVED_IN_ONE_STEP && 3 * (m->n + 1) > 2 * m->cap)
        map_grow_large(m);
    else if (4 * (m->n + 1) > 3 * m->cap)
        map_grow_small(m);
    uint64_t hash = hash_of(key);
    struct map_entry *e = map_slot_of(m, key, hash), *old;
    *added = false;
    if (e->hash)
        return e;
    if (m->_old && (old = find_old(m, key, hash)))
        return old;
    *added = true;
    *e = (struct map_entry){.hash = hash, .key = key};
    m->n++;
    return e;
}

void map_set(struct map *m, struct str key, void *value)
{
    bool added;
    map_add(m, key, &added)->value.p = value;
}

static void map_close_gap(struct map *m, size_t gap)
{
    size_t mask = m->cap - 1;
    for (size_t i = (gap + 1) & mask; m->slots[i].hash; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) { /* the gap is between the home slot and this one */
            m->slots[gap] = m->slots[i];
            gap = i;
        }
    }
    m->slots[gap] = (struct map_entry){0};
}

static bool is_old(const struct map *m, const struct map_entry *e)
{
    return m->_old && e >= m->_old && e < m->_old + m->_old_cap;
}

bool map_remove(struct map *m, struct str key)
{
    struct map_entry *e = map_find(m, key);
    if (e == NULL)
        return false;
    if (is_old(m, e))
        e->key = str_n(NULL, NO_KEY);
    else
        map_close_gap(m, (size_t)(e - m->slots));
    m->n--;
    return true;
}

/* --- iteration ---------------------------------------------------------------------------------------------------- */

/* Old slots first: an entry that moves during the iteration moves to a slot not visited yet. */
static struct map_entry *next_entry(const struct map *m, size_t *old_at, size_t *at)
{
    size_t from = *old_at > m->_moved ? *old_at : m->_moved;
    for (; from < m->_old_cap; from++)
        if (m->_old[from].hash && m->_old[from].key.n != NO_KEY) {
            *old_at = from + 1;
            return &m->_old[from];
        }
    *old_at = SIZE_MAX;
    while (*at < m->cap)
        if (m->slots[(*at)++].hash)
            return &m->slots[*at - 1];
    return NULL;
}

struct map_entry *map_next(const struct map *m, struct map_entry *e)
{
    size_t old_at = 0, at = 0;
    if (e && is_old(m, e)) {
        old_at = (size_t)(e - m->_old) + 1;
    } else if (e) {
        old_at = SIZE_MAX;
        at = (size_t)(e - m->slots) + 1;
    }
    return next_entry(m, &old_at, &at);
}

struct map_entry *map_walk_next(const struct map *m, struct map_walk *w)
{
    if (w->_cap != m->cap)
        *w = (struct map_walk){._cap = m->cap};
    return next_entry(m, &w->_old_at, &w->_at);
}
