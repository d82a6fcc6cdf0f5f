// SPDX-License-Identifier: Apache-2.0
/* Requests of the client and their responses: methods, bodies, compression, errors. */
#include "client_fixture.h"

#include "base/compress.h"

#include <stdio.h>
#include <stdlib.h>

static void a_get_and_a_kept_connection(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    const char *headers[] = {"X-Scope: a"};
    struct client_request req = client_get("/x?y=1", &res);
    req.headers = headers;
    req.n_headers = 1;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_string_equal(buf_z(&res.body), "hello");
    assert_string_equal(res.content_type, "text/plain");
    assert_false(res.reply.reused);
    assert_int_equal(res.reply.body_bytes, 5);
    assert_non_null(strstr(http_server_last_request(&client_server), "GET /x?y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nX-Scope: a\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nUser-Agent: sluice/" VERSION "\r\n"));
    assert_null(strstr(http_server_last_request(&client_server), "Accept-Encoding"));
    client_perform(&req, &res);
    assert_true(res.reply.reused);
    assert_int_equal(client_server.accepted, 1);
    buf_free(&res.body);
}

/* One Host header, which is not that of the URL. */
static void the_host_may_be_another(void **state UNUSED)
{
    struct client_result res = {0};
    struct client_request req = client_get("/", &res);
    req.host = "one.test:1";
    client_perform(&req, &res);
    const char *first = strstr(http_server_last_request(&client_server), "\r\nHost: ");
    assert_int_equal(res.reply.status, 200);
    assert_non_null(first);
    assert_memory_equal(first, "\r\nHost: one.test:1\r\n", strlen("\r\nHost: one.test:1\r\n"));
    assert_null(strstr(first + 2, "\r\nHost: "));
    buf_free(&res.body);
}

static void a_post_sends_its_body_without_expect(void **state UNUSED)
{
    static char body[(1 << 20) + 40000]; /* libcurl asks with Expect before it sends more than 1 MiB */
    memset(body, 'b', sizeof body);
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/x", &res);
    req.method = "POST";
    req.body = str_n(body, sizeof body);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_non_null(strstr(http_server_last_request(&client_server), "POST /x HTTP/1.1\r\n"));
    assert_null(strstr(http_server_last_request(&client_server), "Expect"));
    assert_memory_equal(strstr(http_server_last_request(&client_server), "\r\n\r\n") + 4, body, sizeof body);
    buf_free(&res.body);
}

static void an_error_status_is_an_answer(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/busy", &res);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 429);
    assert_string_equal(res.retry_after, "7");
    assert_int_equal(res.reply.date, INT64_C(784111777000));
    assert_string_equal(buf_z(&res.body), "later");
    assert_int_equal(res.reply.err.kind, ERR_NONE);
    buf_free(&res.body);
}

/* A small body arrives at once, a large one in pieces. */
static void expect_gzip(const char *path, size_t n, bool at_once)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get(path, &res);
    req.accept_gzip = true;
    req.max_body = n;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(res.body.n, n);
    assert_int_equal(res.pieces == 1, at_once);
    assert_true(res.reply.body_bytes < 10000);
    assert_non_null(strstr(http_server_last_request(&client_server), "Accept-Encoding: gzip\r\n"));
    req.max_body--;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_int_equal(res.reply.err.kind, ERR_TOO_LARGE);
    assert_true(res.body.n < n);
    buf_free(&res.body);
}

static void gzip_is_decoded_within_the_limit(void **state UNUSED)
{
    expect_gzip("/gzip", 1 << 20, true);
    expect_gzip("/gzip/large", 2 << 20, false);
}

/* Not a byte of it is delivered. */
static void a_declared_length_above_the_limit_is_enough(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/big", &res);
    client_perform(&req, &res);
    assert_true(res.pieces > 1);
    req.max_body = res.body.n - 1;
    client_perform(&req, &res);
    assert_int_equal(res.reply.err.kind, ERR_TOO_LARGE);
    assert_int_equal(res.pieces, 0);
    buf_free(&res.body);
}

static void a_packed_body_must_be_whole(void **state UNUSED)
{
    static const char *const paths[] = {"/gzip/cut", "/gzip/br"};
    for (size_t i = 0; i < LEN(paths); i++) {
        struct client_result res = {.done = 0};
        struct client_request req = client_get(paths[i], &res);
        req.accept_gzip = true;
        client_perform(&req, &res);
        assert_int_equal(res.reply.status, 0);
        assert_int_equal(res.reply.err.kind, ERR_BAD_GATEWAY);
        assert_non_null(strstr(res.reply.err.text, "unknown encoding, corrupted or truncated"));
        buf_free(&res.body);
    }
}

static void expect_end_by_callback(const char *path)
{
    struct client_result res = {.refuse = true};
    struct client_request req = client_get(path, &res);
    req.accept_gzip = true;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_string_equal(res.reply.err.text, "enough");
    assert_false(res.reply.gunzip_failed);
    res.refuse = false;
    res.call = client_start(&req, &res);
    while (client_inflight(client_tested) > 0)
        loop_turn(client_loop, -1);
    assert_int_equal(res.done, 0);
    assert_int_equal(res.pieces, 1);
    buf_free(&res.body);
}

