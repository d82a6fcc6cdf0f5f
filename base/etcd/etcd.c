// SPDX-License-Identifier: Apache-2.0
/* Requests to etcd. One that needs a token waits in `waiting` until the request for the token ends; all of them then
 * continue, or fail with its error. */
#include "base/etcd/etcd.h"

#include "base/hash.h"
#include "base/text/base64.h"
#include "base/text/num.h"
#include "base/text/url.h"

#include <stdio.h>

enum { ETCD_ERROR_MAX = 1 << 20 /* bytes of the tree of an error */ };

struct etcd {
    struct loop *loop;
    struct client *client;
    struct client_profile *profile;
    char **endpoints; size_t n_endpoints, current;
    char *name;                  /* of the current one, without secrets */
    char *username, *password;
    char *authorization;         /* "Authorization: TOKEN"; NULL: none yet */
    int64_t timeout_ms;
    struct etcd_request login;   /* fetches the token */
    struct list waiting;         /* for it */
};

/* ---- JSON ---- */

uint64_t etcd_u64(const struct json_value *object, const char *key)
{
    uint64_t n;
    struct str text = json_value_scalar(json_value_get(object, key));
    return num_parse_u64(text, &n) ? n : 0;
}

bool etcd_bytes(const struct json_value *object, const char *key, struct buf *out)
{
    return base64_read(out, json_value_text(json_value_get(object, key)));
}

void etcd_put_u64(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_field_z(w, key, text);
}

void etcd_put_bytes(struct json_writer *w, const char *key, struct str bytes)
{
    struct buf text = {0};
    base64_add(&text, bytes);
    json_field_str(w, key, buf_str(&text));
    buf_free(&text);
}

/* The range ends before the prefix whose last byte is one higher; "\0" is the end of all keys. */
void etcd_put_prefix(struct json_writer *w, struct str prefix)
{
    struct buf end = {0};
    buf_add_str(&end, prefix);
    while (end.n > 0 && (uint8_t)end.p[end.n - 1] == 0xff)
        end.n--;
    if (end.n > 0)
        end.p[end.n - 1]++;
    else
        buf_add_char(&end, 0);
    etcd_put_bytes(w, "key", prefix.n > 0 ? prefix : str_n("", 1));
    etcd_put_bytes(w, "range_end", buf_str(&end));
    buf_free(&end);
}

int etcd_error(const struct json_value *doc, struct err *err)
{
    const struct json_value *error = json_value_get(doc, "error");
    const struct json_value *nested = error && error->kind == JSON_OBJECT ? error : NULL;
    struct str text = json_value_text(json_value_get(nested ? nested : doc, "message"));
    uint64_t code = nested ? etcd_u64(nested, "grpc_code") : etcd_u64(doc, "code");
    if (text.n == 0)
        text = json_value_text(error);
    err_set(err, ERR_BAD_GATEWAY, "%.*s", STR_ARG(text.n > 0 ? text : STR("an error without a text")));
    return code <= 16 ? (int)code : 0;
}

/* ---- endpoints ---- */

static void etcd_set_endpoint(struct etcd *e, size_t i)
{
    struct buf shown = {0};
    buf_add_z(&shown, "etcd ");
    url_redact(&shown, str_of(e->endpoints[i]));
    mem_free(e->name);
    e->current = i;
    e->name = mem_strdup(buf_z(&shown));
    buf_free(&shown);
}

void etcd_next_endpoint(struct etcd *e) { etcd_set_endpoint(e, (e->current + 1) % e->n_endpoints); }

void etcd_url(const struct etcd *e, const char *path, struct buf *out)
{
    buf_add_z(out, e->endpoints[e->current]);
    buf_add_z(out, path);
}

static struct str etcd_trim_slashes(struct str url)
{
    while (url.n > 0 && url.p[url.n - 1] == '/')
        url.n--;
    return url;
}

