// SPDX-License-Identifier: Apache-2.0
/* The HTTP client: queues calls, and starts and ends their transfers, which client_plain.c or a shard of libcurl makes.
 *
 * Call chain with libcurl: the loop calls a shard (client_multi.c), the shard calls curl_multi_socket_action, and curl
 * calls back: socket and timer changes in client_multi.c, headers and pieces of bodies in client_call.c. Inside such a
 * callback no handle may be added or removed (`in_curl`), so requests made by the user's callback are carried out by
 * `settle` when curl has returned; finished transfers are reported there too.
 *
 * A call is in exactly one list: tokens (its profile needs a token first), waiting or doubtful (not started yet),
 * loading (libcurl is being loaded), running (over a connection of our own, or with a handle in its multi), resolving
 * (its handle waits for an address, see client_names.h), or failed (it could not be started; a timer reports it,
 * since client_send must not call back before it returns).
 */
#include "base/http/client.h"

#include "base/http/client_body.h"
#include "base/http/client_call.h"
#include "base/http/client_error.h"
#include "base/http/client_names.h"
#include "base/http/client_plain.h"
#include "base/http/curl_library.h"
#include "base/http/resolver.h"
#include "base/hash.h"
#include "base/telemetry/stats.h"

#include <curl/curl.h>
#include <string.h>
#include <unistd.h>

enum { PER_SHARD = 250, SPARE_CONNECTIONS = 16, IDLE_HANDLES = 4, IDLE_SECONDS = 120, REDIRECTING = 64 };

struct client {
    struct loop *loop;
    unsigned max_inflight, n_shards;
    long connections; /* limit of idle connections of each multi */
    char *user_agent;
    unsigned idle_seconds;
    const struct stats_group *stats;
    unsigned connections_row;
    struct list tokens, waiting, loading, running, resolving, failed;
    struct list doubtful;       /* queue of the doubtful requests */
    size_t n_waiting, n_running; /* n_waiting: in both queues */
    size_t n_doubtful;          /* running doubtful requests */
    bool doubtful_next;         /* which queue is next while both have requests */
    CURL *idle[IDLE_HANDLES];
    unsigned n_idle;
    bool in_curl;
    bool has_canceled; /* calls in `running` that were canceled while in_curl */
    struct loop_timer client_notify_failed;
    struct curl_library_request library;
    bool by_libcurl;
    struct client_plain plain;
    struct client_scratch scratch;
    uint64_t redirecting[REDIRECTING]; /* hashes of URLs whose redirects libcurl follows; index: modulo REDIRECTING */
    struct client_multi shards[];
};

/* ---- starting ---- */

static CURL *client_acquire_handle(struct client *c) { return c->n_idle ? c->idle[--c->n_idle] : curl_easy_init(); }

static void client_release_handle(struct client *c, CURL *easy)
{
    if (c->n_idle == IDLE_HANDLES) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    c->idle[c->n_idle++] = easy;
}

/* curl closes idle connections to unused peers only at the multi's next request to another peer; without requests
 * they would stay open forever. */
static void close_idle_shard(struct loop_timer *t)
{
    struct client_multi *s = CONTAINER(t, struct client_multi, idle);
    int64_t most = s->client->idle_seconds * INT64_C(1000), idle = s->n_calls ? 0 : loop_mono(s->loop) - s->used;
    if (idle >= most)
        client_multi_close(s);
    else
        loop_timer_in(s->loop, t, most - idle);
}

static bool open_shard(struct client_multi *s)
{
    struct client *c = s->client;
    if (!loop_timer_armed(&s->idle))
        loop_timer_in(s->loop, &s->idle, c->idle_seconds * INT64_C(1000));
    return client_multi_open(s, c->connections);
}

static uint64_t client_url_hash(const char *url) { return hash_keyed(url, strlen(url)); }

static void client_count_connections(struct client *c, int n)
{
    if (c->stats)
        stats_add(c->stats, c->connections_row, n);
}

/* curl calls these on the loop's thread, the second one also for connections that outlive their call. */
static int client_on_opened_socket(void *arg, curl_socket_t fd, curlsocktype purpose UNUSED)
{
    struct client_call *call = arg;
    client_multi_opened(call->shard, fd, client_url_hash(call->url));
    client_count_connections(call->client, 1);
    return CURL_SOCKOPT_OK;
}

