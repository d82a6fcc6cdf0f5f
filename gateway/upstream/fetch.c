// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/fetch.h"

#include "base/json/json_tree.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/flight.h"
#include "gateway/upstream/server_check.h"
#include "gateway/upstream/stats.h"

#include <limits.h>

enum { ERROR_TEXT = 400 }; /* bytes of a body that is shown: the error of a server behind several others */
enum { ERROR_BODY = 4096, DEFAULT_TIMEOUT_MS = 120000, POLL_MS = 50 };
/* Requests end before the query, so that its error names the server: by a tenth of what is left, within these. A busy
 * machine wakes a worker late. */
enum { SPARE_MIN_MS = 20, SPARE_MAX_MS = 250 };

struct fetch {
    struct list node;
    struct request_batch *batch;
    struct fetch_plan plan;
    struct buf body, url;
    struct buf error;          /* beginning of the body of a response that is not 2xx */
    struct client_call *call;  /* NULL: it has joined the request of another query */
    struct flight *flight;     /* that others may join */
    struct flight_seat seat;   /* in the flight of another query */
    struct loop_timer late;    /* while it waits there */
    bool begun;                /* the decoder knows the type of the response */
    bool damaged;              /* ended by the decoder or a limit, not by the network */
    uint64_t samples;          /* decoded */
    struct { int64_t at; uint64_t bytes; } seen; /* by batch_stalls: clock_mono_ms, 0 = never; of the response */
    int64_t begin;             /* clock_mono_ms */
};

/* --- batches ------------------------------------------------------------------------------------------------------ */

void batch_begin(struct request_batch *r, struct query_ctx *q, size_t max_response)
{
    *r = (struct request_batch){.q = q, .worker = q->user, .max_response = max_response,
                                .now = clock_wall_ms(), .limits = arena_suspend_limit(q->arena)};
    list_init(&r->in_flight);
    list_init(&r->requests);
    list_init(&r->checks);
}

void batch_fail(struct request_batch *r, const struct err *why)
{
    if (r->err.kind == ERR_NONE)
        r->err = *why;
}

static bool over_budget(const struct request_batch *r, struct err *err)
{
    if (!arena_over(r->q->arena, r->limits.max))
        return false;
    arena_full_error(r->q->arena, r->limits.max, err);
    return true;
}

bool batch_check(struct request_batch *r, struct err *err)
{
    if (r->err.kind != ERR_NONE) {
        *err = r->err;
        return false;
    }
    return !over_budget(r, err) && !query_ended(r->q, "reading from servers", err);
}

/* --- servers that hang ------------------------------------------------------------------------------------ */

struct given_up { const struct server_health *server; struct err err; struct given_up *next; };

bool batch_gave_up(const struct request_batch *r, const struct server *s, struct err *err)
{
    for (const struct given_up *g = r->q->remembered; g; g = g->next)
        if (g->server == s->health) {
            *err = g->err;
            return true;
        }
    return false;
}

/* When the requests of a plan fail, a query starts again without it: a server that hangs must not cost a second
 * timeout, nor one that never ends the memory of another response. */
static void batch_give_up(struct request_batch *r, const struct server *s, const struct err *err)
{
    struct given_up *g = ARENA_NEW(r->q->arena, struct given_up);
    *g = (struct given_up){s->health, *err, r->q->remembered};
    r->q->remembered = g;
}

static bool fetch_stalls(struct fetch *f, int64_t now)
{
    struct client_progress p = f->call ? client_progress(f->call) : (struct client_progress){0};
    bool stalls = f->seen.at > 0 && now - f->seen.at >= STALL_MS && p.body_bytes - f->seen.bytes < STALL_BYTES;
    if (p.has_head && !stalls && (f->seen.at == 0 || now - f->seen.at >= STALL_MS)) {
        f->seen.at = now;
        f->seen.bytes = p.body_bytes;
    }
    return p.has_head && stalls;
}

bool batch_stalls(struct request_batch *r, const struct server *s, unsigned calls, struct err *err)
{
    int64_t now = clock_mono_ms();
    for (struct list *node = r->in_flight.next; node != &r->in_flight; node = node->next) {
        struct fetch *f = CONTAINER(node, struct fetch, node);
        if (f->plan.server != s || !(calls >> latency_call_of(f->plan.path) & 1) || !fetch_stalls(f, now))
            continue;
        err_set(err, ERR_GATEWAY_TIME, "timed out after %lld ms: the response of %s has begun and does not go on",
                (long long)(now - f->begin), f->plan.path ? f->plan.path : "remote_read");
        server_blame(s, err);
        return true;
    }
    return false;
}