struct etcd *etcd_new(struct loop *loop, const struct etcd_conf *conf)
{
    struct etcd *e = mem_zalloc(sizeof *e);
    e->loop = loop;
    e->client = client_new(loop, &(struct client_settings){.max_inflight = 256});
    e->profile = conf->profile ? client_profile_ref(conf->profile) : NULL;
    e->n_endpoints = conf->n_endpoints;
    e->endpoints = mem_zalloc(conf->n_endpoints * sizeof *e->endpoints);
    for (size_t i = 0; i < conf->n_endpoints; i++)
        e->endpoints[i] = str_dup(etcd_trim_slashes(str_of(conf->endpoints[i])));
    e->username = conf->username ? mem_strdup(conf->username) : NULL;
    e->password = mem_strdup(conf->password ? conf->password : "");
    e->timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : ETCD_TIMEOUT_MS;
    list_init(&e->waiting);
    etcd_set_endpoint(e, 0);
    return e;
}

void etcd_free(struct etcd *e)
{
    etcd_cancel(&e->login);
    client_free(e->client);
    client_profile_unref(e->profile);
    for (size_t i = 0; i < e->n_endpoints; i++)
        mem_free(e->endpoints[i]);
    mem_free(e->endpoints);
    mem_free(e->name);
    mem_free(e->username);
    mem_free(e->password);
    mem_free(e->authorization);
    mem_free(e);
}

struct loop *etcd_loop(const struct etcd *e) { return e->loop; }
size_t etcd_endpoint(const struct etcd *e) { return e->current; }
struct client *etcd_client(const struct etcd *e) { return e->client; }
struct client_profile *etcd_profile(const struct etcd *e) { return e->profile; }
const char *etcd_name(const struct etcd *e) { return e->name; }
const char *etcd_authorization(const struct etcd *e) { return e->authorization; }

void etcd_forget_token(struct etcd *e)
{
    mem_free(e->authorization);
    e->authorization = NULL;
}

/* ---- requests ---- */

static void etcd_request_start(struct etcd_request *r);

static void etcd_request_clear(struct etcd_request *r)
{
    json_value_reader_free(&r->reader);
    arena_free(&r->arena);
}

static void etcd_request_release(struct etcd_request *r)
{
    buf_free(&r->body);
    r->body = (struct buf){0};
    r->running = false;
    r->tried = 0;
    r->reauthenticated = false;
}

/* The callback may use the request again, but not free what the response points to: its document is in an arena that is
 * moved out of the request first. */
static void etcd_request_end(struct etcd_request *r, struct etcd_response *response)
{
    struct arena arena = r->arena;
    struct etcd *e = r->etcd;
    r->arena = (struct arena){0};
    json_value_reader_free(&r->reader);
    r->reader = (struct json_value_reader){0};
    etcd_request_release(r);
    if (response->doc == NULL) {
        client_hide_secrets_in(e->profile, STR_NONE, response->err.text, sizeof response->err.text);
        err_wrap(&response->err, "%s", e->name);
    }
    r->done(r, response);
    arena_free(&arena);
}

static bool etcd_needs_token(const struct etcd *e) { return e->username && e->authorization == NULL; }

static void etcd_login_start(struct etcd *e);

static void etcd_request_await_token(struct etcd_request *r)
{
    struct etcd *e = r->etcd;
    r->waits_for_token = true;
    list_push_back(&e->waiting, &r->node);
    if (!e->login.running)
        etcd_login_start(e);
}

static void etcd_login_done(struct etcd_request *r, const struct etcd_response *response)
{
    struct etcd *e = CONTAINER(r, struct etcd, login);
    struct str token = json_value_text(json_value_get(response->doc, "token"));
    struct list waiting;
    if (token.n > 0) {
        struct buf header = {0};
        buf_printf(&header, "Authorization: %.*s", STR_ARG(token));
        etcd_forget_token(e);
        e->authorization = mem_strdup(buf_z(&header));
        buf_free(&header);
    }
    list_init(&waiting);
    for (struct list *node; (node = list_pop_front(&e->waiting));)
        list_push_back(&waiting, node);
    for (struct list *node; (node = list_pop_front(&waiting));) {
        struct etcd_request *w = CONTAINER(node, struct etcd_request, node);
        struct etcd_response failed = {.code = response->code, .err = response->err};
        w->waits_for_token = false;
        if (e->authorization) {
            etcd_request_start(w);
            continue;
        }
        if (response->doc)
            err_set(&failed.err, ERR_BAD_GATEWAY, "the response to /v3/auth/authenticate has no token");
        etcd_request_end(w, &failed);
    }
}

