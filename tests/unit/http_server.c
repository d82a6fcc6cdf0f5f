// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/http_server.h"

#include "base/text/duration.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, SETTLE_MS = 2000 };

struct server_connection {
    int fd;
    struct buf in, out;
    size_t sent;
    int64_t send_at;   /* monotonic ms; `out` is not sent before */
    bool busy;         /* a response is due: further input waits */
    bool silent;       /* input is discarded */
    bool close_after;  /* once `out` is sent */
    bool ended;
};

struct server_loop {
    struct http_server *server;
    struct server_connection **connections;
    struct pollfd *polls;
    size_t n, cap, polls_cap;
};

/* ---- one connection ---- */

static bool is_tls_handshake(const struct server_connection *c) { return c->in.n > 0 && c->in.p[0] == 0x16; }

/* The first request of c->in, when it is complete; `bytes` is its length. */
static bool server_parse_request(const struct server_connection *c, struct server_request *r, size_t *bytes)
{
    struct str in = buf_str(&c->in);
    if (is_tls_handshake(c)) {
        *r = (struct server_request){.method = STR("GET"), .path = STR("/tls")};
        *bytes = in.n;
        return true;
    }
    size_t end = str_find_str(in, STR("\r\n\r\n"));
    if (end >= in.n)
        return false;
    struct str head = str_first(in, end + 4), rest = head;
    size_t length_at = str_find_str(head, STR("Content-Length: "));
    size_t length = length_at < head.n ? strtoul(head.p + length_at + 16, NULL, 10) : 0;
    if (in.n < head.n + length)
        return false;
    *r = (struct server_request){.head = head, .body = str_n(in.p + head.n, length)};
    str_cut(&rest, ' ', &r->method);
    str_cut(&rest, ' ', &r->path);
    *bytes = head.n + length;
    return true;
}

static void server_scripted_response(struct http_server *s, struct server_response *r)
{
    mutex_lock(&s->mutex);
    r->status = s->status;
    buf_add_str(&r->body, buf_str(&s->body));
    r->action = s->silent ? SERVER_SILENT : SERVER_CLOSE;
    snprintf(r->headers, sizeof r->headers, "Content-Type: text/plain\r\nConnection: close\r\n");
    mutex_unlock(&s->mutex);
}

static void server_handle(struct http_server *s, struct server_connection *c, const struct server_request *request)
{
    struct server_response r = {.status = 200};
    atomic_fetch_add(&s->requests, 1);
    if (s->handler)
        s->handler(s->arg, request, &r);
    else
        server_scripted_response(s, &r);
    c->silent = r.action == SERVER_SILENT;
    if (!c->silent) {
        c->busy = true;
        c->close_after = r.action != SERVER_KEEP;
        c->send_at = r.delay_ms ? clock_mono_ms() + r.delay_ms : 0;
        if (r.action != SERVER_DROP && !r.raw)
            buf_printf(&c->out, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n", r.status, r.headers,
                       r.body.n + r.cut);
        if (r.action != SERVER_DROP)
            buf_add_str(&c->out, buf_str(&r.body));
    }
    buf_free(&r.body);
}

/* Handles the requests of c->in one after the other, each when the one before has its response. */
static void server_advance(struct http_server *s, struct server_connection *c)
{
    struct server_request request;
    size_t bytes;
    for (;;) {
        if (c->silent)
            buf_clear(&c->in);
        if (c->busy || c->ended || !server_parse_request(c, &request, &bytes))
            return;
        mutex_lock(&s->mutex);
        buf_clear(&s->last);
        buf_add_str(&s->last, str_first(buf_str(&c->in), bytes));
        mutex_unlock(&s->mutex);
        server_handle(s, c, &request);
        buf_drop_front(&c->in, bytes);
    }
}

static void server_receive(struct http_server *s, struct server_connection *c)
{
    if (!buf_reserve(&c->in, READ_BYTES))
        abort();
    ssize_t n = recv(c->fd, c->in.p + c->in.n, READ_BYTES, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        c->ended = true;
    if (n > 0) {
        c->in.n += (size_t)n;
        atomic_fetch_add(&s->received, (size_t)n);
    }
}

static void server_send(struct server_connection *c)
{
    while (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            c->ended = true;
            return;
        }
        c->sent += (size_t)n;
    }
    buf_clear(&c->out);
    c->sent = 0;
    c->busy = false;
    c->ended = c->close_after;
}

static void server_close(struct http_server *s, struct server_connection *c)
{
    buf_free(&c->in);
    buf_free(&c->out);
    close(c->fd);
    mem_free(c);
    atomic_fetch_add(&s->closed, 1);
}

/* ---- the thread ---- */

static void server_accept(struct server_loop *l)
{
    int fd = accept4(l->server->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        usleep(1000); /* a test has used up the descriptors */
        return;
    }
    mem_grow(&l->connections, &l->cap, l->n + 1, sizeof(struct server_connection *));
    struct server_connection *c = l->connections[l->n++] = mem_zalloc(sizeof *c);
    c->fd = fd;
    atomic_fetch_add(&l->server->accepted, 1);
}

