// SPDX-License-Identifier: Apache-2.0
/* Rewrites a page of the text format or OpenMetrics for a job that converts its series:
 *
 *   - custom: the lines of a classic histogram become one line with a native histogram with custom buckets (struct
 *     page_extra); its exemplars are those of the lines that have a time. Lines that contradict each other yield
 *     nothing.
 *   - starts: `_created` lines of counters, histograms and summaries in OpenMetrics become the start times of the lines
 *     before them.
 *   - family_labels: series get the labels __type__ and, in OpenMetrics, __unit__.
 *
 * All other lines are copied unchanged. Lines are grouped as in Prometheus, except for two of its bugs: a histogram has
 * the time of its own lines and not of the next line, and a unit applies only to its own family. Works in steps. Pure;
 * any thread.
 */
#ifndef MODEL_EXPOSITION_PAGE_REWRITE_H
#define MODEL_EXPOSITION_PAGE_REWRITE_H

#include "model/exposition/classic_histogram.h"
#include "model/exposition/page_copy.h"

struct page_rewrite_options {
    bool custom, classic_too; /* classic_too: the lines are kept as well, without their exemplars */
    bool starts, family_labels;
    bool lax, skips_lines; /* as the page will be read: vmagent's dialect; invalid lines are skipped */
    bool own_times;        /* the time of a line is that of its histogram */
    uint32_t bucket_limit; /* 0: none; a histogram that has more makes the page invalid */
    int64_t t;             /* time of histograms without their own */
    size_t max_bytes;
};
/* Whether the options change anything in this format. */
bool page_rewrite_needed(const struct page_rewrite_options *o, enum exposition_format format);

struct page_rewrite {
    struct page_copy copy;
    /* Internal: */
    struct page_rewrite_options _options;
    struct exposition _in;
    struct str _name, _unit, _unit_name; /* of the last TYPE and UNIT lines */
    enum metric_type _type;
    size_t _waiting;     /* the first of the extras whose start time may follow */
    unsigned _left_out;  /* lines of the input minus lines of the output */
    struct buf _key;     /* scratch: name of the family, and labels of the line but le */
    struct classic_group { /* lines of a histogram so far */
        bool open, start_known;
        struct classic_histogram values;
        struct buf key, series; /* as _key; the text of the histogram's series */
        struct buf exemplars;   /* texts, each after its length */
        struct str time;        /* of the last line, as written; empty: none */
        struct str bucket;      /* text of the last bucket's series, and where its bound is; empty: none */
        size_t bound_at, bound_n;
        int64_t t, start;
    } _group;
};
void page_rewrite_init(struct page_rewrite *r);
void page_rewrite_free(struct page_rewrite *r);
/* The page is borrowed until the result is no longer used. */
void page_rewrite_start(struct page_rewrite *r, struct str page, enum exposition_format format,
                        const struct page_rewrite_options *options);
/* Rewrites up to this number of lines. An invalid page is copied unchanged from its first invalid line on, so that the
 * reader of the result reports that line. */
enum copy_state page_rewrite_some(struct page_rewrite *r, size_t lines);
struct page_text page_rewrite_text(const struct page_rewrite *r);

#endif
