// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/api.h"

#include "base/text/duration.h"
#include "gateway/services/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Data sources choose features by this version: it is that of the implemented API, not of sluice. */
#define API_VERSION "3.5.0"

void api_begin(struct http_request *r, struct json_writer *w)
{
    r->content_type = "application/json";
    *w = (struct json_writer){.out = &r->out};
    json_begin_object(w);
    json_field_z(w, "status", "success");
    json_key(w, "data");
}

void api_end(struct json_writer *w) { json_end_object(w); }

static void put_version(struct json_writer *w)
{
    json_begin_object(w);
    json_field_z(w, "version", API_VERSION);
    json_field_z(w, "revision", "sluice-" VERSION);
    json_field_z(w, "branch", "");
    json_field_z(w, "buildUser", "");
    json_field_z(w, "buildDate", "");
    json_field_z(w, "goVersion", "");
    json_end_object(w);
}

void api_buildinfo(struct http_request *r)
{
    struct json_writer w;
    api_begin(r, &w);
    put_version(&w);
    api_end(&w);
}

void api_version(struct http_request *r)
{
    struct json_writer w = {.out = &r->out};
    r->content_type = "application/json";
    put_version(&w);
}

static void put_time(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    buf_add_rfc3339(&text, ms);
    json_field_z(w, key, buf_z(&text));
    buf_free(&text);
}

/* Of the recent store. */
static void put_retention(struct json_writer *w, const struct recent_conf *recent)
{
    struct buf text = {0};
    if (recent && recent->retention > 0)
        buf_add_duration(&text, recent->retention);
    json_field_str(w, "storageRetention", text.n ? buf_str(&text) : STR(""));
    buf_free(&text);
}

void api_runtimeinfo(struct http_request *r)
{
    struct json_writer w;
    char name[256] = "";
    char *folder = getcwd(NULL, 0);
    gethostname(name, sizeof name - 1);
    api_begin(r, &w);
    json_begin_object(&w);
    put_time(&w, "startTime", r->services->started);
    json_field_z(&w, "CWD", folder ? folder : "");
    json_field_z(&w, "hostname", name);
    put_time(&w, "serverTime", clock_wall_ms());
    json_field_bool(&w, "reloadConfigSuccess", atomic_load(&r->services->reload_ok));
    put_time(&w, "lastConfigTime", atomic_load(&r->services->reloaded_at));
    json_field_i64(&w, "corruptionCount", 0);
    json_field_i64(&w, "goroutineCount", 0);
    json_field_i64(&w, "GOMAXPROCS", r->services->n_lanes);
    json_field_u64(&w, "GOMEMLIMIT", r->services->queries.max); /* here: of all queries together */
    json_field_z(&w, "GOGC", "");
    json_field_z(&w, "GODEBUG", "");
    put_retention(&w, r->config->recent);
    json_end_object(&w);
    api_end(&w);
    free(folder);
}

void api_status_config(struct http_request *r)
{
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    json_key(&w, "yaml");
    json_html_str(&w, r->config->masked);
    json_end_object(&w);
    api_end(&w);
}

/* Errors of the last load, or its warnings and what it has changed. */
void api_status_reload(struct http_request *r)
{
    struct reload_report *last = reload_history_last(&r->services->reloads);
    char hash[20] = "";
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    if (last) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)last->hash);
        json_field_bool(&w, "success", last->ok);
        json_field_bool(&w, "start", last->start);
        put_time(&w, "began", last->began);
        put_time(&w, "ended", last->ended);
        json_field_z(&w, "configHash", hash);
        json_key(&w, "messages");
        json_begin_array(&w);
        for (size_t i = 0; i < last->n; i++) {
            json_begin_object(&w);
            json_field_z(&w, "level", reload_level_name(last->messages[i].level));
            json_field_str(&w, "text", last->messages[i].text);
            json_end_object(&w);
        }
        json_end_array(&w);
    }
    reload_report_unref(last);
    json_end_object(&w);
    api_end(&w);
}

void api_status_flags(struct http_request *r)
{
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    for (size_t i = 0; i < r->services->flags.n_all; i++) {
        json_key_str(&w, r->services->flags.all[i].name);
        json_str(&w, r->services->flags.all[i].value);
    }
    json_end_object(&w);
    api_end(&w);
}

/* There is no write-ahead log to be replayed: the queues on disk are read while the program runs. */
void api_walreplay(struct http_request *r)
{
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    json_field_i64(&w, "min", 0);
    json_field_i64(&w, "max", 0);
    json_field_i64(&w, "current", 0);
    json_end_object(&w);
    api_end(&w);
}

/* What Prometheus notifies of, and can happen here: a configuration that was not loaded. */
void api_notifications(struct http_request *r)
{
    struct json_writer w;
    api_begin(r, &w);
    json_begin_array(&w);
    if (!atomic_load(&r->services->reload_ok)) {
        json_begin_object(&w);
        json_field_z(&w, "text", "Configuration reload has failed.");
        put_time(&w, "date", atomic_load(&r->services->reload_failed_at));
        json_field_bool(&w, "active", true);
        json_end_object(&w);
    }
    json_end_array(&w);
    api_end(&w);
}

/* What Prometheus responds when it has no place for another subscriber: clients poll /api/v1/notifications instead. */
void api_no_live_notifications(struct http_request *r) { r->status = 204; }

/* As in Prometheus without --web.enable-admin-api, 500 included. */
void api_no_admin(struct http_request *r)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "admin APIs disabled");
    http_error(r, &err);
    r->status = 500;
}
