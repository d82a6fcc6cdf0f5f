// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/api.h"

#include "base/text/duration.h"
#include "gateway/services/services.h"

#include <stdlib.h>
#include <unistd.h>

/* Data sources choose features by this version: it is that of the implemented API, not of sluice. */
#define API_VERSION "3.5.0"

void api_begin(struct http_request *r, struct json_writer *w)
{
    r->content_type = "application/json";
    *w = (struct json_writer){.out = &r->out};
    json_begin_object(w);
    json_key(w, "status");
    json_z(w, "success");
    json_key(w, "data");
}

void api_end(struct json_writer *w) { json_end_object(w); }

static void status_member(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_z(w, value);
}

static void put_version(struct json_writer *w)
{
    json_begin_object(w);
    status_member(w, "version", API_VERSION);
    status_member(w, "revision", "sluice-" VERSION);
    status_member(w, "branch", "");
    status_member(w, "buildUser", "");
    status_member(w, "buildDate", "");
    status_member(w, "goVersion", "");
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
    status_member(w, key, buf_z(&text));
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
    status_member(&w, "CWD", folder ? folder : "");
    status_member(&w, "hostname", name);
    put_time(&w, "serverTime", clock_wall_ms());
    json_key(&w, "reloadConfigSuccess");
    json_bool(&w, atomic_load(&r->services->reload_ok));
    put_time(&w, "lastConfigTime", atomic_load(&r->services->reloaded_at));
    json_key(&w, "corruptionCount");
    json_i64(&w, 0);
    json_key(&w, "goroutineCount");
    json_i64(&w, 0);
    json_key(&w, "GOMAXPROCS");
    json_i64(&w, r->services->n_lanes);
    json_key(&w, "GOMEMLIMIT");
    json_i64(&w, 0);
    status_member(&w, "GOGC", "");
    status_member(&w, "GODEBUG", "");
    status_member(&w, "storageRetention", "");
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

/* ---- what data sources ask for and there is none of: rules and alerts ---- */

static void empty(struct http_request *r, const char *first, const char *second)
{
    struct json_writer w;
    api_begin(r, &w);
    json_begin_object(&w);
    json_key(&w, first);
    json_begin_array(&w);
    json_end_array(&w);
    if (second) {
        json_key(&w, second);
        json_begin_array(&w);
        json_end_array(&w);
    }
    json_end_object(&w);
    api_end(&w);
}

void api_empty_rules(struct http_request *r)
{
    struct str type = form_get(&r->form, "type");
    struct err err;
    if (type.n == 0 || str_ieq(type, STR("alert")) || str_ieq(type, STR("record"))) {
        empty(r, "groups", NULL);
        return;
    }
    err_set(&err, ERR_BAD_DATA, "invalid parameter \"type\": not supported value \"%.*s\"", STR_ARG(type));
    http_error(r, &err);
}

void api_empty_alerts(struct http_request *r) { empty(r, "alerts", NULL); }
void api_alertmanagers(struct http_request *r) { empty(r, "activeAlertmanagers", "droppedAlertmanagers"); }
