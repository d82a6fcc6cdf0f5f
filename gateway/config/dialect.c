// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/dialect.h"

static const struct flag_default sluice_flags[] = {
    {"http.connTimeout", "0s"}, {"http.idleConnTimeout", "2m"},
    {"web.listen-address", ":8429"}, {"storage.agent.path", "sluice-data"}, {"promscrape.maxScrapeSize",
                                                                             "256MiB"}, {NULL, NULL}};
static const struct flag_default prometheus_flags[] = {
    {"http.connTimeout", "0s"}, {"http.idleConnTimeout", "2m"},
    {"web.listen-address", ":9090"}, {"storage.agent.path", "data-agent"}, {"promscrape.maxScrapeSize",
                                                                            "256MiB"}, {NULL, NULL}};
static const struct flag_default vmagent_flags[] = {
    {"http.connTimeout", "2m"}, {"http.idleConnTimeout", "1m"},
    {"web.listen-address", ":8429"}, {"storage.agent.path", "vmagent-remotewrite-data"},
    {"promscrape.maxScrapeSize", "16MiB"}, {NULL, NULL}};
static const struct flag_default promxy_flags[] = {
    {"http.connTimeout", "0s"}, {"http.idleConnTimeout", "2m"},
    {"web.listen-address", ":8082"}, {"storage.agent.path", "promxy-data"}, {"promscrape.maxScrapeSize",
                                                                             "256MiB"}, {NULL, NULL}};

const struct dialect_defaults dialects[4] = {
    [DIALECT_SLUICE] = {.name = "sluice", .config_flag = "config.file", .flags = sluice_flags,
                        .reload_open = true, .honor_timestamps = true, .broken_lines_fail = true,
                        .keep_params = true, .expand_labels = true},
    [DIALECT_PROMETHEUS] = {.name = "prometheus", .config_flag = "config.file", .flags = prometheus_flags,
                            .page = {.spells_bounds = true}, .prefers_openmetrics = true,
                            .honor_timestamps = true, .broken_lines_fail = true, .keep_params = true,
                            .expand_labels = true},
    [DIALECT_VMAGENT] = {.name = "vmagent", .config_flag = "promscrape.config", .flags = vmagent_flags,
                         .reload_open = true, .page = {.lax = true, .drops_reserved = true,
                                                       .limit_counts_lines = true, .text_only = true,
                                                       .export_moves = true, .reports_limits = true},
                         .vmagent_relabeling = true, .instance_is_host = true, .loose_durations = true,
                         .environment = true, .external_at_scrape = true,
                         .track_timestamps_staleness = true},
    [DIALECT_PROMXY] = {.name = "promxy", .config_flag = "config", .flags = promxy_flags,
                        .honor_timestamps = true, .broken_lines_fail = true, .empty_groups = true},
};
