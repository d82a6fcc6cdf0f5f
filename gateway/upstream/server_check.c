// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server_check.h"

#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/decode/remote_read.h"

struct server_check {
    struct list node;             /* of request_batch.checks */
    struct request_batch *batch;
    struct server *server;
    unsigned kind;                /* enum latency_call, or SERVER_ITSELF */
    struct client_call *call;
    struct server_check_request request;
    int64_t begin, waited;        /* clock_mono_ms; ms */
};

/* --- the requests ------------------------------------------------------------------------------------------------- */

#define NO_SERIES "{__name__=\"sluice_check\"}"
enum { NOTHING_FROM_MS = 1000, NOTHING_TO_MS = 2000 };

static const struct { const char *method, *path, *query, *name; bool times, step, limit; } server_check_kinds[] = {
    [SERVER_ITSELF] = {"GET", "/api/v1/query", "vector(1)", "query", false, false, false},
    [LATENCY_QUERY] = {"POST", "/api/v1/query", "vector(1)", "query", false, false, false},
    [LATENCY_QUERY_RANGE] = {"POST", "/api/v1/query_range", "vector(1)", "query", true, true, false},
    [LATENCY_EXPORT] = {"POST", "/api/v1/export", NO_SERIES, "match[]", true, false, false},
    [LATENCY_READ] = {"POST", NULL, NO_SERIES, NULL, false, false, false},
    [LATENCY_LABEL_NAMES] = {"POST", "/api/v1/labels", NO_SERIES, "match[]", true, false, true},
    [LATENCY_LABEL_VALUES] = {"GET", "/api/v1/label/" METRIC_NAME "/values", NO_SERIES, "match[]", true, false, true},
    [LATENCY_SERIES] = {"POST", "/api/v1/series", NO_SERIES, "match[]", true, false, true},
    [LATENCY_EXEMPLARS] = {"POST", "/api/v1/query_exemplars", NO_SERIES, "query", true, false, false},
    [LATENCY_METADATA] = {"GET", "/api/v1/metadata", "sluice_check", "metric", false, false, true}};

static void server_check_form(unsigned kind, struct buf *form)
{
    form_add(form, server_check_kinds[kind].name, str_of(server_check_kinds[kind].query));
    if (server_check_kinds[kind].times) {
        form_add_ms(form, "start", NOTHING_FROM_MS);
        form_add_ms(form, "end", NOTHING_TO_MS);
    }
    if (server_check_kinds[kind].step)
        form_add_ms(form, "step", NOTHING_FROM_MS);
    if (server_check_kinds[kind].limit)
        form_add(form, "limit", STR("1"));
}

static void server_check_read(struct server_check_request *out)
{
    static const char *const headers[] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                          "X-Prometheus-Remote-Read-Version: 0.1.0"};
    const struct matcher nothing = {.type = MATCH_EQ, .name = STR(METRIC_NAME), .value = STR("sluice_check")};
    const struct select sel = {.kind = SELECT_RANGE, .t_min = NOTHING_FROM_MS, .t_max = NOTHING_TO_MS, .func = ""};
    read_request(&out->body, &nothing, 1, (struct labels){0}, &sel, true);
    for (size_t i = 0; i < LEN(headers); i++)
        out->headers[out->n_headers++] = headers[i];
}

/* Of VictoriaMetrics the export that is used. */
static const char *server_check_path(const struct server *s, unsigned kind)
{
    bool native = kind == LATENCY_EXPORT && atomic_load(&s->health->blocks) == BLOCKS_WHOLE;
    return native ? "/api/v1/export/native" : server_check_kinds[kind].path;
}

bool server_check_request(const struct server *s, unsigned kind, const char *via, struct server_check_request *out)
{
    const char *path = kind < LEN(server_check_kinds) ? server_check_path(s, kind) : NULL;
    struct buf form = {0};
    if (kind >= LEN(server_check_kinds) || server_check_kinds[kind].method == NULL)
        return false;
    *out = (struct server_check_request){.method = server_check_kinds[kind].method,
        .path = str_of(path ? path : "/api/v1/read"), .query = str_of(server_check_kinds[kind].query)};
    if (via)
        out->headers[out->n_headers++] = via;
    buf_add_str(&out->url, path ? s->url : s->read_url);
    buf_add_z(&out->url, path ? path : "");
    buf_add_str(&out->url, s->params);
    if (path == NULL) {
        server_check_read(out);
        return true;
    }
    server_check_form(kind, &form);
    if (str_is(str_of(out->method), "GET")) {
        buf_add_char(&out->url, s->params.n > 0 ? '&' : '?');
        buf_add_str(&out->url, buf_str(&form));
    } else {
        out->headers[out->n_headers++] = "Content-Type: application/x-www-form-urlencoded";
        buf_add_str(&out->body, buf_str(&form));
    }
    buf_free(&form);
    return true;
}

void server_check_request_free(struct server_check_request *request)
{
    buf_free(&request->url);
    buf_free(&request->body);
}

/* --- checks of a batch -------------------------------------------------------------------------------------------- */