/* --- the end of a request ----------------------------------------------------------------------------------------- */

static void free_fetch(struct fetch *f)
{
    list_remove(&f->node);
    atomic_fetch_sub(&f->plan.server->traffic->in_flight, 1);
    *f->plan.slot = NULL;
    if (f->flight)
        flight_end(f->flight, NULL);
    if (f->call == NULL) {
        loop_timer_stop(f->batch->worker->loop, &f->late);
        flight_leave(&f->seat, f->plan.server->health);
    }
    f->plan.decoder->free(f->plan.decoder);
    buf_free(&f->body);
    buf_free(&f->url);
    buf_free(&f->error);
    mem_free(f);
}

static void fetch_stop(struct fetch *f)
{
    if (f->call)
        client_cancel(f->call);
}

void fetch_cancel(struct fetch *f)
{
    fetch_stop(f);
    free_fetch(f);
}

/* The request whose response has more than twice as much memory as everything else of the query. NULL: none. */
static struct fetch *batch_excessive(const struct request_batch *r)
{
    struct fetch *largest = NULL;
    for (struct list *node = r->in_flight.next; node != &r->in_flight; node = node->next) {
        struct fetch *f = CONTAINER(node, struct fetch, node);
        if (f->plan.arena && (largest == NULL || f->plan.arena->used > largest->plan.arena->used))
            largest = f;
    }
    return largest && largest->plan.arena->used / 2 > r->q->arena->used - largest->plan.arena->used ? largest : NULL;
}

static void fetch_on_done(void *arg, const struct client_reply *reply);

/* Not within a callback of the client: the end of one request may start or cancel others. */
static void batch_drop_excessive(struct request_batch *r)
{
    struct client_reply reply = {0};
    struct fetch *f = over_budget(r, &reply.err) ? batch_excessive(r) : NULL;
    if (f == NULL)
        return;
    fetch_stop(f);
    f->damaged = true;
    reply.total_ms = clock_mono_ms() - f->begin;
    fetch_on_done(f, &reply);
}

static void cancel_all(struct request_batch *r)
{
    server_check_cancel_all(r);
    while (!list_empty(&r->in_flight))
        fetch_cancel(CONTAINER(r->in_flight.next, struct fetch, node));
}

bool batch_wait(struct request_batch *r, struct err *err)
{
    bool ok = true;
    if (!list_empty(&r->in_flight))
        worker_turn_end(r->worker);
    while (ok && !list_empty(&r->in_flight)) {
        loop_turn(r->worker->loop, POLL_MS);
        batch_drop_excessive(r);
        ok = batch_check(r, err);
    }
    ok = ok && worker_turn_begin(r->worker, r->q, err) && batch_check(r, err);
    cancel_all(r);
    return ok;
}

void batch_end(struct request_batch *r)
{
    cancel_all(r);
    arena_restore_limit(r->q->arena, r->limits);
}

struct response batch_response(const struct request_batch *r, const struct label_view *view, const struct server *server,
                               struct arena *arena)
{
    return (struct response){.work = reading_work(r->q), .arena = arena, .view = view, .notes = r->q->notes,
                             .secrets = server_secrets(server), .t_min = INT64_MIN, .t_max = INT64_MAX, .budget = r->limits.max};
}

/* --- one request -------------------------------------------------------------------------------------------------- */

/* The server's error text: "error" of the API, "message" of a gateway, or the beginning of the body. */
static void fetch_error_text(struct buf *out, struct str body)
{
    struct json_tree *tree = json_tree_parse(body, NULL);
    struct str said = json_tree_str(json_tree_get(tree, "error"));
    if (said.n == 0)
        said = json_tree_str(json_tree_get(tree, "message"));
    if (said.n == 0)
        said = str_trim(str_first(body, ERROR_TEXT));
    if (said.n > 0)
        buf_printf(out, ": %.*s", STR_ARG(said));
    json_tree_free(tree);
}

