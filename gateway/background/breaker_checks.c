// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/breaker_checks.h"

#include "base/http/client.h"
#include "base/http/via.h"
#include "base/text/duration.h"
#include "gateway/upstream/server_check.h"
#include "gateway/upstream/source.h"

struct breaker_check {
    struct list node;              /* of breaker_checks.in_flight */
    struct breaker_checks *of;
    struct server *server;
    unsigned kind;                 /* enum latency_call, or SERVER_ITSELF */
    struct client_call *call;
    struct server_check_request request;
};

struct breaker_checks {
    struct loop *loop;
    const char *id;
    struct loop_timer tick;
    struct upstream *upstream;     /* NULL: stopped */
    struct client *client;         /* while there are checks */
    struct list in_flight; unsigned n_in_flight;
};

static void breaker_check_free(struct breaker_check *c)
{
    list_remove(&c->node);
    c->of->n_in_flight--;
    server_check_request_free(&c->request);
    mem_free(c);
}

static void breaker_check_on_done(void *arg, const struct client_reply *reply)
{
    struct breaker_check *c = arg;
    struct server *s = c->server;
    struct err err = reply->err;
    server_note_clock(s, reply);
    if (server_check_passed(reply, c->kind)) {
        if (c->kind == SERVER_ITSELF)
            server_succeeded(s, reply->total_ms, reply->body_bytes);
        else
            breaker_succeed(server_breaker(s, c->kind), clock_mono_ms());
    } else {
        if (reply->status != 0) {
            err_set(&err, ERR_BAD_GATEWAY, "HTTP %d", reply->status);
            server_blame(s, &err);
        }
        client_hide_secrets_in(s->profile, s->sent_url, err.text, sizeof err.text);
        server_check_failed(s, c->kind, err.kind == ERR_GATEWAY_TIME, err.text);
    }
    latency_count(&s->traffic->latency, c->kind == LATENCY_READ ? NULL : c->request.path.p, reply->status, reply->status / 100 == 2, reply->total_ms);
    breaker_check_free(c);
}

static void breaker_check_begin(struct breaker_checks *b, struct server *s, unsigned kind)
{
    struct breaker_check *c = mem_zalloc(sizeof *c);
    struct arena a;
    if (b->client == NULL)
        b->client = client_new(b->loop, &(struct client_settings){.max_inflight = CHECKS_AT_ONCE});
    *c = (struct breaker_check){.of = b, .server = s, .kind = kind};
    list_push_back(&b->in_flight, &c->node);
    b->n_in_flight++;
    arena_init(&a, 0);
    if (!server_check_request(s, kind, via_line(&a, STR(""), b->id), &c->request)) {
        breaker_check_free(c);
        arena_free(&a);
        return;
    }
    c->call = client_send(b->client, &(struct client_request){
        .method = c->request.method, .url = buf_z(&c->request.url), .body = buf_str(&c->request.body),
        .profile = s->profile, .headers = c->request.headers, .n_headers = c->request.n_headers, .slot = s->slot,
        .timeout_ms = s->timeout > 0 && s->timeout < CHECKS_TIMEOUT_MS ? s->timeout : CHECKS_TIMEOUT_MS,
        .connect_timeout_ms = s->dial_timeout, .max_body = CHECK_MAX_BODY, .done = breaker_check_on_done, .arg = c});
    arena_free(&a);
}

/* Groups may share a server. */
static bool breaker_check_runs(const struct breaker_checks *b, const struct server *s, unsigned kind)
{
    for (const struct list *n = b->in_flight.next; n != &b->in_flight; n = n->next) {
        const struct breaker_check *c = CONTAINER(n, struct breaker_check, node);
        if (c->server->health == s->health && c->kind == kind)
            return true;
    }
    return false;
}

static bool breaker_check_is_due(const struct server *s, unsigned kind, int64_t now)
{
    const struct breaker *b = server_breaker(s, kind);
    return breaker_needs_check(b, now) ||
           (kind == SERVER_ITSELF && breaker_closed(b) && server_clock_due(&s->health->clock, now));
}

static void breaker_checks_of(struct breaker_checks *b, struct server *s, int64_t now)
{
    for (unsigned kind = 0; kind <= SERVER_ITSELF && b->n_in_flight < CHECKS_AT_ONCE; kind++)
        if (breaker_check_is_due(s, kind, now) && !breaker_check_runs(b, s, kind))
            breaker_check_begin(b, s, kind);
}

static void breaker_checks_on_tick(struct loop_timer *t)
{
    struct breaker_checks *b = CONTAINER(t, struct breaker_checks, tick);
    const struct group_list *groups = &b->upstream->groups;
    int64_t now = clock_mono_ms();
    for (size_t g = 0; g < groups->n; g++)
        for (size_t i = 0; i < groups->items[g].n_servers; i++)
            breaker_checks_of(b, groups->items[g].servers[i], now);
    if (b->n_in_flight == 0 && b->client) {
        client_free(b->client);
        b->client = NULL;
    }
    loop_timer_in(b->loop, &b->tick, CHECKS_TICK_MS);
}

void breaker_checks_stop(struct breaker_checks *b)
{
    loop_timer_stop(b->loop, &b->tick);
    while (!list_empty(&b->in_flight)) {
        struct breaker_check *c = CONTAINER(b->in_flight.next, struct breaker_check, node);
        client_cancel(c->call);
        breaker_check_free(c);
    }
    if (b->client)
        client_free(b->client);
    upstream_unref(b->upstream);
    b->client = NULL;
    b->upstream = NULL;
}

void breaker_checks_use(struct breaker_checks *b, struct upstream *u)
{
    breaker_checks_stop(b);
    if (u->groups.n == 0)
        return;
    b->upstream = upstream_ref(u);
    loop_timer_in(b->loop, &b->tick, CHECKS_TICK_MS);
}

struct breaker_checks *breaker_checks_new(struct loop *loop, const char *id)
{
    struct breaker_checks *b = mem_zalloc(sizeof *b);
    b->loop = loop;
    b->id = id;
    b->tick.run = breaker_checks_on_tick;
    list_init(&b->in_flight);
    return b;
}

void breaker_checks_free(struct breaker_checks *b)
{
    breaker_checks_stop(b);
    mem_free(b);
}
