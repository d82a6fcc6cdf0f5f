// SPDX-License-Identifier: Apache-2.0
/* Parses a page: its lines become staged samples, in which a series is the number of a template entry or the place of
 * its text. Nothing is written, and the target's cache is unchanged (page.h).
 *
 * Fast path: lines are expected in the order of the last page. One memcmp with the cached text identifies the series,
 * and (id, value, time) is staged, without allocation or parsing of labels.
 */
#ifndef SCRAPER_PAGE_READER_H
#define SCRAPER_PAGE_READER_H

#include "model/exposition/exposition.h"
#include "scraper/page/metadata.h"
#include "scraper/page/page_result.h"
#include "scraper/page/scrape_cache.h"

enum page_state { PAGE_MORE, PAGE_COMPLETE, PAGE_INVALID };

struct staged {
    double v;
    int64_t t;
    uint32_t id;
    uint32_t at, n; /* uncached: position of its text in the page */
    uint8_t type;   /* uncached: enum bounds_type */
    bool skip;      /* a duplicate series, or dropped by metric_relabel_configs */
};

struct page_exemplar { uint32_t line, at, n; }; /* of which staged line; position of its text in the page */

struct page_reader {
    struct interner *interner;
    struct page_result *result;
    /* Lines of the current page; their memory is kept for the next one: */
    struct staged *stage;
    size_t n, cap;
    struct uncached *uncached;
    size_t n_uncached, uncached_cap;
    uint32_t *new_entries;             /* entries created for this page */
    size_t n_new_entries, new_entries_cap;
    uint32_t *borrowed;          /* entries created by another target's page: referenced until the page ends */
    size_t n_borrowed, borrowed_cap;
    struct page_exemplar *exemplars;
    size_t n_exemplars, exemplars_cap;
    struct metadata_line *metadata;
    size_t n_metadata, metadata_cap;
    struct buf metadata_text;    /* of a page that arrives in parts: names and texts of its metadata lines */
    /* The page, and how far it is parsed: */
    struct exposition exposition;
    struct page_text page;
    bool in_parts;               /* page.text is a part (page_reader_continue) */
    uint64_t source;             /* id of the target */
    const struct target_labels *target;
    struct template_group *templates; /* a reference */
    const struct scrape_cache *last;
    int64_t t;
    size_t expect, expect_uncached;  /* indexes in last->ids and last->uncached of the expected line */
    bool same;                   /* all lines so far were the expected ones */
    enum bounds_type type;       /* of the last TYPE line */
    size_t timed;                /* lines with their own timestamp */
};

void page_reader_init(struct page_reader *r, struct interner *in, struct page_result *result);
void page_reader_free(struct page_reader *r);
/* Text, labels and cache are borrowed until the page has ended. t: the time of samples without their own timestamp.
 * Clears the result. */
void page_reader_start(struct page_reader *r, uint64_t source, const struct target_labels *target,
                       struct template_group *c, const struct scrape_cache *last, struct page_text page, int64_t t);
enum page_state page_reader_parse(struct page_reader *r, size_t lines);
/* A page that arrives in parts is started with an empty text. Each part begins with the first byte that the reader has not
 * read, and has complete lines unless it is the last. What earlier parts have staged is gone. PAGE_COMPLETE: the part is
 * read, or only `# EOF` is left of it. */
void page_reader_continue(struct page_reader *r, struct str part, bool last);
size_t page_reader_leave(struct page_reader *r); /* number of bytes of the part that are read; once for each part */
/* An invalid line, which may be valid when more of the page has arrived: a label value has line feeds. */
bool page_reader_may_want_more(const struct page_reader *r);
struct page_text page_reader_metadata_text(const struct page_reader *r); /* that `metadata` refers to */
/* The uncached lines, n_uncached of them; the caller's. */
struct uncached *page_reader_take_uncached(struct page_reader *r);
/* Releases entries that the cache does not use, then the page. In slices (page.h); true while there is more. */
bool page_reader_end(struct page_reader *r, size_t lines);

static inline uint64_t staged_identity(const struct page_reader *r, const struct staged *s, size_t *uncached_at)
{
    return id_uncached(s->id) ? r->uncached[(*uncached_at)++].sum
                              : entry_identity(r->templates->entries[id_entry(s->id)], r->target);
}

#endif
