// SPDX-License-Identifier: Apache-2.0
/* The jobs of the file and of scrape_config_files, and the defaults that they inherit. */
#include "gateway/config/config_file.h"

#include "base/hash.h"
#include "base/text/url.h"
#include "gateway/config/config_instances.h"
#include "gateway/config/dialect.h"
#include "gateway/config/environment.h"
#include "model/exposition/scrape_protocols.h"

#include <stdlib.h>

/* The feature flag of Prometheus changes the default. */
static bool config_extra_metrics(const struct loader *l)
{
    return conf_is_set(config_global_node(l), "extra_scrape_metrics")
               ? l->file.global.extra_scrape_metrics : config_feature(l, "extra-scrape-metrics");
}

static int config_escaping(const struct loader *l)
{
    const struct global_conf *g = &l->file.global;
    if (g->metric_name_validation_scheme == NAMES_LEGACY &&
        !conf_is_set(config_global_node(l), "metric_name_escaping_scheme"))
        return ESCAPING_UNDERSCORES;
    return g->metric_name_escaping_scheme;
}

void config_set_globals(struct loader *l)
{
    const struct dialect_defaults *d = &dialects[l->flags->dialect];
    const struct global_conf *g = &l->file.global;
    if (d->expand_labels)
        environment_expand_labels(&l->conf, &l->file.global.external_labels);
    l->config->global = *g;
    l->config->empty_groups = d->empty_groups;
    l->config->scrape = (struct scrape_globals){
        .scrape_interval = g->scrape_interval, .scrape_timeout = g->scrape_timeout,
        .scrape_protocols = g->scrape_protocols.n > 0 || !d->prefers_openmetrics ? g->scrape_protocols
                                                                                 : protocols_of_prometheus,
        .protocols_given = g->scrape_protocols.n > 0, .scrape_native_histograms = g->scrape_native_histograms,
        .always_scrape_classic_histograms = g->always_scrape_classic_histograms,
        .convert_classic_histograms = g->convert_classic_histograms, .scrape_slot = g->scrape_slot,
        .start_times = {config_feature(l, "st-storage"), config_feature(l, "created-timestamp-zero-ingestion")},
        .type_and_unit_labels = config_feature(l, "type-and-unit-labels"), .sample_limit = g->sample_limit,
        .metric_name_escaping_scheme = config_escaping(l),
        .metric_name_validation_scheme = g->metric_name_validation_scheme,
        .external_labels = g->external_labels, .external_at_scrape = d->external_at_scrape,
        .label_limit = g->label_limit,
        .series_limit = l->flags->series_limit, .scrape_failure_log_file = g->scrape_failure_log_file,
        .extra_scrape_metrics = config_extra_metrics(l), .track_timestamps_staleness = d->track_timestamps_staleness,
        .body_size_limit = g->body_size_limit ? g->body_size_limit : l->flags->max_scrape_size,
        .target_limit = g->target_limit, .label_name_length_limit = g->label_name_length_limit,
        .label_value_length_limit = g->label_value_length_limit, .honor_timestamps = d->honor_timestamps,
        .broken_lines_fail = d->broken_lines_fail, .instance_is_host = d->instance_is_host,
        .loose_durations = d->loose_durations, .keep_params = d->keep_params, .page = d->page,
        .suppress_errors = l->flags->suppress_scrape_errors,
        .suppress_duplicates = l->flags->suppress_duplicate_targets,
        .suppress_errors_delay = l->flags->suppress_scrape_errors_delay,
        .keep_dropped_targets = g->keep_dropped_targets,
        .disable_compression = l->flags->targets.no_compression, .disable_keepalive = l->flags->targets.no_keep_alive,
        .targets_kept = {(size_t)l->flags->targets.max_dropped, l->flags->targets.no_discovered},
        .stale_on_shutdown = g->stale_on_shutdown, .no_stale_markers = l->flags->no_stale_markers,
        .stream_parse = l->flags->stream_parse, .sd_intervals = l->flags->sd_intervals,
        .kube_attach = l->flags->kube_attach.node || l->flags->kube_attach.namespace ? &l->flags->kube_attach : NULL};
}

