// SPDX-License-Identifier: Apache-2.0
/* Parses one page (scrape response) and writes its samples. A lane has one struct page and parses one page at a time,
 * in steps of about 2 ms between which it returns to its loop; other responses queue.
 *
 * 1. page_start, then page_parse until it does not return PAGE_MORE.
 * 2. PAGE_COMPLETE: page_compare (finds new and vanished series and duplicates), page_write, page_mark_vanished and
 *    page_update_cache, each while it returns true.
 * 3. PAGE_INVALID: page->err is set and nothing was written. page_drop, then markers_end_all for the series of the last
 *    page.
 *
 * Fast path: lines are expected in the order of the last page. One memcmp with the cached text identifies the series,
 * and (id, value, time) is staged, without allocation or parsing of labels. Identities are compared only when the ids
 * differ from the last page.
 */
#ifndef SCRAPER_PAGE_H
#define SCRAPER_PAGE_H

#include "model/exposition.h"
#include "model/sink.h"
#include "scraper/stale.h"

enum page_state { PAGE_MORE, PAGE_COMPLETE, PAGE_INVALID };
enum { PAGE_BATCH = 500 }; /* samples per batch for the sink: 2 ms if all are new to the recent store */

struct staged {
    double v;
    int64_t t;
    uint32_t id;
    uint32_t at, n; /* uncached: position of its text in the page */
    uint8_t type;   /* uncached: enum bounds_type */
    bool skip;      /* a duplicate series, or dropped by metric_relabel_configs */
};

struct page {
    /* Reused for every page: */
    struct interner *interner;
    struct sink *sink;
    struct staged *stage;
    size_t n, cap;
    struct uncached *uncached;
    size_t n_uncached, uncached_cap;
    uint32_t *new_entries;             /* entries created for this page */
    size_t n_new_entries, new_entries_cap;
    uint32_t *borrowed;          /* entries created by another target's page: referenced until the cache is updated */
    size_t n_borrowed, borrowed_cap;
    struct marker_writer stale;  /* its set: the series of this page */
    struct identity_set times;
    struct buf labels, texts;    /* texts: a frame of uncached ones */
    /* Of the current page: */
    struct exposition reader;
    struct str text;
    uint64_t source;             /* id of the target */
    const struct target_labels *target;
    struct template_group *templates;
    struct scrape_cache *last;
    int64_t t;
    size_t expect, expect_uncached;  /* indexes in last->ids and last->uncached of the expected line */
    bool same;                   /* all lines so far were the expected ones */
    enum bounds_type type;       /* of the last TYPE line */
    size_t timed;                /* lines with their own timestamp */
    size_t compared, compared_uncached; /* progress of page_compare: staged lines, uncached lines */
    bool comparing;               /* page_compare has begun */
    size_t written;              /* staged samples that are written */
    struct scrape_cache next;    /* built by page_update_cache from the first next.n staged lines */
    enum { UPDATE_BEGIN, UPDATE_LINES, UPDATE_CLEAR, UPDATE_RELEASE } updating;
    /* Results: */
    struct err err;
    size_t scraped, kept;        /* lines; lines left by metric_relabel_configs */
    /* new series; duplicate samples; invalid lines skipped; samples refused by the sink; lines parsed without a cache
     * entry */
    size_t added, duplicates, bad_lines, busy, uncached_lines;
    uint64_t metadata;           /* hash of all HELP, TYPE and UNIT lines */
};

void page_init(struct page *p, struct interner *in, struct sink *sink);
void page_free(struct page *p);

/* Everything is borrowed until page_update_cache or page_drop. t: the time of samples without their own timestamp. */
void page_start(struct page *p, uint64_t source, const struct target_labels *target, struct template_group *c,
                struct scrape_cache *last, struct str text, int64_t t);
enum page_state page_parse(struct page *p, size_t lines);
/* Each does part of its work, about as long as page_parse with this number of lines, and returns true while there is
 * more. */
bool page_compare(struct page *p, size_t lines);
bool page_write(struct page *p);   /* one batch */
bool page_mark_vanished(struct page *p, int64_t t); /* one batch; before page_update_cache */
bool page_update_cache(struct page *p, size_t lines);   /* the page becomes *last */
void page_drop(struct page *p);

static inline uint64_t staged_identity(const struct page *p, const struct staged *s, size_t *uncached_at)
{
    return id_uncached(s->id) ? p->uncached[(*uncached_at)++].sum
                              : entry_identity(p->templates->entries[id_entry(s->id)], p->target);
}

#endif
