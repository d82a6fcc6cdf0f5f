// SPDX-License-Identifier: Apache-2.0
/* By requests that change nothing:
 *
 *   remote_write       a push without series
 *   service discovery  a first read of each source, as the running program does it; of jobs and of server groups. Target
 *                      files are no servers: --check-config reads them
 *   server groups      the build information of each server, listed or discovered, after relabeling
 *
 * Destinations and discovery are requested side by side, servers afterwards. Any response but a refusal of the
 * credentials, an unknown path or a failure of the server counts as reachable.
 */
#include "gateway/reachability.h"

#include "base/http/http_conf.h"
#include "base/os/loop.h"
#include "base/text/url.h"
#include "gateway/upstream/group.h"
#include "gateway/upstream/source.h"

#include <stdio.h>

enum { REACH_MS = 10000, REACH_AT_ONCE = 16 };

struct reach {
    struct loop *loop;
    struct client *client;
    size_t pending, failed;
    struct sd_manager *discovery;
    struct discovery **jobs, **groups; /* one for each of the configuration */
};
struct reach_call {
    struct reach *reach;
    char *what, *url;           /* what: remote_write "x" */
    struct client_profile *profile;
};

/* ---- requests ---- */

/* err: without the name of what was requested. */
static void reach_fail(const struct reach_call *call, struct err *err)
{
    err_wrap(err, "%s", call->what);
    client_hide_secrets_in(call->profile, str_of(call->url), err->text, sizeof err->text);
    printf("error: %s\n", err->text);
    call->reach->failed++;
}

static void reach_fail_status(const struct reach_call *call, int status)
{
    struct buf url = {0};
    struct err err;
    url_redact(&url, str_of(call->url));
    err_set(&err, ERR_BAD_GATEWAY, "%s: HTTP %d%s", buf_z(&url), status,
            status == 401 || status == 403 ? ": the credentials are refused" : "");
    reach_fail(call, &err);
    buf_free(&url);
}

static void reach_on_done(void *arg, const struct client_reply *reply)
{
    struct reach_call *call = arg;
    int s = reply->status;
    struct err err = reply->err; /* it names the URL */
    if (s == 0)
        reach_fail(call, &err);
    else if (s == 401 || s == 403 || s == 404 || s >= 500)
        reach_fail_status(call, s);
    call->reach->pending--;
    client_profile_unref(call->profile);
    mem_free(call->what);
    mem_free(call->url);
    mem_free(call);
}

/* Takes the profile over. */
static void reach_request(struct reach *r, const char *what, struct str url, struct client_profile *profile, bool push)
{
    static const char *const headers[] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                          "X-Prometheus-Remote-Write-Version: 0.1.0"};
    static const struct str empty = {"\0", 1}; /* snappy of no bytes: a push without series */
    struct reach_call *call = mem_zalloc(sizeof *call);
    *call = (struct reach_call){.reach = r, .what = mem_strdup(what), .url = str_dup(url), .profile = profile};
    r->pending++;
    (void)client_send(r->client, &(struct client_request){
        .method = push ? "POST" : "GET", .url = call->url, .profile = profile, .headers = headers,
        .n_headers = push ? LEN(headers) : 0, .body = push ? empty : STR_NONE, .timeout_ms = REACH_MS, .status_only = true,
        .done = reach_on_done, .arg = call});
}

/* ---- destinations ---- */

static void reach_destinations(struct reach *r, const struct config *c)
{
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct destination_conf *d = &c->destinations[i];
        struct buf what = {0};
        struct err err;
        struct client_profile *profile = http_conf_profile(&d->http, &err);
        buf_printf(&what, "remote_write \"%.*s\"", STR_ARG(d->name));
        if (profile) /* otherwise the load of the configuration has reported it */
            reach_request(r, d->name.n > 0 ? buf_z(&what) : "remote_write", d->url, profile, true);
        buf_free(&what);
    }
}

/* ---- service discovery ---- */

static void reach_on_news(void *arg UNUSED) {}

/* Of file_sd_configs only the URLs. */
static struct file_sd *reach_urls(struct arena *a, const struct conf_items *file_sd_configs)
{
    const struct file_sd *all = file_sd_configs->items;
    struct file_sd *urls = ARENA_ARRAY(a, struct file_sd, file_sd_configs->n + 1);
    for (size_t i = 0; i < file_sd_configs->n; i++) {
        urls[i] = (struct file_sd){{ARENA_ARRAY(a, struct str, all[i].files.n + 1), 0}, all[i].refresh_interval};
        for (size_t k = 0; k < all[i].files.n; k++)
            if (url_is_http(all[i].files.items[k]))
                urls[i].files.items[urls[i].files.n++] = all[i].files.items[k];
    }
    return urls;
}

static struct discovery *reach_discover(struct reach *r, const char *kind, struct str name, const struct sd_conf *conf)
{
    struct discovery *d = discovery_new(r->discovery, (struct sd_owner){kind, name});
    struct arena a;
    struct sd_conf servers = *conf;
    arena_init(&a, 0);
    servers.file_sd_configs.items = reach_urls(&a, &conf->file_sd_configs);
    discovery_set(d, &servers);
    arena_free(&a);
    return d;
}

