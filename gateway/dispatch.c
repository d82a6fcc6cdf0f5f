// SPDX-License-Identifier: Apache-2.0
/* Sets up the context of each request by the attributes of its route: refuses it without the route's key, while the
 * program is not ready, or if a query has returned to the process that sent it; otherwise adds a snapshot of the
 * configuration, which it keeps until its response is complete. Before the first configuration is applied, only routes
 * with `always` (health, metrics) and pushes, which check by themselves, are served. On its worker a query also gets a
 * session: the current upstream, deadline and budget.
 */
#include "gateway/dispatch.h"

#include "base/telemetry/log.h"
#include "gateway/access_log.h"
#include "base/text/duration.h"
#include "gateway/query/session.h"
#include "base/http/via.h"
#include "gateway/query/worker.h"
#include "gateway/services/services.h"

enum { MAX_PASSED_BYTES = 512 };

struct offload { /* a request on a worker */
    struct worker_task task;
    struct http_request *r;
    http_handler *run, *done;
};

static bool refuse_not_ready(struct http_request *r)
{
    http_text(r, 503, "Service Unavailable");
    return false;
}

/* On the lane: the workers may all be waiting for this response. */
static bool refuse_loop(struct http_request *r)
{
    struct err err;
    if (via_check(http_header(r, VIA_HEADER), r->services->id, &err))
        return false;
    http_error(r, &err);
    return true;
}

/* Texts of vmagent. */
static bool refuse_key(struct http_request *r)
{
    struct str sent = form_get(&r->form, "authKey");
    enum auth_key key = (enum auth_key)r->route->auth_key;
    if (auth_key_matches(&r->services->flags.auth_keys, key, sent))
        return false;
    http_text(r, 401, "");
    buf_printf(&r->out, sent.n == 0 ? "Expected to receive non-empty authKey when -%s is set\n"
                                    : "The provided authKey doesn't match -%s\n", auth_key_flag(key));
    return true;
}

/* As in vmagent, a key of the route replaces the user of -httpAuth.username. */
static bool dispatch_open(const struct http_request *r)
{
    return r->route->open || auth_key_is_set(&r->services->flags.auth_keys, (enum auth_key)r->route->auth_key);
}

static bool dispatch_begin(struct http_request *r)
{
    const struct route *route = r->route;
    if (route->auth_key != AUTH_KEY_NONE && refuse_key(r))
        return false;
    if (route->needs_ready && !services_ready(r->services))
        return refuse_not_ready(r);
    if (route->refuses_loops && refuse_loop(r))
        return false;
    if (route->class == ROUTE_PUSH || route->always)
        return true;
    r->config = services_config_on_lane(r->services);
    return r->config != NULL || refuse_not_ready(r);
}

static void dispatch_end(struct http_request *r)
{
    config_unref(r->config);
    r->config = NULL;
}

/* ---- queries ---- */

struct stats_group dispatch_stats = STATS_GROUP(DISPATCH_STATS);

/* Headers that connect a query with the requests to servers that it causes. Longer ones are not passed on. */
static void dispatch_pass_headers(struct http_request *r, struct worker *w)
{
    static const char *const names[WORKER_PASSED] = {"traceparent", "tracestate", "X-Request-Id"};
    const struct str_list *proxied = &r->services->flags.proxy_headers;
    w->n_passed = w->n_proxied = 0;
    w->proxied = ARENA_ARRAY(&r->arena, const char *, proxied->n);
    for (size_t i = 0; i < proxied->n; i++) {
        struct str value = http_header(r, proxied->items[i].p);
        bool passed = false;
        for (size_t k = 0; k < LEN(names); k++)
            passed = passed || strcasecmp(proxied->items[i].p, names[k]) == 0;
        if (value.n > 0 && !passed)
            w->proxied[w->n_proxied++] = arena_printf(&r->arena, "%s: %.*s", proxied->items[i].p, STR_ARG(value)).p;
    }
    for (size_t i = 0; i < LEN(names); i++) {
        struct str value = http_header(r, names[i]);
        if (value.n > 0 && value.n <= MAX_PASSED_BYTES)
            w->passed[w->n_passed++] = arena_printf(&r->arena, "%s: %.*s", names[i], STR_ARG(value)).p;
    }
}

