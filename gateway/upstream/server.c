// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server.h"

#include "base/compress.h"
#include "base/times.h"
#include "base/url.h"

#include <stdio.h>

#define API "api/v1"

static struct str without_slashes(struct str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    for (; s.n > 0 && s.p[0] == '/'; s.n--)
        s.p++;
    return s;
}

/* People write path_prefix: /api/v1 because that is where their queries go; the API's own path is added anyway. */
static struct str tidy_prefix(struct str prefix)
{
    prefix = without_slashes(prefix);
    if (str_is(prefix, API) || str_ends(prefix, STR("/" API)))
        prefix.n -= sizeof API - 1;
    return without_slashes(prefix);
}

static struct str join(struct arena *a, struct str base, struct str path)
{
    struct buf out = {0};
    if (path.n > 0)
        url_join(&out, base, path);
    else
        buf_add_str(&out, base);
    struct str url = arena_str(a, buf_str(&out));
    buf_free(&out);
    return url;
}

static struct str form_of(struct arena *a, const struct multimap *params)
{
    struct buf out = {0};
    for (size_t i = 0; i < params->n; i++)
        for (size_t k = 0; k < params->values[i].n; k++) {
            buf_add_char(&out, out.n ? '&' : '?');
            url_encode(&out, params->keys[i]);
            buf_add_char(&out, '=');
            url_encode(&out, params->values[i].items[k]);
        }
    struct str form = arena_str(a, buf_str(&out));
    buf_free(&out);
    return form;
}

/* The group's http_headers go out with every request, remote_read too. */
static struct client_profile *make_profile(const struct server_group_conf *conf, struct err *err)
{
    struct http_conf http = conf->http;
    size_t n = http.http_headers.n, more = conf->group_http_headers.n;
    struct str *keys = mem_zalloc((n + more + 1) * sizeof *keys), *values = mem_zalloc((n + more + 1) * sizeof *values);
    for (size_t i = 0; i < n + more; i++) {
        const struct str_map *from = i < n ? &conf->http.http_headers : &conf->group_http_headers;
        keys[i] = from->keys[i < n ? i : i - n];
        values[i] = from->values[i < n ? i : i - n];
    }
    http.http_headers = (struct str_map){keys, values, n + more};
    struct client_profile *profile = http_conf_profile(&http, err);
    mem_free(keys);
    mem_free(values);
    return profile;
}

bool server_init(struct server *s, struct arena *a, const struct server_group_conf *conf, struct str scheme,
                 struct str address, struct str path_prefix, struct err *err)
{
    struct url parsed;
    struct str host = arena_printf(a, "%.*s://%.*s", STR_ARG(scheme), STR_ARG(address));
    if (!url_parse(host, &parsed, err))
        return err_wrap(err, "target %.*s", STR_ARG(address));
    *s = (struct server){.group = conf->name, .shown = host, .wants_read = conf->remote_read,
                         .timeout = conf->timeout, .dial_timeout = conf->dial_timeout};
    s->url = join(a, host, tidy_prefix(path_prefix));
    s->read_url = join(a, s->url, conf->remote_read_path);
    s->params = form_of(a, &conf->query_params);
    s->slot = (uint32_t)hash_bytes(host.p, host.n);
    atomic_init(&s->kind, conf->kind);
    mutex_init(&s->mutex);
    s->profile = make_profile(conf, err);
    return s->profile != NULL;
}

void server_free(struct server *s)
{
    client_profile_unref(s->profile);
    mutex_free(&s->mutex);
    buf_free(&s->external);
}

bool server_ready(struct server *s)
{
    int64_t until = atomic_load(&s->paused_until), now = clock_mono_ms();
    if (atomic_load(&s->failures_in_row) < SERVER_PATIENCE)
        return true;
    return now >= until && atomic_compare_exchange_strong(&s->paused_until, &until, now + SERVER_PAUSE_MS);
}

void server_succeeded(struct server *s, int64_t took_ms, uint64_t bytes)
{
    atomic_store(&s->failures_in_row, 0);
    atomic_store(&s->last_ok_at, clock_wall_ms());
    atomic_fetch_add(&s->requests, 1);
    atomic_fetch_add(&s->bytes, bytes);
    atomic_fetch_add(&s->nanoseconds, (uint64_t)took_ms * 1000000);
}

void server_failed(struct server *s, bool reached, const char *why)
{
    atomic_fetch_add(&s->requests, 1);
    atomic_fetch_add(&s->failures, 1);
    atomic_store(&s->last_error_at, clock_wall_ms());
    if (reached) {
        atomic_store(&s->failures_in_row, 0);
    } else {
        unsigned n = atomic_fetch_add(&s->failures_in_row, 1) + 1;
        unsigned doubled = n > SERVER_PATIENCE ? n - SERVER_PATIENCE : 0;
        int64_t pause = doubled > 5 ? SERVER_LONGEST_PAUSE_MS : (int64_t)SERVER_PAUSE_MS << doubled;
        atomic_store(&s->paused_until,
                     clock_mono_ms() + (pause > SERVER_LONGEST_PAUSE_MS ? SERVER_LONGEST_PAUSE_MS : pause));
    }
    mutex_lock(&s->mutex);
    snprintf(s->last_error, sizeof s->last_error, "%s", why);
    mutex_unlock(&s->mutex);
}

bool server_external(struct server *s, struct arena *a, struct labels *out)
{
    mutex_lock(&s->mutex);
    bool known = clock_mono_ms() < s->external_until;
    struct str bytes = arena_str(a, buf_str(&s->external));
    mutex_unlock(&s->mutex);
    *out = (struct labels){0};
    return known && (bytes.n == 0 || labels_check((const uint8_t *)bytes.p, bytes.n, out));
}

void server_set_external(struct server *s, struct labels labels)
{
    mutex_lock(&s->mutex);
    buf_clear(&s->external);
    buf_add(&s->external, labels.p, labels.n);
    s->external_until = clock_mono_ms() + SERVER_EXTERNAL_MS;
    mutex_unlock(&s->mutex);
}

const char *server_kind_name(enum server_kind kind)
{
    static const char *const names[] = {[SERVER_AUTO] = "unknown", [SERVER_PROMETHEUS] = "prometheus",
                                        [SERVER_VICTORIAMETRICS] = "victoriametrics"};
    return names[kind];
}

void server_show(struct server *s, struct arena *a, struct server_status *out)
{
    *out = (struct server_status){
        .group = arena_str(a, s->group), .url = arena_str(a, s->url), .down = atomic_load(&s->failures_in_row) > 0,
        .last_error_at = atomic_load(&s->last_error_at), .last_ok_at = atomic_load(&s->last_ok_at),
        .requests = atomic_load(&s->requests), .failures = atomic_load(&s->failures), .bytes = atomic_load(&s->bytes),
        .samples = atomic_load(&s->samples), .seconds = (double)atomic_load(&s->nanoseconds) / 1e9,
        .kind = server_kind_name(server_kind(s))};
    mutex_lock(&s->mutex);
    out->last_error = arena_str(a, str_of(s->last_error));
    mutex_unlock(&s->mutex);
}
