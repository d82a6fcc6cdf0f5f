// SPDX-License-Identifier: Apache-2.0
/* libmicrohttpd in a loop. Its epoll descriptor is watched by the loop's epoll; after each run the library reports when
 * to run it again. It calls on_request several times per request: after the headers, for each part of the body, at the
 * end of the body, and, if the connection was suspended, once more after it is resumed.
 *
 * What the library leaves to us (checked with 0.9.75):
 * - A suspended connection does not notice that its client disconnects, nor another one if the end of the stream arrives
 *   together with bytes before it: http_sockets.c watches the descriptors for EPOLLRDHUP.
 * - If a connection is suspended in the first call of a request, that call is made again after it is resumed.
 * - All suspended connections must be resumed before the daemon is stopped.
 * - It accepts heads in which the end of a line or of the body is ambiguous: http_head.c detects and http_request_check
 *   refuses them.
 * - Its own refusals, such as of an invalid Content-Length, have their head twice; the connection is closed behind them.
 * - It percent-decodes path and parameters in place, which loses encoded slashes: on_unescape does nothing, and on_uri
 *   copies the URI.
 */
#include "gateway/http/http.h"

#include "gateway/http/http_connection.h"
#include "gateway/http/http_proxied.h"
#include "gateway/http/http_tls.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory of a connection: it limits request line and headers, and stays resident while the client is idle. Above 32 KiB
 * the library allocates it by mmap, so that closing the connection returns it to the system. */
enum { CONNECTION_MEMORY = HTTP_CONNECTION_MEMORY, LIBRARY_CONNECTIONS = 1 << 20 };

struct stats_group http_stats = STATS_GROUP(HTTP_STATS);

/* ---- turning the daemon ---- */

static void http_daemon_turn(struct http_daemon *d)
{
    struct loop *loop = d->server->loop;
    int64_t until = loop_slice_end(loop);
    MHD_UNSIGNED_LONG_LONG ms;
    bool timeout;
    do { /* the library reads 16 KiB of a body at a time: too little for a turn of the loop */
        MHD_run(d->mhd);
        timeout = MHD_get_timeout(d->mhd, &ms) == MHD_YES;
    } while (timeout && ms == 0 && clock_mono_ns() < until);
    if (!timeout)
        loop_timer_stop(loop, &d->timer);
    else if (ms == 0)
        loop_post(loop, &d->again);
    else
        loop_timer_in(loop, &d->timer, (int64_t)ms + 1);
}

static void on_epoll(struct loop_fd *w, uint32_t events UNUSED)
{
    http_daemon_turn(CONTAINER(w, struct http_daemon, epoll));
}
static void http_on_timer(struct loop_timer *t) { http_daemon_turn(CONTAINER(t, struct http_daemon, timer)); }
static void on_again(struct loop_task *t) { http_daemon_turn(CONTAINER(t, struct http_daemon, again)); }

/* ---- suspending and resuming ---- */

static void request_end_work(struct http_connection *c);

static bool withdraw_work(struct http_connection *c)
{
    return c->r.route->on_worker && c->conf->hooks.withdraw && c->conf->hooks.withdraw(&c->r);
}

static void connection_cancel(struct http_connection *c)
{
    if (!atomic_exchange(&c->r.canceled, true))
        stats_add(&http_stats, HTTP_CANCELED, 1);
}

static void connection_on_left(void *owner)
{
    struct http_connection *c = owner;
    connection_cancel(c);
    if (c->state == HTTP_WORKING && withdraw_work(c))
        request_end_work(c);
}

void http_connection_suspend(struct http_connection *c)
{
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
    c->socket->on_left = connection_on_left;
    c->socket->owner = c;
    if (c->socket->left)
        connection_cancel(c);
}

void http_connection_resume(struct http_connection *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    c->socket->owner = NULL;
    MHD_resume_connection(c->mhd);
    loop_post(c->server->loop, &c->daemon->again);
}

static void request_begin_work(struct http_connection *c)
{
    c->state = HTTP_WORKING;
    atomic_fetch_add(&c->conf->limits->working, 1);
    http_socket_wait(&c->server->sockets, c->socket, HTTP_AT_WORK);
    list_push_back(&c->server->working, &c->node);
}

static void request_leave_work(struct http_connection *c)
{
    list_remove(&c->node);
    atomic_fetch_sub(&c->conf->limits->working, 1);
}

