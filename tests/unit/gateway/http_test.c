// SPDX-License-Identifier: Apache-2.0
/* The server over real sockets: main's loop and two lanes run in threads of their own, the test is the client. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compress.h"
#include "base/text/num.h"
#include "base/text/duration.h"
#include "gateway/http/http_connection.h"
#include "gateway/dispatch.h"
#include "gateway/lane.h"
#include "gateway/query/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LANES = 2, WORKERS = 2, WAITING = 2 };

static struct loop *main_loop;
static struct thread *main_thread;
static struct lane *lanes[LANES];
static struct http_server *servers[LANES];
static struct lane_services lane_services[LANES];
static struct config config = {.refs.n = 1};
static struct services services = {.lanes = lane_services, .n_lanes = LANES, .state = SERVICES_READY, ._config = &config};
static struct http_listener *listener;
static struct http_limits limits;
static atomic_int canceled_seen, holding;
static atomic_bool let_go;

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
    atomic_fetch_add(&holding, 1);
    for (int i = 0; i < 2000 && !atomic_load(&r->canceled) && !atomic_load(&let_go); i++)
        usleep(5000);
    atomic_fetch_add(&canceled_seen, atomic_load(&r->canceled));
    atomic_fetch_sub(&holding, 1);
    buf_add_z(&r->out, "held");
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
    http_text(r, 200, r->config == &config ? "ready" : "no configuration");
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
    {HTTP_GET, "/later", later, .class = ROUTE_PAGE, .finishes = true},
    {HTTP_GET, "/fail", unavailable, .class = ROUTE_PAGE},
    {HTTP_GET, "/report", hold, .class = ROUTE_ADMIN, .on_worker = true},
    {HTTP_GET, "/admin", on_worker, .class = ROUTE_ADMIN, .on_worker = true},
    {HTTP_GET, "/always", echo, .class = ROUTE_ADMIN, .always = true},
    {HTTP_GET, "/when-ready", with_headers, .class = ROUTE_PAGE, .needs_ready = true},
};

/* ---- a client ---- */

static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port;
    assert_true(num_parse_u64(str_of(strrchr(http_listener_address(listener), ':') + 1), &port));
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void send_all(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        text += sent;
        n -= (size_t)sent;
    }
}

struct reply { int status; struct str headers, body; struct buf bytes; };

static struct str reply_header(const struct reply *r, const char *name)
{
    struct str rest = r->headers, line, key;
    while (str_cut(&rest, '\n', &line)) {
        struct str value = line;
        if (str_cut(&value, ':', &key) && str_ieq(str_trim(key), str_of(name)))
            return str_trim(value);
    }
    return STR_NONE;
}