static void dispatch_log_slow(struct http_request *r, const struct active_query *q)
{
    int64_t ms = clock_mono_ms() - r->started_mono, threshold = r->services->flags.query_slow;
    if (threshold == 0 || ms <= threshold)
        return;
    stats_add(&dispatch_stats, SLOW_QUERIES, 1);
    log_warn("query", "slow query", LOG_DURATION("duration", ms), LOG_STR("path", q->path), LOG_STR("query", q->query),
             LOG_I64("start", q->start), LOG_I64("end", q->end), LOG_I64("step", q->step), LOG_STR("client", q->client),
             "id", r->query_id, LOG_STR("request_id", http_header(r, "X-Request-Id")),
             LOG_STR("traceparent", http_header(r, "traceparent")));
}

_Static_assert(sizeof ((struct http_request *)0)->query_id == ACTIVE_ID_SIZE, "space for an id");

static struct str dispatch_query_text(const struct http_request *r)
{
    struct str query = form_get(&r->form, "query");
    return query.n > 0 ? query : form_get(&r->form, "match[]");
}

static void dispatch_query(struct http_request *r, http_handler *run)
{
    struct services *services = r->services;
    struct active_query active = {.path = r->path, .query = dispatch_query_text(r), .client = http_client(r),
                                  .started_mono = r->started_mono};
    struct upstream *upstream = services_upstream(services);
    struct query_service service = services_query_service(services, r->config, upstream);
    int64_t timeout = services->flags.query_timeout;
    struct query_session session;
    query_session_begin(&session, &(struct query_session_conf){
        .service = &service, .arena = &r->arena, .memory = (size_t)services->flags.query_memory,
        .shared = &services->queries, .deadline_mono = timeout > 0 ? r->started_mono + timeout : 0,
        .canceled = &r->canceled, .active = &active});
    active_add(&services->active, &active);
    active_id_print(active.id, r->query_id);
    r->query = &session;
    worker_self()->via = via_line(&r->arena, http_header(r, VIA_HEADER), services->id);
    dispatch_pass_headers(r, worker_self());
    run(r);
    worker_self()->via = NULL;
    worker_self()->n_passed = worker_self()->n_proxied = 0;
    worker_self()->proxied = NULL;
    active_remove(&services->active, &active);
    dispatch_log_slow(r, &active);
    r->query = NULL;
    query_session_end(&session);
    upstream_unref(upstream);
}

static void offload_run(struct worker_task *t)
{
    struct offload *o = CONTAINER(t, struct offload, task);
    if (o->r->route->class == ROUTE_QUERY)
        dispatch_query(o->r, o->run);
    else
        o->run(o->r);
}

static void offload_done(struct worker_task *t)
{
    struct offload *o = CONTAINER(t, struct offload, task);
    struct http_request *r = o->r;
    http_handler *done = o->done;
    r->task = NULL;
    mem_free(o);
    done(r);
}

static bool dispatch_submit(struct http_request *r, http_handler *run, http_handler *done)
{
    struct offload *o = mem_zalloc(sizeof *o);
    enum worker_class class = r->route->class == ROUTE_QUERY ? WORKER_QUERY : WORKER_ADMIN;
    *o = (struct offload){.task = {.class = class, .run = offload_run, .done = offload_done, .loop = r->loop,
                                   .arena = &r->arena}, .r = r, .run = run, .done = done};
    r->task = o;
    if (worker_submit(r->services->workers, &o->task))
        return true;
    r->task = NULL;
    mem_free(o);
    return false;
}

static bool dispatch_withdraw(struct http_request *r)
{
    struct offload *o = r->task;
    if (o == NULL || !worker_withdraw(r->services->workers, &o->task))
        return false;
    r->task = NULL;
    mem_free(o);
    return true;
}

const struct http_hooks dispatch_hooks = {.begin = dispatch_begin, .open = dispatch_open, .end = dispatch_end, .submit = dispatch_submit,
                                        .withdraw = dispatch_withdraw, .sent = access_log_write};
