// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/server_query.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "gateway/upstream/remote_read.h"
#include "gateway/upstream/staleness.h"

enum { MAX_POINTS = 11000 }; /* Prometheus gives 11,001 at most */

static void server_query_choose(struct server_query *query, enum read_method way);
static void go(struct server_query *query);

static void server_query_finish(struct server_query *query, enum server_query_state state)
{
    query->state = state;
    query->done(query);
}

static void server_query_fail(struct server_query *query, enum err_kind kind, const char *what)
{
    const struct server *s = query->server;
    err_set(&query->err, kind, "server group \"%.*s\": %.*s: %s", STR_ARG(s->group), STR_ARG(s->shown), what);
    server_query_finish(query, SERVER_QUERY_FAILED);
}

static void server_query_reset_response(struct server_query *query, struct response *a, int64_t t_min, int64_t t_max)
{
    *a = (struct response){.arena = query->batch->q->arena, .group = query->group, .notes = query->batch->q->notes,
                           .server = query->server, .t_min = t_min, .t_max = t_max, .budget = query->batch->budget};
}

/* --- the requests ------------------------------------------------------------------------------------------------- */

static void server_query_response_done(void *arg, const struct err *err, int status);

static void send_request(struct server_query *query, const char *path, struct buf *body, struct decoder *decoder)
{
    if (query->_n_fetches == LEN(query->_fetches)) {
        decoder->free(decoder);
        err_set(&query->err, ERR_LIMIT, "server group \"%.*s\": the query has too many steps for one subquery",
                STR_ARG(query->group->name));
    } else {
        query->_left++;
        fetch_send(query->batch, &(struct fetch_plan){
            .server = query->server, .path = path, .form = buf_str(body), .decoder = decoder, .done =
                server_query_response_done, .arg = query,
            .slot = &query->_fetches[query->_n_fetches++]});
    }
    buf_free(body);
}

static void add_ms(struct buf *form, const char *name, int64_t ms)
{
    buf_printf(form, "%s%s=", form->n ? "&" : "", name);
    buf_add_ms(form, ms);
}

static void server_query_add_selector(struct buf *form, const struct server_query *query, const char *name,
                                      int64_t range)
{
    struct buf text = {0};
    matchers_print(&text, query->matchers, query->n_matchers);
    if (range > 0)
        buf_printf(&text, "[%lldms]", (long long)range);
    form_add(form, name, buf_str(&text));
    buf_free(&text);
}

/* Raw samples of the whole window, as a range selector at its end. Before Prometheus 3 the window is closed on both
 * sides; what is too early is dropped by the answer. */
static void server_query_window(struct server_query *query)
{
    struct buf form = {0};
    const struct select *sel = query->sel;
    server_query_add_selector(&form, query, "query", sel->t_max - sel->t_min + 1);
    add_ms(&form, "time", sel->t_max);
    send_request(query, "/api/v1/query", &form, json_decoder_new(&query->response));
}

static void server_query_steps(struct server_query *query, struct response *to)
{
    const struct select *sel = query->sel;
    bool one = sel->step <= 0 || sel->end <= sel->start;
    for (int64_t start = sel->start, last; start <= sel->end; start = last + sel->step) {
        struct buf form = {0};
        last = one || (sel->end - start) / sel->step < MAX_POINTS ? sel->end : start + (MAX_POINTS - 1) * sel->step;
        server_query_add_selector(&form, query, "query", 0);
        add_ms(&form, "lookback_delta", sel->window);
        if (one) {
            add_ms(&form, "time", start);
        } else {
            add_ms(&form, "start", start);
            add_ms(&form, "end", last);
            add_ms(&form, "step", sel->step);
        }
        send_request(query, one ? "/api/v1/query" : "/api/v1/query_range", &form, json_decoder_new(to));
        if (one || query->err.kind)
            break;
    }
}

static void server_query_export(struct server_query *query)
{
    struct buf form = {0};
    server_query_add_selector(&form, query, "match[]", 0);
    add_ms(&form, "start", query->sel->t_min > 0 ? query->sel->t_min : 0);
    add_ms(&form, "end", query->sel->t_max > 0 ? query->sel->t_max : 0);
    send_request(query, "/api/v1/export", &form, export_decoder_new(&query->response));
}

/* The answer is kept whole outside the arena, and its samples take about as much inside. */
static void server_query_read(struct server_query *query)
{
    struct buf body = {0};
    const struct request_batch *r = query->batch;
    size_t max = r->budget && r->budget < r->max_answer ? r->budget : r->max_answer;
    read_request(&body, query->matchers, query->n_matchers, query->_external, query->sel);
    send_request(query, NULL, &body, remote_read_decoder_new(&query->response, max));
}

/* Values at the steps are enough, and less to carry than raw samples: nothing is compared, and nobody asks when they
 * were taken. */
static bool needs_steps(const struct server_query *query)
{
    return query->sel->kind == SELECT_INSTANT && !query->compare && !query->sel->wants_origin;
}

static void send_all(struct server_query *query)
{
    const struct select *sel = query->sel;
    bool instant = sel->kind == SELECT_INSTANT;
    server_query_reset_response(query, &query->response, sel->t_min, sel->t_max);
    server_query_reset_response(query, &query->_steps, sel->t_min, sel->t_max);
    query->response.external = query->_method == READ_REMOTE ? query->_external : (struct labels){0};
    query->_n_fetches = 0;
    query->_steps_only = query->_method == READ_QUERY && needs_steps(query);
    if (query->_method == READ_EXPORT)
        server_query_export(query);
    else if (query->_method == READ_REMOTE)
        server_query_read(query);
    else if (query->_steps_only)
        server_query_steps(query, &query->response);
    else {
        server_query_window(query);
        if (instant)
            server_query_steps(query, &query->_steps);
    }
}

