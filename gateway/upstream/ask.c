// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/ask.h"

#include "base/num.h"
#include "base/times.h"
#include "base/url.h"
#include "gateway/upstream/remote_read.h"
#include "gateway/upstream/steps.h"

enum { MAX_POINTS = 11000 }; /* Prometheus gives 11,001 at most */

static void choose(struct ask *ask, enum ask_way way);
static void go(struct ask *ask);

static void finish(struct ask *ask, enum ask_state state)
{
    ask->state = state;
    ask->done(ask);
}

static void fail(struct ask *ask, enum err_kind kind, const char *what)
{
    const struct server *s = ask->server;
    err_set(&ask->err, kind, "server group \"%.*s\": %.*s: %s", STR_ARG(s->group), STR_ARG(s->shown), what);
    finish(ask, ASK_FAILED);
}

static void start_answer(struct ask *ask, struct answer *a, int64_t t_min, int64_t t_max)
{
    *a = (struct answer){.arena = ask->round->q->arena, .group = ask->group, .notes = ask->round->q->notes,
                         .server = ask->server, .t_min = t_min, .t_max = t_max, .budget = ask->round->budget};
}

/* --- the requests ------------------------------------------------------------------------------------------------- */

static void arrived(void *arg, const struct err *err, int status);

static void send_request(struct ask *ask, const char *path, struct buf *body, struct decoder *decoder)
{
    if (ask->_n_fetches == LEN(ask->_fetches)) {
        decoder->free(decoder);
        err_set(&ask->err, ERR_LIMIT, "server group \"%.*s\": the query has too many steps for one subquery",
                STR_ARG(ask->group->name));
    } else {
        ask->_left++;
        fetch_send(ask->round, &(struct fetch_plan){
            .server = ask->server, .path = path, .form = buf_str(body), .decoder = decoder, .done = arrived, .arg = ask,
            .slot = &ask->_fetches[ask->_n_fetches++]});
    }
    buf_free(body);
}

static void add_ms(struct buf *form, const char *name, int64_t ms)
{
    buf_printf(form, "%s%s=", form->n ? "&" : "", name);
    buf_add_ms(form, ms);
}

static void add_selector(struct buf *form, const struct ask *ask, const char *name, int64_t range)
{
    struct buf text = {0};
    matchers_print(&text, ask->matchers, ask->n_matchers);
    if (range > 0)
        buf_printf(&text, "[%lldms]", (long long)range);
    form_add(form, name, buf_str(&text));
    buf_free(&text);
}

/* Raw samples of the whole window, as a range selector at its end. Before Prometheus 3 the window is closed on both
 * sides; what is too early is dropped by the answer. */
static void ask_window(struct ask *ask)
{
    struct buf form = {0};
    const struct select *sel = ask->sel;
    add_selector(&form, ask, "query", sel->t_max - sel->t_min + 1);
    add_ms(&form, "time", sel->t_max);
    send_request(ask, "/api/v1/query", &form, json_answer_new(&ask->answer));
}

static void ask_steps(struct ask *ask, struct answer *to)
{
    const struct select *sel = ask->sel;
    bool one = sel->step <= 0 || sel->end <= sel->start;
    for (int64_t start = sel->start, last; start <= sel->end; start = last + sel->step) {
        struct buf form = {0};
        last = one || (sel->end - start) / sel->step < MAX_POINTS ? sel->end : start + (MAX_POINTS - 1) * sel->step;
        add_selector(&form, ask, "query", 0);
        add_ms(&form, "lookback_delta", sel->window);
        if (one) {
            add_ms(&form, "time", start);
        } else {
            add_ms(&form, "start", start);
            add_ms(&form, "end", last);
            add_ms(&form, "step", sel->step);
        }
        send_request(ask, one ? "/api/v1/query" : "/api/v1/query_range", &form, json_answer_new(to));
        if (one || ask->err.kind)
            break;
    }
}

static void ask_export(struct ask *ask)
{
    struct buf form = {0};
    add_selector(&form, ask, "match[]", 0);
    add_ms(&form, "start", ask->sel->t_min > 0 ? ask->sel->t_min : 0);
    add_ms(&form, "end", ask->sel->t_max > 0 ? ask->sel->t_max : 0);
    send_request(ask, "/api/v1/export", &form, export_answer_new(&ask->answer));
}

/* The answer is kept whole outside the arena, and its samples take about as much inside. */
static void ask_read(struct ask *ask)
{
    struct buf body = {0};
    const struct round *r = ask->round;
    size_t max = r->budget && r->budget < r->max_answer ? r->budget : r->max_answer;
    read_request(&body, ask->matchers, ask->n_matchers, ask->_external, ask->sel);
    send_request(ask, NULL, &body, read_answer_new(&ask->answer, max));
}

/* Values at the steps are enough, and less to carry than raw samples: nothing is compared, and nobody asks when they
 * were taken. */
static bool needs_steps(const struct ask *ask)
{
    return ask->sel->kind == SELECT_INSTANT && !ask->compare && !ask->sel->wants_origin;
}

static void send_all(struct ask *ask)
{
    const struct select *sel = ask->sel;
    bool instant = sel->kind == SELECT_INSTANT;
    start_answer(ask, &ask->answer, sel->t_min, sel->t_max);
    start_answer(ask, &ask->_steps, sel->t_min, sel->t_max);
    ask->answer.external = ask->_way == ASK_READ ? ask->_external : (struct labels){0};
    ask->_n_fetches = 0;
    ask->_steps_only = ask->_way == ASK_QUERY && needs_steps(ask);
    if (ask->_way == ASK_EXPORT)
        ask_export(ask);
    else if (ask->_way == ASK_READ)
        ask_read(ask);
    else if (ask->_steps_only)
        ask_steps(ask, &ask->answer);
    else {
        ask_window(ask);
        if (instant)
            ask_steps(ask, &ask->_steps);
    }
}

