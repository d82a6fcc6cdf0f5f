// SPDX-License-Identifier: Apache-2.0
/* For tests of the whole scraper: a small HTTP server in a thread, a clock that the test moves, a sink that records. */
#ifndef TESTS_UNIT_SCRAPER_WORLD_H
#define TESTS_UNIT_SCRAPER_WORLD_H

#include "base/os/thread.h"
#include "base/text/duration.h"
#include "scraper/scraper.h"

#include "recording_sink.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the server: one connection, one request, one answer ---- */

struct server {
    int fd, port;
    struct thread *thread;
    struct mutex mutex;
    struct buf body, request; /* what it answers; what it was asked last */
    int status;
    bool silent;              /* takes the request and says nothing */
    bool stop;
    unsigned requests;
};

static inline bool read_request(struct server *s, int fd)
{
    char piece[2048];
    struct buf got = {0};
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0) {
        buf_add(&got, piece, (size_t)n);
        if (str_find_str(buf_str(&got), STR("\r\n\r\n")) < got.n)
            break;
    }
    mutex_lock(&s->mutex);
    buf_clear(&s->request);
    buf_add_str(&s->request, buf_str(&got));
    s->requests += n > 0;
    bool stop = s->stop;
    mutex_unlock(&s->mutex);
    buf_free(&got);
    return !stop;
}

static inline void serve(void *arg)
{
    struct server *s = arg;
    for (bool on = true; on; ) {
        int fd = accept(s->fd, NULL, NULL);
        on = read_request(s, fd);
        struct buf answer = {0};
        mutex_lock(&s->mutex);
        buf_printf(&answer,
                   "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                   s->status, s->body.n);
        buf_add_str(&answer, buf_str(&s->body));
        bool silent = s->silent;
        mutex_unlock(&s->mutex);
        if (!silent && write(fd, answer.p, answer.n) < 0)
            on = false;
        char rest[256];
        while (silent && read(fd, rest, sizeof rest) > 0) {
        }
        buf_free(&answer);
        close(fd);
    }
}

static inline int connect_to(const struct server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void server_open(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *s = (struct server){.status = 200, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    mutex_init(&s->mutex);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    s->thread = thread_start("server", serve, s);
}

static inline void server_say(struct server *s, int status, const char *body)
{
    mutex_lock(&s->mutex);
    s->status = status;
    buf_clear(&s->body);
    buf_add_z(&s->body, body);
    mutex_unlock(&s->mutex);
}

static inline void server_be_silent(struct server *s, bool silent)
{
    mutex_lock(&s->mutex);
    s->silent = silent;
    mutex_unlock(&s->mutex);
}

static inline unsigned server_requests(struct server *s)
{
    mutex_lock(&s->mutex);
    unsigned n = s->requests;
    mutex_unlock(&s->mutex);
    return n;
}

static inline bool server_was_asked(struct server *s, const char *part)
{
    mutex_lock(&s->mutex);
    bool found = str_find_str(buf_str(&s->request), str_of(part)) < s->request.n;
    mutex_unlock(&s->mutex);
    return found;
}

static inline void server_close(struct server *s)
{
    mutex_lock(&s->mutex);
    s->stop = true;
    mutex_unlock(&s->mutex);
    int fd = connect_to(s);
    close(fd);
    thread_join(s->thread);
    close(s->fd);
    buf_free(&s->body);
    buf_free(&s->request);
    mutex_free(&s->mutex);
}

/* ---- the scraper on one loop ---- */

struct world {
    struct server server;
    int64_t ms;               /* the clock */
    int64_t wall_offset;      /* of the wall clock from it */
    struct loop *loop;
    struct recorder sink;
    struct scraper *scraper;
    unsigned applied, released;
    bool stopped;
};

static inline int64_t clock_of(void *arg) { return ((struct world *)arg)->ms; }
static inline int64_t wall_of(void *arg) { return ((struct world *)arg)->ms + ((struct world *)arg)->wall_offset; }

static inline void world_open_with(struct world *w, unsigned max_inflight)
{
    *w = (struct world){.ms = 1000000};
    server_open(&w->server);
    w->loop = loop_new();
    loop_set_clock(w->loop, (struct loop_clock){wall_of, clock_of, w});
    recorder_init(&w->sink);
    struct sink *sink = &w->sink.sink;
    struct scraper_env env = {.main = w->loop, .lanes = (struct loop *[]){w->loop}, .n_lanes = 1, .sinks = &sink,
                              .max_inflight = max_inflight};
    w->scraper = scraper_new(&env);
}

static inline void world_open(struct world *w) { world_open_with(w, 0); }

static inline void turns(struct world *w, int n)
{
    while (n-- > 0)
        loop_turn(w->loop, 0);
}

static inline void stopped(void *arg) { ((struct world *)arg)->stopped = true; }

static inline void world_close(struct world *w)
{
    scraper_stop(w->scraper, stopped, w);
    for (int i = 0; i < 100 && !w->stopped; i++)
        loop_turn(w->loop, 0);
    assert_true(w->stopped);
    scraper_free(w->scraper);
    turns(w, 3);
    assert_int_equal(w->released, w->applied);
    loop_free(w->loop);
    recorder_free(&w->sink);
    server_close(&w->server);
}

struct config { struct arena arena; struct world *world; };

static inline void release(void *arg)
{
    struct config *c = arg;
    c->world->released++;
    arena_free(&c->arena);
    mem_free(c);
}

/* Applies one job; %d in the text is the server's port, as often as it stands there (twice at most). */
static inline bool apply(struct world *w, const char *format, struct err *err)
{
    struct config *c = mem_zalloc(sizeof *c);
    c->world = w;
    struct buf text = {0};
    struct str rest = str_of(format), part;
    for (int i = 0; str_cut(&rest, '%', &part); i++) {
        if (i > 0)
            buf_printf(&text, "%d", w->server.port);
        buf_add_str(&text, part);
    }
    struct scrape_job *job = ARENA_NEW(&c->arena, struct scrape_job);
    must_load_job(&c->arena, buf_z(&text), job);
    buf_free(&text);
    bool ok = scraper_apply(w->scraper, job, 1, &prometheus_globals, release, c, err);
    if (!ok) {
        w->released--; /* by us */
        release(c);
    }
    w->applied += ok;
    turns(w, 3);
    return ok;
}

static inline void must_apply(struct world *w, const char *format)
{
    struct err err;
    if (!apply(w, format, &err))
        fail_msg("%s", err.text);
}

#endif
