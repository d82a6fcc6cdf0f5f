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
 * In parts (stream_parse): the samples of a page are written while it arrives, so that its text is never complete in
 * memory. Such a page is a struct page of its own, since others are read meanwhile.
 *
 * 1. page_start with an empty text, then page_stream_begin.
 * 2. page_stream_parse and page_stream_write, a step each, with what has arrived.
 * 3. PAGE_COMPLETE of the last part: page_stream_complete, then as 2. above.
 * 4. Otherwise page_stream_take: the series that were written so far are to be ended, and those of the last page.
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
    size_t series;               /* different ones of this page, known when its lines are compared */
    size_t compared, compared_uncached; /* progress of page_compare: staged lines, uncached lines */
    struct series_limit *limit;  /* of the target; NULL: none */
    size_t limited, limited_uncached; /* progress of page_limit: staged lines, uncached lines */
    enum { LIMIT_BEGIN, LIMIT_LINES, LIMIT_DONE } limiting;
    size_t written;              /* staged samples that are written */
    struct scrape_cache next;    /* built by page_update_cache from the first next.n staged lines */
    bool in_parts;
    size_t next_ids_cap, next_uncached_cap; /* in parts: of the arrays of `next` */
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

void page_stream_begin(struct page *p);
/* Reads up to `lines` lines of the text, which begins with the first unread byte and has complete lines unless it is the
 * `last` part. *read: number of bytes that are read now. PAGE_MORE: there are more lines. PAGE_COMPLETE: the part is read, as
 * far as it can be without the next one. PAGE_INVALID: none of these lines count. */
enum page_state page_stream_parse(struct page *p, struct str text, bool last, size_t lines, size_t *read);
void page_stream_write(struct page *p); /* what page_stream_parse has read; no line was invalid */
void page_stream_complete(struct page *p);
/* Moves the series of what was written so far to *to. */
void page_stream_take(struct page *p, struct scrape_cache *to);

#endif