static enum err_kind kind_of(int status, struct str body)
{
    switch (status) {
    case 422: return ERR_EXEC;
    case 429: return ERR_THROTTLED;
    case 508: return ERR_LOOP;
    case 503: return body.n > 0 && str_find_str(body, STR("\"timeout\"")) < body.n ? ERR_GATEWAY_TIME : ERR_UNAVAILABLE;
    case 408:
    case 504: return ERR_GATEWAY_TIME;
    default: return ERR_BAD_GATEWAY;
    }
}

static void status_error(const struct fetch *f, const struct client_reply *reply, struct err *err)
{
    struct buf why = {0}, shown = {0};
    int64_t wait;
    client_hide_secrets(f->plan.server->profile, f->plan.server->sent_url, buf_str(&f->error), &shown);
    fetch_error_text(&why, buf_str(&shown));
    err_set(err, kind_of(reply->status, buf_str(&f->error)), "HTTP %d%s", reply->status, why.n ? buf_z(&why) : "");
    if (retry_after_parse(reply->retry_after, clock_wall_ms(), &wait))
        err->retry_after = wait < (int64_t)INT_MAX * 1000 ? (int)(wait / 1000) : INT_MAX;
    buf_free(&why);
    buf_free(&shown);
}

/* Prefixes the error with group and server. Errors of the client begin with method and URL. */
static void name_server(const struct fetch *f, bool has_url, struct err *err)
{
    const struct server *s = f->plan.server;
    if (!has_url)
        err_wrap(err, "%.*s%s", STR_ARG(s->shown), f->plan.path ? f->plan.path : "");
    err_wrap(err, "server group \"%.*s\"", STR_ARG(s->group));
}

/* False: the request fails, alone or with the query. If another one is excessive, that ends after this turn of the
 * loop. */
static bool fetch_fits(const struct fetch *f, struct err *err)
{
    struct err why = {0};
    if (!over_budget(f->batch, &why))
        return true;
    const struct fetch *excessive = batch_excessive(f->batch);
    if (excessive && excessive != f)
        return true;
    *err = why;
    if (excessive == NULL) {
        if (why.kind == ERR_LIMIT) /* or all queries in flight have exceeded theirs */
            name_server(f, false, &why);
        batch_fail(f->batch, &why);
    }
    return false;
}

static void fetch_begin_response(struct fetch *f, const struct client_reply *reply)
{
    if (f->begun)
        return;
    f->begun = true;
    worker_take_spare(f->batch->worker);
    if (f->plan.decoder->begin)
        f->plan.decoder->begin(f->plan.decoder, reply->content_type);
}

static bool on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct fetch *f = arg;
    if (f->flight)
        flight_data(f->flight, piece, f->batch->q->arena->budget, f->batch->limits.max);
    if (reply->status / 100 != 2) {
        f->error.max = ERROR_BODY;
        buf_add_str(&f->error, str_first(piece, ERROR_BODY - f->error.n));
        return true;
    }
    fetch_begin_response(f, reply);
    uint64_t before = f->plan.n_samples ? *f->plan.n_samples : 0;
    f->damaged = !f->plan.decoder->feed(f->plan.decoder, piece, err);
    f->samples += f->plan.n_samples ? *f->plan.n_samples - before : 0;
    f->damaged = f->damaged || !fetch_fits(f, err);
    return !f->damaged;
}

static void fetch_tell(const struct fetch *f, const struct client_reply *reply, bool ok, const struct err *err)
{
    struct query_trace *t = f->batch->q->trace;
    const struct server *s = f->plan.server;
    if (t == NULL)
        return;
    trace_request(t, &(struct trace_request){
        .group = s->group, .server = s->shown, .path = str_of(f->plan.path ? f->plan.path : "/api/v1/read"),
        .query = f->plan.query, .status = reply->status, .begin_ms = f->begin - t->started,
        .took_ms = reply->total_ms, .bytes = reply->body_bytes, .samples = f->samples,
        .joined = f->call == NULL, .error = str_of(ok ? "" : err->text)});
}

