// SPDX-License-Identifier: Apache-2.0
#include "http_fixture.h"

#include "base/text/num.h"
#include "gateway/dispatch.h"
#include "gateway/query/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_fixture http_fixture = {
    .config.refs.n = 1,
    .services = {.lanes = http_fixture.lane_services, .n_lanes = FIXTURE_LANES, .state = SERVICES_READY,
                 ._lane_config = &http_fixture.config}};

/* ---- what is served ---- */

static void echo(struct http_request *r)
{
    buf_printf(&r->out, "%d %.*s [%.*s]", r->method, STR_ARG(r->path), STR_ARG(r->tail));
    for (size_t i = 0; i < r->form.n; i++)
        buf_printf(&r->out, " %.*s=%.*s", STR_ARG(r->form.fields[i].name), STR_ARG(r->form.fields[i].value));
    struct str q = form_get(&r->form, "q");
    buf_printf(&r->out, " q:%.*s body:%zu", STR_ARG(q), r->body.n);
}

static void large(struct http_request *r)
{
    for (int i = 0; i < 400000; i++)
        buf_printf(&r->out, "%06d\n", i);
}

static void on_worker(struct http_request *r)
{
    buf_printf(&r->out, "worker %d %.*s", worker_self() != NULL, STR_ARG(http_header(r, "X-Test")));
}

/* Waits until the client left, or until it is let go. */
static void hold(struct http_request *r)
{
    atomic_fetch_add(&http_fixture.holding, 1);
    for (int i = 0; i < 2000 && !atomic_load(&r->canceled) && !atomic_load(&http_fixture.let_go); i++)
        usleep(5000);
    atomic_fetch_add(&http_fixture.canceled_seen, atomic_load(&r->canceled));
    atomic_fetch_sub(&http_fixture.holding, 1);
    buf_add_z(&r->out, "held");
}

static uint64_t fixture_number(const struct http_request *r, const char *name)
{
    uint64_t n = 0;
    (void)!num_parse_u64(form_get(&r->form, name), &n);
    return n;
}

/* `parts` parts of `bytes` bytes, after `ms` each; fails after `fail` of them. */
static void stream(struct http_request *r)
{
    uint64_t parts = fixture_number(r, "parts"), bytes = fixture_number(r, "bytes"), fail = fixture_number(r, "fail");
    atomic_fetch_add(&http_fixture.holding, 1);
    r->identity = fixture_number(r, "gzip") == 0;
    r->content_type = "application/x-parts";
    http_header_add(r, "X-Early", STR("yes"));
    for (uint64_t i = 0; i < parts; i++) {
        usleep((useconds_t)fixture_number(r, "ms") * 1000);
        for (uint64_t k = 0; k < bytes; k++)
            buf_add_char(&r->out, (char)('a' + (i + k) % 26));
        atomic_fetch_add(&http_fixture.streamed, (int)bytes);
        bool sent = http_stream_send(r, 0);
        http_header_add(r, "X-Late", STR("no"));
        assert_null(http_header(r, "Host").p); /* the connection is the lane's now */
        if (!sent) {
            atomic_fetch_add(&http_fixture.canceled_seen, 1);
            break;
        }
        if (i + 1 == fail) {
            r->stream_failed = true;
            break;
        }
    }
    atomic_fetch_sub(&http_fixture.holding, 1);
    buf_add_z(&r->out, "end");
}

struct delayed { struct loop_timer timer; struct http_request *r; };

static void on_time(struct loop_timer *t)
{
    struct delayed *d = CONTAINER(t, struct delayed, timer);
    http_text(d->r, 200, "later");
    http_finish(d->r);
}

static void later(struct http_request *r)
{
    struct delayed *d = ARENA_NEW(&r->arena, struct delayed);
    if (form_get(&r->form, "now").n > 0) {
        http_text(r, 200, "now");
        http_finish(r);
        return;
    }
    *d = (struct delayed){.timer.run = on_time, .r = r};
    loop_timer_in(r->loop, &d->timer, 30);
}

static void unavailable(struct http_request *r)
{
    struct err e;
    err_set(&e, ERR_UNAVAILABLE, "no <server>");
    e.retry_after = 7;
    http_error(r, &e);
}

