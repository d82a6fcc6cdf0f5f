// SPDX-License-Identifier: Apache-2.0
/* Tables of the top level of the file and of `global`, and the Markdown of all sections. */
#include "gateway/config/config_file.h"
#include "gateway/config/web_conf.h"

#include "base/conf/yaml.h"
#include "model/exposition/scrape_protocols.h"

#include <stdio.h>

#define GLOBAL(field) offsetof(struct global_conf, field)
#define FILE_AT(field) offsetof(struct config_file, field)
#define ACCEPTED(key, why) {.type = CONF_ACCEPTED, .name = key, .help = why}
#define GUARD(key, why) {.type = CONF_GUARD, .name = key, .help = why}

static const struct conf_row global_rows[] = {
    {CONF_DURATION, "scrape_interval", GLOBAL(scrape_interval), .preset = "1m", .min = 1, .max = 366ll * 86400000,
     .help = "Default scrape interval of jobs"},
    {CONF_DURATION, "scrape_timeout", GLOBAL(scrape_timeout), .preset = "10s", .min = 1, .max = 366ll * 86400000,
     .help = "Default scrape timeout of jobs"},
    {CONF_DURATION_AUTO, "scrape_slot", GLOBAL(scrape_slot), .preset = "auto", .max = 60 * 1000,
     .help = "Targets are scraped in groups at multiples of this, so that their samples compress better: a duration, `0` "
             "to give each target its own time, or `auto`: at most 1s and a fifteenth of the interval, and shorter with "
             "many targets"},
    {CONF_BOOL, "write_stale_on_shutdown", GLOBAL(stale_on_shutdown), .preset = "false",
     .help = "Write stale markers for all scraped series at a clean stop, as Grafana Agent does: for an instance that will "
             "not be started again. Otherwise a restart ends no series"},
    {CONF_DURATION, "evaluation_interval", GLOBAL(evaluation_interval), .preset = "1m", .min = 1,
     .max = 366ll * 86400000, .help = "Default step of subqueries"},
    {CONF_MAP, "external_labels", GLOBAL(external_labels),
     .help = "Labels to add to all samples sent to destinations, unless they have a label of that name; with vmagent's "
             "flags to samples that are scraped, whose labels of that name are renamed"},
    {CONF_INT, "sample_limit", GLOBAL(sample_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `sample_limit`"},
    {CONF_INT, "label_limit", GLOBAL(label_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_limit`"},
    {CONF_SIZE, "body_size_limit", GLOBAL(body_size_limit), .preset = "0",
     .help = "Default of the jobs' `body_size_limit`; 0 = `--promscrape.maxScrapeSize`"},
    {CONF_SECTIONS, "relabel_configs", GLOBAL(relabel_configs), .section = &relabel_section,
     .help = "Relabeling of targets, applied before that of each job"},
    {CONF_SECTIONS, "metric_relabel_configs", GLOBAL(metric_relabel_configs), .section = &relabel_section,
     .help = "Relabeling of scraped series, applied before that of each job"},
    {CONF_CUSTOM, "query_log_file", GLOBAL(query_log_file), .custom = conf_read_output_file,
     .print = conf_print_output_file,
     .form = "file",
     .help = "File to log queries to, one JSON object a line, as Prometheus does; reopened at a reload"},
    {CONF_CUSTOM, "scrape_failure_log_file", GLOBAL(scrape_failure_log_file), .custom = conf_read_output_file,
     .print = conf_print_output_file, .form = "file", .help = "Default of the jobs' `scrape_failure_log_file`"},
    ACCEPTED("rule_query_offset", "Rules are not evaluated"),
    {CONF_INT, "target_limit", GLOBAL(target_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `target_limit`"},
    {CONF_INT, "label_name_length_limit", GLOBAL(label_name_length_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_name_length_limit`"},
    {CONF_INT, "label_value_length_limit", GLOBAL(label_value_length_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_value_length_limit`"},
    {CONF_STRINGS, "scrape_protocols", GLOBAL(scrape_protocols), .not_empty = true,
     .help = "Default of the jobs' `scrape_protocols`. With Prometheus' flags OpenMetrics is preferred, otherwise "
             "`PrometheusText0.0.4` is requested"},
    {CONF_ENUM, "metric_name_escaping_scheme", GLOBAL(metric_name_escaping_scheme), .names = escaping_names,
     .help = "Default of the jobs' `metric_name_escaping_scheme`: `allow-utf-8`, with legacy names `underscores`"},
    {CONF_BOOL, "scrape_native_histograms", GLOBAL(scrape_native_histograms), .preset = "false",
     .help = "Default of the jobs' `scrape_native_histograms`"},
    {CONF_BOOL, "always_scrape_classic_histograms", GLOBAL(always_scrape_classic_histograms), .preset = "false",
     .help = "Default of the jobs' `always_scrape_classic_histograms`"},
    {CONF_BOOL, "convert_classic_histograms_to_nhcb", GLOBAL(convert_classic_histograms), .preset = "false",
     .help = "Default of the jobs' `convert_classic_histograms_to_nhcb`"},
    {CONF_ENUM, "metric_name_validation_scheme", GLOBAL(metric_name_validation_scheme), .names = name_scheme_names,
     .preset = "utf8", .help = "Default of the jobs' `metric_name_validation_scheme`"},
    {CONF_BOOL, "extra_scrape_metrics", GLOBAL(extra_scrape_metrics), .preset = "false",
     .help = "Default of the jobs' `extra_scrape_metrics`"},
    {CONF_INT, "keep_dropped_targets", GLOBAL(keep_dropped_targets), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `keep_dropped_targets`"},
    {0}};
/* Prometheus rejects an explicit timeout above the interval; vmagent lowers it to the interval. */
static bool check_global(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    const struct global_conf *g = value;
    const struct yaml *protocols = yaml_get(node, "scrape_protocols");
    if (!protocols_check(protocols, "global.scrape_protocols", &g->scrape_protocols, err))
        return false;
    for (size_t i = 0; g->metric_name_validation_scheme == NAMES_LEGACY && i < g->external_labels.n; i++)
        if (!label_name_legacy(g->external_labels.keys[i]))
            return conf_err(yaml_get(node, "external_labels"), err, "global.external_labels: \"%.*s\" is not a valid "
                            "label name of metric_name_validation_scheme: legacy", STR_ARG(g->external_labels.keys[i]));
    if (c->loose_durations || !conf_is_set(node, "scrape_timeout") || g->scrape_timeout <= g->scrape_interval)
        return true;
    return conf_err(yaml_get(node, "scrape_timeout"), err,
                    "global.scrape_timeout: must not exceed scrape_interval");
}

const struct conf_section global_section = {"global", sizeof(struct global_conf), global_rows, check_global,
                                            "Defaults of jobs and destinations"};

static const struct conf_row promxy_rows[] = {
    {CONF_SECTIONS, "server_groups", offsetof(struct promxy_conf, server_groups), .section = &server_group_section,
     .help = "Server groups, see `server_groups`"},
    {0}};
static const struct conf_section promxy_section = {"promxy", sizeof(struct promxy_conf), promxy_rows, NULL,
                                                   "promxy's section for `server_groups`"};

/* The old name; in the oldest files it is the list of server groups. */
static bool old_promxy(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    char text[512];
    snprintf(text, sizeof text, "%s:%u: promxy_server is deprecated; rename it to promxy", node->file,
             node->line);
    c->warn(c->warn_arg, text);
    if (node->kind != YAML_LIST)
        return conf_load(c, &promxy_section, node, field, err);
    struct yaml key = {.kind = YAML_SCALAR, .line = node->line, .file = node->file, .text = STR("server_groups")};
    struct yaml groups = *node;
    struct yaml map = {.kind = YAML_MAP, .line = node->line, .file = node->file, .keys = &key, .items = &groups, .n = 1};
    return conf_load(c, &promxy_section, &map, field, err);
}

static const struct conf_row file_rows[] = {
    {CONF_SECTION, "global", FILE_AT(global), .section = &global_section, .help = "Defaults of jobs and destinations"},
    {CONF_SECTIONS, "scrape_configs", FILE_AT(scrape_configs), .section = &scrape_job_section,
     .help = "Scrape jobs"},
    {CONF_FILES, "scrape_config_files", FILE_AT(scrape_config_files),
     .help = "Files with further `scrape_configs`: a list, or a mapping with that key; patterns with `*`, `?`, `[]`, or "
             "http(s) URLs"},
    {CONF_SECTIONS, "remote_write", FILE_AT(remote_write), .section = &remote_write_section,
     .help = "Destinations of samples"},
    {CONF_OPTIONAL, "shard", FILE_AT(sharding), .section = &sharding_section,
     .help = "Distribution of series over all destinations; by default each gets all series"},
    {CONF_SECTION, "pipeline", FILE_AT(pipeline), .section = &pipeline_section,
     .help = "What is done to all series before they are distributed over destinations"},
    {CONF_SECTIONS, "server_groups", FILE_AT(server_groups), .section = &server_group_section,
     .help = "Server groups that queries read from"},
    {CONF_OPTIONAL, "recent", FILE_AT(recent), .section = &recent_section,
     .help = "In-memory store of the newest samples; enabled by default if there is neither a destination nor a "
             "server group"},
    {CONF_OPTIONAL, "audit", FILE_AT(audit), .section = &audit_section,
     .help = "Comparison of what was written with what servers return, in the background; off by default"},
    {CONF_OPTIONAL, "cluster", FILE_AT(cluster), .section = &cluster_section,
     .help = "Sluices that share the targets of all jobs, coordinated by etcd"},
    {CONF_SECTION, "promxy", FILE_AT(promxy), .section = &promxy_section,
     .help = "promxy's section for `server_groups`"},
    {CONF_CUSTOM, "promxy_server", FILE_AT(promxy_server), .custom = old_promxy,
     .form = "[promxy](#promxy)",
     .help = "Deprecated name of `promxy`, or of its `server_groups`"},
    GUARD("remote_read", "Its servers would not be queried; add them to `server_groups`"),
    ACCEPTED("rule_files", "Rules are not evaluated"),
    ACCEPTED("alerting", "Alerts are not sent"),
    {CONF_OPTIONAL, "tls_server_config", FILE_AT(tls_server), .section = &tls_server_section,
     .help = "TLS of listeners, as in the file of `--web.config.file`, which is preferable"},
    ACCEPTED("storage", "There is no TSDB; see `recent`"),
    ACCEPTED("tracing", "Traces are not sent"),
    {CONF_SECTION, "otlp", FILE_AT(otlp), .section = &otlp_section,
     .help = "Conversion of the OpenTelemetry metrics that `/api/v1/otlp/v1/metrics` receives"},
    /* Grafana Agent, static mode */
    {CONF_OPTIONAL, "metrics", FILE_AT(metrics), .section = &metrics_section, .alias = "prometheus",
     .help = "Jobs and destinations of Grafana Agent's static mode"},
    GUARD("integrations", "No exporter is built in; run node_exporter and others themselves"),
    GUARD("logs", "Logs would not be collected"),
    GUARD("loki", "Logs would not be collected"),
    GUARD("traces", "Traces would not be collected"),
    GUARD("tempo", "Traces would not be collected"),
    ACCEPTED("server", "Grafana Agent's server; flags set addresses and the log"),
    {.type = CONF_IGNORED, .name = "runtime", .help = "Settings of the Go runtime"},
    {0}};

static bool check_file(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct config_file *f = value;
    return f->global.metric_name_validation_scheme != NAMES_LEGACY || otlp_conf_escapes(&f->otlp) ||
           conf_err(yaml_get(yaml_get(node, "otlp"), "translation_strategy"), err, "otlp.translation_strategy: must "
                    "escape names if global.metric_name_validation_scheme is legacy");
}

const struct conf_section file_section = {"", sizeof(struct config_file), file_rows, check_file, "The file"};

/* Appends the sections nested in s to list[0..n), without duplicates; returns their new number. */
static size_t add_nested(const struct conf_section **list, size_t n, size_t max, const struct conf_section *s)
{
    for (const struct conf_row *row = s->rows; row->type != CONF_END; row++) {
        bool known = row->section == NULL;
        for (size_t i = 0; i < n && !known; i++)
            known = list[i] == row->section;
        if (!known && n < max)
            list[n++] = row->section;
    }
    return n;
}

/* Writes the sections from list[from] on and those nested in them; returns their number. */
static size_t document_sections(struct buf *out, const struct conf_section **list, size_t from, size_t n, size_t max)
{
    for (size_t i = from; i < n; i++) {
        const struct conf_section *s = list[i];
        buf_printf(out, "### %s\n\n%s\n\n", s->name[0] ? s->name : "top level", s->help ? s->help : "");
        buf_add_z(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
        conf_document(out, s);
        buf_add_char(out, '\n');
        n = add_nested(list, n, max, s);
    }
    return n;
}

void config_document(struct buf *out)
{
    const struct conf_section *list[128] = {&file_section};
    size_t n = document_sections(out, list, 0, 1, LEN(list) - 1);
    list[n] = &web_section;
    document_sections(out, list, n, n + 1, LEN(list));
}