static void connection_free(struct http_connection *c)
{
    buf_spare_put(&c->server->spare, &c->r.uncompressed);
    buf_spare_put(&c->server->spare, &c->r.out);
    http_stream_free(c->stream);
    buf_free(&c->r.headers);
    arena_free(&c->r.arena);
    http_access_unref(c->access);
    mem_free(c->uri);
    mem_free(c);
}

static void request_end_work(struct http_connection *c)
{
    c->state = HTTP_DONE;
    request_leave_work(c);
    if (c->conf->hooks.end)
        c->conf->hooks.end(&c->r);
    if (c->stream)
        http_stream_end(c->stream, &c->r.out, c->r.stream_failed);
    if (c->mhd == NULL) {
        if (c->conf->hooks.sent)
            c->conf->hooks.sent(&c->r);
        connection_free(c);
        return;
    }
    http_request_drop_body(c); /* not counted while the client reads the response */
    if (c->receiving) /* the rest of the body has a deadline, too */
        http_socket_wait(&c->server->sockets, c->socket, HTTP_WAIT_BODY);
    buf_spare_put(&c->server->spare, &c->r.uncompressed);
    buf_spare_save(&c->server->spare, &c->r.out);
    http_connection_resume(c);
}

void http_finish(struct http_request *r)
{
    http_compress(r);
    request_end_work(r->_connection);
}

/* ---- the request ---- */

static enum MHD_Result http_on_header(void *arg, enum MHD_ValueKind kind UNUSED, const char *name, const char *value)
{
    http_head_header(arg, name, value ? value : "");
    return MHD_YES;
}

/* In 0.9.75 strings point into the head as received; later versions check it themselves. */
static bool texts_are_exact(void) { return strncmp(MHD_get_version(), "0.9.75", 6) == 0; }

static void read_head(struct http_connection *c, const char *method, const char *version, struct http_head *head)
{
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    http_head_begin(head, method, version, size->header_size, texts_are_exact());
    MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, http_on_header, head);
    head->odd = head->odd || http_line_is_odd(head, method, c->r.uri, c->uri_end, version);
}

/* A connection beyond the limit serves one request, for health or metrics only. */
static void refuse_full(struct http_connection *c)
{
    c->close = true;
    if (c->r.route == NULL || !c->r.route->always)
        http_refuse_for_now(c, HTTP_NO_PLACE, "too many connections are open; try again later\n");
}

/* The response of an old connection closes it. */
static void http_rotate(struct http_connection *c)
{
    bool old = loop_mono(c->server->loop) >= c->socket->rotate_at;
    stats_add(&http_stats, HTTP_ROTATED, old);
    c->close = c->close || old || c->conf->no_keep_alive;
}

/* Refuses a request before its body is read, after which the library closes the connection. Without a body the
 * connection stays open. */
static enum MHD_Result begin_body(struct http_connection *c)
{
    c->state = HTTP_BODY;
    if (c->has_body && c->r.route)
        http_socket_wait(&c->server->sockets, c->socket, HTTP_WAIT_BODY);
    return c->r.route == NULL && (c->has_body || c->close) ? http_response_send(c) : MHD_YES;
}

static enum MHD_Result http_start_request(struct http_connection *c, const char *method, const char *version)
{
    struct http_head head;
    read_head(c, method, version, &head);
    c->r.http_1_0 = !head.http_1_1;
    if (c->server->stopping)
        http_refuse(c, 503, "Service Unavailable\n");
    else
        http_request_start(c, method);
    if (c->socket->spare)
        refuse_full(c);
    c->has_body = http_request_check(c, &head);
    http_rotate(c);
    return http_access_check(c) ? begin_body(c) : MHD_YES;
}

/* On a worker. */
static void run_handler(struct http_request *r)
{
    r->_connection->r.route->handler(r);
    http_compress(r);
}

static void on_worked(struct http_request *r) { request_end_work(r->_connection); }

static void refuse_work(struct http_connection *c, const char *text)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", text);
    err.retry_after = 1;
    stats_add(&http_stats, HTTP_NO_WORKER, 1);
    http_error(&c->r, &err);
    request_end_work(c);
}

/* Runs once a second. */
static void refuse_late_work(struct http_sockets *sockets)
{
    struct http_server *s = CONTAINER(sockets, struct http_server, sockets);
    int64_t oldest = loop_mono(s->loop) - s->conf.limits->queue_timeout;
    for (struct list *n = s->working.next, *next; n != &s->working; n = next) {
        struct http_connection *c = CONTAINER(n, struct http_connection, node);
        next = n->next;
        if (c->r.started_mono <= oldest && withdraw_work(c))
            refuse_work(c, "no worker became available within --query.max-queue-duration; try again later");
    }
}

