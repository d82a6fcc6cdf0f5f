// SPDX-License-Identifier: Apache-2.0
/* Unknown servers of an upstream are kept in a shuffled list. A timer, set to a random part of PROBE_SPREAD_MS, starts
 * probes while fewer than PROBES_AT_ONCE are in flight; the end of each starts the next. The client is created for the
 * first and freed after the last, so that an idle program has none.
 */
#include "gateway/upstream/probe.h"

#include "base/http/client.h"
#include "base/os/loop.h"
#include "base/text/duration.h"
#include "base/http/via.h"
#include "gateway/upstream/decode/response.h"
#include "gateway/upstream/source.h"

#include <sys/random.h>

struct server_probe {
    struct list node;          /* in the prober's list of probes in flight */
    struct server_prober *prober;
    struct server *server;
    enum probe_step { PROBE_KIND, PROBE_FLAGS, PROBE_EXTERNAL, PROBE_END } step;
    struct arena arena;
    struct decoder *decoder;
    struct client_call *call;
    struct server_build build;
    struct server_flags flags;
    struct labels external;
    struct buf url;
    bool failed;               /* the decoder failed */
};

struct server_prober {
    struct loop *loop;
    const char *id;
    struct loop_timer begin;
    struct loop_task cleanup;  /* the client cannot be freed inside its callback */
    struct client *client;
    struct upstream *upstream;
    struct server **servers; size_t n, next;
    struct list in_flight; unsigned n_under_way;
};

static const char *const probe_paths[] = {
    [PROBE_KIND] = "/api/v1/status/buildinfo", [PROBE_FLAGS] = "/api/v1/status/flags",
    [PROBE_EXTERNAL] = "/api/v1/status/config"};

static void server_probe_more(struct server_prober *p);
static void server_probe_send(struct server_probe *probe);

static uint32_t probe_random(uint32_t below)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        r = (uint32_t)clock_mono_ms();
    return below ? r % below : 0;
}

/* ---- one probe ---- */

static void server_probe_end(struct server_probe *probe)
{
    list_remove(&probe->node);
    probe->prober->n_under_way--;
    if (probe->decoder)
        probe->decoder->free(probe->decoder);
    arena_free(&probe->arena);
    buf_free(&probe->url);
    mem_free(probe);
}

static bool server_probe_on_data(void *arg, const struct client_reply *reply, struct str piece, struct err *err)
{
    struct server_probe *probe = arg;
    probe->failed = reply->status / 100 == 2 && !probe->decoder->feed(probe->decoder, piece, err);
    return !probe->failed;
}

/* Counts the request as that of a query (fetch.c): whether the server was reached, and its error. */
static bool server_probe_note(struct server_probe *probe, const struct client_reply *reply)
{
    struct server *s = probe->server;
    struct err err = {0};
    server_note_clock(s, reply);
    bool ok = reply->status / 100 == 2 && probe->decoder->finish(probe->decoder, &err);
    if (reply->status == 0)
        err = reply->err;
    else if (reply->status / 100 != 2)
        err_set(&err, ERR_BAD_GATEWAY, "%.*s: HTTP %d", STR_ARG(s->shown), reply->status);
    if (ok) {
        server_succeeded(s, reply->total_ms, reply->body_bytes);
    } else {
        client_hide_secrets_in(s->profile, s->sent_url, err.text, sizeof err.text);
        err_wrap(&err, "server group \"%.*s\"", STR_ARG(s->group));
        server_failed(s, reply, probe->failed, err.text);
        if (reply->status == 508)
            server_log_loop(s);
    }
    latency_count(&s->traffic->latency, probe_paths[probe->step], reply->status, ok, reply->total_ms);
    return ok;
}

/* Remembers what the response to a step shows. */
static void server_probe_take(struct server_probe *probe, bool ok, int status)
{
    struct server *s = probe->server;
    int unknown = SERVER_AUTO;
    if (probe->step == PROBE_KIND && ok) {
        atomic_compare_exchange_strong(&s->health->kind, &unknown, (int)probe->build.kind);
        atomic_store(&s->health->version, probe->build.version);
    } else if (probe->step == PROBE_FLAGS && (ok || status > 0)) {
        server_set_lookback(s, ok ? probe->flags.lookback : 0, !ok || probe->flags.histograms);
    } else if (probe->step == PROBE_EXTERNAL && (ok || status == 404)) {
        server_set_external(s, probe->external);
    }
}

/* Of Prometheus 2 the lookback decides what is pushed; of one that is read by remote_read the external labels are removed. */
static enum probe_step server_probe_next(const struct server_probe *probe)
{
    const struct server *s = probe->server;
    unsigned version = server_version(s);
    int64_t lookback;
    bool old = version > SERVER_VERSION_NONE && version < SERVER_VERSION(3, 0, 0);
    if (server_kind(s) != SERVER_PROMETHEUS || probe->step == PROBE_EXTERNAL)
        return PROBE_END;
    if (probe->step == PROBE_KIND && old && !server_lookback(s, &lookback))
        return PROBE_FLAGS;
    return s->wants_read ? PROBE_EXTERNAL : PROBE_END;
}