static int client_on_closed_socket(void *arg, curl_socket_t fd)
{
    struct client_multi *s = arg;
    client_multi_closed(s, fd);
    client_count_connections(s->client, -1);
    return close(fd);
}

static void client_follow_sockets(struct client_call *call)
{
    curl_easy_setopt(call->easy, CURLOPT_SOCKOPTFUNCTION, client_on_opened_socket);
    curl_easy_setopt(call->easy, CURLOPT_SOCKOPTDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_CLOSESOCKETFUNCTION, client_on_closed_socket);
    curl_easy_setopt(call->easy, CURLOPT_CLOSESOCKETDATA, call->shard);
}

static bool start_loaded(struct client_call *call)
{
    struct err *err = &call->reply.err;
    call->before_ms = loop_mono(call->client->loop) - call->reply.start_mono;
    if (!open_shard(call->shard) || (call->easy = client_acquire_handle(call->client)) == NULL)
        return err_set(err, ERR_INTERNAL, "libcurl cannot allocate a handle");
    if (!client_call_prepare(call, call->client->user_agent))
        return false;
    curl_easy_setopt(call->easy, CURLOPT_MAXAGE_CONN, (long)call->client->idle_seconds);
    client_follow_sockets(call);
    CURLMcode rc = curl_multi_add_handle(call->shard->multi, call->easy);
    return rc == CURLM_OK || err_set(err, ERR_INTERNAL, "libcurl: %s", curl_multi_strerror(rc));
}

/* Once libcurl is loaded: client_on_library. */
static bool start_by_libcurl(struct client_call *call)
{
    if (curl_library_loaded())
        return start_loaded(call);
    curl_library_ask(&call->client->library);
    return true;
}

static bool client_start_call(struct client_call *call)
{
    call->reply.start_mono = loop_mono(call->client->loop);
    return call->is_plain ? plain_start(&call->client->plain, call) : start_by_libcurl(call);
}

static void client_move_call(struct client_call *call, struct list *list, enum call_state state)
{
    list_remove(&call->node);
    list_push_back(list, &call->node);
    call->state = state;
}

static void client_list_started(struct client_call *call)
{
    struct client *c = call->client;
    bool loads = !call->is_plain && call->easy == NULL;
    client_move_call(call, loads ? &c->loading : &c->running, loads ? CALL_LOADING : CALL_RUNNING);
}

/* The next request to start; NULL: none may start. */
static struct client_call *next_waiting(struct client *c)
{
    if (c->in_curl || c->n_waiting == 0 || c->n_running >= c->max_inflight)
        return NULL;
    bool sure = !list_empty(&c->waiting);
    bool doubtful = !list_empty(&c->doubtful) && c->n_doubtful < (c->max_inflight + 1) / 2;
    if (!sure && !doubtful)
        return NULL;
    if (sure && doubtful)
        doubtful = c->doubtful_next = !c->doubtful_next;
    return CONTAINER(doubtful ? c->doubtful.next : c->waiting.next, struct client_call, node);
}

static void client_start_waiting(struct client *c)
{
    for (struct client_call *call; (call = next_waiting(c)) != NULL;) {
        c->n_waiting--;
        if (client_start_call(call)) {
            c->n_running++;
            call->shard->n_calls++;
            c->n_doubtful += call->req.doubtful;
            client_list_started(call);
        } else {
            client_move_call(call, &c->failed, CALL_FAILED);
            loop_timer_in(c->loop, &c->client_notify_failed, 0);
        }
    }
}

/* ---- tokens ---- */

static void client_enqueue(struct client_call *call)
{
    struct client *c = call->client;
    list_push_back(call->req.doubtful ? &c->doubtful : &c->waiting, &call->node);
    call->state = CALL_WAITING;
    c->n_waiting++;
}

static void client_drop_token(struct client_call *call)
{
    token_cancel(&call->token->request);
    loop_timer_stop(call->client->loop, &call->token->late);
    mem_free(call->token);
    call->token = NULL;
}