/* --- the answers -------------------------------------------------------------------------------------------------- */

static void cancel_fetches(struct ask *ask)
{
    for (unsigned i = 0; i < ask->_n_fetches; i++)
        if (ask->_fetches[i])
            fetch_cancel(ask->_fetches[i]);
    ask->_n_fetches = ask->_left = 0;
}

void ask_cancel(struct ask *ask)
{
    cancel_fetches(ask);
    if (ask->state == ASK_RUNNING)
        ask->state = ASK_IDLE;
}

/* The server does not know the way that was tried: another one, and it is remembered. */
static bool other_way(struct ask *ask)
{
    bool unknown = ask->_status == 404 || ask->_status == 405 || ask->_status == 415 || ask->_status == 501;
    if ((!unknown && !(ask->_guessed && ask->_status / 100 == 4)) || ask->_way == ASK_QUERY)
        return false;
    if (ask->_way == ASK_READ)
        atomic_store(&ask->server->cannot_read, true);
    else
        atomic_store(&ask->server->kind, SERVER_PROMETHEUS);
    ask->_guessed = false;
    ask->_way = ASK_QUERY;
    return true;
}

static void complete(struct ask *ask)
{
    struct err err = {0};
    bool lossy = ask->answer.lossy || ask->_steps.lossy;
    if (lossy && atomic_load(&ask->server->cannot_read)) {
        fail(ask, ERR_EXEC, "the answer has native histograms, which JSON does not carry whole, and the server has no "
             "remote_read");
        return;
    }
    if (lossy) {
        choose(ask, ASK_READ);
        return;
    }
    if (ask->_guessed)
        atomic_store(&ask->server->kind, ask->_kind);
    bool ok = answer_unite(&ask->answer, &err) && answer_unite(&ask->_steps, &err);
    if (!ok || (ask->_steps_only && !steps_end(&ask->answer, ask->sel, &err))) {
        fail(ask, err.kind, err.text);
        return;
    }
    if (ask->_way == ASK_QUERY && ask->sel->kind == SELECT_INSTANT && !ask->_steps_only)
        steps_mark(&ask->answer, &ask->_steps, ask->sel);
    atomic_fetch_add(&ask->server->samples, ask->answer.n_samples);
    finish(ask, ASK_OK);
}

static void arrived(void *arg, const struct err *err, int status)
{
    struct ask *ask = arg;
    ask->_left--;
    if (err) {
        ask->err = *err;
        ask->_status = status;
        cancel_fetches(ask);
    }
    if (ask->_left > 0)
        return;
    if (ask->err.kind == ERR_NONE) {
        complete(ask);
    } else if (other_way(ask)) {
        ask->err = (struct err){0};
        send_all(ask);
    } else {
        finish(ask, ASK_FAILED);
    }
}

/* --- what kind of server it is ------------------------------------------------------------------------------------ */

static void probed(void *arg, const struct err *err, int status)
{
    struct ask *ask = arg;
    if (err && (status == 0 || status == 401 || status == 403)) {
        ask->err = *err;
        finish(ask, ASK_FAILED);
        return;
    }
    if (err && (status == 429 || status / 100 == 5)) {
        ask->_kind = SERVER_PROMETHEUS; /* this once: the next question asks again */
    } else if (err) { /* a gateway hides it */
        ask->_guessed = true;
        ask->_kind = SERVER_VICTORIAMETRICS;
    } else {
        atomic_store(&ask->server->kind, ask->_kind);
    }
    go(ask);
}

static void probe(struct ask *ask)
{
    ask->_n_fetches = 1;
    fetch_send(ask->round, &(struct fetch_plan){
        .server = ask->server, .path = "/api/v1/status/buildinfo", .get = true,
        .decoder = kind_answer_new(&ask->_kind), .done = probed, .arg = ask, .slot = &ask->_fetches[0]});
}

/* remote_read adds external labels to every series and the query API does not: they have to be known to be taken off.
 * A server that has no such page has none; one that does not show it is asked by the query API. */
static void external_known(void *arg, const struct err *err, int status)
{
    struct ask *ask = arg;
    if (err && status == 0) {
        ask->err = *err;
        finish(ask, ASK_FAILED);
        return;
    }
    if (err && status != 404) {
        atomic_store(&ask->server->cannot_read, true);
        choose(ask, ASK_QUERY);
        return;
    }
    server_set_external(ask->server, ask->_external);
    send_all(ask);
}

static void choose(struct ask *ask, enum ask_way way)
{
    struct arena *a = ask->round->q->arena;
    ask->_way = way;
    if (way != ASK_READ || server_external(ask->server, a, &ask->_external)) {
        send_all(ask);
        return;
    }
    ask->_n_fetches = 1;
    fetch_send(ask->round, &(struct fetch_plan){
        .server = ask->server, .path = "/api/v1/status/config", .get = true,
        .decoder = external_answer_new(a, &ask->_external), .done = external_known, .arg = ask,
        .slot = &ask->_fetches[0]});
}

static void go(struct ask *ask)
{
    bool reads = ask->server->wants_read && !atomic_load(&ask->server->cannot_read) && !needs_steps(ask);
    choose(ask, ask->_kind == SERVER_VICTORIAMETRICS ? ASK_EXPORT : reads ? ASK_READ : ASK_QUERY);
}

void ask_start(struct ask *ask)
{
    ask->state = ASK_RUNNING;
    ask->err = (struct err){0};
    ask->_kind = server_kind(ask->server);
    if (ask->_kind == SERVER_AUTO)
        probe(ask);
    else
        go(ask);
}