/* That of a kind of requests ends last: if the server hangs for all, there is nothing to say of its kinds. */
static int64_t server_check_limit(const struct server *s, unsigned kind)
{
    int64_t later = kind == SERVER_ITSELF ? 0 : CHECK_KIND_MS;
    int64_t fastest = atomic_load(&s->traffic->fastest_ms);
    int64_t limit = fastest == 0 ? CHECK_UNKNOWN_MS : 4 * fastest;
    return later + (limit < CHECK_MIN_MS ? CHECK_MIN_MS : limit > CHECK_MAX_MS ? CHECK_MAX_MS : limit);
}

static void server_check_free(struct server_check *c)
{
    list_remove(&c->node);
    server_check_request_free(&c->request);
    mem_free(c);
}

static void server_check_tell(const struct server_check *c, const struct client_reply *reply)
{
    struct query_trace *t = c->batch->q->trace;
    if (t)
        trace_request(t, &(struct trace_request){
            .group = c->server->group, .server = c->server->shown, .path = c->request.path, .query = c->request.query,
            .status = reply->status, .begin_ms = c->begin - t->started, .took_ms = reply->total_ms,
            .bytes = reply->body_bytes, .error = str_of(server_check_passed(reply, c->kind) ? "" : reply->err.text)});
}

static void server_check_error(const struct server_check *c, const struct client_reply *reply, struct err *why)
{
    struct buf waited = {0};
    buf_add_duration(&waited, clock_mono_ms() - c->begin + c->waited);
    if (reply->err.kind == ERR_GATEWAY_TIME && c->kind == SERVER_ITSELF)
        err_set(why, ERR_GATEWAY_TIME, "timed out after %s: the server does not respond, nor to another query",
                buf_z(&waited));
    else if (reply->err.kind == ERR_GATEWAY_TIME)
        err_set(why, ERR_GATEWAY_TIME, "timed out after %s: the server does not respond to %.*s, nor to another such "
                "request", buf_z(&waited), STR_ARG(c->request.path));
    else if (reply->status != 0)
        err_set(why, ERR_BAD_GATEWAY, "canceled after %s: a check of the server fails: HTTP %d", buf_z(&waited),
                reply->status);
    else
        err_set(why, ERR_BAD_GATEWAY, "canceled after %s: a check of the server fails: %s", buf_z(&waited),
                reply->err.text);
    buf_free(&waited);
    client_hide_secrets_in(c->server->profile, c->server->sent_url, why->text, sizeof why->text);
    server_blame(c->server, why);
}

/* NULL: there is none. */
static struct server_check *server_check_find(const struct request_batch *r, const struct server *s, unsigned kind)
{
    for (const struct list *n = r->checks.next; n != &r->checks; n = n->next) {
        struct server_check *c = CONTAINER(n, struct server_check, node);
        if (c->server == s && c->kind == kind)
            return c;
    }
    return NULL;
}

/* What is true of the server is true of each kind. */
static void server_check_drop_kinds(struct request_batch *r, const struct server *s)
{
    for (unsigned kind = 0; kind < SERVER_ITSELF; kind++) {
        struct server_check *c = server_check_find(r, s, kind);
        if (c == NULL)
            continue;
        client_cancel(c->call);
        server_check_free(c);
    }
}

static void server_check_on_done(void *arg, const struct client_reply *reply)
{
    struct server_check *c = arg;
    struct request_batch *batch = c->batch;
    struct server *s = c->server;
    unsigned kind = c->kind;
    bool works = server_check_passed(reply, kind);
    struct err why = {0};
    if (!works)
        server_check_error(c, reply, &why);
    server_check_tell(c, reply);
    server_check_free(c);
    if (!works) {
        server_check_failed(s, kind, why.kind == ERR_GATEWAY_TIME, why.text);
        if (kind == SERVER_ITSELF)
            server_check_drop_kinds(batch, s);
    }
    batch->checked(batch, s, kind, works ? NULL : &why);
}

static void server_check_send(struct request_batch *r, struct server *s, unsigned kind, int64_t waited)
{
    if (server_check_find(r, s, kind))
        return;
    struct server_check *c = mem_zalloc(sizeof *c);
    *c = (struct server_check){.batch = r, .server = s, .kind = kind, .begin = clock_mono_ms(), .waited = waited};
    if (!server_check_request(s, kind, r->worker->via, &c->request)) {
        mem_free(c);
        return;
    }
    list_push_back(&r->checks, &c->node);
    c->call = client_send(worker_client(r->worker), &(struct client_request){
        .method = c->request.method, .url = buf_z(&c->request.url), .body = buf_str(&c->request.body),
        .profile = s->profile, .headers = c->request.headers, .n_headers = c->request.n_headers, .slot = s->slot,
        .timeout_ms = server_check_limit(s, kind), .connect_timeout_ms = s->dial_timeout, .max_body = CHECK_MAX_BODY,
        .done = server_check_on_done, .arg = c});
}

void server_check_begin(struct request_batch *r, struct server *s, unsigned calls, int64_t waited)
{
    server_check_send(r, s, SERVER_ITSELF, waited);
    for (unsigned call = 0; call < LATENCY_CALLS; call++)
        if (calls >> call & 1)
            server_check_send(r, s, call, waited);
}

void server_check_cancel_all(struct request_batch *r)
{
    while (!list_empty(&r->checks)) {
        struct server_check *c = CONTAINER(r->checks.next, struct server_check, node);
        breaker_suspect(server_breaker(c->server, c->kind));
        client_cancel(c->call);
        server_check_free(c);
    }
}
