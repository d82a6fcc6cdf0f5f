// SPDX-License-Identifier: Apache-2.0
/* Keys of server_groups, with promxy's names. Keys of promxy that are not implemented are errors: a group that silently
 * ignored its dns_sd_configs would lack servers.
 */
#include "gateway/upstream/upstream.h"

#include "base/conf/conf_sd.h"
#include "base/text/url.h"
#include "gateway/view/view.h"
#include "model/relabel.h"

#define GUARD(key, why) {.type = CONF_GUARD, .name = key, .help = why}

/* Headers are strings in promxy; Prometheus' form is accepted too. */
static bool read_headers(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    struct http_headers *headers = field;
    struct str_map *map = &headers->values;
    *headers = (struct http_headers){0};
    if (node->kind != YAML_MAP || (node->n > 0 && node->items[0].kind == YAML_MAP))
        return http_headers_custom(c, node, field, err);
    map->n = node->n;
    map->keys = ARENA_ARRAY(c->arena, struct str, node->n);
    map->values = ARENA_ARRAY(c->arena, struct str, node->n);
    for (size_t i = 0; i < node->n; i++) {
        const struct yaml *key = &node->keys[i], *value = &node->items[i];
        if (value->kind != YAML_SCALAR)
            return conf_err(value, err, "server_group.http_headers: %s: expected a string", key->text.p);
        map->keys[i] = key->text;
        map->values[i] = value->text;
    }
    return true;
}

static const struct conf_row static_rows[] = {
    {CONF_ADDRESSES, "targets", offsetof(struct group_static, targets), .required = true,
     .help = "host:port of each server"},
    {CONF_STRING, "zone", offsetof(struct group_static, zone),
     .help = "Zone of these targets: those of the zone of sluice (`--zone`) come first; overridden by `__zone__` of a "
             "target"},
    {CONF_MAP, "labels", offsetof(struct group_static, labels),
     .help = "Labels of these targets; they are added to their series"},
    {0}};
static bool refuse_server_address(const struct yaml *node, struct str address, struct err *err)
{
    struct buf shown = {0};
    url_redact_address(&shown, address);
    conf_err(node, err, "static_configs: target \"%s\" is not host:port (set scheme and path_prefix by their keys)",
             buf_z(&shown));
    buf_free(&shown);
    return false;
}

static bool check_static(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct group_static *s = value;
    for (size_t i = 0; i < s->targets.n; i++)
        if (s->targets.items[i].n == 0 || str_find(s->targets.items[i], '/') < s->targets.items[i].n)
            return refuse_server_address(node, s->targets.items[i], err);
    return true;
}
static const struct conf_section static_section = {
    "server_group_static", sizeof(struct group_static), static_rows, check_static, "Servers by address"};

#define CLIENT(field) offsetof(struct group_client, field)
static const struct conf_row client_rows[] = {
    {CONF_DURATION, "dial_timeout", CLIENT(dial_timeout), .preset = "2s", .min = 1, .max = 3600000,
     .help = "Maximum time to establish a connection"},
    HTTP_CONF_ROWS(struct group_client, http),
    {0}};
static bool group_conf_check_client(struct conf_context *c UNUSED, const struct yaml *node, void *value,
                                    struct err *err)
{
    return http_conf_check(node, &((struct group_client *)value)->http, err);
}
static const struct conf_section client_section = {
    "http_client", sizeof(struct group_client), client_rows, group_conf_check_client,
    "HTTP client settings for requests to servers"};

#define ROW(field) offsetof(struct server_group_conf, field)
static const char *const schemes[] = {"http", "https", NULL};
static const char *const overlaps[] = {[OVERLAP_NONE] = "none", [OVERLAP_MERGE] = "merge", NULL};
static const char *const balances[] = {[BALANCE_FIRST] = "first", [BALANCE_ROTATE] = "rotate", NULL};
static const char *const read_modes[] = {
    [READ_MERGE] = "merge", [READ_HEDGE] = "hedge", [READ_FIRST] = "first_available", NULL};
static const char *const compressions[] = {
    [COMPRESSION_AUTO] = "auto", [COMPRESSION_ON] = "on", [COMPRESSION_OFF] = "off", NULL};
static const char *const partials[] = {
    [GROUP_PARTIAL_AUTO] = "auto", [GROUP_PARTIAL_ON] = "true", [GROUP_PARTIAL_OFF] = "false", NULL};