static void etcd_login_start(struct etcd *e)
{
    struct buf body = {0};
    struct json_writer w = {.out = &body};
    json_begin_object(&w);
    json_field_z(&w, "name", e->username);
    json_field_z(&w, "password", e->password);
    json_end_object(&w);
    e->login.done = etcd_login_done;
    etcd_send(e, &e->login, "/v3/auth/authenticate", buf_str(&body));
    buf_free(&body);
}

static bool etcd_request_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct etcd_request *r = arg;
    if (reply->status != 200) {
        struct err ignored;
        r->no_json = r->no_json || !json_value_reader_feed(&r->reader, piece, &ignored) ||
                     arena_over(&r->arena, ETCD_ERROR_MAX);
        return true;
    }
    return json_value_reader_feed(&r->reader, piece, err) &&
           (!arena_over(&r->arena, 4 * (size_t)ETCD_RESPONSE_MAX) || err_set(err, ERR_TOO_LARGE, "the response is too large"));
}

/* etcd without a leader responds with 503, a proxy in front of it with the others. */
static bool etcd_endpoint_failed(const struct client_reply *reply)
{
    return reply->status == 0 || (reply->status >= 502 && reply->status <= 504);
}

/* "user name is empty" is what a request without a token gets. */
static bool etcd_refused_token(const struct etcd *e, int code, const struct err *err)
{
    return e->username && (code == ETCD_UNAUTHENTICATED ||
                           (code == ETCD_INVALID && strstr(err->text, "user name is empty") != NULL));
}

static void etcd_request_done(void *arg, const struct client_reply *reply)
{
    struct etcd_request *r = arg;
    struct etcd *e = r->etcd;
    struct etcd_response response = {.err = reply->err};
    r->call = NULL;
    if (etcd_endpoint_failed(reply) && ++r->tried < e->n_endpoints) {
        if (r->endpoint == e->current) /* another request may have left it already */
            etcd_next_endpoint(e);
        etcd_request_clear(r);
        etcd_request_start(r);
        return;
    }
    const struct json_value *doc = reply->status && !r->no_json ? json_value_reader_finish(&r->reader, &response.err) : NULL;
    if (reply->status == 200) {
        response.doc = doc;
    } else if (doc) {
        response.code = etcd_error(doc, &response.err);
    } else if (reply->status && reply->status != 200) {
        err_set(&response.err, ERR_BAD_GATEWAY, "HTTP %d", reply->status);
    }
    if (reply->status && etcd_refused_token(e, response.code, &response.err) && r != &e->login && !r->reauthenticated) {
        r->reauthenticated = true;
        etcd_request_clear(r);
        etcd_forget_token(e);
        etcd_request_start(r);
        return;
    }
    etcd_request_end(r, &response);
}

static void etcd_request_start(struct etcd_request *r)
{
    struct etcd *e = r->etcd;
    if (r != &e->login && etcd_needs_token(e)) {
        etcd_request_await_token(r);
        return;
    }
    struct buf url = {0};
    const char *headers[] = {"Content-Type: application/json", e->authorization};
    etcd_url(e, r->path, &url);
    r->endpoint = e->current;
    r->no_json = false;
    arena_init(&r->arena, 0);
    json_value_reader_init(&r->reader, &r->arena);
    r->call = client_send(e->client, &(struct client_request){
        .method = "POST", .url = buf_z(&url), .profile = e->profile, .headers = headers,
        .n_headers = r != &e->login && e->authorization ? 2 : 1, .body = buf_str(&r->body), .timeout_ms = e->timeout_ms,
        .connect_timeout_ms = e->timeout_ms / 2, .max_body = ETCD_RESPONSE_MAX, .data = etcd_request_data,
        .done = etcd_request_done, .arg = r});
    buf_free(&url);
}

void etcd_send(struct etcd *e, struct etcd_request *r, const char *path, struct str body)
{
    r->etcd = e;
    r->path = path;
    r->running = true;
    buf_clear(&r->body);
    buf_add_str(&r->body, body);
    etcd_request_start(r);
}

void etcd_cancel(struct etcd_request *r)
{
    if (!r->running)
        return;
    if (r->waits_for_token)
        list_remove(&r->node);
    else
        client_cancel(r->call);
    r->waits_for_token = false;
    r->call = NULL;
    etcd_request_clear(r);
    etcd_request_release(r);
}
