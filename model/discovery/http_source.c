// SPDX-License-Identifier: Apache-2.0
/* A URL that lists targets as a target file in JSON does (http_sd_configs of Prometheus): the status must be 200 and the
 * content type application/json. A response that equals the last one is not parsed again. The URL may contain secrets:
 * messages have it without them, and only the label __meta_url, which relabeling reads, has it as it is.
 *
 * A URL among the files of file_sd_configs, as vmagent allows, is read in the same way: as the file that it stands for, in
 * JSON or YAML with any content type, and with __meta_filepath.
 */
#include "model/discovery/source/sd_poll.h"

#include "base/hash.h"
#include "base/os/loop_job.h"
#include "base/text/url.h"

enum { HTTP_SD_BODY_MAX = 32 << 20 };

/* A list is parsed on another thread: one of 32 MiB takes a second. */
struct http_list {
    struct loop_job job;
    struct http_source *source;   /* the main thread's */
    char *shown;
    struct buf body;
    uint64_t last, hash;          /* of the last valid body, and of this one */
    bool has_last, json;          /* json: the response says so */
    struct sd_groups *groups;     /* NULL: the body is the last one */
    bool ok;
    struct err err;
};
struct http_source {
    struct sd_poll poll;
    struct client_profile *profile;
    struct client_call *call;     /* in progress, or NULL */
    struct http_list *list;       /* being received or parsed */
    bool file;                    /* of file_sd_configs */
};

static struct http_source *http_of_poll(struct sd_poll *p) { return (struct http_source *)(void *)p; }

static void http_source_free(struct sd_poll *p)
{
    struct http_source *s = http_of_poll(p);
    if (s->call)
        client_cancel(s->call);
    loop_job_drop(&s->list->job);
    client_profile_unref(s->profile);
    mem_free(s);
}

/* ---- the list ---- */

static struct http_list *http_list_of(struct loop_job *job) { return CONTAINER(job, struct http_list, job); }

static void http_list_release(struct loop_job *job)
{
    struct http_list *l = http_list_of(job);
    sd_groups_unref(l->groups);
    buf_free(&l->body);
    mem_free(l->shown);
    mem_free(l);
}

static void http_list_parse(struct loop_job *job)
{
    struct http_list *l = http_list_of(job);
    l->hash = hash_keyed(l->body.p, l->body.n);
    l->groups = NULL;
    l->ok = true;
    if (l->has_last && l->hash == l->last)
        return;
    struct sd_groups *g = sd_groups_new();
    l->ok = l->json ? sd_json_parse(&g->arena, l->shown, buf_str(&l->body), &g->items, &g->n, &l->err)
                    : sd_file_parse(&g->arena, l->shown, buf_str(&l->body), &g->items, &g->n, &l->err);
    if (!l->ok) {
        sd_groups_unref(g);
        return;
    }
    sd_parts_lay_out(g);
    l->groups = g;
}

static void http_source_fail(struct http_source *s, struct err *err)
{
    client_hide_secrets_in(s->profile, s->poll.found.source, err->text, sizeof err->text);
    sd_poll_failed(&s->poll, err->text);
}

static void http_list_on_done(struct loop_job *job)
{
    struct http_list *l = http_list_of(job);
    struct sd_groups *groups = l->groups;
    l->groups = NULL;
    buf_free(&l->body);
    if (!l->ok) {
        http_source_fail(l->source, &l->err);
        return;
    }
    l->last = l->hash;
    l->has_last = true;
    sd_poll_succeeded(&l->source->poll, groups);
}

/* ---- the response ---- */

/* "application/json", and possibly "; charset=utf-8", in any case and with or without quotes. */
static bool http_source_is_json(struct str type)
{
    struct str rest = type, part, name;
    if (!str_cut(&rest, ';', &part) || !str_ieq(str_trim(part), STR("application/json")))
        return false;
    rest = str_trim(rest);
    if (rest.n == 0)
        return true;
    return str_cut(&rest, '=', &name) && str_ieq(name, STR("charset")) &&
           (str_ieq(rest, STR("utf-8")) || str_ieq(rest, STR("\"utf-8\"")));
}