static void page(struct http_request *r)
{
    http_text(r, 200, "<p>");
    r->content_type = "text/html; charset=utf-8";
}

/* The last would end the headers. */
static void with_headers(struct http_request *r)
{
    http_header_add(r, "X-Lost", STR("begun before the response"));
    http_text(r, 200, r->config == &http_fixture.config ? "ready" : "no configuration");
    http_header_add(r, "X-One", STR("1"));
    http_header_add(r, "X-Two", STR("2\r\n\r\nbody"));
}

static void count_fields(struct http_request *r) { buf_printf(&r->out, "%zu", r->form.n); }

static const struct route table[] = {
    {HTTP_GET | HTTP_POST, "/echo", echo, .class = ROUTE_PAGE},
    {HTTP_GET, "/label/*/values", echo, .class = ROUTE_PAGE},
    {HTTP_GET, "/static/*", echo, .class = ROUTE_PAGE},
    {HTTP_GET, "/static/fixed", large, .class = ROUTE_PAGE},
    {HTTP_GET, "/count", count_fields, .class = ROUTE_PAGE},
    {HTTP_GET, "/page", page, .class = ROUTE_PAGE},
    {HTTP_POST, "/small", echo, .class = ROUTE_PAGE, .max_body = 100},
    {HTTP_POST, "/push", echo, .class = ROUTE_PUSH},
    {HTTP_GET | HTTP_POST, "/worker", on_worker, .class = ROUTE_QUERY, .on_worker = true},
    {HTTP_GET | HTTP_POST, "/change", echo, .class = ROUTE_PAGE, .changes_state = true},
    {HTTP_GET, "/hold", hold, .class = ROUTE_QUERY, .on_worker = true},
    {HTTP_GET, "/stream", stream, .class = ROUTE_QUERY, .on_worker = true},
    {HTTP_GET, "/later", later, .class = ROUTE_PAGE, .finishes = true},
    {HTTP_GET, "/fail", unavailable, .class = ROUTE_PAGE},
    {HTTP_GET, "/report", hold, .class = ROUTE_ADMIN, .on_worker = true},
    {HTTP_GET, "/admin", on_worker, .class = ROUTE_ADMIN, .on_worker = true},
    {HTTP_GET, "/always", echo, .class = ROUTE_ADMIN, .always = true},
    {HTTP_GET, "/when-ready", with_headers, .class = ROUTE_PAGE, .needs_ready = true},
};

/* ---- a client ---- */

int fixture_dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port;
    assert_true(num_parse_u64(str_of(strrchr(http_listener_address(http_fixture.listener), ':') + 1), &port));
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

void fixture_send(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        text += sent;
        n -= (size_t)sent;
    }
}

struct str fixture_header(const struct fixture_reply *r, const char *name)
{
    struct str rest = r->headers, line, key;
    while (str_cut(&rest, '\n', &line)) {
        struct str value = line;
        if (str_cut(&value, ':', &key) && str_ieq(str_trim(key), str_of(name)))
            return str_trim(value);
    }
    return STR_NONE;
}

bool fixture_receive(int fd, bool head, struct fixture_reply *r)
{
    size_t end = 0;
    uint64_t length = 0;
    *r = (struct fixture_reply){0};
    for (;;) {
        char piece[65536];
        end = str_find_str(buf_str(&r->bytes), STR("\r\n\r\n"));
        if (end < r->bytes.n) {
            r->headers = str_n(r->bytes.p, end);
            struct str n = fixture_header(r, "Content-Length");
            if (n.p)
                assert_true(num_parse_u64(n, &length));
            if (head || r->bytes.n >= end + 4 + length)
                break;
        }
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0)
            return false;
        buf_add(&r->bytes, piece, (size_t)got);
    }
    r->body = str_n(r->bytes.p + end + 4, r->bytes.n - end - 4);
    r->status = (int)strtol(r->bytes.p + 9, NULL, 10);
    return true;
}

struct fixture_reply fixture_query(const char *request)
{
    struct fixture_reply r;
    int fd = fixture_dial();
    fixture_send(fd, request);
    assert_true(fixture_receive(fd, strncmp(request, "HEAD", 4) == 0, &r));
    close(fd);
    return r;
}

