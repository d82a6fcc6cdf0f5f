// SPDX-License-Identifier: Apache-2.0
/* Writes `up` and the other automatic series of a scrape to the sink, and publishes the target's state for the API. On
 * the lane's thread. */
#ifndef SCRAPER_REPORT_H
#define SCRAPER_REPORT_H

#include "scraper/lane.h"

struct scrape_report {
    double up;
    double duration, timeout;              /* seconds */
    double scraped, post_relabeling;       /* lines */
    double added;                          /* series */
    double bytes;                          /* of the response, decompressed */
    double body_size;                      /* the same, -1 if it exceeded the limit */
    double over_series_limit;              /* samples */
    double sample_limit, label_limit, series_limit, series; /* set by scrape_publish */
};

void report_write(struct target *t, const struct scrape_report *r, int64_t time);
void report_end(struct target *t, int64_t time); /* stale markers for the automatic series */
/* err: NULL after a successful scrape. */
void report_publish(struct target *t, const struct scrape_report *r, const struct err *err, int64_t time);

#endif