static bool http_source_check(struct http_source *s, const struct client_reply *reply, struct err *err)
{
    s->list->json = http_source_is_json(reply->content_type);
    if (reply->status == 0) {
        *err = reply->err;
        return false;
    }
    if (reply->status != 200)
        return err_set(err, ERR_BAD_GATEWAY, "%s: HTTP %d", s->poll.shown, reply->status);
    if (!s->file && !s->list->json)
        return err_set(err, ERR_BAD_GATEWAY, "%s: content type \"%.*s\" is not application/json", s->poll.shown,
                       STR_ARG(reply->content_type));
    return true;
}

/* The client limits the body. */
static bool http_source_on_data(void *arg, const struct client_reply *reply UNUSED, struct str piece,
                                struct err *err UNUSED)
{
    buf_add_str(&((struct http_source *)arg)->list->body, piece);
    return true;
}

static void http_source_on_done(void *arg, const struct client_reply *reply)
{
    struct http_source *s = arg;
    struct err err;
    s->call = NULL;
    if (http_source_check(s, reply, &err)) {
        loop_job_start(&s->list->job, s->poll.env.main);
        return;
    }
    buf_free(&s->list->body);
    http_source_fail(s, &err);
}

/* ---- the request ---- */

/* As Prometheus: a response may take as long as the next request is away. */
static void http_source_begin(struct sd_poll *p)
{
    struct http_source *s = http_of_poll(p);
    struct buf interval = {0};
    buf_printf(&interval, "X-Prometheus-Refresh-Interval-Seconds: %.15g", (double)p->interval / 1000);
    const char *headers[] = {"Accept: application/json", buf_z(&interval)};
    s->call = client_send(s->poll.env.client(s->poll.env.arg), &(struct client_request){
        .method = "GET", .url = p->found.source.p, .profile = s->profile, .headers = headers, .n_headers = s->file ? 0 : LEN(headers),
        .slot = (uint32_t)hash_bytes(p->found.source.p, p->found.source.n), .timeout_ms = p->interval,
        .max_body = HTTP_SD_BODY_MAX, .accept_gzip = true, .data = http_source_on_data, .done = http_source_on_done,
        .arg = s});
    buf_free(&interval);
}

static const struct sd_poll_ops http_source_ops = {http_source_begin, http_source_free};

/* Takes the profile over. */
static struct http_source *http_source_make(const struct sd_source_env *env, struct str url, int64_t interval,
                                            struct client_profile *profile, bool file)
{
    struct http_source *s = mem_zalloc(sizeof *s);
    struct buf shown = {0}, key = {0};
    url_redact(&shown, url);
    buf_printf(&key, "%s %.*s %016llx %lld", file ? "file" : "http", STR_ARG(url),
               (unsigned long long)client_profile_hash(profile), (long long)interval);
    sd_poll_init(&s->poll, &http_source_ops, env, interval, file ? SD_READ_ERRORS : SD_HTTP_FAILURES,
                 &(struct sd_found){file ? "file" : "http", file ? STR("__meta_filepath") : STR("__meta_url"), url, NULL, NULL},
                 buf_z(&shown), buf_str(&key));
    s->profile = profile;
    s->file = file;
    s->list = mem_zalloc(sizeof *s->list);
    s->list->source = s;
    s->list->shown = mem_strdup(buf_z(&shown));
    loop_job_init(&s->list->job, http_list_parse, http_list_on_done, http_list_release);
    buf_free(&shown);
    buf_free(&key);
    return s;
}

struct sd_source *http_source_new(const struct sd_source_env *env, const void *http_sd, struct err *err)
{
    const struct http_sd *conf = http_sd;
    struct client_profile *profile = http_conf_profile(&conf->server.http, err);
    return profile ? &http_source_make(env, conf->url, conf->server.refresh_interval, profile, false)->poll.source : NULL;
}

struct sd_source *http_source_of_file(const struct sd_source_env *env, struct str url, int64_t interval, struct err *err)
{
    const struct client_profile_conf conf = {.proxy_from_environment = true}; /* as other files behind URLs */
    struct client_profile *profile = client_profile_new(&conf, err);
    return profile ? &http_source_make(env, url, interval, profile, true)->poll.source : NULL;
}
