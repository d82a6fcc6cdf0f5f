// SPDX-License-Identifier: Apache-2.0
/* Counters of service discovery. */
#ifndef MODEL_DISCOVERY_SD_STATS_H
#define MODEL_DISCOVERY_SD_STATS_H

#include "base/telemetry/stats.h"

#define SD_STATS(X)                                                                                                  \
    X(SD_READ_ERRORS, "prometheus_sd_file_read_errors_total", STATS_COUNTER,                                         \
      "Failed reads of file_sd_configs files")                                                                       \
    X(SD_HTTP_FAILURES, "prometheus_sd_http_failures_total", STATS_COUNTER, "Failed reads of http_sd_configs URLs") \
    X(SD_CONSUL_FAILURES, "prometheus_sd_consul_rpc_failures_total", STATS_COUNTER,                                  \
      "Failed reads of consul_sd_configs")                                                                           \
    X(SD_DNS_LOOKUPS, "prometheus_sd_dns_lookups_total", STATS_COUNTER, "Lookups of dns_sd_configs names")           \
    X(SD_DNS_FAILURES, "prometheus_sd_dns_lookup_failures_total", STATS_COUNTER,                                     \
      "Failed lookups of dns_sd_configs names")
enum sd_stat { SD_STATS(STATS_ID) };
extern struct stats_group sd_stats; /* registered by scrape_stats_register */

#endif
