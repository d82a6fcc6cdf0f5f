// SPDX-License-Identifier: Apache-2.0
#include "gateway/routes.h"

#include "gateway/agent/instance_set.h"
#include "gateway/api/agent_api.h"
#include "gateway/api/api.h"
#include "gateway/api/query.h"
#include "gateway/config/auth_key.h"
#include "gateway/ingest/ingest.h"
#include "gateway/ingest/lines/lines.h"
#include "gateway/ingest/write.h"
#include "gateway/pages/pages.h"

enum { READ = HTTP_GET, FORM = HTTP_GET | HTTP_POST, IMPORT = HTTP_POST | HTTP_PUT };

#define HEALTH  .class = ROUTE_HEALTH, .always = true /* on the lane: served even if all workers are busy */
#define QUERY   .class = ROUTE_QUERY, .on_worker = true, .needs_ready = true, .refuses_loops = true
#define PUSH    .class = ROUTE_PUSH, .finishes = true
#define STREAM  .class = ROUTE_PUSH, .finishes = true, .streams_body = true, .changes_state = true
#define STATUS  .class = ROUTE_ADMIN /* constant time */
#define REPORT  .class = ROUTE_ADMIN, .on_worker = true /* O(targets), O(configuration) */
#define PAGE    .class = ROUTE_PAGE, .on_worker = true
const struct route routes[] = {
    {READ, "/", page_index, PAGE},
    {READ, "/targets", page_targets, PAGE},
    {READ, "/service-discovery", page_service_discovery, PAGE},
    {READ, "/target_response", page_target_response, PAGE},
    {FORM, "/metric-relabel-debug", page_metric_relabel_debug, PAGE},
    {FORM, "/target-relabel-debug", page_target_relabel_debug, PAGE},
    {READ, "/metrics", page_metrics, .class = ROUTE_ADMIN, .on_worker = true, .always = true,
     .auth_key = AUTH_KEY_METRICS},
    {READ, "/config", page_config, PAGE, .auth_key = AUTH_KEY_CONFIG},
    {READ, "/cluster", page_cluster, PAGE},
    {READ, "/flags", page_flags, PAGE, .auth_key = AUTH_KEY_FLAGS},
    {READ, "/-/reload/status", page_reload_status, PAGE, .auth_key = AUTH_KEY_CONFIG},
    {READ, "/favicon.ico", api_ping, .class = ROUTE_PAGE, .open = true},

    {READ, "/-/healthy", api_healthy, HEALTH},
    {READ, "/-/ready", api_ready, HEALTH},
    {READ, "/health", api_health, HEALTH, .open = true},
    {READ, "/ready", api_ready_vmagent, HEALTH},
    {FORM, "/ping", api_ping, .class = ROUTE_HEALTH, .open = true},
    {READ, "/version", api_version, STATUS},
    {HTTP_GET | HTTP_POST | HTTP_PUT, "/-/reload", api_reload, STATUS, .finishes = true, .changes_state = true,
     .logged = true, .auth_key = AUTH_KEY_RELOAD},
    {HTTP_POST | HTTP_PUT, "/-/quit", api_quit, STATUS, .changes_state = true, .logged = true},

    {HTTP_POST, "/api/v1/write", api_write, PUSH, .changes_state = true},
    {HTTP_POST, "/api/v1/push", api_write, PUSH, .changes_state = true},
    {READ, "/api/v1/write", api_write, PUSH, .max_body = 1 << 20},
    {IMPORT, "/api/v1/import/prometheus", api_import_prometheus, STREAM},
    {IMPORT, "/api/v1/import/prometheus/*", api_import_prometheus, STREAM},
    {IMPORT, "/api/v1/import", api_import_jsonl, STREAM},
    {IMPORT, "/api/v1/import/csv", api_import_csv, STREAM},
    {IMPORT, "/api/v1/import/native", api_import_native, STREAM},
    {IMPORT, "/write", api_influx_write, STREAM},
    {IMPORT, "/api/v2/write", api_influx_write, STREAM},
    {IMPORT, "/influx/write", api_influx_write, STREAM},
    {IMPORT, "/influx/api/v2/write", api_influx_write, STREAM},
    {HTTP_POST, "/api/v1/otlp/v1/metrics", api_otlp_write_prometheus, STREAM},
    {HTTP_POST, "/opentelemetry/v1/metrics", api_otlp_write, STREAM},
    {HTTP_POST, "/opentelemetry/api/v1/push", api_otlp_write, STREAM},
    {IMPORT, "/datadog/api/v1/series", api_datadog_series_1, STREAM, .slash = true},
    {IMPORT, "/datadog/api/v2/series", api_datadog_series_2, STREAM, .slash = true},
    {IMPORT, "/datadog/api/beta/sketches", api_datadog_sketches, STREAM, .slash = true},
    {FORM, "/datadog/api/v1/validate", api_datadog_validate, .class = ROUTE_PUSH, .slash = true},
    {FORM, "/datadog/api/v1/check_run", api_datadog_check_run, .class = ROUTE_PUSH, .slash = true},
    {IMPORT, "/datadog/api/v1/metadata", api_datadog_dropped, .class = ROUTE_PUSH, .slash = true},
    {IMPORT, "/datadog/intake", api_datadog_dropped, .class = ROUTE_PUSH, .slash = true},
    {HTTP_POST, "/opentsdb/api/put", api_opentsdb_put, STREAM},
    {HTTP_POST, "/api/put", api_opentsdb_put, STREAM},
    {FORM, "/influx/query", api_influx_query, .class = ROUTE_PUSH},
    {HTTP_POST, "/query", api_influx_query, .class = ROUTE_PUSH},
    {READ, "/influx/health", api_influx_health, .class = ROUTE_PUSH},

    {FORM, "/api/v1/query", api_query, QUERY},
    {FORM, "/api/v1/query_range", api_query_range, QUERY},
    {FORM, "/api/v1/explain", api_explain, QUERY},
    {FORM, "/api/v1/query_exemplars", api_query_exemplars, QUERY},
    {FORM, "/api/v1/format_query", api_format_query, QUERY},
    {FORM, "/api/v1/parse_query", api_parse_query, QUERY},
    {FORM, "/api/v1/series", api_series, QUERY},
    {FORM, "/api/v1/labels", api_labels, QUERY},
    {READ, "/api/v1/label/*/values", api_label_values, QUERY},
    {READ, "/api/v1/metadata", api_metadata, QUERY},
    {HTTP_POST, "/api/v1/read", api_read, QUERY},
    {READ, "/federate", api_federate, QUERY},

    {READ, "/agent/api/v1/configs", api_agent_configs, REPORT},
    {READ, "/agent/api/v1/configs/*", api_agent_config_get, REPORT, .auth_key = AUTH_KEY_CONFIG},
    {HTTP_PUT | HTTP_POST, "/agent/api/v1/config/*", api_agent_config_put, STATUS, .finishes = true, .changes_state = true,
     .logged = true, .no_form = true, .max_body = INSTANCE_TEXT_MAX, .auth_key = AUTH_KEY_RELOAD},
    {HTTP_DELETE, "/agent/api/v1/config/*", api_agent_config_delete, STATUS, .finishes = true, .changes_state = true,
     .logged = true, .auth_key = AUTH_KEY_RELOAD},
    {READ, "/agent/api/v1/metrics/instances", api_agent_instances, REPORT},
    {READ, "/agent/api/v1/metrics/targets", api_agent_targets, REPORT},
    {HTTP_POST, "/agent/api/v1/metrics/instance/*/write", api_write_instance, PUSH, .changes_state = true},
    {READ, "/agent/api/v1/instances", api_agent_instances, REPORT},
    {READ, "/agent/api/v1/targets", api_agent_targets, REPORT},
    {READ, "/debug/ring", api_agent_ring, REPORT},

    {READ, "/api/v1/targets", api_targets, QUERY},
    {READ, "/api/v1/targets/metadata", api_targets_metadata, QUERY},
    {READ, "/api/v1/targets/relabel_steps", api_targets_relabel_steps, QUERY},
    {READ, "/api/v1/scrape_pools", api_scrape_pools, QUERY},
    {READ, "/api/v1/rules", api_rules, QUERY},
    {READ, "/api/v1/alerts", api_alerts, QUERY},
    {READ, "/api/v1/alertmanagers", api_alertmanagers, QUERY},
    {READ, "/api/v1/status/buildinfo", api_buildinfo, STATUS, .refuses_loops = true},
    {READ, "/api/v1/status/tsdb", api_status_tsdb, QUERY},
    {READ, "/api/v1/status/upstreams", api_status_upstreams, QUERY},
    {READ, "/api/v1/status/walreplay", api_walreplay, STATUS},
    {READ, "/api/v1/features", api_features, REPORT},
    {READ, "/api/v1/notifications", api_notifications, STATUS},
    {READ, "/api/v1/notifications/live", api_no_live_notifications, STATUS},
    {HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/delete_series", api_no_admin, STATUS},
    {HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/clean_tombstones", api_no_admin, STATUS},
    {HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/snapshot", api_no_admin, STATUS},
    {READ, "/api/v1/status/runtimeinfo", api_runtimeinfo, STATUS},
    {READ, "/api/v1/status/config", api_status_config, REPORT, .auth_key = AUTH_KEY_CONFIG},
    {READ, "/api/v1/status/reload", api_status_reload, REPORT, .auth_key = AUTH_KEY_CONFIG},
    {FORM, "/api/v1/status/coverage", api_status_coverage, QUERY},
    {READ, "/api/v1/cluster", api_cluster, REPORT},
    {READ, "/api/v1/cluster/member", api_cluster_member, STATUS},
    {READ, "/api/v1/cluster/sd", api_cluster_sd, STATUS},
    {HTTP_POST, "/api/v1/cluster/handover", api_cluster_handover, REPORT, .no_form = true},
    {READ, "/api/v1/cluster/owners", api_cluster_owners, REPORT},
    {FORM, "/api/v1/status/audit", api_status_audit, QUERY},
    {READ, "/api/v1/status/flags", api_status_flags, REPORT, .auth_key = AUTH_KEY_FLAGS},
    {READ, "/api/v1/status/active_queries", api_active_queries, REPORT},
    {HTTP_POST, "/api/v1/status/active_queries/cancel", api_cancel_query, STATUS, .changes_state = true, .logged = true},
};
const size_t n_routes = LEN(routes);

void routes_document(struct buf *out)
{
    for (size_t i = 0; i < n_routes; i++) {
        http_methods_print(out, routes[i].methods);
        buf_printf(out, " %s\n", routes[i].path);
    }
}