/* With the token, or with the error of its fetch, which the start reports. */
static void client_on_token(struct token_request *r)
{
    struct client_token *token = CONTAINER(r, struct client_token, request);
    struct client_call *call = token->call;
    int64_t waited = loop_mono(r->loop) - token->since;
    if (call->req.timeout_ms)
        call->req.timeout_ms = call->req.timeout_ms > waited ? call->req.timeout_ms - waited : 1;
    client_drop_token(call);
    list_remove(&call->node);
    client_enqueue(call);
    client_start_waiting(call->client);
}

static void client_on_late_token(struct loop_timer *t)
{
    struct client_call *call = CONTAINER(t, struct client_token, late)->call;
    struct buf why = {0};
    buf_printf(&why, "timed out: the %s does not respond", token_source_server(client_profile_token(call->profile)));
    client_describe(&(struct client_failure){call->req.method, call->url, call->req.timeout_ms}, ERR_GATEWAY_TIME,
                    buf_z(&why), &call->reply.err);
    buf_free(&why);
    client_drop_token(call);
    client_move_call(call, &call->client->failed, CALL_FAILED);
    loop_timer_in(call->client->loop, &call->client->client_notify_failed, 0);
}

/* False: there is a token, or an error of its fetch. */
static bool client_await_token(struct client_call *call, struct token_source *source)
{
    struct client *c = call->client;
    struct client_token *token = call->token = mem_zalloc(sizeof *token);
    *token = (struct client_token){.request = {.loop = c->loop, .done = client_on_token}, .call = call,
                                   .late.run = client_on_late_token, .since = loop_mono(c->loop)};
    if (token_ask(source, &token->request)) {
        client_drop_token(call);
        return false;
    }
    if (call->req.timeout_ms)
        loop_timer_in(c->loop, &token->late, call->req.timeout_ms);
    list_push_back(&c->tokens, &call->node);
    call->state = CALL_TOKEN;
    return true;
}

/* ---- redirects ---- */

/* A request that is redirected begins again with libcurl; the next one of the same URL begins with it. */
static uint64_t *client_redirecting(struct client *c, const char *url, uint64_t *hash)
{
    *hash = client_url_hash(url);
    return &c->redirecting[*hash % REDIRECTING];
}

static bool client_is_redirected(struct client *c, const char *url)
{
    uint64_t hash;
    return *client_redirecting(c, url, &hash) == hash;
}

static void client_note_redirect(struct client *c, const char *url, bool redirected)
{
    uint64_t hash, *slot = client_redirecting(c, url, &hash);
    if (redirected)
        *slot = hash;
    else if (*slot == hash)
        *slot = 0;
}

/* ---- ending ---- */

/* Removes the call from its list and its handle from its multi. */
static void detach(struct client_call *call)
{
    struct client *c = call->client;
    if (call->state == CALL_WAITING)
        c->n_waiting--;
    if (call->state == CALL_TOKEN)
        client_drop_token(call);
    if (call->is_plain)
        plain_stop(call);
    else if (call->state == CALL_RUNNING || call->state == CALL_CANCELED)
        curl_multi_remove_handle(call->shard->multi, call->easy);
    if (call->state == CALL_RESOLVING)
        client_names_free(call);
    if (call->state == CALL_RUNNING || call->state == CALL_CANCELED || call->state == CALL_RESOLVING
        || call->state == CALL_LOADING) {
        c->n_running--;
        call->shard->n_calls--;
        call->shard->used = loop_mono(c->loop);
        c->n_doubtful -= call->req.doubtful;
    }
    list_remove(&call->node);
    call->state = CALL_DONE;
    if (call->easy)
        client_release_handle(c, call->easy);
    call->easy = NULL;
}

static void client_finish_call(struct client_call *call)
{
    bool canceled = call->state == CALL_CANCELED;
    detach(call);
    if (!canceled)
        call->req.done(call->req.arg, &call->reply);
    client_call_free(call);
}

static void client_notify_failed(struct loop_timer *t)
{
    struct client *c = CONTAINER(t, struct client, client_notify_failed);
    while (!list_empty(&c->failed))
        client_finish_call(CONTAINER(c->failed.next, struct client_call, node));
    client_start_waiting(c);
}

