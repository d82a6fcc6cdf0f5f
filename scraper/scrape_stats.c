// SPDX-License-Identifier: Apache-2.0
/* Counters and histograms of the scraper. */
#include "scraper/scrape_stats.h"

#include "model/discovery/groups/sd_stats.h"

struct stats_group scrape_stats = STATS_GROUP(SCRAPE_STATS);

static const double seconds[] = {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10};
static const double bytes[] = {1e3, 1e4, 1e5, 1e6, 1e7};
static const double samples[] = {10, 100, 1e3, 1e4, 1e5};
struct stats_histogram scrape_durations = {"vm_promscrape_scrape_duration_seconds", "Duration of scrapes", seconds,
                                           LEN(seconds), 0, NULL};
struct stats_histogram scrape_sizes = {"vm_promscrape_scrape_response_size_bytes",
                                       "Uncompressed size of scrape responses", bytes, LEN(bytes), 0, NULL};
struct stats_histogram scrape_samples = {"vm_promscrape_scraped_samples", "Samples per scrape", samples, LEN(samples),
                                         0, NULL};

void scrape_stats_register(void)
{
    stats_register(&scrape_stats);
    stats_register(&sd_stats);
    stats_register_histogram(&scrape_durations);
    stats_register_histogram(&scrape_sizes);
    stats_register_histogram(&scrape_samples);
}
