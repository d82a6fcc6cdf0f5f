// SPDX-License-Identifier: Apache-2.0
/* What a target exposed at its last good scrape: an id per line, in the page's order. Hot lines are entries of a
 * cohort; cold ones (see intern.h) have two hashes, and their texts lie packed in one blob, to be read when one of
 * them vanishes. Belongs to the target's lane.
 */
#ifndef SCRAPER_EXPOSED_H
#define SCRAPER_EXPOSED_H

#include "scraper/intern.h"

/* An id in a list: the number of an entry or ID_COLD, and ID_TIMED when the line had a timestamp of its own. */
#define ID_TIMED 0x80000000u
#define ID_COLD  0x7fffffffu
static inline uint32_t id_entry(uint32_t id) { return id & ~ID_TIMED; }
static inline bool id_cold(uint32_t id) { return id_entry(id) == ID_COLD; }

struct cold {
    uint64_t text; /* hash of the text; the lowest bits instead: dropped by metric_relabel_configs, enum bounds_type */
    uint64_t sum;  /* identity of the series */
};
enum { COLD_DROPPED = 1, COLD_BITS = 7 };
static inline uint64_t cold_text(uint64_t hash, enum bounds_type type)
{
    return (hash & ~(uint64_t)COLD_BITS) | (uint64_t)type << 1;
}
static inline enum bounds_type cold_type(const struct cold *c) { return (enum bounds_type)(c->text >> 1 & 3); }
static inline bool cold_dropped(const struct cold *c) { return c->text & COLD_DROPPED; }

struct exposed {
    struct cohort *cohort;   /* whose ids these are; NULL while empty */
    uint32_t *ids;
    uint32_t n, n_cold;
    struct cold *cold;       /* the k-th belongs to the k-th ID_COLD */
    char *texts;             /* of the cold: each a 4-byte length and the bytes, all snappy-packed */
    uint32_t texts_n;
    bool twins;              /* two lines became one series: look at each scrape which one counts */
};

void exposed_clear(struct exposed *x, struct interner *in);
/* Unpacks the cold texts; at[k] is where the k-th begins in `out` (the bytes behind its length). */
struct str *exposed_texts(const struct exposed *x, struct buf *out); /* n_cold slices; mem_free them */

#endif
