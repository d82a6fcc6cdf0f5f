// SPDX-License-Identifier: Apache-2.0
/* Reachability is checked on request only, by requests that change nothing: an empty push to a destination, the build
 * information of a server, a list of targets. Any response but a refusal of the credentials, an unknown path or a failure
 * of the server counts as reachable.
 */
#include "gateway/check_config.h"

#include "base/http/http_conf.h"
#include "base/os/loop.h"
#include "base/os/watched_file.h"
#include "base/text/url.h"
#include "gateway/services/group_discovery.h"

#include <stdio.h>

enum { REACH_MS = 10000, REACH_AT_ONCE = 16 };

static void print_warning(void *arg UNUSED, const char *text) { printf("warning: %s\n", text); }

/* ---- reachability ---- */

struct reach {
    struct loop *loop;
    struct client *client;
    size_t pending, failed;
    struct err *err;            /* of the first failure */
};
struct reach_call {
    struct reach *reach;
    char *what, *url;           /* what: remote_write "x" */
    struct client_profile *profile;
};

static void reach_fail(const struct reach_call *call, const char *why)
{
    struct reach *r = call->reach;
    struct buf url = {0};
    struct err err;
    url_redact(&url, str_of(call->url));
    err_set(&err, ERR_BAD_GATEWAY, "%s: %s: %s", call->what, buf_z(&url), why);
    client_hide_secrets_in(call->profile, str_of(call->url), err.text, sizeof err.text);
    printf("error: %s\n", err.text);
    if (r->failed++ == 0)
        *r->err = err;
    buf_free(&url);
}

static void reach_on_done(void *arg, const struct client_reply *reply)
{
    struct reach_call *call = arg;
    int s = reply->status;
    char text[64];
    snprintf(text, sizeof text, "HTTP %d%s", s, s == 401 || s == 403 ? ": the credentials are refused" : "");
    if (s == 0)
        reach_fail(call, reply->err.text);
    else if (s == 401 || s == 403 || s == 404 || s >= 500)
        reach_fail(call, text);
    call->reach->pending--;
    client_profile_unref(call->profile);
    mem_free(call->what);
    mem_free(call->url);
    mem_free(call);
}

static void reach_request(struct reach *r, const char *what, struct str url, const struct http_conf *http, bool push)
{
    static const char *const headers[] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                          "X-Prometheus-Remote-Write-Version: 0.1.0"};
    static const struct str empty = {"\0", 1}; /* snappy of no bytes: a push without series */
    struct reach_call *call = mem_zalloc(sizeof *call);
    struct err err;
    *call = (struct reach_call){.reach = r, .what = mem_strdup(what), .url = str_dup(url)};
    call->profile = http_conf_profile(http, &err);
    r->pending++;
    if (call->profile == NULL) { /* config_check has reported it */
        reach_on_done(call, &(struct client_reply){.err = err});
        return;
    }
    (void)client_send(r->client, &(struct client_request){
        .method = push ? "POST" : "GET", .url = call->url, .profile = call->profile, .headers = headers,
        .n_headers = push ? LEN(headers) : 0, .body = push ? empty : STR_NONE, .timeout_ms = REACH_MS, .status_only = true,
        .done = reach_on_done, .arg = call});
}

static void reach_discovery(struct reach *r, const char *of, struct str name, const struct sd_conf *sd)
{
    for (size_t i = 0; i < sd->http_sd_configs.n; i++) {
        const struct http_sd *source = (const struct http_sd *)sd->http_sd_configs.items + i;
        struct buf what = {0};
        buf_printf(&what, "http_sd_configs of %s \"%.*s\"", of, STR_ARG(name));
        reach_request(r, buf_z(&what), source->url, &source->server.http, false);
        buf_free(&what);
    }
}

