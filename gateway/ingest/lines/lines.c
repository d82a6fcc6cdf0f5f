// SPDX-License-Identifier: Apache-2.0
/* The listeners of lines, what a lane has of them, and their end. */
#include "gateway/ingest/lines/lines_internal.h"

#include "base/telemetry/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { LINES_DRAIN_MS = 1000, LINES_RECEIVE_BYTES = 8 << 20 /* of a socket of datagrams, if the system allows it */ };

struct stats_group line_stats = STATS_GROUP(LINE_STATS);

/* ---- listeners ---- */

extern const struct ingest_format ingest_graphite, ingest_influx, ingest_opentsdb;
static const struct line_protocol
    line_graphite = {"-graphiteListenAddr", &ingest_graphite, LINE_GRAPHITE_TCP_REQUESTS, LINE_GRAPHITE_TCP_ERRORS, false},
    line_influx = {"-influxListenAddr", &ingest_influx, LINE_INFLUX_TCP_REQUESTS, LINE_INFLUX_TCP_ERRORS, false},
    line_opentsdb = {"-opentsdbListenAddr", &ingest_opentsdb, LINE_OPENTSDB_TCP_REQUESTS, LINE_OPENTSDB_TCP_ERRORS, true},
    line_opentsdb_http = {"-opentsdbHTTPListenAddr", NULL, LINE_OPENTSDB_HTTP_REQUESTS, LINE_OPENTSDB_HTTP_ERRORS, true};

struct line_address { const struct line_protocol *protocol; struct str address; bool proxied; };
enum { LINE_ADDRESSES = 4 };

static void line_addresses(const struct flags *f, struct line_address out[LINE_ADDRESSES])
{
    const struct ingest_flags *i = &f->ingest;
    const struct line_address all[LINE_ADDRESSES] = {
        {&line_graphite, i->graphite_listen, i->graphite_proxied}, {&line_influx, i->influx_listen, i->influx_proxied},
        {&line_opentsdb, i->opentsdb_listen, i->opentsdb_proxied},
        {&line_opentsdb_http, i->opentsdb_http_listen, i->opentsdb_http_proxied}};
    memcpy(out, all, sizeof all);
}

bool lines_check_addresses(const struct flags *f, struct err *err)
{
    struct line_address all[LINE_ADDRESSES];
    line_addresses(f, all);
    for (size_t i = 0; i < LINE_ADDRESSES; i++)
        if (all[i].address.n > 0 && !listener_check_address(all[i].address, err))
            return err_wrap(err, all[i].protocol->flag);
    return true;
}

bool lines_listeners(const struct flags *f, struct listener *listeners, size_t *n, struct err *err)
{
    struct line_address all[LINE_ADDRESSES];
    line_addresses(f, all);
    for (size_t i = 0; i < LINE_ADDRESSES; i++) {
        const struct line_protocol *p = all[i].protocol;
        if (all[i].address.n == 0)
            continue;
        if (*n == LISTENERS_MAX)
            return err_set(err, ERR_BAD_DATA, "%s: more than %d listen addresses; remove some", p->flag, LISTENERS_MAX);
        struct listener *l = &listeners[(*n)++];
        listener_init(l, all[i].address);
        l->flag = p->flag;
        l->proxied = all[i].proxied;
        l->take = p->format ? line_take : NULL;
        l->user = p;
        if (p->http) { /* pushes only, without users, as in vmagent */
            struct http_access *access = http_access_new(NULL, NULL, NULL, 0);
            access->classes = 1u << ROUTE_PUSH;
            listener_set_access(l, access);
        }
    }
    return true;
}

/* ---- sockets of datagrams ---- */

struct datagrams_start { struct loop_task task; struct services *services; struct listener *listener; unsigned lane; int fd; };

static void on_datagrams_start(struct loop_task *t)
{
    struct datagrams_start *start = CONTAINER(t, struct datagrams_start, task);
    line_datagrams_begin(lines_lane_of(start->services, start->lane), start->listener, start->fd);
    mem_free(start);
}

