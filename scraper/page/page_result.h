// SPDX-License-Identifier: Apache-2.0
/* What a page has shown: filled while it is parsed, compared and written (page.h), read by the scrape. */
#ifndef SCRAPER_PAGE_RESULT_H
#define SCRAPER_PAGE_RESULT_H

#include "base/err.h"
#include "scraper/page/stale.h"

struct page_result {
    struct err err;              /* why the page is invalid */
    size_t scraped;              /* lines */
    size_t post_relabeling;      /* lines that metric_relabel_configs keeps */
    size_t added;                /* series that the last page did not have */
    struct series_digest digest; /* of its series, if there was no last page */
    size_t duplicates;           /* samples of a series and time that an earlier line has */
    size_t over_series_limit;    /* samples of series beyond series_limit */
    size_t invalid_lines;        /* that were skipped */
    size_t uncached_lines;       /* parsed without a cache entry */
    size_t busy;                 /* samples refused by the sink */
    uint64_t metadata_hash;      /* of all HELP, TYPE and UNIT lines; 0: there are none */
};

#endif
