// SPDX-License-Identifier: Apache-2.0
/* Heads that say in two ways what they mean, and requests that pages of other sites send. */
#include "http_fixture.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* What follows such a request must not be taken for the next one. */
static void test_framing(void **state UNUSED)
{
    static const struct { const char *headers; int status; } odd[] = {
        {"Content-Length: 5\r\nTransfer-Encoding: chunked", 400}, {"Content-Length: 0\r\nContent-Length: 5", 400},
        {"Content-Length : 5", 400}, {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
        {"Transfer-Encoding: gzip", 400}, {"Content-Length: 5x", 400}};
    for (size_t i = 0; i < LEN(odd); i++) {
        struct buf request = {0};
        struct fixture_reply r;
        int fd = fixture_dial();
        buf_printf(&request, "POST /p/echo HTTP/1.1\r\nHost: x\r\n%s\r\n\r\nGET /p/echo HTTP/1.1\r\nHost: x\r\n\r\n",
                   odd[i].headers);
        fixture_send(fd, buf_z(&request));
        assert_true(fixture_receive(fd, false, &r));
        assert_int_equal(r.status, odd[i].status);
        buf_free(&r.bytes);
        assert_false(fixture_receive(fd, false, &r));
        assert_int_equal(r.bytes.n, 0);
        buf_free(&r.bytes);
        buf_free(&request);
        close(fd);
    }
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
            struct fixture_reply r = fixture_query(text);
            assert_int_equal(r.status, cases[i].status);
            buf_free(&r.bytes);
        }
    struct fixture_reply r = fixture_query("POST /p/echo HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(r.status, 200); /* queries are read only */
    assert_true(str_is(fixture_header(&r, "X-Content-Type-Options"), "nosniff"));
    assert_null(fixture_header(&r, "Content-Security-Policy").p);
    buf_free(&r.bytes);
    r = fixture_query("GET /p/page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(fixture_header(&r, "Content-Security-Policy").p, "frame-ancestors 'none'"));
    buf_free(&r.bytes);
}

static void expect_bad_request(const char *text)
{
    struct fixture_reply r = fixture_query(text);
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
    fixture_expect("GET /p/echo HTTP/1.0\r\n\r\n", 200, "1 /echo [] q: body:0");
    fixture_expect("GET /p/echo HTTP/1.1\r\nHost: [::1]:80\r\nX-A: \r\nX-B: c \r\n\r\n", 200, "1 /echo [] q: body:0");
}

/* A NUL ends what the library reads of a line, wherever it stands. */
static void test_nul_in_the_head(void **state UNUSED)
{
    static const char request[] = "POST /p/echo HTTP/1.1\r\nHost: x\r\nX-A: a\r\nContent-Length: 50\r\nX-B: b\r\n\r\n";
    size_t n = sizeof request - 1;
    for (size_t i = 5; i < n; i++) {
        char text[sizeof request];
        struct fixture_reply r;
        int fd = fixture_dial();
        memcpy(text, request, n);
        if (text[i] == '\r' || text[i] == '\n') /* a line that does not end has no response */
            continue;
        text[i] = 0;
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
        bool answered = fixture_receive(fd, false, &r);
        if (answered)
            assert_int_equal(r.status, 400);
        buf_free(&r.bytes);
        close(fd);
    }
}

/* Nothing is read from the connection behind a body in chunks: where it ends is a matter of taste. */
static void test_chunks_end_the_connection(void **state UNUSED)
{
    struct fixture_reply r;
    int fd = fixture_dial();
    fixture_send(fd, "POST /p/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\nGET /p/echo HTTP/1.1\r\n"
                 "Host: x\r\n\r\n");
    assert_true(fixture_receive(fd, false, &r));
    assert_true(r.status == 200 || r.status == 400); /* versions of the library after 0.9.75 refuse bare LF */
    buf_free(&r.bytes);
    assert_false(fixture_receive(fd, false, &r));
    assert_int_equal(r.bytes.n, 0);
    buf_free(&r.bytes);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_other_sites_change_nothing),
        cmocka_unit_test(test_ambiguous_headers),
        cmocka_unit_test(test_nul_in_the_head),
        cmocka_unit_test(test_chunks_end_the_connection),
    };
    return cmocka_run_group_tests(tests, http_fixture_set_up, http_fixture_tear_down);
}
