// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server_check.h"

#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/query/trace.h"

struct server_check {
    struct list node;             /* of request_batch.checks */
    struct request_batch *batch;
    struct server *server;
    struct client_call *call;
    struct buf url;
    int64_t begin, waited;        /* clock_mono_ms; ms */
};

void server_check_url(const struct server *s, struct buf *out)
{
    buf_add_str(out, s->url);
    buf_add_z(out, CHECK_PATH);
    buf_add_str(out, s->params);
    buf_add_z(out, s->params.n > 0 ? "&query=" : "?query=");
    url_encode(out, STR(CHECK_QUERY));
}

static int64_t server_check_limit(const struct server *s)
{
    int64_t fastest = atomic_load(&s->traffic->fastest_ms);
    int64_t limit = fastest == 0 ? CHECK_UNKNOWN_MS : 4 * fastest;
    return limit < CHECK_MIN_MS ? CHECK_MIN_MS : limit > CHECK_MAX_MS ? CHECK_MAX_MS : limit;
}

static void server_check_free(struct server_check *c)
{
    list_remove(&c->node);
    buf_free(&c->url);
    mem_free(c);
}

static void server_check_tell(const struct server_check *c, const struct client_reply *reply)
{
    struct query_trace *t = c->batch->q->trace;
    if (t)
        trace_request(t, &(struct trace_request){
            .group = c->server->group, .server = c->server->shown, .path = STR(CHECK_PATH), .query = STR(CHECK_QUERY),
            .status = reply->status, .begin_ms = c->begin - t->started, .took_ms = reply->total_ms,
            .bytes = reply->body_bytes, .error = str_of(server_check_passed(reply) ? "" : reply->err.text)});
}

static void server_check_error(const struct server_check *c, const struct client_reply *reply, struct err *why)
{
    struct buf waited = {0};
    buf_add_duration(&waited, clock_mono_ms() - c->begin + c->waited);
    if (reply->err.kind == ERR_GATEWAY_TIME)
        err_set(why, ERR_GATEWAY_TIME, "timed out after %s: the server does not respond, nor to another query",
                buf_z(&waited));
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

static void server_check_on_done(void *arg, const struct client_reply *reply)
{
    struct server_check *c = arg;
    struct request_batch *batch = c->batch;
    struct server *s = c->server;
    bool works = server_check_passed(reply);
    struct err why = {0};
    if (!works)
        server_check_error(c, reply, &why);
    server_check_tell(c, reply);
    server_check_free(c);
    if (!works)
        server_check_failed(s, why.kind == ERR_GATEWAY_TIME, why.text);
    batch->checked(batch, s, works ? NULL : &why);
}

static bool server_check_runs(const struct request_batch *r, const struct server *s)
{
    for (const struct list *n = r->checks.next; n != &r->checks; n = n->next)
        if (CONTAINER(n, struct server_check, node)->server == s)
            return true;
    return false;
}

void server_check_begin(struct request_batch *r, struct server *s, int64_t waited)
{
    if (server_check_runs(r, s))
        return;
    struct server_check *c = mem_zalloc(sizeof *c);
    *c = (struct server_check){.batch = r, .server = s, .begin = clock_mono_ms(), .waited = waited};
    server_check_url(s, &c->url);
    list_push_back(&r->checks, &c->node);
    const char *headers[] = {r->worker->via};
    c->call = client_send(worker_client(r->worker), &(struct client_request){
        .method = "GET", .url = buf_z(&c->url), .profile = s->profile, .headers = headers,
        .n_headers = r->worker->via != NULL, .slot = s->slot, .timeout_ms = server_check_limit(s),
        .connect_timeout_ms = s->dial_timeout, .max_body = CHECK_MAX_BODY, .done = server_check_on_done, .arg = c});
}

void server_check_cancel_all(struct request_batch *r)
{
    while (!list_empty(&r->checks)) {
        struct server_check *c = CONTAINER(r->checks.next, struct server_check, node);
        breaker_suspect(&c->server->health->breaker);
        client_cancel(c->call);
        server_check_free(c);
    }
}
