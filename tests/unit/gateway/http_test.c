// SPDX-License-Identifier: Apache-2.0
/* Routes, parameters, bodies and headers of the HTTP server. */
#include "http_fixture.h"

#include "base/compress.h"

#include <stdio.h>
#include <unistd.h>

static void test_routes(void **state UNUSED)
{
    fixture_expect("GET /p/echo?a=1&b=%20x+y HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /echo [] a=1 b= x y q: body:0");
    fixture_expect("GET /p/label/a%2Fb/values HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /label/a%2Fb/values [a/b] q: body:0");
    fixture_expect("GET /p/label/a/b/values HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    fixture_expect("GET /p/label//values HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    fixture_expect("GET /p/static/a/b HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /static/a/b [a/b] q: body:0");
    fixture_expect("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    fixture_expect("GET /pecho HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 page not found\n");
    fixture_expect("POST /p/label/a/values HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "Method Not Allowed\n");
    fixture_expect("GET //p//label///a%2Fb/values HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /label/a%2Fb/values [a/b] q: body:0");
    fixture_expect("GET http://x:1/p/echo?a=//b HTTP/1.1\r\nHost: x\r\n\r\n", 200, "1 /echo [] a=//b q: body:0");
    fixture_expect("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 302, "");
    fixture_expect("OPTIONS /p/anything HTTP/1.1\r\nHost: x\r\n\r\n", 204, "");
    fixture_expect("GET /p/echo?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400,
           "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid URL escape in parameter \\\"a\\\"\"}");
}

static void test_forms(void **state UNUSED)
{
    fixture_expect("POST /p/echo?q=url&m=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
           "Content-Length: 10\r\n\r\nq=body&m=2", 200, "2 /echo [] q=url m=1 q=body m=2 q:body body:0");
    fixture_expect("POST /p/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 200, "2 /echo [] q: body:2");
    fixture_expect("POST /p/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nq=a\r\n2\r\nbc\r\n0\r\n\r\n", 200, "2 /echo [] q=abc q:abc body:0");
}

static void test_limits(void **state UNUSED)
{
    fixture_expect("POST /p/small HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", 413, "the request body exceeds the limit of this endpoint\n");
    struct buf request = {0};
    buf_add_z(&request, "POST /p/small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++)
        buf_add_z(&request, "a\r\n0123456789\r\n");
    buf_add_z(&request, "0\r\n\r\n");
    fixture_expect(buf_z(&request), 413, "the request body exceeds the limit of this endpoint\n");
    buf_free(&request);
    fixture_expect("POST /p/small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
           "conflicting Content-Length and Transfer-Encoding headers\n");
}

static void test_push_body(void **state UNUSED)
{
    struct buf request = {0};
    fixture_expect("POST /p/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2000001\r\n\r\n", 413, "the request body exceeds the limit of this endpoint\n");
    buf_add_z(&request, "POST /p/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    for (int i = 0; i < 2000000; i++)
        buf_add_char(&request, 'x');
    fixture_expect(buf_z(&request), 200, "2 /push [] q: body:2000000");
    buf_free(&request);
}

static void test_many_parameters(void **state UNUSED)
{
    struct buf request = {0};
    buf_add_z(&request, "GET /p/count?");
    for (int i = 0; i < 5000; i++)
        buf_add_z(&request, "a=b&");
    buf_add_z(&request, "c HTTP/1.1\r\nHost: x\r\n\r\n");
    fixture_expect(buf_z(&request), 200, "5001");
    buf_free(&request);
}

static void test_redirect(void **state UNUSED)
{
    struct fixture_reply r = fixture_query("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.status, 302);
    assert_true(str_is(fixture_header(&r, "Location"), "/p/"));
    buf_free(&r.bytes);
}

static void test_keep_alive(void **state UNUSED)
{
    struct fixture_reply r;
    int fd = fixture_dial();
    for (int i = 0; i < 3; i++) {
        fixture_send(fd, i == 1 ? "GET /p/nothing HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /p/worker HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n\r\n");
        assert_true(fixture_receive(fd, false, &r));
        assert_int_equal(r.status, i == 1 ? 404 : 200);
        assert_true(i == 1 || str_is(r.body, "worker 1 yes"));
        buf_free(&r.bytes);
    }
    close(fd);
}

static void test_large_and_packed(void **state UNUSED)
{
    struct buf out = {0};
    struct fixture_reply plain = fixture_query("GET /p/static/fixed HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(plain.body.n, 2800000);
    struct fixture_reply packed = fixture_query("GET /p/static/fixed HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n");
    assert_true(str_is(fixture_header(&packed, "Content-Encoding"), "gzip"));
    assert_true(decompress(CODEC_GZIP, NULL, packed.body, 4 << 20, &out, NULL));
    assert_true(str_eq(buf_str(&out), plain.body));
    struct fixture_reply refused = fixture_query("HEAD /p/static/fixed HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\n\r\n");
    assert_true(fixture_header(&refused, "Content-Encoding").p == NULL);
    assert_true(str_is(fixture_header(&refused, "Content-Length"), "2800000"));
    assert_int_equal(refused.body.n, 0);
    buf_free(&out);
    buf_free(&plain.bytes);
    buf_free(&packed.bytes);
    buf_free(&refused.bytes);
}

static void test_headers(void **state UNUSED)
{
    struct fixture_reply r = fixture_query("GET /p/fail HTTP/1.1\r\nHost: x\r\nOrigin: http://a.example\r\n\r\n");
    assert_int_equal(r.status, 503);
    assert_true(str_is(fixture_header(&r, "Retry-After"), "7"));
    assert_true(str_is(fixture_header(&r, "Content-Type"), "application/json"));
    assert_true(str_is(fixture_header(&r, "Access-Control-Allow-Origin"), "http://a.example"));
    assert_true(str_is(r.body, "{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"no \\u003cserver\\u003e\"}"));
    buf_free(&r.bytes);
    r = fixture_query("GET /p/echo HTTP/1.1\r\nHost: x\r\nOrigin: http://b.example\r\n\r\n");
    assert_true(fixture_header(&r, "Access-Control-Allow-Origin").p == NULL);
    buf_free(&r.bytes);
}

static void test_later(void **state UNUSED)
{
    fixture_expect("GET /p/later HTTP/1.1\r\nHost: x\r\n\r\n", 200, "later");
    fixture_expect("GET /p/later?now=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "now");
}

/* Before the first configuration, and while the program starts or stops. */
static void test_not_ready(void **state UNUSED)
{
    static const char get[] = "GET /p/%s HTTP/1.1\r\nHost: x\r\n\r\n";
    static const struct { const char *path; int state; struct config *config; int status; } cases[] = {
        {"when-ready", SERVICES_READY, &http_fixture.config, 200},
        {"when-ready", SERVICES_STARTING, &http_fixture.config, 503},
        {"when-ready", SERVICES_STOPPING, &http_fixture.config, 503},
        {"when-ready", SERVICES_READY, NULL, 503},
        {"echo", SERVICES_STARTING, NULL, 503},
        {"worker", SERVICES_STARTING, NULL, 503},
        {"echo", SERVICES_STOPPING, &http_fixture.config, 200},
        {"always", SERVICES_STARTING, NULL, 200}};
    for (size_t i = 0; i < LEN(cases); i++) {
        char request[100];
        mutex_lock(&http_fixture.services._lane_mutex);
        http_fixture.services._lane_config = cases[i].config;
        mutex_unlock(&http_fixture.services._lane_mutex);
        atomic_store(&http_fixture.services.state, cases[i].state);
        snprintf(request, sizeof request, get, cases[i].path);
        struct fixture_reply r = fixture_query(request);
        assert_int_equal(r.status, cases[i].status);
        buf_free(&r.bytes);
    }
    mutex_lock(&http_fixture.services._lane_mutex);
    http_fixture.services._lane_config = &http_fixture.config;
    mutex_unlock(&http_fixture.services._lane_mutex);
    atomic_store(&http_fixture.services.state, SERVICES_READY);
    assert_int_equal(atomic_load(&http_fixture.config.refs.n), 1); /* each request has released its snapshot */
}

static void test_added_headers(void **state UNUSED)
{
    struct fixture_reply r = fixture_query("GET /p/when-ready HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(str_is(r.body, "ready"));
    assert_true(str_is(fixture_header(&r, "X-One"), "1"));
    assert_null(fixture_header(&r, "X-Two").p);
    assert_null(fixture_header(&r, "X-Lost").p);
    buf_free(&r.bytes);
}

static void test_many(void **state UNUSED)
{
    int fds[100];
    struct fixture_reply r;
    for (size_t i = 0; i < LEN(fds); i++) {
        fds[i] = fixture_dial();
        fixture_send(fds[i], i % 2 ? "GET /p/echo HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /p/later HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (size_t i = 0; i < LEN(fds); i++) {
        assert_true(fixture_receive(fds[i], false, &r));
        assert_int_equal(r.status, 200);
        buf_free(&r.bytes);
        close(fds[i]);
    }
}

static void test_port_in_use(void **state UNUSED)
{
    struct err err;
    struct listener same = {.address = str_of(http_listener_address(http_fixture.listener))}, nowhere = {.address = STR("nowhere")};
    assert_null(http_listen(&same, http_fixture.main_loop, http_fixture.servers, FIXTURE_LANES, &http_fixture.limits, &err));
    assert_non_null(strstr(err.text, "in use"));
    assert_null(http_listen(&nowhere, http_fixture.main_loop, http_fixture.servers, FIXTURE_LANES, &http_fixture.limits, &err));
    assert_non_null(strstr(err.text, "nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_push_body),
        cmocka_unit_test(test_many_parameters),
        cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_large_and_packed),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_added_headers),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_port_in_use),
    };
    return cmocka_run_group_tests(tests, http_fixture_set_up, http_fixture_tear_down);
}