static void server_probe_on_done(void *arg, const struct client_reply *reply)
{
    struct server_probe *probe = arg;
    struct server_prober *p = probe->prober;
    bool ok = server_probe_note(probe, reply);
    server_probe_take(probe, ok, reply->status);
    probe->step = ok || (probe->step == PROBE_FLAGS && reply->status > 0) ? server_probe_next(probe) : PROBE_END;
    if (probe->step != PROBE_END) {
        server_probe_send(probe);
        return;
    }
    server_probe_end(probe);
    server_probe_more(p);
}

static struct decoder *server_probe_decoder(struct server_probe *probe)
{
    switch (probe->step) {
    case PROBE_KIND: return buildinfo_decoder_new(&probe->build);
    case PROBE_FLAGS: return lookback_decoder_new(&probe->flags);
    default: return external_labels_decoder_new(&probe->arena, &probe->external);
    }
}

static void server_probe_send(struct server_probe *probe)
{
    struct server *s = probe->server;
    if (probe->decoder)
        probe->decoder->free(probe->decoder);
    probe->decoder = server_probe_decoder(probe);
    buf_clear(&probe->url);
    buf_add_str(&probe->url, s->url);
    buf_add_z(&probe->url, probe_paths[probe->step]);
    buf_add_str(&probe->url, s->params);
    const char *via = via_line(&probe->arena, STR(""), probe->prober->id);
    server_asked(s);
    probe->call = client_send(probe->prober->client, &(struct client_request){
        .method = "GET", .url = buf_z(&probe->url), .profile = s->profile, .headers = &via, .n_headers = 1,
        .slot = s->slot,
        .timeout_ms = s->timeout > 0 && s->timeout < PROBE_TIMEOUT_MS ? s->timeout : PROBE_TIMEOUT_MS,
        .connect_timeout_ms = s->dial_timeout, .max_body = PROBE_MAX_BODY, .accept_gzip = s->wants_gzip,
        .data = server_probe_on_data,
        .done = server_probe_on_done, .arg = probe});
}

/* ---- all of them ---- */

/* False: the state is known, or a query in flight will determine it. */
static bool server_needs_probe(const struct server *s)
{
    return atomic_load(&s->health->asked_at) == 0 || (s->kind_configured && server_version(s) == 0);
}

static void server_probe_begin(struct server_prober *p, struct server *s)
{
    struct server_probe *probe = mem_zalloc(sizeof *probe);
    if (p->client == NULL)
        p->client = client_new(p->loop, &(struct client_settings){.max_inflight = PROBES_AT_ONCE});
    probe->prober = p;
    probe->server = s;
    arena_init(&probe->arena, 0);
    list_push_back(&p->in_flight, &probe->node);
    p->n_under_way++;
    server_probe_send(probe);
}

static void server_probe_clean_up(struct loop_task *task)
{
    struct server_prober *p = CONTAINER(task, struct server_prober, cleanup);
    if (list_empty(&p->in_flight) && p->next == p->n)
        server_probe_stop(p);
}

static void server_probe_more(struct server_prober *p)
{
    while (p->next < p->n && p->n_under_way < PROBES_AT_ONCE) {
        struct server *s = p->servers[p->next++];
        if (server_needs_probe(s))
            server_probe_begin(p, s);
    }
    if (p->n_under_way == 0)
        loop_post(p->loop, &p->cleanup);
}

static void server_probe_on_timer(struct loop_timer *t)
{
    server_probe_more(CONTAINER(t, struct server_prober, begin));
}

void server_probe_stop(struct server_prober *p)
{
    loop_timer_stop(p->loop, &p->begin);
    loop_unpost(p->loop, &p->cleanup);
    while (!list_empty(&p->in_flight)) {
        struct server_probe *probe = CONTAINER(p->in_flight.next, struct server_probe, node);
        client_cancel(probe->call);
        server_probe_end(probe);
    }
    if (p->client)
        client_free(p->client);
    mem_free(p->servers);
    upstream_unref(p->upstream);
    p->client = NULL;
    p->servers = NULL;
    p->upstream = NULL;
    p->n = p->next = 0;
}

void server_probe_all(struct server_prober *p, struct upstream *u)
{
    size_t cap = 0;
    server_probe_stop(p);
    p->upstream = upstream_ref(u);
    for (size_t g = 0; g < u->groups.n; g++)
        for (size_t i = 0; i < u->groups.items[g].n_servers; i++) {
            struct server *s = u->groups.items[g].servers[i];
            if (!server_needs_probe(s))
                continue;
            mem_grow(&p->servers, &cap, p->n + 1, sizeof(struct server *));
            size_t at = probe_random((uint32_t)p->n + 1);
            p->servers[p->n] = p->servers[at];
            p->servers[at] = s;
            p->n++;
        }
    if (p->n > 0)
        loop_timer_in(p->loop, &p->begin, probe_random(PROBE_SPREAD_MS));
    else
        server_probe_stop(p);
}

struct server_prober *server_prober_new(struct loop *loop, const char *id)
{
    struct server_prober *p = mem_zalloc(sizeof *p);
    p->loop = loop;
    p->id = id;
    p->begin.run = server_probe_on_timer;
    p->cleanup.run = server_probe_clean_up;
    list_init(&p->in_flight);
    return p;
}

void server_prober_free(struct server_prober *p)
{
    server_probe_stop(p);
    mem_free(p);
}
