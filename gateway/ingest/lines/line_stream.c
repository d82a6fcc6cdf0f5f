// SPDX-License-Identifier: Apache-2.0
/* A connection of a listener of lines.
 *
 * Its descriptor is watched edge-triggered: when bytes arrive the stream is queued (ingest.h), and then read until nothing
 * is left, so that no system call is made per part but the read itself.
 */
#include "gateway/ingest/lines/lines_internal.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/http/http_proxied.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LINE_PART_BYTES = 64 << 10,  /* read at a time */
    LINE_KEPT_BYTES = 4 << 10,   /* of an incomplete line: a larger buffer than this and twice the line is not kept */
    LINE_AGAIN_MS = 100,
    LINE_BEGIN_MS = 5000,        /* for the header of the PROXY protocol and the first byte of OpenTSDB's */
};

static struct line_stream *stream_of(struct ingest *in) { return CONTAINER(in, struct line_stream, in); }

static void on_stream_again(struct loop_timer *t)
{
    struct line_stream *x = CONTAINER(t, struct line_stream, again);
    if (x->begun)
        ingest_queue(&x->in);
    else
        line_stream_close(x);
}

bool line_wait(struct ingest *in)
{
    struct line_stream *x = stream_of(in);
    if (x->lane->closed)
        return false;
    ingest_unqueue(in);
    loop_timer_in(x->lane->loop, &x->again, LINE_AGAIN_MS);
    return true;
}

void line_stream_close(struct line_stream *x)
{
    struct lines_lane *l = x->lane;
    int fd = x->watch.fd;
    ingest_unqueue(&x->in);
    ingest_free(&x->in);
    loop_timer_stop(l->loop, &x->again);
    loop_unwatch(l->loop, &x->watch);
    list_remove(&x->node);
    l->n -= !x->datagrams;
    mem_free(x);
    if (fd >= 0)
        close(fd);
    lines_lane_check_drained(l);
}

void line_stream_ended(struct ingest *in)
{
    struct line_stream *x = stream_of(in);
    if (in->err.kind != ERR_NONE) {
        stats_add(&line_stats, x->protocol->errors + x->datagrams, 1);
        log_warn("ingest", "a connection of a listener of lines ends with an error", LOG_STR("listener", in->from),
                 LOG_STR("client", in->client), "err", in->err.text);
    }
    line_stream_close(x);
}

/* ---- reading ---- */

/* The rest of a line that a client sends slowly does not hold the buffer of a part. */
static void keep_incomplete_line(struct ingest *in)
{
    ingest_text_compact(in);
    if (in->text.cap <= LINE_KEPT_BYTES + 2 * in->text.n)
        return;
    struct buf kept = {0};
    buf_add_str(&kept, buf_str(&in->text));
    buf_free(&in->text);
    kept.budget = NULL;
    buf_charge_anyway(&kept, &in->services->http.bodies);
    in->text = kept;
}

static enum ingest_input connection_read(struct ingest *in, struct err *err)
{
    struct line_stream *x = stream_of(in);
    struct lines_lane *l = x->lane;
    ingest_text_compact(in);
    if (!buf_try_reserve(&in->text, LINE_PART_BYTES)) {
        loop_timer_in(l->loop, &x->again, LINE_AGAIN_MS);
        return INGEST_INPUT_LATER;
    }
    ssize_t n = recv(x->watch.fd, in->text.p + in->text.n, LINE_PART_BYTES, MSG_DONTWAIT);
    if (n > 0) {
        in->text.n += (size_t)n;
        in->now = clock_wall_ms();
        list_remove(&x->node);
        list_push_back(&l->streams, &x->node);
        return INGEST_INPUT;
    }
    if (n == 0) {
        in->text_complete = true;
        return INGEST_INPUT;
    }
    if (errno == EINTR)
        return INGEST_INPUT;
    if (errno != EAGAIN) {
        err_set(err, ERR_UNAVAILABLE, "cannot read: %s", strerror(errno));
        return INGEST_INPUT_FAILED;
    }
    if (l->draining) {
        in->text_at = in->text.n; /* the incomplete line */
        in->text_complete = true;
        return INGEST_INPUT;
    }
    keep_incomplete_line(in);
    return INGEST_INPUT_LATER;
}

static const struct ingest_source line_connection = {.read = connection_read, .wait = line_wait, .end = line_stream_ended};

/* ---- the beginning ---- */

