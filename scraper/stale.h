// SPDX-License-Identifier: Apache-2.0
/* Writes stale markers for series of a target that ended: for those that a page does not show any more (each page has a
 * writer of its own) and for all of a target that failed or is gone (the lane's writer, also while a page of another
 * target is half read). See stale.c.
 */
#ifndef SCRAPER_STALE_H
#define SCRAPER_STALE_H

#include "model/sink.h"
#include "scraper/scrape_cache.h"
#include "scraper/identity_set.h"

struct marker_writer {
    struct interner *interner;
    struct sink *sink;
    struct identity_set set;     /* what lives */
    uint32_t *gone;              /* places in last->ids of series that ended */
    size_t n_gone, gone_cap;
    size_t found, found_cold;    /* lines, and cold ones, of `last` that markers_find_gone is past */
    size_t common;               /* of which the set holds */
    size_t written, at, at_cold; /* of gone; lines, and cold ones, of `last` that the markers are past */
    struct exposed_reader texts;
    struct buf labels;
    /* whose they are; borrowed: */
    uint64_t source;             /* id of the target */
    const struct target_labels *target;
    struct scrape_cache *last;
    size_t markers, busy;        /* written; refused by the sink */
};

void marker_writer_init(struct marker_writer *w, struct interner *in, struct sink *sink);
void marker_writer_free(struct marker_writer *w);
/* Begins for a target; the counts are 0 again. */
void marker_writer_start(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                         struct scrape_cache *last);
/* Fills `gone` with what `set` does not hold; looks at `most` lines. True while there are more. */
bool markers_find_gone(struct marker_writer *w, size_t most);
/* Writes one batch; true while something is left. */
bool markers_write(struct marker_writer *w, int64_t t);
/* Begins to end every series of *last; markers_end_some then ends them at time t and forgets them, about `most` lines at
 * once. True while something is left. */
void markers_end_begin(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                       struct scrape_cache *last);
bool markers_end_some(struct marker_writer *w, int64_t t, size_t most);
/* Both, at once. */
void markers_end_all(struct marker_writer *w, uint64_t source, const struct target_labels *target,
                     struct scrape_cache *last, int64_t t);

#endif
