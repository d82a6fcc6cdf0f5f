// SPDX-License-Identifier: Apache-2.0
/* series_limit, as in vmagent: the number of different series that a target may have within 24 hours. Samples of
 * further series are dropped, and the rest of the scrape is written.
 *
 * The set is exact: 16 to 32 bytes a series, where vmagent has 2 bytes in a Bloom filter. It belongs to a target and is
 * used by its lane; a target that replaces another with the same labels takes it over.
 */
#ifndef SCRAPER_SERIES_LIMIT_H
#define SCRAPER_SERIES_LIMIT_H

#include "scraper/page/identity_set.h"

#include <stdint.h>

struct series_limit {
    struct identity_set seen;
    size_t max;
    int64_t renew_at;     /* ms; 0: not begun */
    bool exceeded;        /* a sample was dropped since the set was begun */
};

/* Begins a new set when the last one is 24 hours old; true then. t: the time of the scrape, ms. */
bool series_limit_renew(struct series_limit *l, int64_t t);
void series_limit_clear(struct series_limit *l);  /* releases all memory */
/* False: the series is new and the limit is reached. */
bool series_limit_admit(struct series_limit *l, uint64_t identity);
/* Whether samples of the series were written, so that it needs a stale marker. */
bool series_limit_admitted(const struct series_limit *l, uint64_t identity);

#endif