static void drop_canceled(struct client *c)
{
    c->has_canceled = false;
    for (struct list *node = c->running.next, *next; node != &c->running; node = next) {
        next = node->next;
        struct client_call *call = CONTAINER(node, struct client_call, node);
        if (call->state == CALL_CANCELED)
            client_finish_call(call);
    }
}

/* ---- libcurl is loaded, or cannot be ---- */

static bool client_start_again(struct client_call *call, const struct err *why)
{
    int64_t spent = loop_mono(call->client->loop) - call->reply.start_mono;
    if (why->kind == ERR_NONE)
        return start_loaded(call);
    client_describe(&(struct client_failure){call->req.method, call->url, spent}, why->kind, why->text,
                    &call->reply.err);
    return false;
}

static void client_on_library(struct curl_library_request *r)
{
    struct client *c = CONTAINER(r, struct client, library);
    struct err why = r->err; /* a callback may ask again */
    struct list waited;
    list_init(&waited);
    for (struct list *node; (node = list_pop_front(&c->loading)) != NULL;)
        list_push_back(&waited, node);
    while (!list_empty(&waited)) {
        struct client_call *call = CONTAINER(waited.next, struct client_call, node);
        if (client_start_again(call, &why))
            client_list_started(call);
        else
            client_finish_call(call);
    }
    client_start_waiting(c);
}

/* ---- names ---- */

/* Restarts the handle, which is in no multi; false: it failed, or its name has no address. */
static bool start_again(struct client_call *call, bool found)
{
    if (!found)
        return false;
    CURLMcode rc = curl_multi_add_handle(call->shard->multi, call->easy);
    if (rc != CURLM_OK)
        return err_set(&call->reply.err, ERR_INTERNAL, "libcurl: %s", curl_multi_strerror(rc));
    client_move_call(call, &call->client->running, CALL_RUNNING);
    return true;
}

static void name_settled(struct client_call *call, bool found)
{
    struct client *c = call->client;
    if (!start_again(call, found)) {
        client_finish_call(call);
        client_start_waiting(c);
    }
}

static void resolve_name(struct client_call *call, int code)
{
    curl_multi_remove_handle(call->shard->multi, call->easy);
    client_move_call(call, &call->client->resolving, CALL_RESOLVING);
    enum client_names_state state = client_names_resolve(call, call->client->loop, code, name_settled);
    if (state != NAMES_ASKED && !start_again(call, state == NAMES_FOUND))
        client_finish_call(call);
}

