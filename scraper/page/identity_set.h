// SPDX-License-Identifier: Apache-2.0
/* A set of series identities, rebuilt for each use in memory that the lane keeps. Open addressing with linear
 * probing over 64-bit keys. Keys are keyed hashes, so that a target cannot provoke collisions; their lowest bit is a
 * mark. identity_set_start must be called with the largest number of elements, then identity_set_touch while it returns
 * true: it touches some pages of a large table, since its slots are used in random order, and each page would have two
 * faults, at a read and at a write. */
#ifndef SCRAPER_IDENTITY_SET_H
#define SCRAPER_IDENTITY_SET_H

#include "base/mem_release.h"

#include <stdbool.h>
#include <string.h>

enum { IDENTITY_SET_KEEP = 1 << 17, IDENTITY_SET_TOUCH = 512 << 10 /* bytes, up to 1 ms */ };
struct identity_set { uint64_t *slots; size_t cap, n, touched /* bytes */; };
enum identity_mark { IDENTITY_ABSENT, IDENTITY_FIRST, IDENTITY_AGAIN };

static inline void identity_set_free(struct identity_set *s) { mem_free(s->slots); }

/* One huge scrape is no reason to keep the memory. */
static inline void identity_set_release(struct identity_set *s, struct mem_release *release)
{
    if (s->cap <= IDENTITY_SET_KEEP)
        return;
    mem_release_add(release, s->slots, s->cap * sizeof *s->slots);
    *s = (struct identity_set){0};
}

static inline void identity_set_start(struct identity_set *s, size_t max_elements)
{
    size_t cap = 64;
    while (cap < max_elements * 2)
        cap *= 2;
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

/* The slot of the identity, or the free slot for it; *key is set to the key to store. */
static inline uint64_t *identity_set_slot(const struct identity_set *s, uint64_t identity, uint64_t *key)
{
    *key = identity & ~1ull ? identity & ~1ull : 2;
    size_t i = (*key * 0x9e3779b97f4a7c15ull >> 20) & (s->cap - 1);
    while (s->slots[i] != 0 && (s->slots[i] & ~1ull) != *key)
        i = (i + 1) & (s->cap - 1);
    return &s->slots[i];
}

/* False: already in the set. */
static inline bool identity_set_add(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    if (*slot)
        return false;
    *slot = key;
    s->n++;
    return true;
}

static inline bool identity_set_has(const struct identity_set *s, uint64_t identity)
{
    uint64_t key;
    return s->n > 0 && *identity_set_slot(s, identity, &key) != 0;
}

/* Marks the identity, adding it if absent. Returns its state before. */
static inline enum identity_mark identity_set_mark(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    enum identity_mark was = *slot == 0 ? IDENTITY_ABSENT : *slot & 1 ? IDENTITY_AGAIN : IDENTITY_FIRST;
    *slot = key | 1;
    return was;
}

#endif
