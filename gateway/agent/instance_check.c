// SPDX-License-Identifier: Apache-2.0
/* What Grafana Agent checks of an instance, with its words. */
#include "gateway/agent/agent_conf.h"

#include "scraper/scraper.h"
#include "writer/writer.h"

static bool instance_has_null(const struct yaml *list)
{
    for (size_t i = 0; list && list->kind == YAML_LIST && i < list->n; i++)
        if (list->items[i].kind == YAML_NULL)
            return true;
    return false;
}

static bool instance_check_job(const struct instance_conf *i, const struct scrape_job *job, const struct yaml *node,
                               int64_t interval, struct err *err)
{
    bool own = conf_is_set(node, "scrape_interval");
    int64_t every = own ? job->scrape_interval : interval;
    if (conf_is_set(node, "scrape_timeout") && job->scrape_timeout > every)
        return err_set(err, ERR_BAD_DATA,
                       "scrape timeout greater than scrape interval for scrape config with job name \"%.*s\"",
                       STR_ARG(job->job_name));
    return every <= i->wal_truncate_frequency ||
           err_set(err, ERR_BAD_DATA, "scrape interval greater than wal_truncate_frequency for scrape config with job "
                   "name \"%.*s\"", STR_ARG(job->job_name));
}

static bool instance_check_jobs(const struct instance_conf *i, const struct yaml *list, int64_t interval,
                                struct err *err)
{
    const struct scrape_job *jobs = i->scrape_configs.items;
    for (size_t k = 0; k < i->scrape_configs.n; k++) {
        if (!instance_check_job(i, &jobs[k], &list->items[k], interval, err))
            return false;
        for (size_t other = 0; other < k; other++)
            if (str_eq(jobs[k].job_name, jobs[other].job_name))
                return err_set(err, ERR_BAD_DATA, "found multiple scrape configs with job name \"%.*s\"",
                               STR_ARG(jobs[k].job_name));
    }
    return true;
}

static bool instance_check_destinations(const struct instance_conf *i, struct err *err)
{
    const struct destination_conf *d = i->remote_write.items;
    for (size_t k = 0; k < i->remote_write.n; k++) {
        if (d[k].backup_of.n > 0)
            return err_set(err, ERR_BAD_DATA, "remote_write.backup_of is not supported in an instance");
        if (d[k].aggregate && d[k].aggregate->rules_file.n > 0)
            return err_set(err, ERR_BAD_DATA,
                           "remote_write.stream_aggregation.rules_file is not supported in an instance; "
                           "write the rules into it");
        for (size_t other = 0; other < k; other++) {
            if (d[k].name.n > 0 && str_eq(d[k].name, d[other].name))
                return err_set(err, ERR_BAD_DATA, "found duplicate remote write configs with name \"%.*s\"",
                               STR_ARG(d[k].name));
            if (d[k].name.n == 0 && d[other].name.n == 0 && conf_equal(&remote_write_section, &d[k], &d[other]))
                return err_set(err, ERR_BAD_DATA, "found two identical remote_write configs");
        }
    }
    return true;
}

bool instance_check_nulls(const struct yaml *node, struct err *err)
{
    if (instance_has_null(yaml_get(node, "scrape_configs")))
        return err_set(err, ERR_BAD_DATA, "empty or null scrape config section");
    if (instance_has_null(yaml_get(node, "remote_write")))
        return err_set(err, ERR_BAD_DATA, "empty or null remote write config section");
    return true;
}

