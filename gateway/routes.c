// SPDX-License-Identifier: Apache-2.0
#include "gateway/routes.h"

#include "gateway/api/api.h"
#include "gateway/api/query.h"
#include "gateway/pages/pages.h"

enum { READ = HTTP_GET, FORM = HTTP_GET | HTTP_POST, PUSH = ROUTE_ON_WORKER | ROUTE_PUSH | ROUTE_CHANGES,
       ALWAYS = ROUTE_ALWAYS };

const struct route routes[] = {
    {READ, "/", page_index, 0, 0},
    {READ, "/targets", page_targets, ROUTE_WORKER, 0},
    {READ, "/metrics", page_metrics, ALWAYS | ROUTE_ASIDE, 0},
    {READ, "/config", page_config, 0, 0},
    {READ, "/flags", page_flags, 0, 0},
    {READ, "/favicon.ico", api_ping, 0, 0},

    {READ, "/-/healthy", api_healthy, ALWAYS, 0},
    {READ, "/-/ready", api_ready, ALWAYS, 0},
    {READ, "/health", api_healthy, ALWAYS, 0},
    {READ, "/ready", api_ready_vmagent, ALWAYS, 0},
    {FORM, "/ping", api_ping, 0, 0},
    {READ, "/version", api_version, 0, 0},
    {HTTP_GET | HTTP_POST | HTTP_PUT, "/-/reload", api_reload, ROUTE_ON_WORKER | ROUTE_CHANGES, 0},
    {HTTP_POST | HTTP_PUT, "/-/quit", api_quit, ROUTE_CHANGES, 0},

    {HTTP_POST, "/api/v1/write", api_write, PUSH, 0},
    {HTTP_POST, "/api/v1/push", api_write, PUSH, 0},
    {HTTP_POST, "/prometheus/api/v1/write", api_write, PUSH, 0},
    {READ, "/api/v1/write", api_write, ROUTE_ON_WORKER, 0},

    {FORM, "/api/v1/query", api_query, ROUTE_WORKER, 0},
    {FORM, "/api/v1/query_range", api_query_range, ROUTE_WORKER, 0},
    {FORM, "/api/v1/query_exemplars", api_query_exemplars, ROUTE_WORKER, 0},
    {FORM, "/api/v1/format_query", api_format_query, ROUTE_WORKER, 0},
    {FORM, "/api/v1/parse_query", api_parse_query, ROUTE_WORKER, 0},
    {FORM, "/api/v1/series", api_series, ROUTE_WORKER, 0},
    {FORM, "/api/v1/labels", api_labels, ROUTE_WORKER, 0},
    {READ, "/api/v1/label/*/values", api_label_values, ROUTE_WORKER, 0},
    {READ, "/api/v1/metadata", api_metadata, ROUTE_WORKER, 0},
    {READ, "/federate", api_federate, ROUTE_WORKER, 0},

    {READ, "/api/v1/targets", api_targets, ROUTE_WORKER, 0},
    {READ, "/api/v1/targets/metadata", api_targets_metadata, ROUTE_WORKER, 0},
    {READ, "/api/v1/scrape_pools", api_scrape_pools, ROUTE_WORKER, 0},
    {READ, "/api/v1/rules", api_empty_rules, 0, 0},
    {READ, "/api/v1/alerts", api_empty_alerts, 0, 0},
    {READ, "/api/v1/alertmanagers", api_alertmanagers, 0, 0},
    {READ, "/api/v1/status/buildinfo", api_buildinfo, 0, 0},
    {READ, "/api/v1/status/runtimeinfo", api_runtimeinfo, 0, 0},
    {READ, "/api/v1/status/config", api_status_config, 0, 0},
    {READ, "/api/v1/status/flags", api_status_flags, 0, 0},
};
const size_t n_routes = LEN(routes);