bool lines_open_datagrams(struct services *s, struct listener *listeners, size_t n, struct err *err)
{
    int bytes = LINES_RECEIVE_BYTES;
    for (size_t i = 0; i < n; i++) {
        if (listeners[i].take == NULL)
            continue;
        int fd = listen_open(&listeners[i], s->control, SOCK_DGRAM, err);
        if (fd < 0)
            return false;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        struct datagrams_start *start = mem_zalloc(sizeof *start);
        *start = (struct datagrams_start){.task.run = on_datagrams_start, .services = s, .listener = &listeners[i],
                                          .lane = (unsigned)i % s->n_lanes, .fd = fd};
        loop_post(s->lanes[start->lane].loop, &start->task);
    }
    return true;
}

/* ---- lanes ---- */

static void lines_lane_close(struct lines_lane *l)
{
    l->draining = l->closed = true;
    while (!list_empty(&l->streams))
        line_stream_close(CONTAINER(l->streams.next, struct line_stream, node));
}

static void on_lines_late(struct loop_timer *t)
{
    struct lines_lane *l = CONTAINER(t, struct lines_lane, late);
    log_warn("ingest", "connections of listeners of lines are closed although their clients still send",
             LOG_U64("connections", l->n));
    lines_lane_close(l);
}

struct lines_lane *lines_lane_of(struct services *s, unsigned id)
{
    struct lane_services *lane = &s->lanes[id];
    if (lane->lines == NULL) {
        struct lines_lane *l = lane->lines = mem_zalloc(sizeof *l);
        l->services = s;
        l->ingest = ingest_lane_of(s, id);
        l->loop = lane->loop;
        l->late.run = on_lines_late;
        list_init(&l->streams);
    }
    return lane->lines;
}

void lines_lane_cancel(struct lines_lane *l)
{
    if (l)
        lines_lane_close(l);
}

void lines_lane_free(struct lines_lane *l)
{
    if (l == NULL)
        return;
    loop_timer_stop(l->loop, &l->late);
    mem_free(l->datagrams);
    mem_free(l);
}

/* ---- the end: every lane reads on until nothing is left ---- */

struct lines_drain {
    struct services *services;
    void (*done)(struct services *s);
    atomic_uint left;          /* lanes */
    struct loop_task finished; /* on the control thread */
    struct lines_drain_lane { struct loop_task task; struct lines_drain *drain; unsigned lane; } lanes[];
};

static void on_lines_finished(struct loop_task *t)
{
    struct lines_drain *d = CONTAINER(t, struct lines_drain, finished);
    struct services *s = d->services;
    void (*done)(struct services *) = d->done;
    mem_free(d);
    done(s);
}

static void lines_drain_leave(struct lines_drain *d)
{
    if (atomic_fetch_sub(&d->left, 1) == 1)
        loop_post(d->services->control, &d->finished);
}

void lines_lane_check_drained(struct lines_lane *l)
{
    struct lines_drain *d = l->drain;
    if (d == NULL || !list_empty(&l->streams))
        return;
    l->drain = NULL;
    loop_timer_stop(l->loop, &l->late);
    lines_drain_leave(d);
}

static void on_lines_drain(struct loop_task *t)
{
    struct lines_drain_lane *x = CONTAINER(t, struct lines_drain_lane, task);
    struct lines_drain *d = x->drain;
    struct lines_lane *l = d->services->lanes[x->lane].lines;
    if (l == NULL) {
        lines_drain_leave(d);
        return;
    }
    l->draining = true;
    for (struct list *n = l->streams.next, *next; n != &l->streams; n = next) {
        next = n->next;
        line_stream_drain(CONTAINER(n, struct line_stream, node));
    }
    l->drain = d;
    loop_timer_in(l->loop, &l->late, LINES_DRAIN_MS);
    lines_lane_check_drained(l);
}

void lines_drain(struct services *s, void (*done)(struct services *s))
{
    struct lines_drain *d = mem_zalloc(sizeof *d + s->n_lanes * sizeof d->lanes[0]);
    d->services = s;
    d->done = done;
    d->finished.run = on_lines_finished;
    atomic_store(&d->left, s->n_lanes);
    for (unsigned i = 0; i < s->n_lanes; i++) {
        d->lanes[i] = (struct lines_drain_lane){.task.run = on_lines_drain, .drain = d, .lane = i};
        loop_post(s->lanes[i].loop, &d->lanes[i].task);
    }
}
