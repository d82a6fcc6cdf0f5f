// SPDX-License-Identifier: Apache-2.0
/* A set of series identities, rebuilt for each use in memory that the lane keeps. Open addressing with linear
 * probing over 64-bit keys. Keys are keyed hashes, so that a target cannot provoke collisions; their lowest bit is a
 * mark.
 *
 * The largest number of elements is known: identity_set_start with it, then identity_set_touch while it returns true: it
 * touches some pages of a large table, since its slots are used in random order, and each page would have two faults, at
 * a read and at a write.
 *
 * It is not: identity_set_make_room before some are added. A table that has become too small is moved into a larger one
 * in slices, and identities are looked up in both meanwhile; identity_set_mark needs a set that is settled. */
#ifndef SCRAPER_IDENTITY_SET_H
#define SCRAPER_IDENTITY_SET_H

#include "base/mem_release.h"

#include <stdbool.h>
#include <string.h>

enum { IDENTITY_SET_KEEP = 1 << 17, IDENTITY_SET_TOUCH = 512 << 10 /* bytes, up to 1 ms */ };
enum { IDENTITY_SET_LEAST = 64, IDENTITY_SET_MOVE = 16384 /* slots */ };
struct identity_set {
    uint64_t *slots; size_t cap, n, touched /* bytes */;
    uint64_t *old; size_t old_cap, moved; /* a smaller table, of which the first slots are moved; NULL: none */
};
enum identity_mark { IDENTITY_ABSENT, IDENTITY_FIRST, IDENTITY_AGAIN };

static inline void identity_set_free(struct identity_set *s)
{
    mem_free(s->slots);
    mem_free(s->old);
    *s = (struct identity_set){0};
}

/* One huge scrape is no reason to keep the memory. */
static inline void identity_set_release(struct identity_set *s, struct mem_release *release)
{
    if (s->cap <= IDENTITY_SET_KEEP && s->old == NULL)
        return;
    mem_release_add(release, s->old, s->old_cap * sizeof *s->old);
    mem_release_add(release, s->slots, s->cap * sizeof *s->slots);
    *s = (struct identity_set){0};
}

static inline void identity_set_start(struct identity_set *s, size_t max_elements)
{
    size_t cap = IDENTITY_SET_LEAST;
    while (cap < max_elements * 2)
        cap *= 2;
    mem_free(s->old);
    s->old = NULL;
    s->old_cap = 0;
    /* a huge table is faster zeroed by the kernel page by page */
    if (cap > s->cap || cap < s->cap / 16 || cap > IDENTITY_SET_KEEP) {
        mem_free(s->slots);
        s->slots = mem_zalloc(cap * sizeof *s->slots);
        s->cap = cap;
        s->touched = 0;
    } else {
        memset(s->slots, 0, s->cap * sizeof *s->slots);
    }
    s->n = 0;
}

/* True while there is more to touch. */
static inline bool identity_set_touch(struct identity_set *s)
{
    size_t bytes = s->cap * sizeof *s->slots;
    s->touched = mem_touch(s->slots, bytes, s->touched, IDENTITY_SET_TOUCH);
    return s->touched < bytes;
}

static inline uint64_t *identity_table_slot(uint64_t *slots, size_t cap, uint64_t key)
{
    size_t i = (key * 0x9e3779b97f4a7c15ull >> 20) & (cap - 1);
    while (slots[i] != 0 && (slots[i] & ~1ull) != key)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

/* The slot of the identity, or the free slot for it; *key is set to the key to store. */
static inline uint64_t *identity_set_slot(const struct identity_set *s, uint64_t identity, uint64_t *key)
{
    *key = identity & ~1ull ? identity & ~1ull : 2;
    return identity_table_slot(s->slots, s->cap, *key);
}

/* Moves a slice of the old table; true while there is more. */
static inline bool identity_set_settle(struct identity_set *s)
{
    size_t to = s->old_cap - s->moved > IDENTITY_SET_MOVE ? s->moved + IDENTITY_SET_MOVE : s->old_cap;
    if (s->old == NULL)
        return false;
    for (; s->moved < to; s->moved++)
        if (s->old[s->moved])
            *identity_table_slot(s->slots, s->cap, s->old[s->moved] & ~1ull) = s->old[s->moved];
    if (s->moved < s->old_cap)
        return true;
    mem_free(s->old);
    s->old = NULL;
    s->old_cap = 0;
    return false;
}

/* For `more` elements, much fewer than IDENTITY_SET_MOVE unless the set is small. */
static inline void identity_set_make_room(struct identity_set *s, size_t more)
{
    if (s->old == NULL && (s->n + more) * 2 > s->cap) {
        struct identity_set larger = {.n = s->n, .old = s->slots, .old_cap = s->cap,
                                      .cap = s->cap ? s->cap : IDENTITY_SET_LEAST};
        while (larger.cap < (s->n + more) * 2)
            larger.cap *= 2;
        larger.slots = mem_zalloc(larger.cap * sizeof *larger.slots);
        *s = larger;
    }
    identity_set_settle(s);
}

/* False: already in the set. */
static inline bool identity_set_add(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    if (*slot || (s->old && *identity_table_slot(s->old, s->old_cap, key)))
        return false;
    *slot = key;
    s->n++;
    return true;
}

static inline bool identity_set_has(const struct identity_set *s, uint64_t identity)
{
    uint64_t key;
    return s->n > 0 && (*identity_set_slot(s, identity, &key) != 0 ||
                        (s->old && *identity_table_slot(s->old, s->old_cap, key) != 0));
}

/* Marks the identity, adding it if absent. Returns its state before. */
static inline enum identity_mark identity_set_mark(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    enum identity_mark was = *slot == 0 ? IDENTITY_ABSENT : *slot & 1 ? IDENTITY_AGAIN : IDENTITY_FIRST;
    s->n += was == IDENTITY_ABSENT;
    *slot = key | 1;
    return was;
}

#endif