/* --- the answers -------------------------------------------------------------------------------------------------- */

static void cancel_fetches(struct server_query *query)
{
    for (unsigned i = 0; i < query->_n_fetches; i++)
        if (query->_fetches[i])
            fetch_cancel(query->_fetches[i]);
    query->_n_fetches = query->_left = 0;
}

void server_query_cancel(struct server_query *query)
{
    cancel_fetches(query);
    if (query->state == SERVER_QUERY_RUNNING)
        query->state = SERVER_QUERY_IDLE;
}

/* The server does not know the way that was tried: another one, and it is remembered. */
static bool server_query_fall_back(struct server_query *query)
{
    bool unknown = query->_status == 404 || query->_status == 405 || query->_status == 415 || query->_status == 501;
    if ((!unknown && !(query->_guessed && query->_status / 100 == 4)) || query->_method == READ_QUERY)
        return false;
    if (query->_method == READ_REMOTE)
        atomic_store(&query->server->health->cannot_read, true);
    else
        atomic_store(&query->server->health->kind, SERVER_PROMETHEUS);
    query->_guessed = false;
    query->_method = READ_QUERY;
    return true;
}

static void complete(struct server_query *query)
{
    struct err err = {0};
    bool lossy = query->response.lossy || query->_steps.lossy;
    if (lossy && atomic_load(&query->server->health->cannot_read)) {
        server_query_fail(query, ERR_EXEC,
                          "the answer has native histograms, which JSON does not carry whole, and the server has no "
                          "remote_read");
        return;
    }
    if (lossy) {
        server_query_choose(query, READ_REMOTE);
        return;
    }
    if (query->_guessed)
        atomic_store(&query->server->health->kind, query->_kind);
    bool ok = response_unite(&query->response, &err) && response_unite(&query->_steps, &err);
    if (!ok || (query->_steps_only && !staleness_end(&query->response, query->sel, &err))) {
        server_query_fail(query, err.kind, err.text);
        return;
    }
    if (query->_method == READ_QUERY && query->sel->kind == SELECT_INSTANT && !query->_steps_only)
        staleness_mark(&query->response, &query->_steps, query->sel);
    atomic_fetch_add(&query->server->traffic->samples, query->response.n_samples);
    server_query_finish(query, SERVER_QUERY_OK);
}

static void server_query_response_done(void *arg, const struct err *err, int status)
{
    struct server_query *query = arg;
    query->_left--;
    if (err) {
        query->err = *err;
        query->_status = status;
        cancel_fetches(query);
    }
    if (query->_left > 0)
        return;
    if (query->err.kind == ERR_NONE) {
        complete(query);
    } else if (server_query_fall_back(query)) {
        query->err = (struct err){0};
        send_all(query);
    } else {
        server_query_finish(query, SERVER_QUERY_FAILED);
    }
}

/* --- what kind of server it is ------------------------------------------------------------------------------------ */

static void probed(void *arg, const struct err *err, int status)
{
    struct server_query *query = arg;
    if (err && (status == 0 || status == 401 || status == 403 || status == 508)) {
        query->err = *err;
        server_query_finish(query, SERVER_QUERY_FAILED);
        return;
    }
    if (err && (status == 429 || status / 100 == 5)) {
        query->_kind = SERVER_PROMETHEUS; /* this once: the next question asks again */
    } else if (err) { /* a gateway hides it */
        query->_guessed = true;
        query->_kind = SERVER_VICTORIAMETRICS;
    } else {
        atomic_store(&query->server->health->kind, query->_kind);
    }
    go(query);
}

static void probe(struct server_query *query)
{
    query->_n_fetches = 1;
    fetch_send(query->batch, &(struct fetch_plan){
        .server = query->server, .path = "/api/v1/status/buildinfo", .get = true,
        .decoder = buildinfo_decoder_new(&query->_kind), .done = probed, .arg = query, .slot = &query->_fetches[0]});
}

/* remote_read adds external labels to every series and the query API does not: they have to be known to be taken off.
 * A server that has no such page has none; one that does not show it is asked by the query API. */
static void external_known(void *arg, const struct err *err, int status)
{
    struct server_query *query = arg;
    if (err && status == 0) {
        query->err = *err;
        server_query_finish(query, SERVER_QUERY_FAILED);
        return;
    }
    if (err && status != 404) {
        atomic_store(&query->server->health->cannot_read, true);
        server_query_choose(query, READ_QUERY);
        return;
    }
    server_set_external(query->server, query->_external);
    send_all(query);
}

static void server_query_choose(struct server_query *query, enum read_method way)
{
    struct arena *a = query->batch->q->arena;
    query->_method = way;
    if (way != READ_REMOTE || server_external(query->server, a, &query->_external)) {
        send_all(query);
        return;
    }
    query->_n_fetches = 1;
    fetch_send(query->batch, &(struct fetch_plan){
        .server = query->server, .path = "/api/v1/status/config", .get = true,
        .decoder = external_labels_decoder_new(a, &query->_external), .done = external_known, .arg = query,
        .slot = &query->_fetches[0]});
}

static void go(struct server_query *query)
{
    bool reads = query->server->wants_read && !atomic_load(&query->server->health->cannot_read) && !needs_steps(query);
    server_query_choose(query, query->_kind == SERVER_VICTORIAMETRICS ? READ_EXPORT : reads ? READ_REMOTE : READ_QUERY);
}

void server_query_start(struct server_query *query)
{
    query->state = SERVER_QUERY_RUNNING;
    query->err = (struct err){0};
    query->_kind = server_kind(query->server);
    if (query->_kind == SERVER_AUTO)
        probe(query);
    else
        go(query);
}
