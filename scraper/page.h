// SPDX-License-Identifier: Apache-2.0
/* From a page to samples: parse, stage, look what changed, write. A lane has one struct page and works on one page at
 * a time, in steps of about 2 ms, so that it returns to its loop; other pages wait in line.
 *
 *   page_start, page_parse until it is not PAGE_MORE
 *   PAGE_WHOLE:  page_settle (what is new, what vanished), page_write, page_mark_vanished and page_adopt, each while it
 *                returns true
 *   PAGE_BROKEN: page->err says why; nothing was written. page_drop, and markers_end_all for what the last page had.
 *
 * Known path. The lines are expected in the order of the last page: one memcmp with the interned text says "known", and
 * (id, value, time) is staged: no allocation, no label is looked at. Only when the ids differ from last time are
 * identities compared, to find twins (two lines that are one series), new ones and vanished ones.
 */
#ifndef SCRAPER_PAGE_H
#define SCRAPER_PAGE_H

#include "model/exposition.h"
#include "model/sink.h"
#include "scraper/stale.h"

enum page_state { PAGE_MORE, PAGE_WHOLE, PAGE_BROKEN };
enum { PAGE_BATCH = 500 }; /* samples handed to the sink at once: 2 ms when all are new to the recent store */

struct staged {
    double v;
    int64_t t;
    uint32_t id;
    uint32_t at, n; /* cold: where its text is in the page */
    uint8_t type;   /* cold: enum bounds_type */
    bool skip;      /* a twin, or dropped by metric_relabel_configs */
};

struct page {
    /* the lane's: */
    struct interner *interner;
    struct sink *sink;
    struct staged *stage;
    size_t n, cap;
    struct uncached *uncached;
    size_t n_uncached, cold_cap;
    uint32_t *fresh;             /* entries made for this page */
    size_t n_fresh, fresh_cap;
    uint32_t *borrowed;          /* entries that another target's page brought: held until this page is adopted */
    size_t n_borrowed, borrowed_cap;
    struct marker_writer ended;  /* its set: the series of this page */
    struct identity_set times;
    struct buf labels, texts;    /* texts: a frame of cold ones */
    /* this page's: */
    struct exposition reader;
    struct str text;
    uint64_t source;             /* id of the target */
    const struct target_labels *target;
    struct template_group *templates;
    struct scrape_cache *last;
    int64_t t;
    size_t expect, expect_cold;  /* places in last->ids and last->cold where the next line should be */
    bool same;                   /* so far every line was the expected one */
    enum bounds_type type;       /* of the last TYPE line */
    size_t timed;                /* lines with a timestamp of their own */
    size_t settled, settled_cold; /* of the stage, and of its cold lines, that page_settle is past */
    bool settling;               /* it has begun */
    size_t written;              /* of the stage */
    struct scrape_cache next;    /* what page_adopt makes: as many lines of the stage as next.n */
    enum { ADOPT_BEGIN, ADOPT_LINES, ADOPT_CLEAR, ADOPT_RELEASE } adopting;
    /* results: */
    struct err err;
    size_t scraped, kept;        /* lines, and those that metric_relabel_configs left */
    size_t added, duplicates, bad_lines, busy, cold_lines; /* new series; duplicate samples; lines skipped; samples refused
                                    by the sink; lines parsed beyond the budget */
    uint64_t metadata;           /* hash of all HELP, TYPE and UNIT lines */
};

void page_init(struct page *p, struct interner *in, struct sink *sink);
void page_free(struct page *p);

/* Everything is borrowed until page_adopt or page_drop. t: the time of samples without their own. */
void page_start(struct page *p, uint64_t source, const struct target_labels *target, struct template_group *c,
                struct scrape_cache *last, struct str text, int64_t t);
enum page_state page_parse(struct page *p, size_t lines);
/* Each does a part of its work, about as long as page_parse with so many lines, and returns true while there is more.
 * */
bool page_settle(struct page *p, size_t lines);
bool page_write(struct page *p);   /* one batch */
bool page_mark_vanished(struct page *p, int64_t t); /* one batch; before page_adopt */
bool page_adopt(struct page *p, size_t lines);   /* what it exposed becomes *last */
void page_drop(struct page *p);

static inline uint64_t staged_identity(const struct page *p, const struct staged *s, size_t *cold_at)
{
    return id_uncached(s->id) ? p->uncached[(*cold_at)++].sum : entry_identity(p->templates->entries[id_entry(s->id)],
                                                                               p->target);
}

#endif
