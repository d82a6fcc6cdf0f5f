// SPDX-License-Identifier: Apache-2.0
/* scrape_configs: configuration rows, inherited defaults, and data derived from a job once. */
#include "scraper/jobs/job.h"

#include "base/conf/conf_sd.h"
#include "base/hash.h"
#include "model/exposition/scrape_protocols.h"
#include "model/histogram/histogram.h"

#include <math.h>

#define JOB(type_, name_, field_) {.type = CONF_##type_, .name = name_, .offset = offsetof(struct scrape_job, field_)
#define UNUSED_KEY(name_, why) {.type = CONF_ACCEPTED, .name = name_, .help = why}
#define GUARD_KEY(name_, why) {.type = CONF_GUARD, .name = name_, .help = why}

static const char *const unlimited = "0";
static const struct conf_row job_rows[] = {
    JOB(STRING, "job_name", job_name), .required = true, .help = "Name of the job and value of the label `job`"},
    JOB(DURATION, "scrape_interval", scrape_interval), .help = "Scrape interval. Default: global"},
    JOB(DURATION, "scrape_timeout", scrape_timeout),
        .help = "Scrape timeout. Default: global, at most the interval"},
    JOB(STRING, "metrics_path", metrics_path), .preset = "/metrics", .help = "HTTP path of the metrics"},
    JOB(STRING, "scheme", scheme), .preset = "http", .help = "http or https"},
    JOB(MULTIMAP, "params", params), .help = "URL parameters"},
    JOB(BOOL, "honor_labels", honor_labels), .preset = "false",
        .help = "Keep scraped labels that conflict with target labels; otherwise rename them to `exported_...`"},
    JOB(BOOL, "honor_timestamps", honor_timestamps),
        .help = "Use timestamps of the scrape response. Default: true, with vmagent's flags false"},
    JOB(BOOL, "enable_compression", enable_compression), .preset = "true", .help = "Request gzip"},
    JOB(BOOL, "disable_compression", disable_compression), .preset = "false",
        .help = "Do not request gzip (vmagent's name)"},
    JOB(STRINGS, "scrape_protocols", scrape_protocols), .not_empty = true,
        .help = "Formats to request, the preferred one first: PrometheusProto, OpenMetricsText1.0.0, "
                "OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4. Default: with "
                "scrape_native_histograms all of them in this order, otherwise that of global"},
    JOB(BOOL, "scrape_native_histograms", scrape_native_histograms),
        .help = "Request protobuf, and store histograms that have native buckets as native ones. Default: global"},
    JOB(BOOL, "always_scrape_classic_histograms", always_scrape_classic_histograms), .alias = "scrape_classic_histograms",
        .help = "Store the classic buckets of native histograms, too. Default: global"},
    JOB(STRING, "fallback_scrape_protocol", fallback_scrape_protocol), .not_empty = true,
        .help = "Format of responses whose Content-Type is missing or unknown. Default: PrometheusText0.0.4"},
    JOB(ENUM, "metric_name_escaping_scheme", metric_name_escaping_scheme), .names = escaping_names,
        .help = "The spelling of names beyond ASCII letters, digits and `_` that is requested. Default: global"},
    JOB(INT, "sample_limit", sample_limit), .preset = unlimited, .min = 0, .max = INT64_MAX,
        .help = "Maximum number of samples per scrape after relabeling; the scrape fails above it; 0 = unlimited"},
    JOB(INT, "label_limit", label_limit), .preset = unlimited, .min = 0, .max = INT64_MAX,
        .help = "Maximum number of labels of a series; the scrape fails above it; 0 = unlimited"},
    JOB(INT, "series_limit", series_limit), .min = INT64_MIN, .max = INT64_MAX,
        .help = "Maximum number of different series of a target in 24 hours; samples of others are dropped; 0 or less = "
                "unlimited. Default: `--promscrape.seriesLimitPerTarget`"},
    JOB(INT, "label_name_length_limit", label_name_length_limit), .min = 0, .max = INT64_MAX,
        .help = "Maximum length of a label name; the scrape fails above it; 0 = unlimited"},
    JOB(INT, "label_value_length_limit", label_value_length_limit), .min = 0, .max = INT64_MAX,
        .help = "Maximum length of a label value; the scrape fails above it; 0 = unlimited"},
    JOB(INT, "target_limit", target_limit), .min = 0, .max = INT64_MAX,
        .help = "Maximum number of targets of the job; all of them fail above it; 0 = unlimited"},
    JOB(SIZE, "body_size_limit", body_size_limit), .alias = "max_scrape_size", .max = UINT32_MAX,
        .help = "Maximum uncompressed size of a response; the scrape fails above it; 0 = the default, that of "
                "`global`"},
    HTTP_CONF_ROWS(struct scrape_job, http),
    JOB(SECTIONS, "relabel_configs", relabel_configs), .section = &relabel_section,
        .help = "Relabeling rules for targets"},
    JOB(SECTIONS, "metric_relabel_configs", metric_relabel_configs), .section = &relabel_section,
        .help = "Relabeling rules for scraped series"},
    JOB(SECTIONS, "static_configs", static_configs), .section = &static_group_section, .help = "Targets listed here"},
    SD_CONF_ROWS(struct scrape_job, sd, "Targets")
    JOB(DURATION, "scrape_offset", scrape_offset),
        .help = "Offset in the interval; by default each target has its own"},
    JOB(DURATION, "scrape_align_interval", scrape_align_interval),
        .help = "Align scrapes to multiples of this interval, plus scrape_offset"},
    JOB(BOOL, "no_stale_markers", no_stale_markers), .preset = "false", .help = "Do not write stale markers"},
    GUARD_KEY("proxy_oauth2", "Requests to the proxy would be sent without credentials"),
    CONF_SD_ROWS(CONF_LATER, "Its targets are not scraped"),
    JOB(BOOL, "extra_scrape_metrics", extra_scrape_metrics),
        .help = "Write `scrape_sample_limit` and `scrape_body_size_bytes`; `scrape_timeout_seconds` is always written. Default: global"},
    UNUSED_KEY("relabel_debug", "Relabeling is not logged"),
    UNUSED_KEY("metric_relabel_debug", "Relabeling is not logged"),
    JOB(BOOL, "stream_parse", stream_parse), .preset = "false",
        .help = "Forward the samples of a page while it arrives, so that large pages take little memory; a late error then "
                "leaves a part of the scrape. Not for protobuf, pages that are rewritten, and those that a member of a "
                "cluster keeps until another has handed the target over"},
    JOB(BOOL, "convert_classic_histograms_to_nhcb", convert_classic_histograms),
        .help = "Store classic histograms as native ones with custom buckets; with always_scrape_classic_histograms "
                "both. Default: global"},
    JOB(INT, "native_histogram_bucket_limit", native_histogram_bucket_limit), .preset = unlimited, .min = 0, .max = UINT32_MAX,
        .help = "Maximum number of buckets of a native histogram; those of others are merged, and the scrape fails if that is not "
                "enough; 0 = unlimited"},
    JOB(FLOAT, "native_histogram_min_bucket_factor", native_histogram_min_bucket_factor), .preset = "0",
        .help = "Minimum growth factor from one bucket of a native histogram to the next; buckets of finer ones are merged"},
    JOB(BOOL, "track_timestamps_staleness", track_timestamps_staleness),
        .help = "Write stale markers for series whose samples had their own timestamps, too. Default: false, with vmagent's flags "
                "true"},
    JOB(ENUM, "metric_name_validation_scheme", metric_name_validation_scheme), .names = name_scheme_names,
        .help = "Valid names of metrics and labels, checked after metric_relabel_configs: `utf8`, all, or `legacy`, ASCII "
                "letters, digits, `_`, and `:` in metrics. The scrape fails if a name is invalid; with vmagent's flags the "
                "series is skipped. Default: global"},
    JOB(CUSTOM, "scrape_failure_log_file", scrape_failure_log_file), .custom = conf_read_output_file,
        .print = conf_print_output_file, .form = "file",
        .help = "File to log each failed scrape to, one JSON object a line, as Prometheus does; reopened at a reload. Default: "
                "global"},
    JOB(BOOL, "disable_keepalive", disable_keepalive), .preset = "false",
        .help = "Use a new connection for each scrape. Default: `--promscrape.disableKeepAlive`"},
    JOB(INT, "keep_dropped_targets", keep_dropped_targets), .min = 0, .max = INT64_MAX,
        .help = "Maximum number of dropped targets that are shown, up to `--promscrape.maxDroppedTargets`; all are counted; "
                "0 = that flag. Default: global"},
    {0}};
