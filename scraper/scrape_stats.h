// SPDX-License-Identifier: Apache-2.0
/* Counters of the scraper, with the names of vmagent's and Prometheus' dashboards. */
#ifndef SCRAPER_SCRAPE_STATS_H
#define SCRAPER_SCRAPE_STATS_H

#include "base/telemetry/stats.h"

#define SCRAPE_STATS(X)                                                                                            \
    X(SCRAPES_OK, "vm_promscrape_scrapes_total{status_code=\"200\"}", STATS_COUNTER,                               \
      "Scrapes with a response, by HTTP status")                                                                   \
    X(SCRAPES_OTHER, "vm_promscrape_scrapes_total{status_code=\"other\"}", STATS_COUNTER,                          \
      "Scrapes with a response, by HTTP status")                                                                   \
    X(SCRAPES_FAILED, "vm_promscrape_scrapes_failed_total", STATS_COUNTER, "Failed scrapes (up=0)")                \
    X(SCRAPES_TIMED_OUT, "vm_promscrape_scrapes_timed_out_total", STATS_COUNTER,                                   \
      "Scrapes that exceeded scrape_timeout")                                                                      \
    X(DIAL_ERRORS, "vm_promscrape_dial_errors_total", STATS_COUNTER,                                               \
      "Scrapes that could not connect: host not resolved, connection refused or timed out")                        \
    X(GUNZIP_FAILED, "vm_promscrape_scrapes_gunzip_failed_total", STATS_COUNTER,                                   \
      "Scrapes whose response could not be decompressed")                                                          \
    X(SIZE_EXCEEDED, "vm_promscrape_max_scrape_size_exceeded_errors_total", STATS_COUNTER,                         \
      "Scrapes that exceeded body_size_limit")                                                                     \
    X(SAMPLE_LIMIT, "vm_promscrape_scrapes_skipped_by_sample_limit_total", STATS_COUNTER,                          \
      "Scrapes that exceeded sample_limit")                                                                        \
    X(LABEL_LIMIT, "vm_promscrape_scrapes_skipped_by_label_limit_total", STATS_COUNTER,                            \
      "Scrapes that exceeded a label limit")                                                                       \
    X(OVER_SERIES_LIMIT, "sluice_scrape_samples_over_series_limit_total", STATS_COUNTER,                             \
      "Samples dropped because their target has more series than series_limit")                                      \
    X(ROWS_READ, "vm_protoparser_rows_read_total{type=\"promscrape\"}", STATS_COUNTER,                             \
      "Samples parsed, before relabeling")                                                                         \
    X(STALE_MARKERS, "vm_promscrape_stale_samples_created_total", STATS_COUNTER, "Stale markers written")          \
    X(BYTES_READ, "vm_promscrape_conn_bytes_read_total", STATS_COUNTER, "Bytes of responses read from targets")    \
    X(SCRAPERS_STARTED, "vm_promscrape_scrapers_started_total", STATS_COUNTER, "Targets added")                    \
    X(SCRAPERS_STOPPED, "vm_promscrape_scrapers_stopped_total", STATS_COUNTER, "Targets removed")                  \
    X(LINES_INVALID, "vm_rows_invalid_total{type=\"promscrape\"}", STATS_COUNTER,                                  \
      "Invalid samples and native histograms, which were dropped")                                             \
    X(SAMPLES_BUSY, "vm_promscrape_samples_dropped_total", STATS_COUNTER,                                          \
      "Samples dropped because a queue with on_full: push_back was full")                                          \
    X(SERIES_COLD, "vm_promscrape_series_parsed_again_total", STATS_COUNTER,                                       \
      "Lines parsed again at a scrape because the template budget is exhausted")                                   \
    X(DUPLICATES, "prometheus_target_scrapes_sample_duplicate_timestamp_total", STATS_COUNTER,                     \
      "Duplicate samples (same series and timestamp) in a scrape; the first is kept")                              \
    X(CLUSTER_FENCED, "sluice_cluster_fenced_scrapes_total", STATS_COUNTER,                                         \
      "Scrapes that this member did not make because it was fenced; they are missing unless another member made them") \
    X(CLUSTER_MOVED, "sluice_cluster_moved_targets_total", STATS_COUNTER,                                            \
      "Targets that this member scraped and that other members scrape now")                                          \
    X(CLUSTER_TAKEN, "sluice_cluster_taken_targets_total", STATS_COUNTER,                                            \
      "Targets that other members scraped and that this member scrapes now, as planned")                             \
    X(CLUSTER_GAPS, "sluice_cluster_gap_slots_total", STATS_COUNTER,                                                 \
      "Scrapes of targets that this member took over that were due before its first one and that no member sent")       \
    X(CLUSTER_OVERLAPS, "sluice_cluster_overlap_slots_total", STATS_COUNTER,                                         \
      "Scrapes of targets that this member took over that the former owner sent, too")                               \
    X(STANDBY_KEPT, "sluice_cluster_standby_scrapes", STATS_GAUGE,                                                   \
      "Scrapes in memory that are kept in case that another member crashes, or until a former owner's are sent")                                         \
    X(STANDBY_BYTES, "sluice_cluster_standby_bytes", STATS_GAUGE, "Their memory, compressed")                        \
    X(STANDBY_DROPPED, "sluice_cluster_standby_dropped_total", STATS_COUNTER,                                        \
      "Kept scrapes that were dropped because standby_memory was used up")                                           \
    X(STANDBY_REPLAYED, "sluice_cluster_standby_replayed_total", STATS_COUNTER,                                      \
      "Kept scrapes whose samples this member has sent")                      \
    X(P_SAMPLE_LIMIT, "prometheus_target_scrapes_exceeded_sample_limit_total", STATS_COUNTER,                      \
      "Scrapes that exceeded sample_limit")                                                                        \
    X(P_BUCKET_LIMIT, "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total", STATS_COUNTER,     \
      "Scrapes that exceeded native_histogram_bucket_limit")                                                       \
    X(P_BODY_LIMIT, "prometheus_target_scrapes_exceeded_body_size_limit_total", STATS_COUNTER,                     \
      "Scrapes that exceeded body_size_limit")                                                                     \
    X(P_TARGET_LIMIT, "prometheus_target_scrape_pool_exceeded_target_limit_total", STATS_COUNTER,                  \
      "Times a job exceeded target_limit")
enum scrape_stat { SCRAPE_STATS(STATS_ID) };

extern struct stats_group scrape_stats;
extern struct stats_histogram scrape_durations, scrape_sizes, scrape_samples;
void scrape_stats_register(void); /* main thread, before the lanes */

#endif