static const char *const push_downs[] = {
    [PUSH_VERIFIED] = "verified", [PUSH_TRUSTED] = "trusted", [PUSH_OFF] = "off", NULL};
static const char *const kinds[] = {
    [SERVER_AUTO] = "auto", [SERVER_PROMETHEUS] = "prometheus", [SERVER_VICTORIAMETRICS] = "victoriametrics", NULL};

static const struct conf_row rows[] = {
    {CONF_STRING, "name", ROW(name), .help = "Name in errors, warnings and metrics; server_groups[N] by default"},
    {CONF_SECTIONS, "static_configs", ROW(static_configs), .section = &static_section,
     .help = "Servers of the group: replicas with the same data"},
    SD_CONF_ROWS(struct server_group_conf, sd, "Servers")
    {CONF_STRING, "scheme", ROW(scheme), .preset = "http",
     .help = "http or https; overridden by `__scheme__` of a target"},
    {CONF_STRING, "path_prefix", ROW(path_prefix),
     .help = "Path before /api/v1; overridden by `__path_prefix__` of a target"},
    {CONF_MAP, "labels", ROW(labels),
     .help = "Labels added to every series of the group; a query whose matchers exclude them does not read the group"},
    {CONF_SECTIONS, "relabel_configs", ROW(relabel_configs), .section = &relabel_section,
     .help = "Relabeling of targets; remaining labels are added to their series"},
    {CONF_SECTIONS, "metrics_relabel_configs", ROW(metrics_relabel_configs), .section = &view_rule_section,
     .help = "Changes of the labels of results; queries are rewritten to match. Series that differ in a dropped label "
             "only are replicas and merged"},
    {CONF_STRINGS, "inject_matchers", ROW(inject_matchers),
     .help = "Matchers on the servers' labels, as `cluster=\"a\"`, added to every selector that is sent to them"},
    {CONF_SECTION, "label_filter", ROW(label_filter), .section = &label_filter_section,
     .help = "Values of the group's labels: a query none of whose series can have them does not read the group"},
    {CONF_SECTION, "relative_time_range", ROW(times.relative), .section = &relative_time_range_section,
     .help = "The time that the group has samples of, relative to now; other times are not requested. Series that it "
             "shares with other groups are united"},
    {CONF_SECTION, "absolute_time_range", ROW(times.absolute), .section = &absolute_time_range_section,
     .help = "The same with fixed times"},
    {CONF_BOOL, "align_query_range_with_step", ROW(align_query_range_with_step),
     .help = "The servers move the start of a range query to a multiple of its step (Mimir, Cortex): query ranges only "
             "where the start is one, otherwise raw samples"},
    {CONF_DURATION_AUTO, "anti_affinity", ROW(anti_affinity), .preset = "auto", .max = INT64_MAX,
     .help = "Distance below which samples of two independent replicas count as the same scrape: a duration, or `auto` "
             "(half of the median interval; copies of one stream are detected)"},
    {CONF_BOOL, "anti_affinity_dynamic", ROW(anti_affinity_dynamic),
     .help = "As `anti_affinity: auto`, with the configured duration where the interval cannot be measured"},
    {CONF_BOOL, "prefer_max", ROW(prefer_max),
     .help = "Use the larger of two samples of the same scrape; range functions then see both replicas' samples, "
             "also around gaps"},
    {CONF_BOOL, "remote_read", ROW(remote_read), .preset = "true",
     .help = "Read raw samples by remote_read if the server supports it: exact, with stale markers and native "
             "histograms, and cheaper than JSON"},
    {CONF_STRING, "remote_read_path", ROW(remote_read_path), .preset = "api/v1/read",
     .help = "Path of remote_read after path_prefix"},
    {CONF_MULTIMAP, "query_params", ROW(query_params), .help = "URL parameters to add to requests"},
    {CONF_CUSTOM, "http_headers", ROW(group_http_headers), .custom = read_headers,
     .print = http_headers_print, .equal = http_headers_equal, .form = "mapping",
     .help = "HTTP headers to add to requests"},
    {CONF_SECTION, "http_client", ROW(client), .section = &client_section,
     .help = "Credentials, TLS, proxy, dial_timeout"},
    {CONF_DURATION, "timeout", ROW(timeout), .preset = "0s",
     .help = "Request timeout, including the body; 0 = the rest of the query's timeout"},
    {CONF_BOOL, "ignore_error", ROW(ignore_error),
     .help = "If the group fails, return results of the others without a warning"},
    {CONF_BOOL, "downgrade_error", ROW(downgrade_error),
     .help = "If the group fails, return results of the others with a warning"},
    {CONF_ENUM, "partial_response", ROW(partial_response), .preset = "auto", .names = partials,
     .help = "`true`: as `downgrade_error`; `false`: the group is required; `auto`: `--query.partial-response`. Requests "
             "may decide for all groups by their parameter of this name"},
    {CONF_ENUM, "overlap", ROW(overlap), .preset = "none", .names = overlaps,
     .help = "`none`: a series that another group has as well is an error; `merge`: their samples are merged"},
    {CONF_ENUM, "read_mode", ROW(read_mode), .preset = "merge", .names = read_modes,
     .help = "`merge`: query all replicas; `hedge`: query a second one if the first is slow; `first_available`: query "
             "a second one if the first fails"},
    {CONF_ENUM, "balance", ROW(balance), .preset = "first", .names = balances,
     .help = "Which server is read where one is sufficient, because it is complete or `read_mode` says so: `first`: "
             "the first of them; `rotate`: the next one with each query. With independent replicas, which scrape at "
             "other times, results of equal queries then differ a little"},
    {CONF_ENUM, "compression", ROW(compression), .preset = "auto", .names = compressions,
     .help = "Whether responses are requested compressed, which costs the servers more time than a fast network takes; "
             "`auto`: except from this host"},
    {CONF_ENUM, "push_down", ROW(push_down), .preset = "verified", .names = push_downs,
     .help = "Sub-expressions that servers evaluate: `verified`: those whose value is known to equal that of the raw "
             "samples; `trusted`: also aggregations over groups without distinguishing labels, which are assumed to "
             "share no series; `off`: none, and replicas are merged even where one is known to be complete"},
    {CONF_ENUM, "kind", ROW(kind), .preset = "auto", .names = kinds, .help = "Kind of the servers; `auto` detects it"},
    {CONF_STRINGS, "coverage_by", ROW(coverage_by),
     .help = "Labels that identify the target of a series; job and instance by default. Gaps of replicas are found by "
             "target"},
    {CONF_BOOL, "trust_untargeted", ROW(trust_untargeted),
     .help = "Treat series without a target (recording rules, pushes) as complete as all targets are, and those with the "
             "labels of a target and other timestamps as complete as that target"},
    {CONF_STRINGS, "written_by", ROW(written_by),
     .help =
         "Names of the remote_write entries that fill this group, each one of its servers or all: they hold copies of "
             "one stream, and samples that only the recent store of that stream has are added. If all are backups "
             "(`backup_of`), the group is read for the times that they were written only, as a part of the primary's. With "
             "`shard: {labels: [...]}` a selector that fixes these labels is read from the groups of the destinations that "
             "get its series only"},
    {CONF_IGNORED, "max_idle_conns", 0, .help = "Connections are kept alive as needed"},
    {CONF_IGNORED, "max_idle_conns_per_host", 0, .help = "Connections are kept alive as needed"},
    {CONF_IGNORED, "idle_conn_timeout", 0, .help = "Connections are kept alive as needed"},
    {.type = CONF_ACCEPTED, .name = "native_histogram", .help = "Native histograms are fetched by `remote_read`"},
    CONF_SD_ROWS(CONF_GUARD, "Its servers would not be queried"),
    {0}};

static bool check_labels(const struct yaml *node, const struct str_map *labels, struct err *err)
{
    for (size_t i = 0; i < labels->n; i++)
        if (!label_name_valid(labels->keys[i]) || str_is(labels->keys[i], METRIC_NAME))
            return conf_err(node, err, "server_group.labels: \"%.*s\" is not a valid label name",
                            STR_ARG(labels->keys[i]));
    return true;
}

static bool group_conf_check(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    struct server_group_conf *g = value;
    bool known = false;
    for (size_t i = 0; schemes[i]; i++)
        known = known || str_is(g->scheme, schemes[i]);
    if (!known)
        return conf_err(node, err, "server_group.scheme: \"%.*s\" is neither http nor https", STR_ARG(g->scheme));
    if (g->static_configs.n == 0 && sd_conf_empty(&g->sd))
        return conf_err(node, err, "server_group: static_configs or a *_sd_configs is required");
    sd_conf_finish(&g->sd, &(struct sd_intervals){0}, NULL);
    return check_labels(node, &g->labels, err);
}

const struct conf_section server_group_section = {"server_group", sizeof(struct server_group_conf), rows,
                                                  group_conf_check, "A set of replicas, queried as one server"};