const struct conf_section scrape_job_section = {
    "scrape_config", sizeof(struct scrape_job), job_rows, NULL, "A scrape job"};

static bool finish_times(struct conf_context *c, const struct yaml *node, struct scrape_job *job,
                         const struct scrape_globals *g, struct err *err)
{
    const struct yaml *given = node ? yaml_get(node, "scrape_timeout") : NULL;
    if (job->scrape_interval <= 0)
        job->scrape_interval = g->scrape_interval;
    if (job->scrape_timeout <= 0)
        job->scrape_timeout = g->scrape_timeout < job->scrape_interval ? g->scrape_timeout : job->scrape_interval;
    if (job->scrape_timeout <= job->scrape_interval)
        return true;
    if (!c->loose_durations)
        return conf_err(given, err,
                        "scrape_config.scrape_timeout: the timeout of job \"%.*s\" must not exceed its interval",
                        STR_ARG(job->job_name));
    job->scrape_timeout = job->scrape_interval;
    return true;
}

static void finish_limits(const struct yaml *node, struct scrape_job *job, const struct scrape_globals *g)
{
    if (!conf_is_set(node, "sample_limit"))
        job->sample_limit = g->sample_limit;
    if (!conf_is_set(node, "label_limit"))
        job->label_limit = g->label_limit;
    if (!conf_is_set(node, "track_timestamps_staleness"))
        job->track_timestamps_staleness = g->track_timestamps_staleness;
    if (!conf_is_set(node, "extra_scrape_metrics"))
        job->extra_scrape_metrics = g->extra_scrape_metrics;
    if (job->scrape_failure_log_file.n == 0)
        job->scrape_failure_log_file = g->scrape_failure_log_file;
    if (!conf_is_set(node, "series_limit"))
        job->series_limit = g->series_limit;
    if (!conf_is_set(node, "target_limit"))
        job->target_limit = g->target_limit;
    if (!conf_is_set(node, "label_name_length_limit"))
        job->label_name_length_limit = g->label_name_length_limit;
    if (!conf_is_set(node, "label_value_length_limit"))
        job->label_value_length_limit = g->label_value_length_limit;
    if (!conf_is_set(node, "keep_dropped_targets"))
        job->keep_dropped_targets = g->keep_dropped_targets;
    if (job->keep_dropped_targets == 0 || (uint64_t)job->keep_dropped_targets > g->targets_kept.dropped_max)
        job->keep_dropped_targets = (int64_t)g->targets_kept.dropped_max;
    job->targets_kept = g->targets_kept;
    job->disable_compression = job->disable_compression || g->disable_compression;
    job->disable_keepalive = job->disable_keepalive || g->disable_keepalive;
    if (job->body_size_limit == 0)
        job->body_size_limit = g->body_size_limit;
    if (!conf_is_set(node, "honor_timestamps"))
        job->honor_timestamps = g->honor_timestamps;
    if (!conf_is_set(node, "scrape_offset"))
        job->scrape_offset = job->scrape_align_interval > 0 ? 0 : -1;
    job->no_stale_markers = job->no_stale_markers || g->no_stale_markers;
    job->stream_parse = job->stream_parse || g->stream_parse;
    job->broken_lines_fail = g->broken_lines_fail;
    job->instance_is_host = g->instance_is_host;
    job->loose_durations = g->loose_durations;
    job->keep_params = g->keep_params;
    job->page = g->page;
    job->cluster = g->cluster;
    job->external_labels = g->external_at_scrape ? g->external_labels : (struct str_map){0};
    job->scrape_slot = scrape_cluster_active(&g->cluster) ? 0 : g->scrape_slot; /* members need other offsets, not near ones */
    job->suppress_errors = g->suppress_errors;
    job->suppress_errors_delay = g->suppress_errors_delay;
    job->suppress_duplicates = g->suppress_duplicates;
    sd_conf_finish(&job->sd, &g->sd_intervals, g->kube_attach);
}