static void reach_target(struct reach *r, const struct server_group_conf *g, struct str group, struct str target)
{
    struct buf what = {0}, base = {0}, url = {0};
    buf_printf(&what, "server group \"%.*s\"", STR_ARG(group));
    if (!url_is_http(target))
        buf_printf(&base, "%.*s://", STR_ARG(g->scheme));
    buf_add_str(&base, target);
    if (g->path_prefix.n > 0) {
        url_join(&url, buf_str(&base), g->path_prefix);
        buf_clear(&base);
        buf_add_str(&base, buf_str(&url));
        buf_clear(&url);
    }
    url_join(&url, buf_str(&base), STR("/api/v1/status/buildinfo"));
    reach_request(r, buf_z(&what), buf_str(&url), &g->client.http, false);
    buf_free(&what);
    buf_free(&base);
    buf_free(&url);
}

static void reach_groups(struct reach *r, const struct config *c)
{
    for (size_t i = 0; i < c->n_groups; i++) {
        const struct server_group_conf *g = &c->groups[i];
        struct buf scratch = {0};
        struct str name = server_group_name(g, i, &scratch);
        const struct group_static *lists = g->static_configs.items;
        for (size_t k = 0; k < g->static_configs.n; k++)
            for (size_t t = 0; t < lists[k].targets.n; t++)
                reach_target(r, g, name, lists[k].targets.items[t]);
        reach_discovery(r, "server group", name, &g->sd);
        buf_free(&scratch);
    }
}

static void reach_all(struct reach *r, const struct config *c)
{
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct destination_conf *d = &c->destinations[i];
        struct buf what = {0};
        buf_printf(&what, "remote_write \"%.*s\"", STR_ARG(d->name));
        reach_request(r, d->name.n > 0 ? buf_z(&what) : "remote_write", d->url, &d->http, true);
        buf_free(&what);
    }
    for (size_t i = 0; i < c->n_jobs; i++)
        reach_discovery(r, "job", c->jobs[i].job_name, &c->jobs[i].sd);
    reach_groups(r, c);
    while (r->pending > 0)
        loop_turn(r->loop, -1);
}

static bool check_reachability(const struct config *c, struct err *err)
{
    struct reach r = {.loop = loop_new(), .err = err};
    if (r.loop == NULL)
        return err_set(err, ERR_UNAVAILABLE, "cannot create an event loop; raise the limit of open files (ulimit -n)");
    r.client = client_new(r.loop, &(struct client_settings){.max_inflight = REACH_AT_ONCE});
    reach_all(&r, c);
    client_free(r.client);
    loop_free(r.loop);
    if (r.failed > 0)
        err->text[0] = 0; /* they are printed */
    return r.failed == 0;
}

/* ---- all ---- */

/* A key that cannot be read refuses every request. */
static void check_keys(struct flags *f)
{
    struct err err;
    auth_keys_open(&f->auth_keys);
    for (int i = 0; i < AUTH_KEYS; i++) {
        struct file_text *text = f->auth_keys.files[i] ? watched_file_text(f->auth_keys.files[i], &err) : NULL;
        if (f->auth_keys.files[i] && (text == NULL || text->n == 0))
            printf("warning: --%s: %s; requests that need the key are refused\n", auth_key_flag((enum auth_key)i),
                   text ? "the key is empty" : err.text);
        file_text_unref(text);
    }
    auth_keys_close(&f->auth_keys);
}

bool check_configuration(struct flags *f, struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->warnings.n; i++)
        print_warning(NULL, c->warnings.items[i].p);
    scraper_check(c->jobs, c->n_jobs, print_warning, NULL);
    group_discovery_check(c, print_warning, NULL);
    check_keys(f);
    bool ok = !f->check_reachability || check_reachability(c, err);
    struct buf shown = {0};
    url_redact_path(&shown, f->config_file.n > 0 ? f->config_file : STR("the command line"));
    if (ok)
        printf("%s is valid: %zu scrape jobs, %zu destinations, %zu server groups\n", buf_z(&shown), c->n_jobs,
               c->n_destinations, c->n_groups);
    buf_free(&shown);
    return ok;
}
