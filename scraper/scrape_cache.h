// SPDX-License-Identifier: Apache-2.0
/* What a target exposed at its last good scrape: an id per line, in the page's order. Hot lines are entries of a
 * cohort; cold ones (see template.h) have two hashes, and their texts lie packed in one blob, to be read when one of
 * them vanishes. Belongs to the target's lane.
 */
#ifndef SCRAPER_SCRAPE_CACHE_H
#define SCRAPER_SCRAPE_CACHE_H

#include "scraper/template.h"

/* An id in a list: the number of an entry or ID_UNCACHED, and ID_TIMED when the line had a timestamp of its own. */
#define ID_TIMED 0x80000000u
#define ID_UNCACHED  0x7fffffffu
static inline uint32_t id_entry(uint32_t id) { return id & ~ID_TIMED; }
static inline bool id_uncached(uint32_t id) { return id_entry(id) == ID_UNCACHED; }

struct uncached {
    uint64_t text; /* hash of the text; the lowest bits instead: dropped by metric_relabel_configs, enum bounds_type */
    uint64_t sum;  /* identity of the series */
};
enum { UNCACHED_DROPPED = 1, UNCACHED_BITS = 7 };
static inline uint64_t uncached_text(uint64_t hash, enum bounds_type type)
{
    return (hash & ~(uint64_t)UNCACHED_BITS) | (uint64_t)type << 1;
}
static inline enum bounds_type uncached_type(const struct uncached *c) { return (enum bounds_type)(c->text >> 1 & 3); }
static inline bool uncached_dropped(const struct uncached *c) { return c->text & UNCACHED_DROPPED; }

struct scrape_cache {
    struct template_group *templates; /* whose ids these are; NULL while empty */
    uint32_t *ids;
    uint32_t n, n_uncached;
    struct uncached *uncached; /* the k-th belongs to the k-th ID_UNCACHED */
    struct buf texts;        /* of the cold, in frames: see struct exposed_writer */
    bool duplicates;         /* two lines became one series: look at each scrape which one counts */
};

void scrape_cache_clear(struct scrape_cache *x, struct interner *in);
/* The same for up to `most` lines; true while there are more. */
bool exposed_clear_some(struct scrape_cache *x, struct interner *in, size_t most);

/* A frame is a 4-byte length and so many bytes that snappy has packed: whole texts, each a 4-byte length and its bytes,
 * about 64 KiB together, so that neither packing nor unpacking takes long. */
/* `frame`: the caller's, empty at first */
void exposed_add_text(struct scrape_cache *x, struct buf *frame, struct str text);
void exposed_end_texts(struct scrape_cache *x, struct buf *frame);
struct exposed_reader { struct buf frame; size_t at, next; }; /* zeroed: before the first */
struct str exposed_next_text(const struct scrape_cache *x, struct exposed_reader *r); /* valid until the next call */

#endif