static void submit_request(struct http_connection *c)
{
    request_begin_work(c);
    http_connection_suspend(c);
    c->r.out = buf_spare_take(&c->server->spare);
    if (c->conf->hooks.submit(&c->r, run_handler, on_worked))
        return;
    refuse_work(c, "too many requests are waiting for a worker; try again later");
}

static enum MHD_Result run_request(struct http_connection *c)
{
    if (c->r.route == NULL || !http_request_read(c)) {
        c->state = HTTP_DONE;
        return http_response_send(c);
    }
    if (c->conf->hooks.begin && !c->conf->hooks.begin(&c->r)) {
        c->state = HTTP_DONE;
        http_request_drop_body(c);
        return http_response_send(c);
    }
    if (c->r.route->on_worker) {
        submit_request(c);
        return MHD_YES;
    }
    request_begin_work(c);
    c->r.route->handler(&c->r);
    if (!c->r.route->finishes)
        http_finish(&c->r);
    if (c->state == HTTP_DONE)
        return http_response_send(c);
    http_connection_suspend(c);
    return MHD_YES;
}

/* A route with streams_body: the first part of its body is there, or an empty body has ended. */
static void start_streaming(struct http_connection *c)
{
    if (c->conf->hooks.begin && !c->conf->hooks.begin(&c->r)) {
        c->state = HTTP_DONE;
        return;
    }
    request_begin_work(c);
    http_body_start(c);
    c->r.route->handler(&c->r);
}

/* The next part of a body, or n == 0: its end. */
static enum MHD_Result stream_body(struct http_connection *c, const char *data, size_t *n)
{
    if (c->state == HTTP_BODY)
        start_streaming(c);
    if (*n > 0) {
        *n -= c->receiving && c->state == HTTP_WORKING ? http_body_receive(c, data, *n) : *n;
        return MHD_YES;
    }
    if (c->receiving && c->state == HTTP_WORKING)
        http_body_end(c);
    c->receiving = false;
    c->body_ended = true;
    if (c->state == HTTP_DONE)
        return http_response_send(c);
    http_connection_suspend(c);
    return MHD_YES;
}

/* ---- callbacks of the library ---- */

static size_t on_unescape(void *arg UNUSED, struct MHD_Connection *mhd UNUSED, char *s) { return strlen(s); }

/* Copies the URI, whose parameters http_request.c parses, and hides the parameters from the library: it would store
 * each in the connection's memory, which some 400 fill up. `uri` points into the library's buffer, which it cuts at the
 * question mark next. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    struct http_connection *c = mem_zalloc(sizeof *c);
    c->daemon = arg;
    c->server = c->daemon->server;
    c->conf = &c->server->conf;
    c->sockets = &c->server->sockets;
    c->socket = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    c->socket->used = true;
    http_socket_wait(c->sockets, c->socket, HTTP_WAIT_HEAD);
    c->access = listener_access(c->socket->listener);
    c->body.budget = &c->conf->limits->bodies;
    c->mhd = mhd;
    c->uri = mem_strdup(uri);
    c->r.uri = str_of(c->uri);
    c->uri_end = uri + strlen(uri) + 1;
    char *query = strchr((char *)(uintptr_t)uri, '?');
    if (query)
        query[1] = 0;
    arena_init(&c->r.arena, 0);
    (void)!arena_charge(&c->r.arena, &c->conf->limits->bodies); /* the arena is empty: it cannot fail */
    c->r.lane = c->server->id;
    c->r.loop = c->server->loop;
    c->r.services = c->conf->services;
    c->r.started_mono = loop_mono(c->server->loop);
    c->r.status = 200;
    c->r.content_type = "text/plain; charset=utf-8";
    c->r._connection = c;
    return c;
}

