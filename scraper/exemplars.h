// SPDX-License-Identifier: Apache-2.0
/* Exemplars of a page. A target repeats an exemplar until it has a newer one, so only those are sent that the last page
 * did not have for the same series: the cache keeps a hash of each, in the order of the page. One that has moved by more
 * than EXEMPLARS_RESYNC is sent again, which receivers ignore. Lane's thread only. */
#ifndef SCRAPER_EXEMPLARS_H
#define SCRAPER_EXEMPLARS_H

#include "scraper/page_reader.h"

struct exemplar_writer {
    size_t next;           /* in the reader's exemplars */
    size_t expect;         /* in the cache's */
    struct buf hashes;     /* of those of this page that are sent or known */
    struct buf message;    /* of the last one */
};
void exemplar_writer_start(struct exemplar_writer *w);
void exemplar_writer_free(struct exemplar_writer *w);

/* Whether the staged line has an exemplar; lines are asked for in order, those without a sample may be left out. */
static inline bool exemplar_writer_has(struct exemplar_writer *w, const struct page_reader *r, size_t line)
{
    while (w->next < r->n_exemplars && r->exemplars[w->next].line < line)
        w->next++;
    return w->next < r->n_exemplars && r->exemplars[w->next].line == line;
}
/* The exemplar that exemplar_writer_has has found, as a message; valid until the next call. False: it is not to be sent.
 * Uses the reader's interner. */
bool exemplar_writer_next(struct exemplar_writer *w, struct page_reader *r, struct str *message);
/* The cache gets the hashes. */
void exemplar_writer_end(struct exemplar_writer *w, const struct page_reader *r, struct scrape_cache *last);

#endif