static void the_data_callback_ends_or_cancels_a_call(void **state UNUSED)
{
    expect_end_by_callback("/big");
    expect_end_by_callback("/gzip"); /* its only piece is delivered at its end */
    expect_end_by_callback("/gzip/large");
}

/* `where` is a path of server one, or a URL. Returns what follows `words` in the error. */
static const char *expect_error(const char *where, int64_t timeout_ms, enum err_kind kind, const char *words)
{
    static struct client_result res;
    res = (struct client_result){.done = 0};
    struct client_request req = client_get(where, &res);
    if (where[0] != '/')
        req.url = where;
    req.timeout_ms = timeout_ms;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_int_equal(res.reply.err.kind, kind);
    const char *at = strstr(res.reply.err.text, words);
    if (at == NULL)
        fail_msg("\"%s\" does not say \"%s\"", res.reply.err.text, words);
    assert_int_equal(strncmp(res.reply.err.text, "GET ", 4), 0);
    buf_free(&res.body);
    return at + strlen(words);
}

/* The error states the time that passed, which a busy machine makes longer than the timeout. */
static void expect_timeout(const char *where, int64_t timeout_ms)
{
    const char *after = expect_error(where, timeout_ms, ERR_GATEWAY_TIME, "timed out after ");
    assert_in_range(strtoll(after, NULL, 10), timeout_ms, CLIENT_SOON_MS);
}

static void expect_status(const char *path, int status)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get(path, &res);
    req.status_only = true;
    req.no_redirects = true;
    req.max_body = 64 << 10;
    req.timeout_ms = CLIENT_SOON_MS;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, status);
    assert_int_equal(res.reply.err.kind, ERR_NONE);
    assert_true(res.body.n <= req.max_body);
    assert_true(res.reply.sent);
    buf_free(&res.body);
}

static void a_status_counts_whatever_the_body_does(void **state UNUSED)
{
    expect_status("/big", 200);
    expect_status("/cut", 200);
    expect_status("/loop", 302);
    expect_status("/busy", 429);
    struct client_result res = {.done = 0};
    struct client_request req = client_get("http://127.0.0.1:1/x", &res);
    req.status_only = true;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_false(res.reply.sent);
    buf_free(&res.body);
}

static int heads_seen[3]; /* their statuses */
static unsigned n_heads_seen;

static void note_head(void *arg, const struct client_reply *reply)
{
    assert_int_equal(((struct client_result *)arg)->pieces, 0);
    assert_true(n_heads_seen < LEN(heads_seen));
    heads_seen[n_heads_seen++] = reply->status;
}

/* Before any byte of the body, and not for a redirect. */
static void a_head_is_reported(void **state UNUSED)
{
    static const struct { const char *path; int status; } cases[] = {
        {"/x", 200}, {"/busy", 429}, {"/away", 200}, {"/cut", 200}, {"/drop", 0}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct client_result res = {.done = 0};
        struct client_request req = client_get(cases[i].path, &res);
        req.head = note_head;
        n_heads_seen = 0;
        client_perform(&req, &res);
        assert_int_equal(n_heads_seen, cases[i].status != 0);
        assert_true(n_heads_seen == 0 || heads_seen[0] == cases[i].status);
        buf_free(&res.body);
    }
}

static void failures_are_told_in_words(void **state UNUSED)
{
    expect_error("http://127.0.0.1:1/x", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "GET http://127.0.0.1:1/x: connection refused");
    expect_error("http://name.invalid/x", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "could not resolve host: name.invalid");
    expect_timeout("/silent", 100);
    expect_error("/cut", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "connection closed before the response was complete");
    expect_error("/drop", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "closed the connection without a response");
    expect_error("/loop", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "more than 10 redirects");
    expect_error("ftp://127.0.0.1/x", CLIENT_SOON_MS, ERR_BAD_GATEWAY, "ftp");
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/x", &res);
    client_perform(&req, &res);
    expect_timeout("/silent", 100); /* on the connection that was kept */
    buf_free(&res.body);
    char tls[64];
    snprintf(tls, sizeof tls, "https://127.0.0.1:%d/", client_other.port); /* its answer to a handshake is "HTTP/1.1 200 OK" */
    expect_error(tls, CLIENT_SOON_MS, ERR_BAD_GATEWAY, ": TLS: ");
}

static void sent_bytes_are_those_that_the_server_got(void **state UNUSED)
{
    static char zeros[200000];
    static const size_t sizes[] = {0, 1, 50000, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < LEN(sizes); i++) {
        struct client_result res = {.done = 0};
        struct client_request req = client_get("/x", &res);
        req.method = "POST";
        req.body = str_n(zeros, sizes[i]);
        size_t before = client_server.received;
        client_perform(&req, &res);
        assert_int_equal(res.reply.sent_bytes, client_server.received - before);
        buf_free(&res.body);
    }
}

