// SPDX-License-Identifier: Apache-2.0
#include "gateway/config/config_file.h"

#include <stdio.h>

#define GLOBAL(field) offsetof(struct global_conf, field)
#define FILE_AT(field) offsetof(struct config_file, field)
#define ACCEPTED(key, why) {.type = CONF_ACCEPTED, .name = key, .help = why}
#define GUARD(key, why) {.type = CONF_GUARD, .name = key, .help = why}

static const struct conf_row global_rows[] = {
    {CONF_DURATION, "scrape_interval", GLOBAL(scrape_interval), .preset = "1m", .min = 1, .max = 366ll * 86400000,
     .help = "How often targets are scraped"},
    {CONF_DURATION, "scrape_timeout", GLOBAL(scrape_timeout), .preset = "10s", .min = 1, .max = 366ll * 86400000,
     .help = "How long a scrape may take"},
    {CONF_DURATION, "evaluation_interval", GLOBAL(evaluation_interval), .preset = "1m", .min = 1,
     .max = 366ll * 86400000, .help = "Step of a subquery that names none"},
    {CONF_MAP, "external_labels", GLOBAL(external_labels),
     .help = "Labels that everything sent gets, where it has none of that name"},
    {CONF_INT, "sample_limit", GLOBAL(sample_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `sample_limit`"},
    {CONF_INT, "label_limit", GLOBAL(label_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_limit`"},
    {CONF_SIZE, "body_size_limit", GLOBAL(body_size_limit), .preset = "0",
     .help = "Default of the jobs' `body_size_limit`; 0 = `--promscrape.maxScrapeSize`"},
    {CONF_SECTIONS, "relabel_configs", GLOBAL(relabel_configs), .section = &relabel_section,
     .help = "Rules for targets, before each job's own"},
    {CONF_SECTIONS, "metric_relabel_configs", GLOBAL(metric_relabel_configs), .section = &relabel_section,
     .help = "Rules for scraped series, before each job's own"},
    ACCEPTED("query_log_file", "Queries are not logged"),
    ACCEPTED("scrape_failure_log_file", "Failures are shown on /targets"),
    ACCEPTED("rule_query_offset", "There are no rules"),
    {CONF_INT, "target_limit", GLOBAL(target_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `target_limit`"},
    {CONF_INT, "label_name_length_limit", GLOBAL(label_name_length_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_name_length_limit`"},
    {CONF_INT, "label_value_length_limit", GLOBAL(label_value_length_limit), .preset = "0", .min = 0, .max = INT64_MAX,
     .help = "Default of the jobs' `label_value_length_limit`"},
    ACCEPTED("scrape_protocols", "The text format 0.0.4 is requested"),
    ACCEPTED("scrape_native_histograms", "Native histograms need the protobuf format"),
    ACCEPTED("always_scrape_classic_histograms", "The text format has classic histograms only"),
    ACCEPTED("convert_classic_histograms_to_nhcb", "Classic histograms are not converted"),
    ACCEPTED("metric_name_validation_scheme", "Every UTF-8 name is accepted"),
    ACCEPTED("metric_name_escaping_scheme", "No escaping is requested"),
    {.type = CONF_IGNORED, .name = "keep_dropped_targets", .help = "10,000 dropped targets are kept"},
    {0}};
/* Prometheus refuses an explicit timeout above the interval; vmagent shortens it. */
static bool check_global(struct conf_context *c, const struct yaml *node, void *value, struct err *err)
{
    const struct global_conf *g = value;
    if (c->loose_durations || !conf_is_set(node, "scrape_timeout") || g->scrape_timeout <= g->scrape_interval)
        return true;
    return conf_err(yaml_get(node, "scrape_timeout"), err,
                    "global.scrape_timeout: the timeout is longer than scrape_interval");
}

const struct conf_section global_section = {"global", sizeof(struct global_conf), global_rows, check_global,
                                            "What jobs and destinations inherit"};

static const struct conf_row promxy_rows[] = {
    {CONF_SECTIONS, "server_groups", offsetof(struct promxy_conf, server_groups), .section = &server_group_section,
     .help = "See `server_groups`"},
    {0}};
static const struct conf_section promxy_section = {"promxy", sizeof(struct promxy_conf), promxy_rows, NULL,
                                                   "promxy's own place for `server_groups`"};

static bool old_promxy(struct conf_context *c, const struct yaml *node, void *field, struct err *err)
{
    char text[512];
    snprintf(text, sizeof text, "%s:%u: promxy_server is the old name of promxy; please rename it", node->file,
             node->line);
    c->warn(c->warn_arg, text);
    return conf_load(c, &promxy_section, node, field, err);
}

static const struct conf_row file_rows[] = {
    {CONF_SECTION, "global", FILE_AT(global), .section = &global_section, .help = "What jobs and destinations inherit"},
    {CONF_SECTIONS, "scrape_configs", FILE_AT(scrape_configs), .section = &scrape_job_section,
     .help = "What is scraped"},
    {CONF_FILES, "scrape_config_files", FILE_AT(scrape_config_files),
     .help = "Files with more of `scrape_configs`: a list, or a mapping with that key; names may hold `*`, `?`, `[]`"},
    {CONF_SECTIONS, "remote_write", FILE_AT(remote_write), .section = &remote_write_section,
     .help = "Where everything is sent"},
    {CONF_SECTIONS, "server_groups", FILE_AT(server_groups), .section = &server_group_section,
     .help = "What queries are answered from"},
    {CONF_OPTIONAL, "recent", FILE_AT(recent), .section = &recent_section,
     .help = "The newest samples, kept in memory; enabled automatically when there is neither a destination "
             "nor a server group"},
    {CONF_SECTION, "promxy", FILE_AT(promxy), .section = &promxy_section,
     .help = "promxy's own place for `server_groups`"},
    {CONF_CUSTOM, "promxy_server", FILE_AT(promxy_server), .custom = old_promxy,
     .form = "[promxy](#promxy)", .help = "The old name of `promxy`"},
    GUARD("remote_read", "Its servers would not be queried; list them under `server_groups`"),
    ACCEPTED("rule_files", "No rule is evaluated"),
    ACCEPTED("alerting", "No alert is sent"),
    GUARD("tls_server_config", "The port would be open, without TLS and client certificates"),
    ACCEPTED("storage", "There is no TSDB; see `recent`"),
    ACCEPTED("tracing", "Traces are not sent"),
    ACCEPTED("otlp", "OTLP is not received"),
    {.type = CONF_IGNORED, .name = "runtime", .help = "It tunes the Go runtime"},
    {0}};
const struct conf_section file_section = {"", sizeof(struct config_file), file_rows, NULL, "The file"};

/* Appends the sections that s has within it to list[n], each once; returns how many there are then. */
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

void config_document(struct buf *out)
{
    const struct conf_section *list[64] = {&file_section};
    size_t n = 1;
    for (size_t i = 0; i < n; i++) {
        const struct conf_section *s = list[i];
        buf_printf(out, "### %s\n\n%s\n\n", s->name[0] ? s->name : "top level", s->help ? s->help : "");
        buf_add_z(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
        conf_document(out, s);
        buf_add_char(out, '\n');
        n = add_nested(list, n, LEN(list), s);
    }
}