static bool finish_names(const struct yaml *node, struct scrape_job *job, const struct scrape_globals *g, struct err *err)
{
    bool own = conf_is_set(node, "metric_name_validation_scheme");
    if (!own)
        job->metric_name_validation_scheme = g->metric_name_validation_scheme;
    bool legacy = job->metric_name_validation_scheme == NAMES_LEGACY;
    if (!conf_is_set(node, "metric_name_escaping_scheme"))
        job->metric_name_escaping_scheme = !own ? g->metric_name_escaping_scheme
                                         : legacy ? (int)ESCAPING_UNDERSCORES : (int)ESCAPING_ALLOW_UTF8;
    return !legacy || job->metric_name_escaping_scheme != ESCAPING_ALLOW_UTF8 ||
           conf_err(node, err, "scrape_config.metric_name_escaping_scheme: allow-utf-8 contradicts "
                       "metric_name_validation_scheme: legacy");
}

static bool finish_protocols(const struct yaml *node, struct scrape_job *job, const struct scrape_globals *g,
                             struct err *err)
{
    static const char key[] = "scrape_config.fallback_scrape_protocol";
    bool given = job->scrape_protocols.n > 0, fallback = job->fallback_scrape_protocol.n > 0;
    if (!conf_is_set(node, "scrape_native_histograms"))
        job->scrape_native_histograms = g->scrape_native_histograms;
    if (!conf_is_set(node, "always_scrape_classic_histograms") && !conf_is_set(node, "scrape_classic_histograms"))
        job->always_scrape_classic_histograms = g->always_scrape_classic_histograms;
    if (!conf_is_set(node, "convert_classic_histograms_to_nhcb"))
        job->convert_classic_histograms = g->convert_classic_histograms;
    job->start_times = g->start_times;
    job->type_and_unit_labels = g->type_and_unit_labels;
    bool proto = job->scrape_native_histograms || g->start_times.sent || g->start_times.zeros;
    if (!given)
        job->scrape_protocols = proto && !g->protocols_given ? protocols_with_histograms : g->scrape_protocols;
    job->page.text_only = job->page.text_only && job->scrape_protocols.n == 0 && !fallback;
    return protocols_check(yaml_get(node, "scrape_protocols"), "scrape_config.scrape_protocols", &job->scrape_protocols,
                           err) &&
           (!fallback || protocols_check(yaml_get(node, "fallback_scrape_protocol"), key,
                                         &(struct str_list){&job->fallback_scrape_protocol, 1}, err));
}

