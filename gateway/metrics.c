// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.h"

#include "base/http/resolver.h"
#include "base/os/line_file.h"
#include "base/os/process.h"
#include "base/os/watched_file.h"
#include "gateway/api/query.h"
#include "gateway/agent/instance_store.h"
#include "gateway/background/audits.h"
#include "gateway/cluster/cluster.h"
#include "gateway/dispatch.h"
#include "gateway/http/http_tls.h"
#include "gateway/ingest/ingest.h"
#include "gateway/ingest/ingest_rate.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/ingest/write.h"
#include "gateway/lane.h"
#include "gateway/services/access_watch.h"
#include "gateway/services/services.h"

#include <stdio.h>

/* Grafana Agent has agent_config_hash, to find instances that run another configuration. */
static void collect_reloads(struct stats_out *o, struct reload_history *h)
{
    static const char done_help[] = "Reloads of the configuration that succeeded";
    static const char failed_help[] = "Reloads of the configuration that failed";
    double done = (double)atomic_load(&h->done), failed = (double)atomic_load(&h->failed);
    stats_single(o, "vm_promscrape_config_reloads_total", STATS_COUNTER, done_help, done);
    stats_single(o, "vm_promscrape_config_reloads_errors_total", STATS_COUNTER, failed_help, failed);
    stats_single(o, "vmagent_relabel_config_reloads_total", STATS_COUNTER, done_help, done);
    stats_single(o, "vmagent_relabel_config_reloads_errors_total", STATS_COUNTER, failed_help, failed);
    struct reload_report *last = reload_history_last(h);
    char hash[20];
    if (last == NULL)
        return;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)last->hash);
    stats_family(o, "sluice_config_hash", STATS_GAUGE, "Hash of the texts of the running configuration; the value is always 1");
    stats_value(o, "sluice_config_hash", &(struct stats_label){"hash", str_of(hash)}, 1, 1);
    reload_report_unref(last);
}

static void collect_instances(struct stats_out *o, struct services *s)
{
    struct config *c = services_config(s);
    instance_store_collect(s->instances, o);
    stats_single(o, "sluice_agent_invalid_instances", STATS_GAUGE, "Stored instances that are invalid and not run",
                 c ? (double)c->n_invalid_instances : 0);
    config_unref(c);
}

static void collect_config(struct stats_out *o, struct services *s)
{
    static const char ok_help[] = "1 if the last load of the configuration succeeded, otherwise 0";
    static const char at_help[] = "Unix time of the last successful load of the configuration";
    double ok = atomic_load(&s->reload_ok), at = (double)(atomic_load(&s->reloaded_at) / 1000);
    stats_single(o, "vm_promscrape_config_last_reload_successful", STATS_GAUGE, ok_help, ok);
    stats_single(o, "vm_promscrape_config_last_reload_success_timestamp_seconds", STATS_GAUGE, at_help, at);
    stats_single(o, "vmagent_relabel_config_last_reload_successful", STATS_GAUGE, ok_help, ok);
    stats_single(o, "prometheus_config_last_reload_successful", STATS_GAUGE, ok_help, ok);
    stats_single(o, "vmagent_relabel_config_last_reload_success_timestamp_seconds", STATS_GAUGE, at_help, at);
    stats_single(o, "prometheus_config_last_reload_success_timestamp_seconds", STATS_GAUGE, at_help, at);
    stats_single(o, "process_reload_time_seconds", STATS_GAUGE, at_help, at); /* promxy */
    collect_reloads(o, &s->reloads);
    stats_single(o, "sluice_lanes", STATS_GAUGE, "Number of lanes", s->n_lanes);
}

static const char limit_help[] = "Limit of the metric without _max, see docs/operations.md";

static void collect_budget(struct stats_out *o, const char *used, const char *limit, const char *help, struct budget *b)
{
    stats_single(o, used, STATS_GAUGE, help, (double)atomic_load(&b->used));
    stats_single(o, limit, STATS_GAUGE, limit_help, (double)b->max);
}

static void collect_limits(struct stats_out *o, struct services *s)
{
    struct http_limits *http = &s->http;
    stats_single(o, "sluice_http_connections", STATS_GAUGE, "Open client connections",
                 atomic_load(&http->connections));
    stats_single(o, "sluice_http_connections_max", STATS_GAUGE, limit_help, (double)http->places * s->n_lanes);
    collect_budget(o, "sluice_http_body_bytes", "sluice_http_body_bytes_max",
                   "Bytes of bodies and parameters of requests in flight", &http->bodies);
    collect_budget(o, "sluice_http_response_bytes", "sluice_http_response_bytes_max",
                   "Bytes of responses that clients have not read yet", &http->responses);
    collect_budget(o, "sluice_query_memory_bytes", "sluice_query_memory_bytes_max", "Memory of running queries",
                   &s->queries);
    collect_budget(o, "sluice_report_memory_bytes", "sluice_report_memory_bytes_max",
                   "Memory of pages and reports about all targets in flight", &s->reports);
    stats_single(o, "sluice_query_memory_refused_total", STATS_COUNTER,
                 "Allocations refused because running queries used up the memory of all queries",
                 (double)atomic_load(&s->queries.refused));
}