static void failures_of_dialing_and_of_gzip(void **state UNUSED)
{
    static const struct { const char *path; bool dial, gunzip; } cases[] = {
        {"/x", false, false}, {"/gzip/cut", false, true}, {"/gzip/br", false, true}, {"/drop", false, false}};
    struct client_result res = {.done = 0};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct client_request req = client_get(cases[i].path, &res);
        req.accept_gzip = true;
        client_perform(&req, &res);
        assert_int_equal(res.reply.dial_failed, cases[i].dial);
        assert_int_equal(res.reply.gunzip_failed, cases[i].gunzip);
    }
    static const char *const urls[] = {"http://127.0.0.1:1/", "http://host.invalid/"};
    for (size_t i = 0; i < LEN(urls); i++) {
        client_perform(&(struct client_request){.method = "GET", .url = urls[i], .done = client_done, .arg = &res},
                       &res);
        assert_true(res.reply.dial_failed);
    }
    struct full_server full;
    open_full_server(&full);
    struct client_request req = client_get("/", &res);
    req.url = full.url;
    req.connect_timeout_ms = 50;
    client_perform(&req, &res);
    assert_true(res.reply.dial_failed);
    close_full_server(&full);
    req = client_get("/silent", &res);
    req.timeout_ms = 100;
    client_perform(&req, &res);
    assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
    assert_false(res.reply.dial_failed);
    buf_free(&res.body);
}

static struct { struct client_call *call; unsigned pauses; bool paused; size_t n, before, most; } reading;

static bool pause_at_each_piece(void *arg, const struct client_reply *r UNUSED, struct str piece, struct err *err)
{
    const struct client_result *res = arg;
    reading.n += piece.n;
    client_pause(reading.call, true);
    reading.pauses += !reading.paused;
    reading.paused = true;
    return !res->refuse || reading.n < res->refused_from || err_set(err, ERR_LIMIT, "enough");
}

/* While a call is paused, at most what was received already is delivered. */
static void a_call_can_pause(void **state UNUSED)
{
    enum { RECEIVED = 256 << 10, TURNS = 5 };
    struct client_result whole = {0}, res = {0};
    struct client_request req = client_get("/big", &whole);
    client_perform(&req, &whole);
    req = client_get("/big", &res);
    req.data = pause_at_each_piece;
    memset(&reading, 0, sizeof reading);
    reading.call = client_start(&req, &res);
    while (!res.done) {
        loop_turn(client_loop, reading.paused ? 1 : -1);
        for (int i = 0; reading.paused && i < TURNS; i++)
            loop_turn(client_loop, 1);
        reading.most = reading.n - reading.before > reading.most ? reading.n - reading.before : reading.most;
        reading.before = reading.n;
        reading.paused = false;
        if (!res.done)
            client_pause(reading.call, false);
    }
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(reading.n, whole.body.n);
    assert_true(reading.pauses > 1);
    assert_true(reading.most <= RECEIVED);
    buf_free(&whole.body);
    buf_free(&res.body);
}

/* Also what was received before the pause, and is delivered after it: here the last piece. */
static void a_call_that_has_paused_can_be_refused(void **state UNUSED)
{
    struct client_result whole = {0}, res = {.refuse = true};
    struct client_request req = client_get("/chunks", &whole);
    client_perform(&req, &whole);
    req = client_get("/chunks", &res);
    req.data = pause_at_each_piece;
    memset(&reading, 0, sizeof reading);
    reading.call = client_start(&req, &res);
    res.refused_from = whole.body.n;
    while (!res.done) {
        loop_turn(client_loop, 1);
        if (reading.paused && !res.done)
            client_pause(reading.call, reading.paused = false);
    }
    assert_int_equal(res.reply.status, 0);
    assert_string_equal(res.reply.err.text, "enough");
    buf_free(&whole.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(a_get_and_a_kept_connection), CLIENT_TEST(the_host_may_be_another),
        CLIENT_TEST(a_post_sends_its_body_without_expect),
        CLIENT_TEST(an_error_status_is_an_answer),
        CLIENT_TEST(gzip_is_decoded_within_the_limit),
        CLIENT_TEST(a_declared_length_above_the_limit_is_enough),
        CLIENT_TEST(a_packed_body_must_be_whole),
        CLIENT_TEST(the_data_callback_ends_or_cancels_a_call),
        CLIENT_TEST(a_status_counts_whatever_the_body_does),
        CLIENT_TEST(a_head_is_reported),
        CLIENT_TEST(a_call_can_pause),
        CLIENT_TEST(a_call_that_has_paused_can_be_refused),
        CLIENT_TEST(failures_are_told_in_words),
        CLIENT_TEST(sent_bytes_are_those_that_the_server_got),
        CLIENT_TEST(failures_of_dialing_and_of_gzip),
    };
    return RUN_BOTH_WAYS(client_by_libcurl, tests);
}