static void fetch_on_done(void *arg, const struct client_reply *reply)
{
    struct fetch *f = arg;
    struct err err = {0};
    bool joined = f->call == NULL;
    if (f->flight)
        flight_end(f->flight, reply->status ? reply : NULL);
    f->flight = NULL;
    if (reply->status / 100 == 2)
        fetch_begin_response(f, reply); /* it may be empty */
    uint64_t before = f->plan.n_samples ? *f->plan.n_samples : 0; /* some decoders have all samples at the end only */
    bool ok = reply->status / 100 == 2 && f->plan.decoder->finish(f->plan.decoder, &err);
    ok = ok && fetch_fits(f, &err);
    f->samples += f->plan.n_samples ? *f->plan.n_samples - before : 0;
    if (err.kind == ERR_TIMEOUT || err.kind == ERR_CANCELED) /* of the query, while it was decoded */
        batch_fail(f->batch, &err);
    if (reply->status == 0)
        err = reply->err;
    else if (reply->status / 100 != 2)
        status_error(f, reply, &err);
    if (!ok && err.kind == ERR_TOO_LARGE)
        err.kind = ERR_LIMIT;
    bool late = reply->status == 0 && !f->damaged && err.kind == ERR_GATEWAY_TIME;
    if (!ok) {
        client_hide_secrets_in(f->plan.server->profile, f->plan.server->sent_url, err.text, sizeof err.text);
        name_server(f, reply->status == 0 && !f->damaged && reply->err.kind != ERR_TOO_LARGE, &err);
        if (late || err.kind == ERR_LIMIT)
            batch_give_up(f->batch, f->plan.server, &err);
    }
    if (!joined)
        server_note_clock(f->plan.server, reply);
    enum latency_call call = latency_call_of(f->plan.path);
    bool served = ok || (f->plan.refusal && *f->plan.refusal != BLOCKS_WANTED);
    if (!joined && served)
        server_succeeded(f->plan.server, reply->total_ms, reply->body_bytes);
    else if (!joined && f->batch->err.kind == ERR_NONE)
        server_failed(f->plan.server, reply, f->damaged, err.text);
    if (late)
        breaker_suspect(server_breaker(f->plan.server, call));
    else if (!joined && reply->status != 0 && reply->status != 502 && reply->status != 504)
        breaker_succeed(server_breaker(f->plan.server, call), clock_mono_ms());
    if (reply->status == 508)
        server_log_loop(f->plan.server);
    if (!joined)
        latency_count(&f->plan.server->traffic->latency, f->plan.path, reply->status, served, reply->total_ms);
    fetch_tell(f, reply, ok, &err);
    struct fetch_plan plan = f->plan;
    free_fetch(f);
    plan.done(plan.arg, ok ? NULL : &err, reply->status);
}

static int64_t time_for_requests(int64_t left)
{
    int64_t spare = left / 10;
    spare = spare < SPARE_MIN_MS ? SPARE_MIN_MS : spare > SPARE_MAX_MS ? SPARE_MAX_MS : spare;
    return left - spare;
}

/* Of the time of the server, what the request of another query took is gone. */
static int64_t fetch_time_left(const struct fetch *f)
{
    const struct server *s = f->plan.server;
    int64_t left = DEFAULT_TIMEOUT_MS, now = clock_mono_ms();
    if (f->batch->q->deadline_mono)
        left = time_for_requests(f->batch->q->deadline_mono - now);
    if (s->timeout > 0 && f->begin + s->timeout - now < left)
        left = f->begin + s->timeout - now;
    return left > 0 ? left : 1;
}

static void fetch_make_url(struct fetch *f)
{
    const struct fetch_plan *p = &f->plan;
    buf_add_str(&f->url, p->path ? p->server->url : p->server->read_url);
    if (p->path)
        buf_add_z(&f->url, p->path);
    buf_add_str(&f->url, p->server->params);
    if (p->get && p->form.n > 0) {
        buf_add_char(&f->url, p->server->params.n > 0 ? '&' : '?');
        buf_add_str(&f->url, p->form);
    }
}

/* Those of the group replace those of the client. */
static bool fetch_passes(const struct fetch_plan *plan, const char *line)
{
    return !client_profile_sends(plan->server->profile, str_first(str_of(line), str_find(str_of(line), ':')));
}

enum { FETCH_OWN_HEADERS = 5 + WORKER_PASSED };

