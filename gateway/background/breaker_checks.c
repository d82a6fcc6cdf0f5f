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
    struct client_call *call;
    struct buf url;
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
    buf_free(&c->url);
    mem_free(c);
}

static void breaker_check_on_done(void *arg, const struct client_reply *reply)
{
    struct breaker_check *c = arg;
    struct server *s = c->server;
    struct err err = reply->err;
    if (server_check_passed(reply)) {
        server_succeeded(s, reply->total_ms, reply->body_bytes);
    } else {
        if (reply->status != 0) {
            err_set(&err, ERR_BAD_GATEWAY, "HTTP %d", reply->status);
            server_blame(s, &err);
        }
        client_hide_secrets_in(s->profile, s->sent_url, err.text, sizeof err.text);
        server_check_failed(s, err.kind == ERR_GATEWAY_TIME, err.text);
    }
    latency_count(&s->traffic->latency, CHECK_PATH, reply->status, reply->status / 100 == 2, reply->total_ms);
    breaker_check_free(c);
}

static void breaker_check_begin(struct breaker_checks *b, struct server *s)
{
    struct breaker_check *c = mem_zalloc(sizeof *c);
    struct arena a;
    if (b->client == NULL)
        b->client = client_new(b->loop, &(struct client_settings){.max_inflight = CHECKS_AT_ONCE});
    *c = (struct breaker_check){.of = b, .server = s};
    server_check_url(s, &c->url);
    list_push_back(&b->in_flight, &c->node);
    b->n_in_flight++;
    arena_init(&a, 0);
    const char *via = via_line(&a, STR(""), b->id);
    c->call = client_send(b->client, &(struct client_request){
        .method = "GET", .url = buf_z(&c->url), .profile = s->profile, .headers = &via, .n_headers = 1,
        .slot = s->slot,
        .timeout_ms = s->timeout > 0 && s->timeout < CHECKS_TIMEOUT_MS ? s->timeout : CHECKS_TIMEOUT_MS,
        .connect_timeout_ms = s->dial_timeout, .max_body = CHECK_MAX_BODY, .done = breaker_check_on_done, .arg = c});
    arena_free(&a);
}

/* Groups may share a server. */
static bool breaker_check_runs(const struct breaker_checks *b, const struct server *s)
{
    for (const struct list *n = b->in_flight.next; n != &b->in_flight; n = n->next)
        if (CONTAINER(n, struct breaker_check, node)->server->health == s->health)
            return true;
    return false;
}

static void breaker_checks_on_tick(struct loop_timer *t)
{
    struct breaker_checks *b = CONTAINER(t, struct breaker_checks, tick);
    const struct group_list *groups = &b->upstream->groups;
    int64_t now = clock_mono_ms();
    for (size_t g = 0; g < groups->n; g++)
        for (size_t i = 0; i < groups->items[g].n_servers && b->n_in_flight < CHECKS_AT_ONCE; i++) {
            struct server *s = groups->items[g].servers[i];
            if (breaker_needs_check(&s->health->breaker, now) && !breaker_check_runs(b, s))
                breaker_check_begin(b, s);
        }
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