/* Keys that determine the set of targets, but not how one is scraped. */
static bool names_targets(struct str key)
{
    return str_is(key, "static_configs") || sd_conf_has_key(key) || str_is(key, "relabel_configs") ||
        str_is(key, "target_limit") || str_is(key, "keep_dropped_targets");
}

static void add_i64(struct buf *b, int64_t v) { buf_add(b, &v, sizeof v); }

static uint64_t job_fingerprint(const struct yaml *node, const struct scrape_job *job)
{
    struct buf b = {0};
    for (size_t i = 0; node && node->kind == YAML_MAP && i < node->n; i++) {
        if (names_targets(node->keys[i].text))
            continue;
        buf_add_str(&b, node->keys[i].text);
        buf_add_char(&b, 0);
        yaml_write(&b, &node->items[i]);
    }
    add_i64(&b, job->scrape_interval);
    add_i64(&b, job->scrape_timeout);
    add_i64(&b, job->sample_limit);
    add_i64(&b, job->label_limit);
    add_i64(&b, job->series_limit);
    add_i64(&b, job->label_name_length_limit);
    add_i64(&b, job->label_value_length_limit);
    add_i64(&b, job->body_size_limit);
    add_i64(&b, job->scrape_slot);
    for (size_t i = 0; i < job->scrape_protocols.n; i++)
        buf_add_str(&b, job->scrape_protocols.items[i]);
    add_i64(&b, job->metric_name_escaping_scheme + 16 * job->metric_name_validation_scheme);
    add_i64(&b, job->scrape_native_histograms + 2 * job->always_scrape_classic_histograms +
                4 * job->extra_scrape_metrics + 8 * job->convert_classic_histograms + 16 * job->start_times.sent +
                32 * job->start_times.zeros + 64 * job->type_and_unit_labels);
    buf_add_str(&b, job->scrape_failure_log_file);
    add_i64(&b, job->honor_timestamps + 2 * job->no_stale_markers + 4 * job->broken_lines_fail +
                8 * job->track_timestamps_staleness + 16 * job->stream_parse);
    for (size_t i = 0; i < job->external_labels.n; i++)
        labels_append(&b, job->external_labels.keys[i], job->external_labels.values[i]);
    uint64_t hash = hash_bytes(b.p, b.n);
    buf_free(&b);
    return hash;
}

