// SPDX-License-Identifier: Apache-2.0
/* Counters of service discovery. */
#ifndef MODEL_DISCOVERY_GROUPS_SD_STATS_H
#define MODEL_DISCOVERY_GROUPS_SD_STATS_H

#include "base/telemetry/stats.h"

#define SD_KUBERNETES_EVENT(X, ROLE, role, EVENT, event)                                                             \
    X(SD_KUBERNETES_##ROLE##_##EVENT, "prometheus_sd_kubernetes_events_total{role=\"" role "\",event=\"" event "\"}",  \
      STATS_COUNTER, "Objects of Kubernetes that were added, updated or deleted")
#define SD_KUBERNETES_EVENTS(X, ROLE, role)                                                                          \
    SD_KUBERNETES_EVENT(X, ROLE, role, ADD, "add")                                                                   \
    SD_KUBERNETES_EVENT(X, ROLE, role, UPDATE, "update")                                                             \
    SD_KUBERNETES_EVENT(X, ROLE, role, DELETE, "delete")
#define SD_REFRESH_FAILURES(X, KIND, kind)                                                                           \
    X(SD_##KIND##_FAILURES, "prometheus_sd_refresh_failures_total{mechanism=\"" #kind "\"}", STATS_COUNTER,            \
      "Failed reads of docker_sd_configs, and of the other kinds of `mechanism`")
#define SD_STATS(X)                                                                                                  \
    X(SD_READ_ERRORS, "prometheus_sd_file_read_errors_total", STATS_COUNTER,                                         \
      "Failed reads of file_sd_configs files")                                                                       \
    X(SD_HTTP_FAILURES, "prometheus_sd_http_failures_total", STATS_COUNTER, "Failed reads of http_sd_configs URLs") \
    X(SD_CONSUL_FAILURES, "prometheus_sd_consul_rpc_failures_total", STATS_COUNTER,                                  \
      "Failed reads of consul_sd_configs")                                                                           \
    X(SD_NOMAD_FAILURES, "prometheus_sd_nomad_failures_total", STATS_COUNTER, "Failed reads of nomad_sd_configs")   \
    X(SD_EUREKA_FAILURES, "sluice_sd_eureka_failures_total", STATS_COUNTER, "Failed reads of eureka_sd_configs")    \
    SD_REFRESH_FAILURES(X, DOCKER, docker)                                                                           \
    SD_REFRESH_FAILURES(X, DOCKERSWARM, dockerswarm)                                                                 \
    SD_REFRESH_FAILURES(X, EC2, ec2)                                                                                 \
    SD_REFRESH_FAILURES(X, GCE, gce)                                                                                 \
    SD_REFRESH_FAILURES(X, AZURE, azure)                                                                             \
    SD_REFRESH_FAILURES(X, CONSULAGENT, consulagent)                                                                 \
    X(SD_KUBERNETES_FAILURES, "prometheus_sd_kubernetes_failures_total", STATS_COUNTER,                              \
      "Failed requests to the Kubernetes API")                                                                       \
    SD_KUBERNETES_EVENTS(X, NODE, "node")                                                                            \
    SD_KUBERNETES_EVENTS(X, POD, "pod")                                                                              \
    SD_KUBERNETES_EVENTS(X, SERVICE, "service")                                                                      \
    SD_KUBERNETES_EVENTS(X, ENDPOINTS, "endpoints")                                                                  \
    SD_KUBERNETES_EVENTS(X, ENDPOINTSLICE, "endpointslice")                                                          \
    SD_KUBERNETES_EVENTS(X, INGRESS, "ingress")                                                                      \
    X(SD_DNS_LOOKUPS, "prometheus_sd_dns_lookups_total", STATS_COUNTER, "Lookups of dns_sd_configs names")           \
    X(SD_DNS_FAILURES, "prometheus_sd_dns_lookup_failures_total", STATS_COUNTER,                                     \
      "Failed lookups of dns_sd_configs names")
enum sd_stat { SD_STATS(STATS_ID) };
extern struct stats_group sd_stats; /* registered by scrape_stats_register */

#endif