static int by_text(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

static struct str_list sorted_list(struct arena *a, const struct str_list *list)
{
    struct str_list sorted = {ARENA_ARRAY(a, struct str, list->n), list->n};
    if (list->n > 0) {
        memcpy(sorted.items, list->items, list->n * sizeof *list->items);
        qsort(sorted.items, sorted.n, sizeof *sorted.items, by_text);
    }
    return sorted;
}

/* etcd has the members. */
static bool config_use_cluster(struct loader *l, struct scrape_cluster *c)
{
    const struct cluster_conf *conf = l->config->cluster = l->file.cluster;
    if (l->flags->cluster.members > 1)
        return conf_err(l->document, l->err,
                        "cluster: its members share the targets already; remove --promscrape.cluster.*");
    *c = (struct scrape_cluster){.by_view = true, .replicas = (unsigned)conf->replication_factor,
                                 .member = {conf->replica_label, conf->id}, /* no name: none */
                                 .by_job = conf->distribute == DISTRIBUTE_JOB,
                                 .hands_over = conf->replica_mode == REPLICA_STANDBY,
                                 .standby = conf->replication_factor > 1 && conf->replica_mode == REPLICA_STANDBY,
                                 .keep_ms = cluster_keep_ms(conf), .keep_bytes = (uint64_t)conf->standby_memory,
                                 .key_labels = sorted_list(l->conf.arena, &conf->ownership_labels),
                                 .other_labels = sorted_list(l->conf.arena, &conf->ownership_exclude_labels)};
    return true;
}

bool config_set_cluster(struct loader *l, void *arg UNUSED)
{
    const struct cluster_flags *f = &l->flags->cluster;
    struct scrape_cluster *c = &l->config->scrape.cluster;
    struct ownership *o = &c->owner;
    *c = (struct scrape_cluster){.name = f->name, .owner = {
        .members = (unsigned)f->members, .replicas = (unsigned)f->replicas,
        .rendezvous = f->hash == CLUSTER_HASH_RENDEZVOUS,
        .shard_labels = sorted_list(l->conf.arena, &f->shard_labels)}};
    if (l->file.cluster)
        return config_use_cluster(l, c);
    if (f->member_label.n > 0)
        c->member = (struct label){f->member_label, f->member};
    return ownership_member_parse(f->member, o->members, &o->member)
           || err_set(l->err, ERR_BAD_DATA,
                      "--promscrape.cluster.memberNum=%.*s: expected a number, or a name that ends in - and a number, "
                      "from 0 to %u (--promscrape.cluster.membersCount is %u)",
                      STR_ARG(f->member), o->members - 1, o->members);
}

/* Common rules are part of how each job is scraped, and thus of its fingerprint. */
static void hash_common_relabeling(struct loader *l, struct scrape_job *job)
{
    const struct yaml *rules = yaml_get(config_global_node(l), "metric_relabel_configs");
    struct buf text = {0};
    if (rules == NULL)
        return;
    yaml_write(&text, rules);
    job->fingerprint ^= hash_bytes(text.p, text.n);
    buf_free(&text);
}

bool config_add_job(struct loader *l, const struct yaml *node, struct scrape_job *job)
{
    struct config *c = l->config;
    const struct global_conf *g = &l->file.global;
    if (!scrape_job_finish(&l->conf, node, job, &c->scrape, l->err))
        return false;
    for (size_t i = 0; i < c->n_jobs; i++)
        if (str_eq(c->jobs[i].job_name, job->job_name))
            return conf_duplicate(node, "scrape_configs", "job_name", job->job_name, l->err);
    const size_t rule = sizeof(struct relabel_rule);
    if (!config_join(l, g->relabel_configs, job->relabel_configs, rule, &job->relabel_configs)
        || !config_join(l, g->metric_relabel_configs, job->metric_relabel_configs, rule, &job->metric_relabel_configs))
        return false;
    hash_common_relabeling(l, job);
    if (!config_grow(l, &c->jobs, &l->cap_jobs, c->n_jobs, sizeof *c->jobs))
        return false;
    c->jobs[c->n_jobs++] = *job;
    return true;
}

static bool config_add_jobs(struct loader *l, struct conf_items jobs, const struct yaml *list)
{
    bool ok = true;
    for (size_t i = 0; i < jobs.n; i++) {
        size_t before = conf_error_count(&l->conf);
        if (config_add_job(l, &list->items[i], (struct scrape_job *)jobs.items + i))
            continue;
        ok = false;
        if (!conf_errors_continue(&l->conf, before, l->err))
            break;
    }
    return ok;
}

/* A start does without the file, or the files, and loads everything again when they respond. */
static bool config_leave_out(struct loader *l, const char *path)
{
    char *absolute = conf_absolute_path(str_of(path));
    struct buf text = {0};
    buf_printf(&text, "scrape_config_files: %s does not respond; starting without its jobs, and adding them when it "
               "does", absolute);
    config_warn(l, buf_z(&text));
    l->config->incomplete = true;
    buf_free(&text);
    mem_free(absolute);
    return true;
}

static bool config_keep_job_list(struct loader *l, const struct yaml *list)
{
    struct config *c = l->config;
    if (!config_grow(l, &c->job_lists, &l->cap_job_lists, c->n_job_lists, sizeof *c->job_lists))
        return false;
    c->job_lists[c->n_job_lists++] = list;
    return true;
}

/* Jobs of further files inherit from the main file: if that is invalid, they are parsed but not added. */
static bool config_add_job_file(struct loader *l, void *path)
{
    struct conf_items jobs;
    const struct yaml *list;
    struct buf text = {0};
    enum config_read read = config_read_optional(l, path, &text);
    if (read == CONFIG_READ_HANGS)
        return config_leave_out(l, path);
    bool ok = read == CONFIG_READ_OK
              && config_parse_list(l, path, buf_str(&text), &scrape_job_section, "scrape_configs", &jobs, &list)
              && (l->broken || config_add_jobs(l, jobs, list)) && config_keep_job_list(l, list);
    buf_free(&text);
    return ok;
}

/* As in Prometheus, a pattern may match no file. */
static bool config_add_job_files(struct loader *l, struct str pattern)
{
    struct str_list found = {0};
    bool ok = true;
    if (url_is_http(pattern))
        return config_step(l, config_add_job_file, (char *)(uintptr_t)pattern.p);
    enum config_read read = config_read_pattern(l, pattern.p, &found);
    if (read != CONFIG_READ_OK)
        return read == CONFIG_READ_HANGS && config_leave_out(l, pattern.p);
    for (size_t i = 0; i < found.n; i++)
        ok = config_step(l, config_add_job_file, (char *)found.items[i].p) && ok;
    return ok;
}

bool config_load_jobs(struct loader *l, void *arg UNUSED)
{
    bool ok = l->broken || config_add_jobs(l, l->file.scrape_configs, yaml_get(l->document, "scrape_configs"));
    for (size_t i = 0; i < l->file.scrape_config_files.n; i++)
        ok = config_add_job_files(l, l->file.scrape_config_files.items[i]) && ok;
    l->file.scrape_configs = (struct conf_items){l->config->jobs, l->config->n_jobs};
    return ok;
}

