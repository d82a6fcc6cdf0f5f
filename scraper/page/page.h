// SPDX-License-Identifier: Apache-2.0
/* One page (scrape response) from its text to the sink and the target's cache. A lane has one struct page and works on
 * one page at a time, in steps between which it returns to its loop; other responses queue. Its parts:
 *
 *   page_reader.h  parses the text into staged samples
 *   page.c         compares them with the last page, writes them, and makes them the target's cache
 *   series_limit.h which series the target may have
 *   exemplars.h    exemplars that are new since the last page
 *   stale.h        writes stale markers for the series that the page no longer has
 *   page_result.h  what was found
 *
 * 1. page_start, then page_parse until it does not return PAGE_MORE.
 * 2. PAGE_COMPLETE: page_compare (finds new and vanished series and duplicates), page_limit, page_write,
 *    page_mark_vanished and page_update_cache, each while it returns true.
 * 3. PAGE_INVALID: result.err is set and nothing was written. The caller ends the series of the last page.
 * 4. Always: page_end while it returns true. It needs neither text, target nor cache any more.
 *
 * Identities are compared only when the lines differ from those of the last page.
 */
#ifndef SCRAPER_PAGE_H
#define SCRAPER_PAGE_H

#include "model/sink.h"
#include "scraper/page/exemplars.h"
#include "scraper/page/page_reader.h"
#include "scraper/page/stale.h"

/* Samples per batch for the sink. Those of a page with other lines than the last one may all be new to the recent
 * store, whose growing tables then touch up to five new pages of memory for each: where a page fault takes 7 us, as on
 * a virtual machine, a batch takes 2 ms. */
enum { PAGE_BATCH = 500, PAGE_BATCH_CHANGED = 50 };

struct page {
    struct sink *sink;
    struct page_reader reader;
    struct page_result result;
    struct marker_writer markers; /* its set: the series of this page */
    struct identity_set times;   /* samples by series and time, if lines have their own timestamps */
    struct exemplar_writer exemplars;
    struct buf labels, texts;    /* scratch; texts: a frame of uncached ones */
    struct scrape_cache *last;
    bool comparing, ready;       /* page_compare has begun; its sets are ready */
    size_t compared, compared_uncached; /* progress of page_compare: staged lines, uncached lines */
    struct series_limit *limit;  /* of the target; NULL: none */
    size_t limited, limited_uncached; /* progress of page_limit: staged lines, uncached lines */
    enum { LIMIT_BEGIN, LIMIT_LINES, LIMIT_DONE } limiting;
    size_t written;              /* staged samples that are written */
    struct scrape_cache next;    /* built by page_update_cache from the first next.n staged lines */
    enum { UPDATE_BEGIN, UPDATE_LINES, UPDATE_CLEAR } updating;
};

void page_init(struct page *p, struct interner *in, struct sink *sink);
void page_free(struct page *p);

/* Everything is borrowed until page_update_cache is done. t: the time of samples without their own timestamp. */
void page_start(struct page *p, uint64_t source, const struct target_labels *target, struct template_group *c,
                struct scrape_cache *last, struct series_limit *limit, struct page_text text, int64_t t);
enum page_state page_parse(struct page *p, size_t lines);
/* Each does part of its work, about as long as page_parse with this number of lines, and returns true while there is
 * more. */
bool page_compare(struct page *p, size_t lines);
bool page_limit(struct page *p, size_t lines); /* after page_compare: drops samples beyond the limit of series */
bool page_write(struct page *p);   /* one batch */
bool page_mark_vanished(struct page *p, int64_t t); /* one batch; before page_update_cache */
bool page_update_cache(struct page *p, size_t lines);   /* the page becomes *last */
bool page_end(struct page *p, size_t lines);

#endif
