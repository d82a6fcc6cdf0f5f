// SPDX-License-Identifier: Apache-2.0
/* Writes stale markers: for series that a page no longer contains (each page has its own writer), and for all series of
 * a failed or removed target (the lane's writer, which can be used while another target's page is half parsed).
 * Algorithm: stale.c. */
#ifndef SCRAPER_STALE_H
#define SCRAPER_STALE_H

#include "model/sink.h"
#include "scraper/page/scrape_cache.h"
#include "scraper/page/series_limit.h"

/* Which series a scrape had, without their order: equal digests are equal series. */
struct series_digest { uint64_t sum; size_t n; };
static inline void series_digest_add(struct series_digest *d, uint64_t identity)
{
    d->sum += identity * 0x9e3779b97f4a7c15ull; /* identities are sums themselves */
    d->n++;
}

struct marker_writer {
    struct interner *interner;
    struct sink *sink;
    struct identity_set set;     /* identities of the live series */
    uint32_t *removed;              /* indexes in last->ids of series that ended */
    size_t n_removed, removed_cap;
    size_t found, found_uncached;    /* progress of markers_find_gone in `last`: lines, uncached lines */
    size_t common;               /* number of those that the set contains */
    struct series_digest ended;  /* of the series that the set does not contain */
    size_t written, at, at_uncached; /* progress of markers_write: in `removed`; in `last`: lines, uncached lines */
    struct cached_text_reader texts;
    struct buf labels;
    /* the target's; borrowed */
    uint64_t source;             /* id of the target */
    const struct target_labels *target;
    struct scrape_cache *last;
    bool also;                   /* it is the second one that is ended: the set may be too small */
    bool timed;                  /* series whose samples had their own timestamps get markers, too */
    const struct series_limit *limit; /* NULL: every series was written */
    size_t markers, busy;        /* written; refused by the sink */
};

void marker_writer_init(struct marker_writer *w, struct interner *in, struct sink *sink);
void marker_writer_free(struct marker_writer *w);
/* Releases the memory that a large target needed. */
void marker_writer_end(struct marker_writer *w);
/* Starts for a target; resets the counts. */
void marker_writer_start(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                         struct scrape_cache *last, const struct series_limit *limit);
/* Adds the lines of *last that `set` does not contain to `removed`; checks up to `lines` lines. True while there are
 * more. */
bool markers_find_gone(struct marker_writer *w, size_t lines);
/* Writes one batch; true while there are more. */
bool markers_write(struct marker_writer *w, int64_t t);
/* Ends every series of *last. markers_end_begin starts; each markers_end_some writes markers for about `lines` lines at
 * time t and clears them. True while there are more. */
void markers_end_begin(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                       struct scrape_cache *last, const struct series_limit *limit);
bool markers_end_some(struct marker_writer *w, int64_t t, size_t lines);
/* Then, those of another cache of the target; of series that both have, the first one's is written. */
void markers_end_also(struct marker_writer *w, struct scrape_cache *also);
/* All of the first, to the end. */
void markers_end_all(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                     struct scrape_cache *last, const struct series_limit *limit, int64_t t);

#endif