/* Fills l->polls: the port, the pipe, the connections in their order. The wait in ms, -1 = none is due. */
static int server_prepare_poll(struct server_loop *l)
{
    int64_t now = clock_mono_ms(), wait = -1;
    mem_grow(&l->polls, &l->polls_cap, l->n + 2, sizeof *l->polls);
    l->polls[0] = (struct pollfd){.fd = l->server->fd, .events = POLLIN};
    l->polls[1] = (struct pollfd){.fd = l->server->wake[0], .events = POLLIN};
    for (size_t i = 0; i < l->n; i++) {
        struct server_connection *c = l->connections[i];
        bool late = c->busy && c->send_at > now;
        if (late && (wait < 0 || c->send_at - now < wait))
            wait = c->send_at - now;
        l->polls[i + 2] = (struct pollfd){.fd = c->fd, .events = c->busy && !late ? POLLIN | POLLOUT : POLLIN};
    }
    return (int)wait;
}

static void server_serve_connections(struct server_loop *l, size_t n)
{
    struct http_server *s = l->server;
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < n; i++) {
        struct server_connection *c = l->connections[i];
        if (l->polls[i + 2].revents & (POLLIN | POLLHUP | POLLERR))
            server_receive(s, c);
        server_advance(s, c);
        while (c->busy && !c->ended && c->send_at <= now && (server_send(c), !c->busy))
            server_advance(s, c);
    }
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->connections[i]->ended)
            server_close(s, l->connections[i]);
        else
            l->connections[kept++] = l->connections[i];
    l->n = kept;
}

/* False: the server stops. */
static bool server_check_orders(struct server_loop *l, bool idle)
{
    struct http_server *s = l->server;
    char byte;
    if (l->polls[1].revents)
        while (read(s->wake[0], &byte, 1) == 1) {
        }
    mutex_lock(&s->mutex);
    bool on = !s->stopping;
    if (s->settling && idle && l->n == 0) {
        s->settling = false;
        cond_signal(&s->settled);
    }
    mutex_unlock(&s->mutex);
    return on;
}

static void server_run(void *arg)
{
    struct server_loop l = {.server = arg};
    for (bool on = true, settling = false; on;) {
        int wait = server_prepare_poll(&l);
        int ready = poll(l.polls, l.n + 2, settling ? 0 : wait);
        bool idle = settling && ready == 0;
        size_t n = l.n;
        if (l.polls[0].revents)
            server_accept(&l);
        server_serve_connections(&l, n);
        on = server_check_orders(&l, idle);
        mutex_lock(&l.server->mutex);
        settling = l.server->settling && l.n == 0;
        mutex_unlock(&l.server->mutex);
    }
    while (l.n > 0)
        server_close(l.server, l.connections[--l.n]);
    mem_free(l.connections);
    mem_free(l.polls);
}

/* ---- the test's side ---- */

void http_server_start(struct http_server *s, server_handler *handler, void *arg)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(s, 0, sizeof *s);
    s->handler = handler;
    s->arg = arg;
    s->status = 200;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mutex_init(&s->mutex, RANK_LEAF);
    cond_init(&s->settled);
    if (bind(s->fd, (struct sockaddr *)&at, size) != 0 || listen(s->fd, 128) != 0 ||
        getsockname(s->fd, (struct sockaddr *)&at, &size) != 0 || pipe2(s->wake, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    s->port = ntohs(at.sin_port);
    s->thread = thread_start("http server", server_run, s);
}

static void server_wake(struct http_server *s)
{
    if (write(s->wake[1], "", 1) < 0 && errno != EAGAIN)
        abort();
}

void http_server_stop(struct http_server *s)
{
    mutex_lock(&s->mutex);
    s->stopping = true;
    mutex_unlock(&s->mutex);
    server_wake(s);
    thread_join(s->thread);
    close(s->fd);
    close(s->wake[0]);
    close(s->wake[1]);
    buf_free(&s->last);
    buf_free(&s->copy);
    buf_free(&s->body);
    cond_free(&s->settled);
    mutex_free(&s->mutex);
}

void http_server_respond(struct http_server *s, int status, const char *body)
{
    mutex_lock(&s->mutex);
    s->status = status;
    buf_clear(&s->body);
    buf_add_z(&s->body, body);
    mutex_unlock(&s->mutex);
}

void http_server_be_silent(struct http_server *s, bool silent)
{
    mutex_lock(&s->mutex);
    s->silent = silent;
    mutex_unlock(&s->mutex);
}

const char *http_server_last_request(struct http_server *s)
{
    mutex_lock(&s->mutex);
    buf_clear(&s->copy);
    buf_add_str(&s->copy, buf_str(&s->last));
    mutex_unlock(&s->mutex);
    return buf_z(&s->copy);
}

bool http_server_last_contains(struct http_server *s, const char *text)
{
    mutex_lock(&s->mutex);
    bool found = str_find_str(buf_str(&s->last), str_of(text)) < s->last.n;
    mutex_unlock(&s->mutex);
    return found;
}

void http_server_settle(struct http_server *s)
{
    int64_t until = clock_mono_ms() + SETTLE_MS;
    mutex_lock(&s->mutex);
    s->settling = true;
    mutex_unlock(&s->mutex);
    server_wake(s);
    mutex_lock(&s->mutex);
    while (s->settling && clock_mono_ms() < until)
        cond_wait_ms(&s->settled, &s->mutex, until - clock_mono_ms());
    s->settling = false;
    mutex_unlock(&s->mutex);
}