bool scrape_job_finish(struct conf_context *c, const struct yaml *node, struct scrape_job *job,
                       const struct scrape_globals *g, struct err *err)
{
    if (job->job_name.n == 0)
        return conf_err(node, err, "scrape_config.job_name: must not be empty");
    if (!str_is(job->scheme, "http") && !str_is(job->scheme, "https"))
        return conf_err(yaml_get(node, "scheme"), err, "scrape_config.scheme: \"%.*s\" is neither http nor https",
                        STR_ARG(job->scheme));
    if (!http_conf_check(node, &job->http, err) || !finish_times(c, node, job, g, err))
        return false;
    finish_limits(node, job, g);
    if (!finish_names(node, job, g, err) || !finish_protocols(node, job, g, err))
        return false;
    job->fingerprint = job_fingerprint(node, job);
    return true;
}

/* ---- job sets ---- */

struct job_set *job_set_new(struct loop *main)
{
    struct job_set *g = mem_zalloc(sizeof *g);
    refs_init(&g->refs);
    g->main = main;
    return g;
}

struct job_set *job_set_ref(struct job_set *g)
{
    refs_take(&g->refs);
    return g;
}

static void job_set_release(struct loop_task *task)
{
    struct job_set *g = CONTAINER(task, struct job_set, task);
    if (g->release)
        g->release(g->arg);
    mem_free(g);
}

void job_set_unref(struct job_set *g)
{
    if (!refs_drop(&g->refs))
        return;
    g->task.run = job_set_release;
    if (g->synchronous)
        job_set_release(&g->task);
    else
        loop_post(g->main, &g->task);
}

/* ---- active jobs ---- */

/* labeldrop and labelkeep depend on names only, which are equal in a template group. */
static void find_reads(struct running_job *j)
{
    size_t cap = 0;
    for (size_t i = 0; i < j->metric_rules.n; i++) {
        const struct relabel_rule *rule = &j->metric_rules.rules[i];
        if (rule->action == RELABEL_LABELDROP || rule->action == RELABEL_LABELKEEP)
            continue;
        struct str_list names = {0};
        bool all = false;
        relabel_reads((struct relabel_rules){rule, 1}, &j->arena, &names, &all);
        j->reads_all = j->reads_all || all;
        arena_grow(&j->arena, &j->reads.items, &cap, j->reads.n + names.n, sizeof *names.items);
        for (size_t k = 0; k < names.n; k++)
            j->reads.items[j->reads.n++] = names.items[k];
    }
}