static void client_notify_done(struct client_multi *s)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(s->multi, &left)) != NULL;) {
        struct client_call *call;
        CURLcode code = m->data.result; /* `m` is freed with its handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        if (client_names_missing(call) && call->state != CALL_CANCELED) {
            resolve_name(call, code);
            continue;
        }
        client_call_ended(call, code);
        client_note_redirect(s->client, call->url, call->redirected);
        client_finish_call(call);
    }
}

/* ---- plain calls ---- */

static void client_settle_plain(struct client_call *call, enum plain_outcome outcome)
{
    struct client *c = call->client;
    if (outcome == PLAIN_REDIRECTED) {
        client_call_leave_plain(call);
        if (start_by_libcurl(call)) {
            client_list_started(call);
            return;
        }
    }
    client_finish_call(call);
    client_start_waiting(c);
}

static void client_release_done(struct client_multi *s)
{
    struct client *c = s->client;
    if (c->has_canceled)
        drop_canceled(c);
    client_notify_done(s);
    client_start_waiting(c);
}

/* ---- the client ---- */

struct client *client_new(struct loop *loop, const struct client_settings *conf)
{
    unsigned connections = conf->connections ? conf->connections : 100, n = (connections + PER_SHARD - 1) / PER_SHARD;
    struct client *c = mem_zalloc(sizeof *c + n * sizeof c->shards[0]);
    c->loop = loop;
    c->max_inflight = conf->max_inflight ? conf->max_inflight : 64;
    c->n_shards = n;
    c->connections = conf->max_idle ? (long)(conf->max_idle > n ? conf->max_idle / n : 1)
                                    : (long)(connections / n + connections / n / 4 + SPARE_CONNECTIONS);
    c->user_agent = mem_strdup(conf->user_agent ? conf->user_agent : "sluice/" VERSION);
    c->idle_seconds = conf->idle_seconds ? conf->idle_seconds : IDLE_SECONDS;
    c->stats = conf->stats;
    c->connections_row = conf->connections_row;
    c->by_libcurl = conf->by_libcurl;
    plain_init(&c->plain, loop, c->idle_seconds * INT64_C(1000),
               conf->max_idle ? conf->max_idle : connections + SPARE_CONNECTIONS);
    c->plain.settled = client_settle_plain;
    c->plain.connections.stats = conf->stats;
    c->plain.connections.stats_row = conf->connections_row;
    c->client_notify_failed.run = client_notify_failed;
    c->library = (struct curl_library_request){.loop = loop, .done = client_on_library};
    resolver_retain();
    list_init(&c->tokens);
    list_init(&c->waiting);
    list_init(&c->loading);
    list_init(&c->doubtful);
    list_init(&c->running);
    list_init(&c->resolving);
    list_init(&c->failed);
    for (unsigned i = 0; i < n; i++)
        c->shards[i] = (struct client_multi){.client = c, .loop = loop, .in_curl = &c->in_curl,
                                             .settle = client_release_done, .idle.run = close_idle_shard};
    return c;
}

static void drop_all(struct list *calls)
{
    while (!list_empty(calls)) {
        struct client_call *call = CONTAINER(calls->next, struct client_call, node);
        detach(call);
        client_call_free(call);
    }
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    drop_all(&c->tokens);
    drop_all(&c->waiting);
    drop_all(&c->doubtful);
    drop_all(&c->loading);
    drop_all(&c->running);
    drop_all(&c->resolving);
    drop_all(&c->failed);
    while (c->n_idle > 0)
        curl_easy_cleanup(c->idle[--c->n_idle]);
    for (unsigned i = 0; i < c->n_shards; i++) {
        client_multi_close(&c->shards[i]);
        loop_timer_stop(c->loop, &c->shards[i].idle);
    }
    loop_timer_stop(c->loop, &c->client_notify_failed);
    curl_library_cancel(&c->library);
    plain_free(&c->plain);
    client_scratch_free(&c->scratch);
    resolver_release();
    mem_free(c->user_agent);
    mem_free(c);
}

struct client_call *client_send(struct client *c, const struct client_request *req)
{
    struct token_source *source = client_profile_token(req->profile);
    bool unready = source && !token_ready(source); /* a plain call needs all headers now */
    bool plain = !c->by_libcurl && !client_is_redirected(c, req->url) && !unready;
    struct client_call *call = client_call_new(req, plain ? c->user_agent : NULL);
    call->client = c;
    call->scratch = &c->scratch;
    call->shard = &c->shards[req->slot % c->n_shards];
    if (unready && client_await_token(call, source))
        return call;
    client_enqueue(call);
    client_start_waiting(c);
    return call;
}

void client_pause(struct client_call *call, bool pause)
{
    struct client *c = call->client;
    bool in_curl = c->in_curl;
    if (call->is_plain) {
        plain_pause(call, pause);
    } else if (call->state == CALL_RUNNING) { /* curl may call back at once */
        c->in_curl = true;
        curl_easy_pause(call->easy, pause ? CURLPAUSE_RECV : CURLPAUSE_CONT);
        c->in_curl = in_curl;
    }
}

void client_cancel(struct client_call *call)
{
    struct client *c = call->client;
    if (call->state == CALL_DONE || call->state == CALL_CANCELED)
        return;
    if (call->delivering) { /* it ends when the callback has returned */
        call->state = CALL_CANCELED;
        return;
    }
    if (c->in_curl && !call->is_plain && call->state == CALL_RUNNING) {
        call->state = CALL_CANCELED;
        c->has_canceled = true;
        return;
    }
    detach(call);
    client_call_free(call);
    client_start_waiting(c);
}

void client_leave_server(struct client *c, const char *url, uint32_t slot)
{
    struct str host;
    uint16_t port;
    struct client_multi *s = &c->shards[slot % c->n_shards];
    if (client_head_server(url, &host, &port))
        server_close_idle(&c->plain.connections, host, port);
    if (s->multi)
        client_multi_end_idle(s, client_url_hash(url));
}

size_t client_inflight(const struct client *c) { return c->n_running; }
size_t client_waiting(const struct client *c) { return c->n_waiting; }