static enum MHD_Result on_request(void *arg UNUSED, struct MHD_Connection *mhd UNUSED, const char *url UNUSED,
                                  const char *method, const char *version, const char *data, size_t *n,
                                  void **request)
{
    struct http_connection *c = *request;
    if (c->state == HTTP_HEADERS)
        return http_start_request(c, method, version);
    if (c->state == HTTP_LOGIN)
        return begin_body(c);
    if (c->r.route && c->r.route->streams_body && !c->body_ended)
        return stream_body(c, data, n);
    if (*n > 0) {
        http_request_read_body(c, data, *n);
        *n = 0;
        return MHD_YES;
    }
    if (c->state == HTTP_BODY)
        return run_request(c);
    if (c->stream && !c->stream->started && !atomic_load(&c->r.canceled))
        return http_response_stream(c);
    if (c->state == HTTP_DONE && c->stream == NULL && !atomic_load(&c->r.canceled))
        return http_response_send(c);
    if (c->state == HTTP_DONE && c->stream == NULL && c->conf->hooks.sent)
        c->conf->hooks.sent(&c->r);
    return MHD_NO;
}

/* ---- the end of a request ---- */

static void on_completed(void *arg UNUSED, struct MHD_Connection *mhd UNUSED, void **request,
                         enum MHD_RequestTerminationCode how UNUSED)
{
    struct http_connection *c = *request;
    if (c == NULL)
        return;
    http_traffic_count(&c->socket->traffic, c->socket->fd);
    http_request_drop_body(c);
    c->socket->owner = NULL;
    http_socket_wait(c->sockets, c->socket, HTTP_WAIT_NEXT);
    *request = NULL;
    if (c->state == HTTP_WORKING && c->stream) { /* the worker still has it */
        c->mhd = NULL;
        atomic_store(&c->r.canceled, true);
        http_stream_cancel(c->stream);
        return;
    }
    if (c->state == HTTP_WORKING) {
        if (c->r.left)
            c->r.left(&c->r);
        request_leave_work(c);
        if (c->conf->hooks.end)
            c->conf->hooks.end(&c->r);
    }
    if (c->stream && c->conf->hooks.sent)
        c->conf->hooks.sent(&c->r);
    connection_free(c);
}

/* A TLS session begins with the settings of its listener. */
static struct http_socket *begin_connection(struct http_server *s, struct MHD_Connection *mhd)
{
    struct http_socket *k = s->adding;
    if (k->tls)
        http_tls_begin(k->tls, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
    http_socket_watch(k);
    s->adding = NULL;
    return k;
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **socket,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = ((struct http_daemon *)arg)->server;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket = begin_connection(s, mhd);
    } else if (*socket) {
        struct http_socket *k = *socket;
        http_traffic_count(&k->traffic, k->fd);
        http_socket_close(&s->sockets, k);
    }
}

/* ---- life ---- */

/* Later versions than 0.9.75, whose heads http_head.c checks, refuse bare LF, folded lines and blanks in the URI
 * themselves if they are told to. Certificates are those of listeners (http_tls_begin()), not of the daemon. */
static struct MHD_Daemon *start_daemon(struct http_daemon *d, bool tls)
{
    const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0);
    const enum MHD_OPTION strict = texts_are_exact() ? MHD_OPTION_END : MHD_OPTION_STRICT_FOR_CLIENT;
    const enum MHD_OPTION certificate = tls ? MHD_OPTION_HTTPS_CERT_CALLBACK : MHD_OPTION_END;
    struct MHD_OptionItem more[] = {{certificate, 0, http_tls_no_certificate()}, {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, d, MHD_OPTION_ARRAY, more,
                            MHD_OPTION_URI_LOG_CALLBACK, on_uri, d, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, d, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                            d, MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIBRARY_CONNECTIONS,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, strict, 1, MHD_OPTION_END);
}

static bool http_daemon_begin(struct http_daemon *d, struct http_server *s, bool tls)
{
    *d = (struct http_daemon){.server = s, .epoll.run = on_epoll, .timer.run = http_on_timer, .again.run = on_again};
    d->mhd = start_daemon(d, tls);
    if (d->mhd == NULL)
        return false;
    d->epoll.fd = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (loop_watch(s->loop, &d->epoll, EPOLLIN))
        return true;
    MHD_stop_daemon(d->mhd);
    d->mhd = NULL;
    return false;
}

struct http_server *http_server_new(unsigned id, struct loop *loop, const struct http_server_conf *conf)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    *s = (struct http_server){.id = id, .loop = loop, .conf = *conf};
    list_init(&s->working);
    list_init(&s->proxied);
    http_hellos_init(&s->hellos);
    buf_spare_init(&s->spare, loop);
    http_sockets_init(&s->sockets, loop, conf->limits);
    s->sockets.on_sweep = refuse_late_work;
    s->origins = conf->cors_origin ? regex_new(str_of(conf->cors_origin), NULL) : NULL;
    if (!http_daemon_begin(&s->plain, s, false)) {
        fprintf(stderr,
                "sluice: cannot start the HTTP server of lane %u: out of descriptors or memory; raise the limit of "
                "open files (ulimit -n) or use fewer --lanes\n", id);
        abort();
    }
    return s;
}