/* The finest schema whose buckets grow by the factor, as Prometheus picks it. */
static int schema_of_factor(double factor)
{
    if (!(factor > 1))
        return HISTOGRAM_SCHEMA_MAX;
    double schema = floor(-log2(log2(factor)));
    return schema > HISTOGRAM_SCHEMA_MAX ? HISTOGRAM_SCHEMA_MAX : schema < HISTOGRAM_SCHEMA_MIN ? HISTOGRAM_SCHEMA_MIN : (int)schema;
}

struct running_job *running_job_new(struct job_set *g, const struct scrape_job *conf, struct err *err)
{
    struct client_profile *profile = http_conf_profile(&conf->http, err);
    if (profile == NULL) {
        err_wrap(err, "job \"%.*s\"", STR_ARG(conf->job_name));
        return NULL;
    }
    struct running_job *j = mem_zalloc(sizeof *j);
    refs_init(&j->refs);
    arena_init(&j->arena, 0);
    j->job_set = job_set_ref(g);
    j->conf = conf;
    j->profile = profile;
    failure_log_init(&j->failures, conf->job_name);
    j->metric_rules = relabel_rules(conf->metric_relabel_configs);
    j->accept = protocols_accept(&j->arena, &conf->scrape_protocols, (enum escaping)conf->metric_name_escaping_scheme);
    j->max_schema = schema_of_factor(conf->native_histogram_min_bucket_factor);
    find_reads(j);
    return j;
}

struct running_job *running_job_ref(struct running_job *j)
{
    refs_take(&j->refs);
    return j;
}

void running_job_unref(struct running_job *j)
{
    if (j == NULL || !refs_drop(&j->refs))
        return;
    failure_log_free(&j->failures);
    client_profile_unref(j->profile);
    arena_free(&j->arena);
    job_set_unref(j->job_set);
    mem_free(j);
}

/* One that may be renamed to make place for an external label. */
static bool external_renames(const struct str_map *external, struct str label)
{
    struct str prefix = STR("exported_");
    for (;; label = str_skip(label, prefix.n)) {
        for (size_t i = 0; i < external->n; i++)
            if (str_eq(external->keys[i], label))
                return true;
        if (!str_starts(label, prefix))
            return false;
    }
}

bool running_job_reads(const struct running_job *j, struct str label)
{
    if (external_renames(&j->conf->external_labels, label))
        return true;
    for (size_t i = 0; i < j->reads.n; i++)
        if (str_eq(j->reads.items[i], label))
            return true;
    return j->reads_all;
}

static bool scrape_cluster_equal(const struct scrape_cluster *a, const struct scrape_cluster *b)
{
    return a->owner.members == b->owner.members && a->owner.member == b->owner.member &&
           a->owner.replicas == b->owner.replicas && a->owner.rendezvous == b->owner.rendezvous &&
           str_list_equal(a->owner.shard_labels, b->owner.shard_labels) && str_eq(a->name, b->name) &&
           str_eq(a->member.name, b->member.name) && str_eq(a->member.value, b->member.value) &&
           a->by_view == b->by_view && a->replicas == b->replicas && a->hands_over == b->hands_over &&
           a->standby == b->standby && a->keep_ms == b->keep_ms && a->by_job == b->by_job &&
           str_list_equal(a->key_labels, b->key_labels) && str_list_equal(a->other_labels, b->other_labels);
}

bool scrape_job_targets_equal(const struct scrape_job *a, const struct scrape_job *b)
{
    return a->instance_is_host == b->instance_is_host && a->loose_durations == b->loose_durations &&
           a->keep_params == b->keep_params && scrape_cluster_equal(&a->cluster, &b->cluster) &&
           conf_equal(&scrape_job_section, a, b);
}
