// SPDX-License-Identifier: Apache-2.0
/* The same odd responses over connections of our own and by libcurl give the same reply; and what only the former do:
 * repeating a request, and beginning again with libcurl. */
#include "client_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the same replies ---- */

struct odd_response {
    const char *text;
    bool keeps;  /* the server leaves the connection open after it */
    int status;  /* 0: an error */
    const char *body;
    bool lenient; /* libcurl takes it for a complete response */
};

static const struct odd_response odd_responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true, 200, "", false},
    {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\ncONTENT-lENGTH:2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.0 200 OK\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nTrailer: x\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 204 No Content\r\n\r\n", true, 204, "", false},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true, 304, "", false},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", true, 404, "no", false},
    {"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nok", true, 302, "ok", false},
    {"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", true, 599, "ok", false},
    {"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nContent-Len", false, 0, NULL, true},
    {"HTTP/1.1 2", false, 0, NULL, false},
    {"HTTP/1.1 20 OK\r\n\r\n", false, 0, NULL, false},
    {"no HTTP at all\r\n\r\n", false, 0, NULL, false},
    {"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n002\r\nok\r\n000\r\n\r\n", true, 200, "ok", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\nok\r\n0\r\n\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", false, 0, NULL, false},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: odd\r\nContent-Length: 2\r\n\r\nok", true, 200, "ok", false},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", false, 0, NULL, false},
    {"HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok", true, 205, "ok", false},
    {"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1 2000 High\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, true},
    {"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, true},
    {"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, true},
    {"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 0, NULL, false},
    {"", false, 0, NULL, false},
};

static void respond_oddly(void *arg, const struct server_request *request UNUSED, struct server_response *r)
{
    const struct odd_response *odd = *(const struct odd_response **)arg;
    r->raw = true;
    buf_add_z(&r->body, odd->text);
    r->action = odd->keeps ? SERVER_KEEP : SERVER_CLOSE;
}

static void replies_are_the_same_both_ways(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    const struct odd_response *odd = NULL;
    struct http_server server;
    http_server_start(&server, respond_oddly, &odd);
    struct client_request req = client_get("/", &res);
    req.url = client_url(&server, "/");
    req.timeout_ms = CLIENT_SOON_MS;
    for (size_t i = 0; i < LEN(odd_responses); i++) {
        odd = &odd_responses[i];
        client_perform(&req, &res);
        if (client_by_libcurl && odd->lenient) {
            assert_int_equal(res.reply.status, 200);
            continue;
        }
        if (res.reply.status != odd->status)
            fail_msg("%s\nstatus %d, %s", odd->text, res.reply.status, res.reply.err.text);
        assert_int_equal(res.reply.err.kind, odd->status ? ERR_NONE : ERR_BAD_GATEWAY);
        if (odd->body)
            assert_string_equal(buf_z(&res.body), odd->body);
    }
    http_server_stop(&server);
    buf_free(&res.body);
}

/* ---- a connection that the server has closed ---- */

/* The first request is answered, the second finds the connection closed. */
static void drop_the_second(void *arg, const struct server_request *request UNUSED, struct server_response *r)
{
    unsigned *n = arg;
    r->action = ++*n == 2 ? SERVER_DROP : SERVER_KEEP;
    buf_add_z(&r->body, "ok");
}

static void a_request_on_a_closed_connection_is_repeated(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct http_server server;
    unsigned n = 0;
    http_server_start(&server, drop_the_second, &n);
    struct client_request req = client_get("/", &res);
    req.url = client_url(&server, "/");
    req.method = "POST";
    req.body = STR("body");
    for (unsigned i = 0; i < 2; i++) {
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 200);
        assert_string_equal(buf_z(&res.body), "ok");
    }
    assert_false(res.reply.reused);
    assert_int_equal(server.requests, 3);
    assert_int_equal(server.accepted, 2);
    http_server_stop(&server);
    buf_free(&res.body);
}

static void a_request_on_a_new_connection_is_not_repeated(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/drop", &res);
    client_perform(&req, &res);
    assert_int_equal(client_server.requests, 1);
    struct client_request kept = client_get("/x", &res);
    client_perform(&kept, &res);
    req = client_get("/drop", &res);
    client_perform(&req, &res); /* on the connection that was kept, and once more */
    assert_int_equal(res.reply.err.kind, ERR_BAD_GATEWAY);
    assert_int_equal(client_server.requests, 4);
    buf_free(&res.body);
}

/* ---- responses before the end of the request ---- */

static void a_response_may_precede_the_end_of_the_request(void **state UNUSED)
{
    static char body[8 << 20];
    struct client_result res = {.done = 0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fd;
    assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    char url[64], head[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    struct client_request req = client_get("/", &res);
    req.url = url;
    req.method = "POST";
    req.body = str_n(body, sizeof body);
    client_start(&req, &res);
    while ((fd = accept(listener, NULL, NULL)) < 0)
        loop_turn(client_loop, 10);
    while (recv(fd, head, sizeof head, MSG_DONTWAIT) <= 0)
        loop_turn(client_loop, 10);
    static const char refusal[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge";
    assert_int_equal(send(fd, refusal, sizeof refusal - 1, 0), sizeof refusal - 1);
    while (!res.done)
        loop_turn(client_loop, 10);
    assert_int_equal(res.reply.status, 413);
    assert_string_equal(buf_z(&res.body), "large");
    close(fd);
    close(listener);
    buf_free(&res.body);
}

/* ---- redirects ---- */

/* Followed by libcurl; from the second time on it makes the first request too. */
static void a_redirect_costs_a_request_more_only_once(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    const char *headers[] = {"X-Scope: a"};
    for (unsigned i = 0; i < 3; i++) {
        struct client_request req = client_get("/away", &res);
        req.headers = headers;
        req.n_headers = 1;
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 200);
        assert_true(http_server_last_contains(&client_other, "GET /there HTTP/1.1\r\n"));
        assert_true(http_server_last_contains(&client_other, "\r\nX-Scope: a\r\n"));
    }
    assert_int_equal(client_server.requests, client_by_libcurl ? 3 : 4);
    struct client_request req = client_get("/away", &res);
    req.no_redirects = true;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 302);
    buf_free(&res.body);
}

static void a_write_follows_redirects_that_keep_it_a_write(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/away", &res);
    req.method = "POST";
    req.body = STR("the body");
    req.keep_method = true;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 302);
    assert_int_equal(client_other.requests, 0);
    for (int i = 0; i < 2; i++) { /* the second begins with libcurl */
        req.url = client_url(&client_server, "/moved");
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 200);
        assert_true(http_server_last_contains(&client_other, "POST /there HTTP/1.1\r\n"));
        assert_true(http_server_last_contains(&client_other, "\r\n\r\nthe body"));
    }
    req.no_redirects = true;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 308);
    assert_int_equal(client_other.requests, 2);
    buf_free(&res.body);
}

/* Only libcurl needs the file, to be ready for a redirect to https. */
static void a_redirect_that_cannot_be_followed_is_an_error(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct err err = {0};
    struct client_profile *p = client_profile_new(&(struct client_profile_conf){.ca_file = "/nonexistent/ca"}, &err);
    struct client_request req = client_get("/away", &res);
    req.profile = p;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_non_null(strstr(res.reply.err.text, "/nonexistent/ca"));
    client_profile_unref(p);
    buf_free(&res.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(replies_are_the_same_both_ways),
        CLIENT_TEST(a_request_on_a_closed_connection_is_repeated),
        CLIENT_TEST(a_request_on_a_new_connection_is_not_repeated),
        CLIENT_TEST(a_response_may_precede_the_end_of_the_request),
        CLIENT_TEST(a_redirect_costs_a_request_more_only_once),
        CLIENT_TEST(a_write_follows_redirects_that_keep_it_a_write),
        CLIENT_TEST(a_redirect_that_cannot_be_followed_is_an_error),
    };
    return RUN_BOTH_WAYS(client_by_libcurl, tests);
}