void fixture_expect(const char *request, int status, const char *body)
{
    struct fixture_reply r = fixture_query(request);
    assert_int_equal(r.status, status);
    assert_int_equal(r.body.n, strlen(body));
    assert_memory_equal(r.body.p, body, r.body.n);
    buf_free(&r.bytes);
}

bool fixture_wait_for(atomic_int *value, int wanted)
{
    for (int i = 0; i < 2000 && atomic_load(value) != wanted; i++)
        usleep(5000);
    return atomic_load(value) == wanted;
}

/* ---- the program around it ---- */

static void fixture_on_sent(struct http_request *r)
{
    atomic_store(&http_fixture.sent_bytes, (int)http_response_bytes(r));
    atomic_fetch_add(&http_fixture.n_sent, 1);
}

static void run_main(void *arg UNUSED) { loop_run(http_fixture.main_loop); }

int http_fixture_set_up(void **state UNUSED)
{
    struct http_fixture *f = &http_fixture;
    struct err err;
    struct http_server_conf conf = {.services = &f->services, .hooks = dispatch_hooks, .routes = table,
                                 .n_routes = LEN(table), .prefix = "/p/", .cors_origin = "http://a[.].*",
                                 .limits = &f->limits, .max_push = 2000000};
    conf.hooks.sent = fixture_on_sent;
    f->limits = (struct http_limits){.places = 100, .min_places = 1, .spare_places = 2, .idle = 100,
                                     .idle_timeout = 30000, .read_timeout = 30000, .queue_timeout = 30000,
                                     .bodies.max = 8 << 20, .body_share = 4 << 20, .responses.max = 16 << 20,
                                     .max_accepted = 64};
    http_limits_init(&f->limits);
    f->main_loop = loop_new();
    listener_init(&f->address, STR("127.0.0.1:0"));
    mutex_init(&f->services._lane_mutex, RANK_SERVICES);
    active_queries_init(&f->services.active);
    f->services.workers = workers_new(&(struct worker_conf){.workers = {FIXTURE_WORKERS, 1},
                                                            .waiting = FIXTURE_WAITING});
    for (unsigned i = 0; i < FIXTURE_LANES; i++) {
        assert_non_null(f->lanes[i] = lane_start(i, &f->services, &conf, &err));
        f->servers[i] = f->lanes[i]->http;
    }
    f->listener = http_listen(&f->address, f->main_loop, f->servers, FIXTURE_LANES, &f->limits, &err);
    f->main_thread = thread_start("main", run_main, NULL);
    return f->listener == NULL;
}

/* With a request under way and an idle connection, as it may happen. */
int http_fixture_tear_down(void **state UNUSED)
{
    int idle = fixture_dial(), busy = fixture_dial();
    fixture_send(busy, "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    bool began = fixture_wait_for(&http_fixture.holding, 1);
    int reading = fixture_dial(); /* reads nothing */
    fixture_send(reading, "GET /p/stream?parts=100000&bytes=100000 HTTP/1.1\r\nHost: x\r\n\r\n");
    began = began && fixture_wait_for(&http_fixture.holding, 2);
    loop_stop(http_fixture.main_loop);
    thread_join(http_fixture.main_thread);
    http_listener_close(http_fixture.listener);
    for (unsigned i = 0; i < FIXTURE_LANES; i++)
        lane_cancel(http_fixture.lanes[i]);
    workers_stop(http_fixture.services.workers);
    for (unsigned i = 0; i < FIXTURE_LANES; i++)
        lane_join(http_fixture.lanes[i]);
    workers_free(http_fixture.services.workers);
    active_queries_free(&http_fixture.services.active);
    mutex_free(&http_fixture.services._lane_mutex);
    for (unsigned i = 0; i < FIXTURE_LANES; i++)
        lane_free(http_fixture.lanes[i]);
    loop_free(http_fixture.main_loop);
    http_limits_free(&http_fixture.limits);
    close(idle);
    close(busy);
    close(reading);
    return began ? 0 : 1;
}