static void print_client(struct line_stream *x, const struct sockaddr_storage *from)
{
    char host[INET6_ADDRSTRLEN], port[8];
    socklen_t n = from->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if ((from->ss_family == AF_INET || from->ss_family == AF_INET6) &&
        getnameinfo((const struct sockaddr *)from, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(x->client, sizeof x->client, from->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    x->in.client = str_of(x->client);
}

/* Hands the connection, of which nothing is read yet, to the lane's HTTP server. */
static void line_hand_to_http(struct line_stream *x)
{
    struct line_stream was = *x;
    struct http_server *server = x->lane->server;
    loop_unwatch(x->lane->loop, &x->watch);
    x->watch.fd = -1;
    line_stream_close(x);
    http_server_add(server, was.listener, was.watch.fd, (const struct sockaddr *)&was.peer, was.n_peer);
}

static void line_begin(struct line_stream *x)
{
    x->begun = true;
    loop_timer_stop(x->lane->loop, &x->again);
    stats_add(&line_stats, x->protocol->requests, 1);
}

/* Looks at what has arrived without taking it, until it is enough to know who sends what. */
static void line_look(struct line_stream *x)
{
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    char bytes[PROXY_HEADER_MAX];
    size_t header = 0;
    ssize_t n = recv(x->watch.fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    enum proxy_header found = n <= 0 ? PROXY_WRONG : !x->listener->proxied ? PROXY_OK
                              : proxy_header_parse(bytes, (size_t)n, &header, &from);
    if (found == PROXY_PART || (found == PROXY_OK && x->protocol->http && (size_t)n == header))
        return;
    if (found == PROXY_WRONG) {
        stats_add(&line_stats, x->protocol->errors, n > 0);
        line_stream_close(x);
        return;
    }
    if (x->protocol->http && bytes[header] != 'p') {
        line_hand_to_http(x);
        return;
    }
    if (from.ss_family != AF_UNSPEC)
        print_client(x, &from);
    if (header > 0 && recv(x->watch.fd, bytes, header, MSG_DONTWAIT) != (ssize_t)header) {
        line_stream_close(x);
        return;
    }
    line_begin(x);
    ingest_queue(&x->in);
}

void line_stream_drain(struct line_stream *x)
{
    if (!x->begun) {
        line_stream_close(x);
        return;
    }
    x->in.draining = true;
    loop_timer_stop(x->lane->loop, &x->again);
    if (!list_linked(&x->in.node))
        ingest_queue(&x->in);
}

static void on_stream_ready(struct loop_fd *w, uint32_t events UNUSED)
{
    struct line_stream *x = CONTAINER(w, struct line_stream, watch);
    if (!x->begun)
        line_look(x);
    else if (!list_linked(&x->in.node) && !loop_timer_armed(&x->again))
        ingest_queue(&x->in);
}

struct line_stream *line_stream_new(struct lines_lane *l, struct listener *listener, int fd, const struct ingest_source *source)
{
    struct line_stream *x = mem_zalloc(sizeof *x);
    const struct line_protocol *protocol = listener->user;
    struct err err;
    x->lane = l;
    x->protocol = protocol;
    x->listener = listener;
    x->watch = (struct loop_fd){.run = on_stream_ready, .fd = fd};
    x->again.run = on_stream_again;
    ingest_init(&x->in, l->ingest, protocol->format, source);
    x->in.from = listener->address;
    if (protocol->format->begin && !protocol->format->begin(&x->in, &err)) /* cannot happen: there are no parameters */
        log_error("ingest", "cannot begin to read lines", "err", err.text);
    list_push_back(&l->streams, &x->node);
    return x;
}

void line_stream_watch(struct line_stream *x)
{
    if (!loop_watch(x->lane->loop, &x->watch, EPOLLIN | EPOLLRDHUP | EPOLLET))
        line_stream_close(x);
}

/* ---- places ---- */

/* Makes a place for a connection: closes the one that has been silent for longest. */
static bool line_make_place(struct lines_lane *l, int fd)
{
    const struct http_limits *limits = &l->services->http;
    if (l->n < limits->places && fd <= limits->max_fd)
        return true;
    for (struct list *n = l->streams.next; n != &l->streams; n = n->next) {
        struct line_stream *x = CONTAINER(n, struct line_stream, node);
        if (x->datagrams || list_linked(&x->in.node) || loop_timer_armed(&x->again))
            continue;
        stats_add(&line_stats, LINES_EVICTED, 1);
        line_stream_close(x);
        return true;
    }
    return false;
}

void line_take(struct http_server *server, struct listener *listener, int fd, const struct sockaddr *from, unsigned n)
{
    struct lines_lane *l = lines_lane_of(http_server_services(server), http_server_id(server));
    int on = 1;
    if (l->draining || l->closed || !line_make_place(l, fd)) {
        close(fd);
        return;
    }
    l->server = server;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    struct line_stream *x = line_stream_new(l, listener, fd, &line_connection);
    l->n++;
    memcpy(&x->peer, from, n <= sizeof x->peer ? n : sizeof x->peer);
    x->n_peer = n;
    print_client(x, &x->peer);
    if (listener->proxied || x->protocol->http)
        loop_timer_in(l->loop, &x->again, LINE_BEGIN_MS);
    else
        line_begin(x);
    line_stream_watch(x);
}
