// SPDX-License-Identifier: Apache-2.0
/* A set of series identities, made anew for each use; its memory stays with the lane. Linear probing over 64-bit keys,
 * which are keyed hashes (no page can choose where they go) and whose lowest bit is a mark. Room must be asked for in
 * identity_set_start.
 */
#ifndef SCRAPER_IDENTITY_SET_H
#define SCRAPER_IDENTITY_SET_H

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

enum { IDENTITY_SET_KEEP = 1 << 17 };
struct identity_set { uint64_t *slots; size_t cap, n; };
enum identity_mark { IDENTITY_ABSENT, IDENTITY_FIRST, IDENTITY_AGAIN };

static inline void identity_set_free(struct identity_set *s) { mem_free(s->slots); }

static inline void identity_set_start(struct identity_set *s, size_t most)
{
    size_t cap = 64;
    while (cap < most * 2)
        cap *= 2;
    if (cap > s->cap || cap < s->cap / 16 || cap > IDENTITY_SET_KEEP) { /* a huge table comes zeroed from the kernel,
        page by page as it is used, and one huge page is no reason to keep it */
        mem_free(s->slots);
        s->slots = mem_zalloc(cap * sizeof *s->slots);
        s->cap = cap;
    } else {
        memset(s->slots, 0, s->cap * sizeof *s->slots);
    }
    s->n = 0;
}

/* Where the identity is, or the free slot where it would go; *key gets what stands there. */
static inline uint64_t *identity_set_slot(const struct identity_set *s, uint64_t identity, uint64_t *key)
{
    *key = identity & ~1ull ? identity & ~1ull : 2;
    size_t i = (*key * 0x9e3779b97f4a7c15ull >> 20) & (s->cap - 1);
    while (s->slots[i] != 0 && (s->slots[i] & ~1ull) != *key)
        i = (i + 1) & (s->cap - 1);
    return &s->slots[i];
}

/* False when it was there. */
static inline bool identity_set_add(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    if (*slot)
        return false;
    *slot = key;
    s->n++;
    return true;
}

/* Marks it, adding it when it is absent: afterwards it is there and marked. */
static inline enum identity_mark identity_set_mark(struct identity_set *s, uint64_t identity)
{
    uint64_t key, *slot = identity_set_slot(s, identity, &key);
    enum identity_mark was = *slot == 0 ? IDENTITY_ABSENT : *slot & 1 ? IDENTITY_AGAIN : IDENTITY_FIRST;
    *slot = key | 1;
    return was;
}

#endif
