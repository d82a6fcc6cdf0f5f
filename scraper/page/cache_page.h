// SPDX-License-Identifier: Apache-2.0
/* A scrape cache as a page that yields the same cache: its lines, with the value 1. For another process that goes on
 * with the target. */
#ifndef SCRAPER_PAGE_CACHE_PAGE_H
#define SCRAPER_PAGE_CACHE_PAGE_H

#include "scraper/page/scrape_cache.h"

/* Zeroed: before the first line. */
struct cache_page { size_t at, uncached; struct cached_text_reader texts; enum bounds_type type; };
/* Appends up to `lines` lines; true while there are more. The cache must not change meanwhile. */
bool cache_page_some(struct cache_page *p, const struct scrape_cache *x, struct interner *in, size_t lines,
                     struct buf *out);
void cache_page_end(struct cache_page *p);

#endif