static void collect_ignored(struct stats_out *o, struct services *s)
{
    struct config *c = services_config(s);
    const struct str_list *lists[] = {&s->flags.ignored, c ? &c->ignored : NULL};
    stats_single(o, "sluice_config_warnings", STATS_GAUGE, "Warnings about flags and the running configuration",
                 (double)(s->flags.warnings.n + (c ? c->warnings.n : 0)));
    stats_family(o, "sluice_config_ignored", STATS_GAUGE, "Flags and keys that are ignored; the value is always 1");
    for (size_t l = 0; l < LEN(lists); l++)
        for (size_t i = 0; lists[l] && i < lists[l]->n; i++)
            stats_value(o, "sluice_config_ignored", &(struct stats_label){"key", lists[l]->items[i]}, 1, 1);
    config_unref(c);
}

static void collect_flags(struct stats_out *o, struct services *s)
{
    stats_family(o, "flag", STATS_GAUGE, "Command line flags; the value is always 1");
    for (size_t i = 0; i < s->flags.n_all; i++) {
        const struct stats_label labels[] = {{"name", s->flags.all[i].name}, {"value", s->flags.all[i].value},
                                             {"is_set", s->flags.all[i].set ? STR("true") : STR("false")}};
        stats_value(o, "flag", labels, LEN(labels), 1);
    }
}

static void collect_logs(struct stats_out *o, struct services *s)
{
    stats_single(o, "prometheus_engine_query_log_enabled", STATS_GAUGE, "1 if queries are logged, otherwise 0",
                 line_file_used(s->query_log));
    stats_single(o, "prometheus_engine_query_log_failures_total", STATS_COUNTER,
                 "Lines of the query log that were dropped", (double)line_file_dropped(s->query_log));
    stats_single(o, "sluice_access_log_dropped_total", STATS_COUNTER, "Lines of the access log that were dropped",
                 (double)line_file_dropped(s->access_log));
}

static void collect_listeners(struct stats_out *o, struct services *s)
{
    static const char name[] = "sluice_http_tls_certificate_expiry_timestamp_seconds";
    stats_family(o, name, STATS_GAUGE, "Time when the certificate of a listen address expires");
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct http_access *a = listener_access(&s->listeners[i]);
        if (a && a->tls)
            stats_value(o, name, &(struct stats_label){"address", s->listeners[i].address}, 1, (double)http_tls_expiry(a->tls));
        http_access_unref(a);
    }
}

static void collect_upstream(struct stats_out *o, struct services *s)
{
    struct upstream *u = services_upstream(s);
    if (u) {
        upstream_collect(u, o);
        upstream_unref(u);
    }
}

static void gateway_metrics_collect(struct stats_out *o, void *arg)
{
    struct services *s = arg;
    const struct stats_label version[] = {{"version", STR(VERSION)}};
    stats_family(o, "sluice_build_info", STATS_GAUGE, "Build information; the value is always 1");
    stats_value(o, "sluice_build_info", version, LEN(version), 1);
    collect_config(o, s);
    collect_ignored(o, s);
    collect_limits(o, s);
    collect_flags(o, s);
    collect_logs(o, s);
    collect_listeners(o, s);
    collect_upstream(o, s);
    audits_collect(s->audits, o);
    cluster_collect(s->cluster, o);
    if (s->instances)
        collect_instances(o, s);
}

void metrics_start(struct services *s)
{
    stats_register(&http_stats);
    stats_register(&write_stats);
    stats_register(&ingest_stats);
    stats_register(&ingest_rate_stats);
    stats_register(&line_stats);
    stats_register(&dispatch_stats);
    stats_register(&handover_stats);
    stats_register(&upstream_stats);
    stats_register_histogram(&query_durations);
    stats_register_histogram(&handover_durations);
    stats_register_histogram(&lane_turns);
    resolver_register_stats();
    watched_file_register_stats();
    access_watch_register_stats();
    stats_collector(gateway_metrics_collect, s);
    stats_collector(process_collect, NULL);
}