static void http_daemon_add(struct http_daemon *d, int fd, const struct sockaddr *from, unsigned n)
{
    if (MHD_add_connection(d->mhd, fd, from, n) == MHD_YES) /* closes fd if it fails */
        stats_add(&http_stats, HTTP_CONNECTIONS, 1);
    http_daemon_turn(d);
}

void http_server_add(struct http_server *s, struct listener *l, int fd, const struct sockaddr *from, unsigned n)
{
    bool spare;
    if (!http_sockets_admit(&s->sockets, fd, &spare)) {
        close(fd);
        return;
    }
    struct http_socket *k = http_socket_open(&s->sockets, l, fd, from, spare);
    if (l->proxied)
        http_proxied_add(s, k, from, n);
    else
        http_server_admit(s, k, from, n, from->sa_family == AF_UNIX);
}

/* The reference to its TLS outlives the library's session if that cannot be used. */
static void hand_to_library(struct http_server *s, struct http_daemon *d, struct http_socket *k, const struct sockaddr *from,
                            unsigned n)
{
    struct http_tls *tls = k->tls ? http_tls_ref(k->tls) : NULL;
    s->adding = k;
    http_daemon_add(d, k->fd, from, n);
    if (s->adding)
        http_socket_close(&s->sockets, k);
    s->adding = NULL;
    http_tls_unref(tls);
}

static void drop_socket(struct http_server *s, struct http_socket *k)
{
    int fd = k->fd;
    http_socket_close(&s->sockets, k);
    close(fd);
}

void http_server_admit(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n, bool local)
{
    if (from->sa_family != AF_UNIX && !http_socket_has_place(&s->sockets, k)) {
        drop_socket(s, k);
        return;
    }
    struct http_access *access = listener_access(k->listener);
    bool tls = access && access->tls && !local;
    if (tls && s->tls.mhd == NULL && !http_daemon_begin(&s->tls, s, true)) { /* the first one */
        stats_add(&http_stats, HTTP_FULL, 1);
        log_error("http", "cannot serve TLS: out of descriptors or memory; closing the connection");
        drop_socket(s, k);
    } else if (tls) {
        k->tls = http_tls_ref(access->tls);
        http_hello_add(s, k, from, n);
    } else {
        hand_to_library(s, &s->plain, k, from, n);
    }
    http_access_unref(access);
}

void http_server_greet(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n)
{
    hand_to_library(s, &s->tls, k, from, n);
}

void http_server_cancel(struct http_server *s)
{
    s->stopping = true;
    for (struct list *n = s->working.next; n != &s->working; n = n->next)
        atomic_store(&CONTAINER(n, struct http_connection, node)->r.canceled, true);
}

static void http_daemon_end(struct http_daemon *d)
{
    if (d->mhd == NULL)
        return;
    MHD_run(d->mhd);
    loop_unwatch(d->server->loop, &d->epoll);
    loop_timer_stop(d->server->loop, &d->timer);
    MHD_stop_daemon(d->mhd);
}

/* A task, since the server's own task may be queued in the loop: this one takes its place. */
static void on_freed(struct loop_task *t) { mem_free(CONTAINER(t, struct http_server, plain.again)); }

void http_server_free(struct http_server *s)
{
    for (struct list *n = s->working.next; n != &s->working; n = n->next) {
        struct http_connection *c = CONTAINER(n, struct http_connection, node);
        if (c->stream)
            http_stream_end(c->stream, &c->r.out, true);
        if (c->mhd)
            http_connection_resume(c);
    }
    http_proxieds_free(s);
    http_hellos_free(s);
    http_daemon_end(&s->plain);
    http_daemon_end(&s->tls);
    while (!list_empty(&s->working)) /* detached ones */
        request_end_work(CONTAINER(s->working.next, struct http_connection, node));
    http_sockets_free(&s->sockets);
    buf_spare_free(&s->spare);
    regex_free(s->origins);
    loop_unpost(s->loop, &s->tls.again);
    s->plain.again.run = on_freed;
    loop_post(s->loop, &s->plain.again);
}