static size_t fetch_headers(const struct request_batch *r, const struct fetch_plan *plan,
                            const char **headers)
{
    static const char *const read[] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                       "Accept-Encoding: snappy", "X-Prometheus-Remote-Read-Version: 0.1.0"};
    size_t n = 0;
    if (plan->path && !plan->get)
        headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    for (size_t i = 0; plan->path == NULL && i < LEN(read); i++)
        headers[n++] = read[i];
    if (r->worker->via)
        headers[n++] = r->worker->via;
    for (unsigned i = 0; i < r->worker->n_proxied; i++)
        if (fetch_passes(plan, r->worker->proxied[i]))
            headers[n++] = r->worker->proxied[i];
    for (unsigned i = 0; i < r->worker->n_passed; i++) /* last: responses do not depend on them */
        headers[n++] = r->worker->passed[i];
    return n;
}

static void fetch_on_landed(struct flight_seat *seat);
static void fetch_on_late(struct loop_timer *t);

/* Joins an equal request of another query, or sends its own. */
static void fetch_launch(struct fetch *f)
{
    struct request_batch *r = f->batch;
    const struct server *s = f->plan.server;
    const char **headers = ARENA_ARRAY(r->q->arena, const char *, FETCH_OWN_HEADERS + r->worker->n_proxied);
    size_t n = fetch_headers(r, &f->plan, headers);
    f->seat = (struct flight_seat){.landed = fetch_on_landed, .loop = r->worker->loop};
    f->flight = flight_join(&(struct flight_request){s->health, buf_str(&f->url), f->plan.form, headers,
                                                     n - r->worker->n_passed}, &f->seat);
    if (f->flight == NULL) {
        f->late.run = fetch_on_late;
        loop_timer_in(r->worker->loop, &f->late, fetch_time_left(f));
        return;
    }
    f->call = client_send(worker_client(r->worker), &(struct client_request){
        .method = f->plan.get ? "GET" : "POST", .url = buf_z(&f->url), .profile = s->profile, .body = f->plan.form,
        .headers = headers, .n_headers = n, .slot = s->slot, .timeout_ms = fetch_time_left(f),
        .connect_timeout_ms = s->dial_timeout, .max_body = r->max_response,
        .accept_gzip = f->plan.path != NULL && s->wants_gzip, .data = on_data, .done = fetch_on_done, .arg = f});
}

/* The other query's request has ended. */
static void fetch_on_landed(struct flight_seat *seat)
{
    enum { PIECE = 64 << 10 };
    struct fetch *f = CONTAINER(seat, struct fetch, seat);
    struct flight_response *response = seat->response;
    loop_timer_stop(f->batch->worker->loop, &f->late);
    if (response == NULL) {
        fetch_launch(f);
        return;
    }
    stats_add(&upstream_stats, REQUESTS_JOINED, 1);
    struct client_reply reply = {.status = response->status, .content_type = str_of(response->content_type),
                                 .retry_after = str_of(response->retry_after), .body_bytes = response->body.n,
                                 .total_ms = clock_mono_ms() - f->begin};
    for (struct str rest = buf_str(&response->body); rest.n > 0; rest = str_skip(rest, PIECE))
        if (!on_data(f, &reply, str_first(rest, PIECE), &reply.err)) {
            reply.status = 0;
            break;
        }
    seat->response = NULL;
    fetch_on_done(f, &reply);
    flight_response_unref(response);
}

static void fetch_on_late(struct loop_timer *t)
{
    struct fetch *f = CONTAINER(t, struct fetch, late);
    struct client_reply reply = {.total_ms = clock_mono_ms() - f->begin};
    err_set(&reply.err, ERR_GATEWAY_TIME, "POST %.*s%s: timed out after %lld ms", STR_ARG(f->plan.server->shown),
            f->plan.path ? f->plan.path : "", (long long)reply.total_ms);
    flight_leave(&f->seat, f->plan.server->health);
    fetch_on_done(f, &reply);
}

void fetch_send(struct request_batch *r, const struct fetch_plan *plan)
{
    struct fetch *f = mem_zalloc(sizeof *f);
    f->batch = r;
    f->plan = *plan;
    if (!plan->get)
        buf_add_str(&f->body, plan->form);
    fetch_make_url(f);
    f->plan.form = buf_str(&f->body);
    f->begin = clock_mono_ms();
    if (r->q->trace && r->q->trace->started == 0)
        r->q->trace->started = f->begin;
    list_push_back(&r->in_flight, &f->node);
    atomic_fetch_add(&plan->server->traffic->in_flight, 1);
    server_asked(plan->server);
    *plan->slot = f;
    fetch_launch(f);
}