static void reach_discoveries(struct reach *r, const struct config *c)
{
    struct buf scratch = {0};
    for (size_t i = 0; i < c->n_jobs; i++)
        r->jobs[i] = reach_discover(r, "job", c->jobs[i].job_name, &c->jobs[i].sd);
    for (size_t i = 0; i < c->n_groups; i++)
        r->groups[i] = reach_discover(r, "group", server_group_name(&c->groups[i], i, &scratch), &c->groups[i].sd);
    buf_free(&scratch);
    sd_manager_start(r->discovery);
}

static void reach_print_discovery(struct reach *r, const char *of, struct str name, const struct discovery *d)
{
    struct buf problems = {0};
    discovery_explain(d, &problems);
    if (problems.n > 0) {
        printf("error: service discovery of %s \"%.*s\": %s\n", of, STR_ARG(name), buf_z(&problems));
        r->failed++;
    }
    buf_free(&problems);
}

static void reach_print_discoveries(struct reach *r, const struct config *c)
{
    struct buf scratch = {0};
    for (size_t i = 0; i < c->n_jobs; i++)
        reach_print_discovery(r, "job", c->jobs[i].job_name, r->jobs[i]);
    for (size_t i = 0; i < c->n_groups; i++)
        reach_print_discovery(r, "server group", server_group_name(&c->groups[i], i, &scratch), r->groups[i]);
    buf_free(&scratch);
}

/* ---- servers of groups ---- */

static void reach_server(struct reach *r, const struct server *s)
{
    struct buf what = {0}, url = {0};
    buf_printf(&what, "server group \"%.*s\"", STR_ARG(s->group));
    buf_printf(&url, "%.*s/api/v1/status/buildinfo%.*s", STR_ARG(s->url), STR_ARG(s->params));
    reach_request(r, buf_z(&what), buf_str(&url), client_profile_ref(s->profile), false);
    buf_free(&what);
    buf_free(&url);
}

static void reach_ignore(void *arg UNUSED, const char *text UNUSED) {} /* --check-config has printed it */

/* What servers list, and what target files do. */
static struct sd_listing reach_found(struct discovery *servers, const struct sd_listing *files)
{
    struct sd_listing l = discovery_list(servers);
    l.items = mem_realloc(l.items, (l.n + files->n + 1) * sizeof *l.items);
    for (size_t i = 0; i < files->n; i++) {
        l.items[l.n++] = files->items[i];
        sd_groups_ref(files->items[i].groups);
    }
    return l;
}

static struct upstream *reach_upstream(const struct reach *r, const struct config *c, struct err *err)
{
    struct sd_checked *files = mem_zalloc((c->n_groups + 1) * sizeof *files);
    struct group_discovered *found = mem_zalloc((c->n_groups + 1) * sizeof *found);
    for (size_t i = 0; i < c->n_groups; i++) {
        discovery_check(&files[i], &c->groups[i].sd, reach_ignore, NULL);
        found[i].found = reach_found(r->groups[i], &files[i].listing);
    }
    struct upstream_env env = {.discovered = found, .recent_alone = c->n_groups == 0, .empty_groups = c->empty_groups,
                               .warn = reach_ignore};
    struct upstream *u = upstream_new(c->groups, c->n_groups, &env, err);
    for (size_t i = 0; i < c->n_groups; i++) {
        sd_checked_free(&files[i]);
        sd_listing_free(&found[i].found);
    }
    mem_free(files);
    mem_free(found);
    return u;
}

/* ---- all ---- */

static void reach_await(struct reach *r)
{
    while (r->pending > 0 || !sd_manager_ready(r->discovery))
        loop_turn(r->loop, -1);
}

static bool reach_all(struct reach *r, const struct config *c, struct err *err)
{
    reach_discoveries(r, c);
    reach_destinations(r, c);
    reach_await(r);
    reach_print_discoveries(r, c);
    struct upstream *u = reach_upstream(r, c, err);
    for (size_t i = 0; u && i < u->groups.n; i++)
        for (size_t k = 0; k < u->groups.items[i].n_servers; k++)
            reach_server(r, u->groups.items[i].servers[k]);
    reach_await(r);
    if (u)
        upstream_unref(u);
    return u != NULL;
}

bool reachability_check(const struct config *c, struct err *err)
{
    struct reach r = {.loop = loop_new(), .jobs = mem_zalloc((c->n_jobs + 1) * sizeof *r.jobs),
                      .groups = mem_zalloc((c->n_groups + 1) * sizeof *r.groups)};
    bool ok = r.loop != NULL || err_set(err, ERR_UNAVAILABLE, "cannot create an event loop; raise the limit of open files "
                                        "(ulimit -n)");
    if (ok) {
        r.client = client_new(r.loop, &(struct client_settings){.max_inflight = REACH_AT_ONCE});
        r.discovery = sd_manager_new(&(struct sd_manager_env){.main = r.loop, .news = reach_on_news});
        ok = reach_all(&r, c, err);
        for (size_t i = 0; i < c->n_jobs; i++)
            discovery_free(r.jobs[i]);
        for (size_t i = 0; i < c->n_groups; i++)
            discovery_free(r.groups[i]);
        sd_manager_free(r.discovery);
        client_free(r.client);
        loop_free(r.loop);
    }
    mem_free(r.jobs);
    mem_free(r.groups);
    if (ok && r.failed > 0)
        err->text[0] = 0; /* they are printed */
    return ok && r.failed == 0;
}