/* One answer; `head`: of a HEAD request, which has no body. False when the server closed without one. */
static bool receive(int fd, bool head, struct reply *r)
{
    size_t end = 0;
    uint64_t length = 0;
    *r = (struct reply){0};
    for (;;) {
        char piece[65536];
        end = str_find_str(buf_str(&r->bytes), STR("\r\n\r\n"));
        if (end < r->bytes.n) {
            r->headers = str_n(r->bytes.p, end);
            struct str n = reply_header(r, "Content-Length");
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

static struct reply query(const char *request)
{
    struct reply r;
    int fd = dial();
    send_all(fd, request);
    assert_true(receive(fd, strncmp(request, "HEAD", 4) == 0, &r));
    close(fd);
    return r;
}

static void expect(const char *request, int status, const char *body)
{
    struct reply r = query(request);
    assert_int_equal(r.status, status);
    assert_int_equal(r.body.n, strlen(body));
    assert_memory_equal(r.body.p, body, r.body.n);
    buf_free(&r.bytes);
}

/* ---- tests ---- */

static void test_routes(void **state UNUSED)
{
    expect("GET /p/echo?a=1&b=%20x+y HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /echo [] a=1 b= x y q: body:0");
    expect("GET /p/label/a%2Fb/values HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /label/a%2Fb/values [a/b] q: body:0");
    expect("GET /p/label/a/b/values HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    expect("GET /p/label//values HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    expect("GET /p/static/a/b HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /static/a/b [a/b] q: body:0");
    expect("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    expect("GET /pecho HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    expect("POST /p/label/a/values HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "Method Not Allowed\n");
    expect("GET //p//label///a%2Fb/values HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /label/a%2Fb/values [a/b] q: body:0");
    expect("GET http://x:1/p/echo?a=//b HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /echo [] a=//b q: body:0");
    expect("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 302, "");
    expect("OPTIONS /p/anything HTTP/1.1\r\nHost: x\r\n\r\n", 204, "");
    expect("GET /p/echo?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400,
           "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid URL escape in parameter \\\"a\\\"\"}");
}

static void test_forms(void **state UNUSED)
{
    expect("POST /p/echo?q=url&m=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
           "Content-Length: 10\r\n\r\nq=body&m=2", 200, "2 /echo [] q=url m=1 q=body m=2 q:body body:0");
    expect("POST /p/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 200, "2 /echo [] q: body:2");
    expect("POST /p/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nq=a\r\n2\r\nbc\r\n0\r\n\r\n", 200, "2 /echo [] q=abc q:abc body:0");
}

static void test_limits(void **state UNUSED)
{
    expect("POST /p/small HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", 413, "the request body exceeds the limit of this endpoint\n");
    struct buf request = {0};
    buf_add_z(&request, "POST /p/small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++)
        buf_add_z(&request, "a\r\n0123456789\r\n");
    buf_add_z(&request, "0\r\n\r\n");
    expect(buf_z(&request), 413, "the request body exceeds the limit of this endpoint\n");
    buf_free(&request);
    expect("POST /p/small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
           "conflicting Content-Length and Transfer-Encoding headers\n");
}

/* What follows such a request must not be taken for the next one. */
static void test_framing(void **state UNUSED)
{
    static const struct { const char *headers; int status; } odd[] = {
        {"Content-Length: 5\r\nTransfer-Encoding: chunked", 400}, {"Content-Length: 0\r\nContent-Length: 5", 400},
        {"Content-Length : 5", 400}, {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
        {"Transfer-Encoding: gzip", 501}, {"Content-Length: 5x", 400}};
    for (size_t i = 0; i < LEN(odd); i++) {
        struct buf request = {0};
        struct reply r;
        int fd = dial();
        buf_printf(&request, "POST /p/echo HTTP/1.1\r\nHost: x\r\n%s\r\n\r\nGET /p/echo HTTP/1.1\r\nHost: x\r\n\r\n",
                   odd[i].headers);
        send_all(fd, buf_z(&request));
        assert_true(receive(fd, false, &r));
        assert_int_equal(r.status, odd[i].status);
        buf_free(&r.bytes);
        assert_false(receive(fd, false, &r));
        assert_int_equal(r.bytes.n, 0);
        buf_free(&r.bytes);
        buf_free(&request);
        close(fd);
    }
}

static void test_push_body(void **state UNUSED)
{
    struct buf request = {0};
    expect("POST /p/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2000001\r\n\r\n", 413, "the request body exceeds the limit of this endpoint\n");
    buf_add_z(&request, "POST /p/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 2000000; i++)
        buf_add_char(&request, 'x');
    expect(buf_z(&request), 200, "2 /push [] q: body:2000000");
    buf_free(&request);
}

static void test_many_parameters(void **state UNUSED)
{
    struct buf request = {0};
    buf_add_z(&request, "GET /p/count?");
    for (int i = 0; i < 5000; i++)
        buf_add_z(&request, "a=b&");
    buf_add_z(&request, "c HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(buf_z(&request), 200, "5001");
    buf_free(&request);
}

static void test_redirect(void **state UNUSED)
{
    struct reply r = query("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 302);
    assert_true(str_is(reply_header(&r, "Location"), "/p/"));
    buf_free(&r.bytes);
}

static void test_keep_alive(void **state UNUSED)
{
    struct reply r;
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        send_all(fd, i == 1 ? "GET /p/nothing HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /p/worker HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n\r\n");
        assert_true(receive(fd, false, &r));
        assert_int_equal(r.status, i == 1 ? 404 : 200);
        assert_true(i == 1 || str_is(r.body, "worker 1 yes"));
        buf_free(&r.bytes);
    }
    close(fd);
}

static void test_large_and_packed(void **state UNUSED)
{
    struct buf out = {0};
    struct reply plain = query("GET /p/static/fixed HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(plain.body.n, 2800000);
    struct reply packed = query("GET /p/static/fixed HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n");
    assert_true(str_is(reply_header(&packed, "Content-Encoding"), "gzip"));
    assert_true(decompress(CODEC_GZIP, NULL, packed.body, 4 << 20, &out, NULL));
    assert_true(str_eq(buf_str(&out), plain.body));
    struct reply refused = query("HEAD /p/static/fixed HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\n\r\n");
    assert_true(reply_header(&refused, "Content-Encoding").p == NULL);
    assert_true(str_is(reply_header(&refused, "Content-Length"), "2800000"));
    assert_int_equal(refused.body.n, 0);
    buf_free(&out);
    buf_free(&plain.bytes);
    buf_free(&packed.bytes);
    buf_free(&refused.bytes);
}

static void test_headers(void **state UNUSED)
{
    struct reply r = query("GET /p/fail HTTP/1.1\r\nHost: x\r\nOrigin: http://a.example\r\n\r\n");
    assert_int_equal(r.status, 503);
    assert_true(str_is(reply_header(&r, "Retry-After"), "7"));
    assert_true(str_is(reply_header(&r, "Content-Type"), "application/json"));
    assert_true(str_is(reply_header(&r, "Access-Control-Allow-Origin"), "http://a.example"));
    assert_true(str_is(r.body, "{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"no \\u003cserver\\u003e\"}"));
    buf_free(&r.bytes);
    r = query("GET /p/echo HTTP/1.1\r\nHost: x\r\nOrigin: http://b.example\r\n\r\n");
    assert_true(reply_header(&r, "Access-Control-Allow-Origin").p == NULL);
    buf_free(&r.bytes);
}

/* A page of another site can send simple requests, but neither hide nor choose these headers. */
static void test_other_sites_change_nothing(void **state UNUSED)
{
    static const struct { const char *headers; int status; } cases[] = {
        {"", 200},
        {"Origin: http://x:1\r\n", 200},
        {"Origin: https://X:1\r\nSec-Fetch-Site: same-origin\r\n", 200},
        {"Origin: https://proxied\r\nX-Forwarded-Host: proxied\r\n", 200},
        {"Referer: http://x:1/targets?q=a\r\n", 200},
        {"Sec-Fetch-Site: none\r\n", 200},
        {"Origin: http://evil.example\r\n", 403},
        {"Origin: http://x:2\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: http://x:1.evil.example\r\n", 403},
        {"Referer: http://evil.example/x:1\r\n", 403},
        {"Sec-Fetch-Site: cross-site\r\n", 403},
        {"Sec-Fetch-Site: same-site\r\n", 403}};
    static const char *const methods[] = {"GET", "POST"};
    for (size_t i = 0; i < LEN(cases); i++)
        for (size_t m = 0; m < LEN(methods); m++) {
            char text[300];
            snprintf(text, sizeof text, "%s /p/change HTTP/1.1\r\nHost: x:1\r\n%sContent-Length: 0\r\n\r\n", methods[m],
                     cases[i].headers);
            struct reply r = query(text);
            assert_int_equal(r.status, cases[i].status);
            buf_free(&r.bytes);
        }
    struct reply r = query("POST /p/echo HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(r.status, 200); /* queries are read only */
    assert_true(str_is(reply_header(&r, "X-Content-Type-Options"), "nosniff"));
    assert_null(reply_header(&r, "Content-Security-Policy").p);
    buf_free(&r.bytes);
    r = query("GET /p/page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(reply_header(&r, "Content-Security-Policy").p, "frame-ancestors 'none'"));
    buf_free(&r.bytes);
}

static void expect_bad_request(const char *text)
{
    struct reply r = query(text);
    assert_int_equal(r.status, 400);
    buf_free(&r.bytes);
}

static void test_ambiguous_headers(void **state UNUSED)
{
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\r\nX-A: a\rContent-Length: 5\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x y\r\n\r\n");
    expect_bad_request("GET /p/ec ho HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_bad_request("GET /p/echo\r HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\nHost: x\n\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n");
    expect_bad_request("GET /p/echo HTTP/1.1\r\nHost: x\r\nX\xff: a\r\n\r\n");
    expect_bad_request("POST /p/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    expect("GET /p/echo HTTP/1.0\r\n\r\n", 200, "1 /echo [] q: body:0");
    expect("GET /p/echo HTTP/1.1\r\nHost: [::1]:80\r\nX-A: \r\nX-B: c \r\n\r\n", 200, "1 /echo [] q: body:0");
}

/* A NUL ends what the library reads of a line, wherever it stands. */
static void test_nul_in_the_head(void **state UNUSED)
{
    static const char request[] = "POST /p/echo HTTP/1.1\r\nHost: x\r\nX-A: a\r\nContent-Length: 50\r\nX-B: b\r\n\r\n";
    size_t n = sizeof request - 1;
    for (size_t i = 5; i < n; i++) {
        char text[sizeof request];
        struct reply r;
        int fd = dial();
        memcpy(text, request, n);
        if (text[i] == '\r' || text[i] == '\n') /* a line that does not end has no response */
            continue;
        text[i] = 0;
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
        bool answered = receive(fd, false, &r);
        if (answered)
            assert_int_equal(r.status, 400);
        buf_free(&r.bytes);
        close(fd);
    }
}

/* Nothing is read from the connection behind a body in chunks: where it ends is a matter of taste. */
static void test_chunks_end_the_connection(void **state UNUSED)
{
    struct reply r;
    int fd = dial();
    send_all(fd, "POST /p/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\nGET /p/echo HTTP/1.1\r\n"
                 "Host: x\r\n\r\n");
    assert_true(receive(fd, false, &r));
    assert_int_equal(r.status, 200);
    buf_free(&r.bytes);
    assert_false(receive(fd, false, &r));
    assert_int_equal(r.bytes.n, 0);
    buf_free(&r.bytes);
    close(fd);
}

static void test_later(void **state UNUSED)
{
    expect("GET /p/later HTTP/1.1\r\nHost: x\r\n\r\n", 200, "later");
    expect("GET /p/later?now=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "now");
}

static bool wait_for(atomic_int *value, int wanted)
{
    for (int i = 0; i < 2000 && atomic_load(value) != wanted; i++)
        usleep(5000);
    return atomic_load(value) == wanted;
}

static void test_client_leaves(void **state UNUSED)
{
    atomic_store(&canceled_seen, 0);
    int fd = dial();
    send_all(fd, "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(wait_for(&holding, 1));
    int64_t left = clock_mono_ms();
    close(fd);
    assert_true(wait_for(&canceled_seen, 1));
    assert_true(clock_mono_ms() - left < 2000);
    assert_true(wait_for(&holding, 0));
}

static bool line_is(const char *metric)
{
    struct buf out = {0};
    bool found = false;
    for (int i = 0; i < 2000 && !found; i++) {
        buf_clear(&out);
        stats_render(&out, false);
        found = str_find_str(buf_str(&out), str_of(metric)) < out.n;
        if (!found)
            usleep(5000);
    }
    buf_free(&out);
    return found;
}

/* A loop takes two descriptors. The test is the first that asks for a worker. */
static void test_no_worker_can_start(void **state UNUSED)
{
    struct rlimit before, none;
    int client = dial(), free_fd;
    struct reply r;
    usleep(50000); /* until it is accepted */
    free_fd = dup(client);
    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)free_fd + 1, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    send_all(client, "GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    bool answered = receive(client, false, &r);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(answered);
    assert_int_equal(r.status, 503);
    assert_true(str_is(reply_header(&r, "Retry-After"), "1"));
    buf_free(&r.bytes);
    send_all(client, "GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(receive(client, false, &r));
    assert_int_equal(r.status, 200);
    buf_free(&r.bytes);
    close(client);
}

/* Lets the requests that wait in a worker end, and receives their responses. */
static void finish_held(const int *fds, size_t n)
{
    atomic_store(&let_go, true);
    for (size_t i = 0; i < n; i++) {
        struct reply r;
        assert_true(receive(fds[i], false, &r));
        assert_true(str_is(r.body, "held"));
        buf_free(&r.bytes);
        close(fds[i]);
    }
    atomic_store(&let_go, false);
}

static void test_full_line(void **state UNUSED)
{
    int fds[WORKERS + WAITING];
    struct reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = dial();
        send_all(fds[i], "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < WORKERS)
            assert_true(wait_for(&holding, (int)i + 1));
    }
    assert_true(line_is("sluice_query_waiting 2\n"));
    r = query("GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 503);
    assert_true(str_is(reply_header(&r, "Retry-After"), "1"));
    buf_free(&r.bytes);
    finish_held(fds, LEN(fds));
}

static void test_reports_hold_no_lane(void **state UNUSED)
{
    int fds[2];
    struct reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = dial();
        send_all(fds[i], "GET /p/report HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_true(wait_for(&holding, 1));
    for (int i = 0; i < 2 * LANES; i++) {
        r = query("GET /p/worker HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
    }
    assert_int_equal(atomic_load(&holding), 1);
    finish_held(fds, LEN(fds));
}

static void test_many(void **state UNUSED)
{
    int fds[100];
    struct reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = dial();
        send_all(fds[i], i % 2 ? "GET /p/echo HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /p/later HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (size_t i = 0; i < LEN(fds); i++) {
        assert_true(receive(fds[i], false, &r));
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
        close(fds[i]);
    }
}

static void test_port_in_use(void **state UNUSED)
{
    struct err err;
    struct str same = str_of(http_listener_address(listener));
    assert_null(http_listen(same, main_loop, servers, LANES, &limits, &err));
    assert_non_null(strstr(err.text, "in use"));
    assert_null(http_listen(STR("nowhere"), main_loop, servers, LANES, &limits, &err));
    assert_non_null(strstr(err.text, "nowhere"));
}

/* Before the first configuration, and while the program starts or stops. */
static void test_not_ready(void **state UNUSED)
{
    static const char get[] = "GET /p/%s HTTP/1.1\r\nHost: x\r\n\r\n";
    static const struct { const char *path; int state; struct config *config; int status; } cases[] = {
        {"when-ready", SERVICES_READY, &config, 200},    {"when-ready", SERVICES_STARTING, &config, 503},
        {"when-ready", SERVICES_STOPPING, &config, 503}, {"when-ready", SERVICES_READY, NULL, 503},
        {"echo", SERVICES_STARTING, NULL, 503},          {"worker", SERVICES_STARTING, NULL, 503},
        {"echo", SERVICES_STOPPING, &config, 200},       {"always", SERVICES_STARTING, NULL, 200}};
    for (size_t i = 0; i < LEN(cases); i++) {
        char request[100];
        mutex_lock(&services._mutex);
        services._config = cases[i].config;
        mutex_unlock(&services._mutex);
        atomic_store(&services.state, cases[i].state);
        snprintf(request, sizeof request, get, cases[i].path);
        struct reply r = query(request);
        assert_int_equal(r.status, cases[i].status);
        buf_free(&r.bytes);
    }
    mutex_lock(&services._mutex);
    services._config = &config;
    mutex_unlock(&services._mutex);
    atomic_store(&services.state, SERVICES_READY);
    assert_int_equal(atomic_load(&config.refs.n), 1); /* each request has released its snapshot */
}

static void test_added_headers(void **state UNUSED)
{
    struct reply r = query("GET /p/when-ready HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(str_is(r.body, "ready"));
    assert_true(str_is(reply_header(&r, "X-One"), "1"));
    assert_null(reply_header(&r, "X-Two").p);
    assert_null(reply_header(&r, "X-Lost").p);
    buf_free(&r.bytes);
}

/* Queries that take all of their workers and their queue leave the other class alone. */
static void test_classes(void **state UNUSED)
{
    int fds[WORKERS + WAITING];
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = dial();
        send_all(fds[i], "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(wait_for(&holding, i < WORKERS ? (int)i + 1 : WORKERS));
    }
    expect("GET /p/admin HTTP/1.1\r\nHost: x\r\n\r\n", 200, "worker 1 ");
    atomic_store(&let_go, true);
    for (size_t i = 0; i < LEN(fds); i++) {
        struct reply r;
        assert_true(receive(fds[i], false, &r));
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
        close(fds[i]);
    }
    atomic_store(&let_go, false);
}

/* ---- the program around it ---- */

static void run_main(void *arg UNUSED) { loop_run(main_loop); }

static int set_up(void **state UNUSED)
{
    struct err err;
    struct listener_conf conf = {.services = &services, .hooks = dispatch_hooks, .routes = table, .n_routes = LEN(table), .prefix = "/p/", .cors_origin = "http://a[.].*",
                                              .limits = &limits, .max_push = 2000000};
    limits = (struct http_limits){.places = 100, .min_places = 1, .spare_places = 2, .idle = 100, .idle_timeout = 30000,
                                  .read_timeout = 30000, .queue_timeout = 30000, .bodies.max = 8 << 20,
                                  .body_share = 4 << 20, .responses.max = 16 << 20, .max_accepted = 64};
    http_limits_init(&limits);
    main_loop = loop_new();
    mutex_init(&services._mutex, RANK_SERVICES);
    services.workers = workers_new(&(struct worker_conf){.workers = {WORKERS, 1}, .waiting = WAITING});
    for (unsigned i = 0; i < LANES; i++) {
        assert_non_null(lanes[i] = lane_start(i, &services, &conf, &err));
        servers[i] = lanes[i]->http;
    }
    listener = http_listen(STR("127.0.0.1:0"), main_loop, servers, LANES, &limits, &err);
    main_thread = thread_start("main", run_main, NULL);
    return listener == NULL;
}

/* With a request under way and an idle connection, as it may happen. */
static int tear_down(void **state UNUSED)
{
    int idle = dial(), busy = dial();
    send_all(busy, "GET /p/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    bool began = wait_for(&holding, 1);
    loop_stop(main_loop);
    thread_join(main_thread);
    http_listener_close(listener);
    for (unsigned i = 0; i < LANES; i++)
        lane_cancel(lanes[i]);
    workers_stop(services.workers);
    for (unsigned i = 0; i < LANES; i++)
        lane_join(lanes[i]);
    workers_free(services.workers);
    mutex_free(&services._mutex);
    for (unsigned i = 0; i < LANES; i++)
        lane_free(lanes[i]);
    loop_free(main_loop);
    http_limits_free(&limits);
    close(idle);
    close(busy);
    return began ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_worker_can_start),
        cmocka_unit_test(test_routes), cmocka_unit_test(test_forms), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_framing), cmocka_unit_test(test_push_body), cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_many_parameters), cmocka_unit_test(test_other_sites_change_nothing),
        cmocka_unit_test(test_ambiguous_headers), cmocka_unit_test(test_nul_in_the_head),
        cmocka_unit_test(test_chunks_end_the_connection),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_large_and_packed), cmocka_unit_test(test_headers), cmocka_unit_test(test_later),
        cmocka_unit_test(test_client_leaves), cmocka_unit_test(test_full_line), cmocka_unit_test(test_classes),
        cmocka_unit_test(test_reports_hold_no_lane),
        cmocka_unit_test(test_not_ready), cmocka_unit_test(test_added_headers), cmocka_unit_test(test_many), cmocka_unit_test(test_port_in_use)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
