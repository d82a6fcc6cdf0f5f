// SPDX-License-Identifier: Apache-2.0
/* The scrape cache: the series of a target's last successful scrape, one id per line, in order. A line is either an
 * entry of a template group, or *uncached* (see template.h): then two hashes are stored, and its text, compressed, to
 * be read again if the series vanishes. Owned by the target's lane.
 *
 * Memory: 4 bytes for a line that is an entry, 20 and the compressed text for an uncached one, which takes 3 bytes where
 * the texts of a target differ from those of others by the same label values. Over 10,000 targets of 100 series the heap
 * grows by 4.5 bytes a series if they share their texts, else by 23.5 beyond INTERN_PRIVATE_MAX and 1.5 MB of a lane for
 * `seen` and zstd (tests/bench/scrape_bench.c). */
#ifndef SCRAPER_SCRAPE_CACHE_H
#define SCRAPER_SCRAPE_CACHE_H

#include "scraper/page/template.h"

/* An id: the number of an entry or ID_UNCACHED, plus ID_TIMED if the line had its own timestamp. */
#define ID_TIMED 0x80000000u
#define ID_UNCACHED  0x7fffffffu
static inline uint32_t id_entry(uint32_t id) { return id & ~ID_TIMED; }
static inline bool id_uncached(uint32_t id) { return id_entry(id) == ID_UNCACHED; }

struct uncached {
    uint64_t text; /* hash of the text; its lowest bits are replaced: dropped by metric_relabel_configs, enum
                    * bounds_type */
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
    struct template_group *templates; /* that the ids belong to; NULL while empty */
    uint32_t *ids;
    uint32_t n, n_uncached;
    struct uncached *uncached; /* the k-th belongs to the k-th ID_UNCACHED */
    struct buf texts;        /* of the uncached lines, in frames: see scrape_cache_add_text */
    uint32_t cap;            /* of ids */
    struct buf exemplars;    /* a hash of each exemplar, in the order of the page (exemplars.h) */
    bool duplicates;         /* two lines are the same series: each scrape must decide which one counts */
};

void scrape_cache_clear(struct scrape_cache *x, struct interner *in);
/* Clears up to `lines` lines; true while there are more. */
bool scrape_cache_clear_some(struct scrape_cache *x, struct interner *in, size_t lines);

/* A frame is a 4-byte length and that many zstd-compressed bytes: complete texts, each a 4-byte length and its bytes,
 * about 64 KiB together, to bound the time of one (de)compression. */
/* `frame` belongs to the caller, initially empty. */
void scrape_cache_add_text(struct scrape_cache *x, struct interner *in, struct buf *frame, struct str text);
void scrape_cache_flush_texts(struct scrape_cache *x, struct interner *in, struct buf *frame);
struct cached_text_reader { struct buf frame; size_t at, next; }; /* zeroed: before the first text */
/* The result is valid until the next call. */
struct str scrape_cache_next_text(const struct scrape_cache *x, struct interner *in, struct cached_text_reader *r);

#endif