bool instance_check(const struct instance_conf *i, const struct yaml *node, int64_t interval, struct err *err)
{
    if (i->name.n == 0)
        return err_set(err, ERR_BAD_DATA, "missing instance name");
    if (i->wal_truncate_frequency <= 0)
        return err_set(err, ERR_BAD_DATA, "wal_truncate_frequency must be greater than 0s");
    if (i->remote_flush_deadline <= 0)
        return err_set(err, ERR_BAD_DATA, "remote_flush_deadline must be greater than 0s");
    if (i->min_wal_time > i->max_wal_time)
        return err_set(err, ERR_BAD_DATA, "min_wal_time must be less than max_wal_time");
    if (i->host_filter)
        return err_set(err, ERR_BAD_DATA, "host_filter is not supported; filter targets by relabel_configs");
    return instance_check_jobs(i, yaml_get(node, "scrape_configs"), interval, err) &&
           instance_check_destinations(i, err);
}

/* ---- files ---- */

/* Profiles are sections of a file of AWS. */
static bool instance_row_reads(const struct conf_row *row)
{
    bool file = row->type == CONF_FILE || row->type == CONF_FILES;
    bool written = row->type == CONF_CUSTOM && row->form && strcmp(row->form, "file") == 0;
    return file || written || strcmp(row->name, "profile") == 0;
}

/* The key that names a file; NULL: none does. As in the Agent, target files may be read: they have no secrets. */
static const char *instance_find_file(const struct conf_section *s, const struct yaml *node);
static const char *instance_find_in_headers(const struct yaml *headers)
{
    for (size_t i = 0; headers->kind == YAML_MAP && i < headers->n; i++)
        if (yaml_get(&headers->items[i], "files"))
            return "files";
    return NULL;
}

static const char *instance_find_in_value(const struct conf_row *row, const struct yaml *value)
{
    if (row->section == &file_sd_section)
        return NULL;
    if (strcmp(row->name, "http_headers") == 0)
        return instance_find_in_headers(value);
    if (row->section)
        return instance_find_file(row->section, value);
    bool empty = value->kind == YAML_NULL || (value->kind == YAML_SCALAR && value->text.n == 0);
    return !empty && instance_row_reads(row) ? row->name : NULL;
}

static const char *instance_find_file(const struct conf_section *s, const struct yaml *node)
{
    const char *found = NULL;
    for (size_t i = 0; i < node->n && found == NULL; i++) {
        const struct conf_row *row = node->kind == YAML_MAP ? conf_find_row(s, node->keys[i].text) : NULL;
        if (node->kind == YAML_LIST)
            found = instance_find_file(s, &node->items[i]);
        else if (row)
            found = instance_find_in_value(row, &node->items[i]);
    }
    return found;
}

static bool instance_refuse_file(const char *key, struct err *err)
{
    return err_set(err, ERR_BAD_DATA, "%s must be empty unless dangerous_allow_reading_files is set", key);
}

static bool instance_check_job_files(const struct yaml *job, size_t at, struct err *err)
{
    for (size_t i = 0; job->kind == YAML_MAP && i < job->n; i++) {
        const struct conf_row *row = conf_find_row(&scrape_job_section, job->keys[i].text);
        const char *key = row ? instance_find_in_value(row, &job->items[i]) : NULL;
        if (key == NULL)
            continue;
        (void)!instance_refuse_file(key, err);
        return sd_conf_has_key(job->keys[i].text)
                   ? err_wrap(err, "failed to validate service discovery within scrape_config at index %zu", at)
                   : err_wrap(err, "failed to validate scrape_config at index %zu", at);
    }
    return true;
}

bool instance_check_no_files(const struct yaml *node, struct err *err)
{
    const struct yaml *jobs = yaml_get(node, "scrape_configs"), *destinations = yaml_get(node, "remote_write");
    for (size_t i = 0; destinations && destinations->kind == YAML_LIST && i < destinations->n; i++) {
        const char *key = instance_find_file(&remote_write_section, &destinations->items[i]);
        if (key)
            return instance_refuse_file(key, err) || err_wrap(err, "failed to validate remote_write at index %zu", i);
    }
    for (size_t i = 0; jobs && jobs->kind == YAML_LIST && i < jobs->n; i++)
        if (!instance_check_job_files(&jobs->items[i], i, err))
            return false;
    return true;
}

