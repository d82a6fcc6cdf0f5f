// SPDX-License-Identifier: Apache-2.0
/* The client against servers on loopback, which respond by the path of the request. */
#include "base/http/client.h"

#include "base/compress.h"
#include "base/telemetry/stats.h"
#include "base/os/thread.h"
#include "base/os/watched_file.h"
#include "base/text/duration.h"
#include "tests/unit/http_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the server ---- */

static struct http_server one, two;

static void gzip_response(struct server_response *r, struct str path, struct str body)
{
    struct buf compressed = {0};
    gzip_pack(&compressed, body, 6);
    bool truncated = str_eq(path, STR("/gzip/cut")), brotli = str_eq(path, STR("/gzip/br"));
    snprintf(r->headers, sizeof r->headers, "Content-Encoding: %s\r\n", brotli ? "br" : "gzip");
    buf_add_str(&r->body, str_first(buf_str(&compressed), truncated ? compressed.n - 9 : compressed.n));
    buf_free(&compressed);
}

static void redirect_response(struct server_response *r, const char *host, int port, const char *path)
{
    r->status = 302;
    buf_add_z(&r->body, "x");
    snprintf(r->headers, sizeof r->headers, "Location: http://%s:%d%s\r\n", host, port, path);
}

static void respond_by_path(void *arg, const struct server_request *request, struct server_response *r)
{
    static const char zeros[1 << 20];
    struct str path = request->path;
    if (str_starts(path, STR("/gzip")))
        gzip_response(r, path, str_n(zeros, sizeof zeros));
    else if (str_starts(path, STR("/big")))
        buf_add(&r->body, zeros, sizeof zeros);
    else if (str_starts(path, STR("/busy"))) {
        r->status = 429;
        snprintf(r->headers, sizeof r->headers, "Retry-After: 7\r\nContent-Type: text/plain; charset=utf-8\r\n");
        buf_add_z(&r->body, "later");
    } else if (str_starts(path, STR("/loop")))
        redirect_response(r, "127.0.0.1", ((struct http_server *)arg)->port, "/loop");
    else if (str_starts(path, STR("/away")))
        redirect_response(r, "localhost", two.port, "/there");
    else if (str_starts(path, STR("/cut"))) {
        buf_add_z(&r->body, "abc");
        r->cut = 97;
        r->action = SERVER_CLOSE;
    } else if (str_starts(path, STR("/drop")))
        r->action = SERVER_DROP;
    else if (str_starts(path, STR("/silent")))
        r->action = SERVER_SILENT;
    else {
        bool once = str_starts(path, STR("/once"));
        snprintf(r->headers, sizeof r->headers, "%s", once ? "Connection: close\r\n" : "Content-Type: text/plain\r\n");
        r->action = once ? SERVER_CLOSE : SERVER_KEEP;
        buf_add_z(&r->body, "hello");
    }
}

/* ---- the client ---- */

static struct loop *loop;
static struct client *client;

struct result {
    struct buf body;
    int done, pieces;
    struct client_reply reply;
    char content_type[64], retry_after[16];
    bool refuse;              /* data returns false */
    struct client_call *call; /* data cancels it */
};

static bool take(void *arg, const struct client_reply *r, struct str piece, struct err *err)
{
    struct result *res = arg;
    assert_true(r->status != 0);
    res->pieces++;
    buf_add_str(&res->body, piece);
    if (res->call)
        client_cancel(res->call);
    return !res->refuse || err_set(err, ERR_LIMIT, "enough");
}

static void done(void *arg, const struct client_reply *r)
{
    struct result *res = arg;
    res->done++;
    res->reply = *r;
    snprintf(res->content_type, sizeof res->content_type, "%.*s", STR_ARG(r->content_type));
    snprintf(res->retry_after, sizeof res->retry_after, "%.*s", STR_ARG(r->retry_after));
}

static const char *url_of(const struct http_server *s, const char *path)
{
    static char text[256];
    snprintf(text, sizeof text, "http://127.0.0.1:%d%s", s->port, path);
    return text;
}

static struct client_request get(const char *path, struct result *res)
{
    return (struct client_request){
        .method = "GET", .url = url_of(&one, path), .timeout_ms = 10000, .data = take, .done = done, .arg = res};
}

static struct client_call *send_request(const struct client_request *req, struct result *res)
{
    buf_free(&res->body);
    *res = (struct result){.refuse = res->refuse};
    return client_send(client, req);
}

static void perform(const struct client_request *req, struct result *res)
{
    send_request(req, res);
    while (!res->done)
        loop_turn(loop, -1);
    assert_int_equal(res->done, 1);
}

static int set_up(void **state UNUSED)
{
    http_server_start(&one, respond_by_path, &one);
    http_server_start(&two, respond_by_path, &two);
    loop = loop_new();
    client = client_new(loop, &(struct client_settings){.max_inflight = 2, .connections = 600});
    return 0;
}

static int tear_down(void **state UNUSED)
{
    client_free(client);
    loop_free(loop);
    http_server_stop(&one);
    http_server_stop(&two);
    return 0;
}

/* ---- the tests ---- */

static void a_get_and_a_kept_connection(void **state UNUSED)
{
    struct result res = {.done = 0};
    const char *headers[] = {"X-Scope: a"};
    struct client_request req = get("/x?y=1", &res);
    req.headers = headers;
    req.n_headers = 1;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_string_equal(buf_z(&res.body), "hello");
    assert_string_equal(res.content_type, "text/plain");
    assert_false(res.reply.reused);
    assert_int_equal(res.reply.body_bytes, 5);
    assert_non_null(strstr(http_server_last_request(&one), "GET /x?y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(http_server_last_request(&one), "\r\nX-Scope: a\r\n"));
    assert_non_null(strstr(http_server_last_request(&one), "\r\nUser-Agent: sluice/" VERSION "\r\n"));
    assert_null(strstr(http_server_last_request(&one), "Accept-Encoding"));
    perform(&req, &res);
    assert_true(res.reply.reused);
    assert_int_equal(one.accepted, 1);
    buf_free(&res.body);
}

static void a_post_sends_its_body_without_expect(void **state UNUSED)
{
    static char body[40000];
    memset(body, 'b', sizeof body);
    struct result res = {.done = 0};
    struct client_request req = get("/x", &res);
    req.method = "POST";
    req.body = str_n(body, sizeof body);
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_non_null(strstr(http_server_last_request(&one), "POST /x HTTP/1.1\r\n"));
    assert_null(strstr(http_server_last_request(&one), "Expect"));
    assert_memory_equal(strstr(http_server_last_request(&one), "\r\n\r\n") + 4, body, sizeof body);
    buf_free(&res.body);
}

static void an_error_status_is_an_answer(void **state UNUSED)
{
    struct result res = {.done = 0};
    struct client_request req = get("/busy", &res);
    perform(&req, &res);
    assert_int_equal(res.reply.status, 429);
    assert_string_equal(res.retry_after, "7");
    assert_string_equal(buf_z(&res.body), "later");
    assert_int_equal(res.reply.err.kind, ERR_NONE);
    buf_free(&res.body);
}

static void gzip_is_decoded_within_the_limit(void **state UNUSED)
{
    struct result res = {.done = 0};
    struct client_request req = get("/gzip", &res);
    req.accept_gzip = true;
    req.max_body = 1 << 20;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(res.body.n, 1 << 20);
    assert_true(res.pieces > 1 && res.reply.body_bytes < 10000);
    assert_non_null(strstr(http_server_last_request(&one), "Accept-Encoding: gzip\r\n"));
    req.max_body--;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_int_equal(res.reply.err.kind, ERR_TOO_LARGE);
    assert_true(res.body.n < 1 << 20);
    buf_free(&res.body);
}

static void a_packed_body_must_be_whole(void **state UNUSED)
{
    static const char *const paths[] = {"/gzip/cut", "/gzip/br"};
    for (size_t i = 0; i < LEN(paths); i++) {
        struct result res = {.done = 0};
        struct client_request req = get(paths[i], &res);
        req.accept_gzip = true;
        perform(&req, &res);
        assert_int_equal(res.reply.status, 0);
        assert_int_equal(res.reply.err.kind, ERR_BAD_GATEWAY);
        assert_non_null(strstr(res.reply.err.text, "unknown encoding, corrupted or truncated"));
        buf_free(&res.body);
    }
}

static void the_data_callback_ends_or_cancels_a_call(void **state UNUSED)
{
    struct result res = {.refuse = true};
    struct client_request req = get("/big", &res);
    perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_string_equal(res.reply.err.text, "enough");
    res.refuse = false;
    res.call = send_request(&req, &res);
    while (client_inflight(client) > 0)
        loop_turn(loop, -1);
    assert_int_equal(res.done, 0);
    assert_int_equal(res.pieces, 1);
    buf_free(&res.body);
}

/* `where` is a path of server one, or a URL. */
static void expect_error(const char *where, int64_t timeout_ms, enum err_kind kind, const char *words)
{
    struct result res = {.done = 0};
    struct client_request req = get(where, &res);
    if (where[0] != '/')
        req.url = where;
    req.timeout_ms = timeout_ms;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_int_equal(res.reply.err.kind, kind);
    if (strstr(res.reply.err.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", res.reply.err.text, words);
    assert_int_equal(strncmp(res.reply.err.text, "GET ", 4), 0);
    buf_free(&res.body);
}

static void expect_status(const char *path, int status)
{
    struct result res = {.done = 0};
    struct client_request req = get(path, &res);
    req.status_only = true;
    req.no_redirects = true;
    req.max_body = 64 << 10;
    req.timeout_ms = 1000;
    perform(&req, &res);
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
    struct result res = {.done = 0};
    struct client_request req = get("http://127.0.0.1:1/x", &res);
    req.status_only = true;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_false(res.reply.sent);
    buf_free(&res.body);
}

static void failures_are_told_in_words(void **state UNUSED)
{
    expect_error("http://127.0.0.1:1/x", 1000, ERR_BAD_GATEWAY, "GET http://127.0.0.1:1/x: connection refused");
    expect_error("http://name.invalid/x", 5000, ERR_BAD_GATEWAY, "could not resolve host: name.invalid");
    expect_error("/silent", 100, ERR_GATEWAY_TIME, "timed out after 10");
    expect_error("/cut", 1000, ERR_BAD_GATEWAY, "connection closed before the response was complete");
    expect_error("/drop", 1000, ERR_BAD_GATEWAY, "closed the connection without a response");
    expect_error("/loop", 1000, ERR_BAD_GATEWAY, "more than 10 redirects");
    expect_error("ftp://127.0.0.1/x", 1000, ERR_BAD_GATEWAY, "ftp");
    struct result res = {.done = 0};
    struct client_request req = get("/x", &res);
    perform(&req, &res);
    expect_error("/silent", 100, ERR_GATEWAY_TIME, "timed out after 10"); /* on the connection that was kept */
    buf_free(&res.body);
    char tls[64];
    snprintf(tls, sizeof tls, "https://127.0.0.1:%d/", two.port); /* its answer to a handshake is "HTTP/1.1 200 OK" */
    expect_error(tls, 1000, ERR_BAD_GATEWAY, ": TLS: ");
}

static void no_more_than_max_inflight_run(void **state UNUSED)
{
    enum { N = 20 };
    struct result res[N] = {{.done = 0}};
    int all = 0;
    for (int i = 0; i < N; i++) {
        struct client_request req = get("/once", &res[i]);
        req.slot = (uint32_t)i;
        send_request(&req, &res[i]);
    }
    assert_int_equal(client_inflight(client), 2);
    assert_int_equal(client_waiting(client), N - 2);
    for (int64_t end = clock_mono_ms() + 10000; all < N && clock_mono_ms() < end; loop_turn(loop, 100)) {
        assert_true(client_inflight(client) <= 2);
        all = 0;
        for (int i = 0; i < N; i++)
            all += res[i].done;
    }
    assert_int_equal(client_inflight(client), 0);
    for (int i = 0; i < N; i++)
        buf_free(&res[i].body);
}

/* Requests to peers that did not respond last time leave half of the places to the others. */
static void doubtful_requests_hold_up_each_other_only(void **state UNUSED)
{
    enum { N = 3 };
    struct result hung[N] = {{.done = 0}}, res = {.done = 0};
    for (int i = 0; i < N; i++) {
        struct client_request req = get("/silent", &hung[i]);
        req.doubtful = true;
        req.timeout_ms = 200;
        send_request(&req, &hung[i]);
    }
    assert_int_equal(client_inflight(client), 1);
    assert_int_equal(client_waiting(client), N - 1);
    struct client_request req = get("/x", &res);
    req.url = url_of(&two, "/x");
    int64_t before = clock_mono_ms();
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_in_range(clock_mono_ms() - before, 0, 180);
    while (!hung[N - 1].done)
        loop_turn(loop, 100);
    for (int i = 0; i < N; i++)
        assert_int_equal(hung[i].reply.err.kind, ERR_GATEWAY_TIME);
    assert_int_equal(client_inflight(client), 0);
    buf_free(&res.body);
}

static void canceled_calls_say_nothing(void **state UNUSED)
{
    struct result res[3] = {{.done = 0}};
    struct client_call *calls[3];
    for (int i = 0; i < 3; i++) {
        struct client_request req = get("/silent", &res[i]);
        calls[i] = send_request(&req, &res[i]);
    }
    loop_turn(loop, 10);
    client_cancel(calls[2]); /* waiting */
    client_cancel(calls[0]); /* running */
    assert_int_equal(client_inflight(client) + client_waiting(client), 1);
    loop_turn(loop, 10);
    assert_int_equal(res[0].done + res[1].done + res[2].done, 0);
    /* the third is canceled by client_free */
}

/* A server whose line of waiting connections is full: the kernel answers no more of them. */
struct full_server { int fd, waiting[4]; unsigned port; };

static void open_full_server(struct full_server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s->fd, 0), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    for (size_t i = 0; i < LEN(s->waiting); i++) {
        s->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(s->waiting[i], (struct sockaddr *)&at, size);
    }
}

static void close_full_server(struct full_server *s)
{
    for (size_t i = 0; i < LEN(s->waiting); i++)
        close(s->waiting[i]);
    close(s->fd);
}

static atomic_bool opening;

static void open_and_close(void *arg UNUSED)
{
    while (opening)
        close(eventfd(0, EFD_CLOEXEC));
}

/* The number of a socket that was never connected is free for another thread before the client hears of its end. */
static void a_connection_that_is_never_made(void **state UNUSED)
{
    struct full_server full;
    struct result res = {.done = 0};
    open_full_server(&full);
    opening = true;
    struct thread *other = thread_start("opens", open_and_close, NULL);
    for (int i = 0; i < 100; i++) {
        struct client_request req = get("/", &res);
        char url[64];
        snprintf(url, sizeof url, "http://127.0.0.1:%u/", full.port);
        req.url = url;
        req.connect_timeout_ms = 2;
        perform(&req, &res);
        assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
        assert_non_null(strstr(res.reply.err.text, "timed out connecting"));
    }
    opening = false;
    thread_join(other);
    close_full_server(&full);
    buf_free(&res.body);
}

/* Descriptors end between the socket and what it is watched by: that call fails, the client lives. */
static void a_connection_that_cannot_be_watched(void **state UNUSED)
{
    struct result res = {.done = 0};
    struct rlimit before, few;
    client_free(client); /* curl holds some descriptors from the start */
    client = client_new(loop, &(struct client_settings){.max_inflight = 2});
    struct client_request req = get("/x", &res);
    perform(&(struct client_request){.method = "GET", .url = "http://127.0.0.1:1/", .done = done, .arg = &res}, &res);
    int next = dup(2);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){(rlim_t)next + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    req.timeout_ms = 200;
    perform(&req, &res);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(res.reply.status, 0);
    if (strstr(res.reply.err.text, "cannot watch a connection: Too many open files") == NULL)
        fail_msg("%s", res.reply.err.text);
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    buf_free(&res.body);
}

/* ---- connections that are not used any more, and what is counted ---- */

#define TEST_STATS(X) X(OPEN_CONNECTIONS, "open_connections", STATS_GAUGE, "Open connections")
enum test_stat { TEST_STATS(STATS_ID) };
static struct stats_group test_stats = STATS_GROUP(TEST_STATS);

static void replace_client(unsigned idle_seconds)
{
    client_free(client);
    stats_register(&test_stats);
    client = client_new(loop, &(struct client_settings){.idle_seconds = idle_seconds, .stats = &test_stats,
                                                        .connections_row = OPEN_CONNECTIONS});
}

static void turn_until_closed(struct http_server *s, unsigned closed, struct client_request *also)
{
    struct result *res = also ? also->arg : NULL;
    for (int i = 0; i < 400 && s->closed < closed; i++) {
        if (also)
            perform(also, res);
        loop_turn(loop, 10);
    }
    assert_int_equal(s->closed, closed);
}

static void connections_of_an_idle_client_are_closed(void **state UNUSED)
{
    struct result res = {.done = 0};
    replace_client(1);
    struct client_request req = get("/x", &res);
    perform(&req, &res);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1);
    turn_until_closed(&one, 1, NULL);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 0);
    perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(one.accepted, 2);
    buf_free(&res.body);
}

static void connections_to_one_peer_are_closed_while_others_are_busy(void **state UNUSED)
{
    struct result res = {.done = 0};
    replace_client(1);
    struct client_request gone = get("/x", &res), stays = get("/x", &res);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/x", two.port);
    gone.url = url;
    perform(&gone, &res);
    turn_until_closed(&two, 1, &stays);
    assert_int_equal(one.closed, 0);
    assert_int_equal(stats_sum(&test_stats, OPEN_CONNECTIONS), 1);
    buf_free(&res.body);
}

static void sent_bytes_are_those_that_the_server_got(void **state UNUSED)
{
    static char zeros[200000];
    static const size_t sizes[] = {0, 1, 50000, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < LEN(sizes); i++) {
        struct result res = {.done = 0};
        struct client_request req = get("/x", &res);
        req.method = "POST";
        req.body = str_n(zeros, sizes[i]);
        size_t before = one.received;
        perform(&req, &res);
        assert_int_equal(res.reply.sent_bytes, one.received - before);
        buf_free(&res.body);
    }
}

static void failures_of_dialing_and_of_gzip(void **state UNUSED)
{
    static const struct { const char *path; bool dial, gunzip; } cases[] = {
        {"/x", false, false}, {"/gzip/cut", false, true}, {"/gzip/br", false, true}, {"/drop", false, false}};
    struct result res = {.done = 0};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct client_request req = get(cases[i].path, &res);
        req.accept_gzip = true;
        perform(&req, &res);
        assert_int_equal(res.reply.dial_failed, cases[i].dial);
        assert_int_equal(res.reply.gunzip_failed, cases[i].gunzip);
    }
    static const char *const urls[] = {"http://127.0.0.1:1/", "http://host.invalid/"};
    for (size_t i = 0; i < LEN(urls); i++) {
        perform(&(struct client_request){.method = "GET", .url = urls[i], .done = done, .arg = &res}, &res);
        assert_true(res.reply.dial_failed);
    }
    struct full_server full;
    open_full_server(&full);
    struct client_request req = get("/", &res);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", full.port);
    req.url = url;
    req.connect_timeout_ms = 50;
    perform(&req, &res);
    assert_true(res.reply.dial_failed);
    close_full_server(&full);
    req = get("/silent", &res);
    req.timeout_ms = 100;
    perform(&req, &res);
    assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
    assert_false(res.reply.dial_failed);
    buf_free(&res.body);
}

/* ---- profiles ---- */

static struct client_profile *profile_of(struct client_profile_conf conf)
{
    struct err err = {0};
    struct client_profile *p = client_profile_new(&conf, &err);
    if (p == NULL)
        fail_msg("%s", err.text);
    return p;
}

static void credentials_are_sent_but_not_to_another_host(void **state UNUSED)
{
    struct result res = {.done = 0};
    const char *headers[] = {"X-Tenant: 7"};
    struct client_profile *p =
        profile_of((struct client_profile_conf){.credentials = "s3cret", .headers = headers, .n_headers = 1});
    struct client_request req = get("/away", &res);
    req.profile = p;
    perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&one), "\r\nAuthorization: Bearer s3cret\r\n"));
    assert_non_null(strstr(http_server_last_request(&one), "\r\nX-Tenant: 7\r\n"));
    assert_non_null(strstr(http_server_last_request(&two), "GET /there "));
    assert_null(strstr(http_server_last_request(&two), "Authorization"));
    assert_null(strstr(http_server_last_request(&two), "X-Tenant")); /* may be a secret, too */
    assert_null(strstr(http_server_last_request(&two), "Expect"));
    req = get("/loop", &res);
    req.profile = p;
    perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&one), "\r\nX-Tenant: 7\r\n")); /* on the same host they stay */
    req = get("/away", &res);
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.username = "u", .password = "p", .no_follow_redirects = true});
    req.profile = p;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 302);
    assert_non_null(strstr(http_server_last_request(&one), "\r\nAuthorization: Basic dTpw\r\n"));
    client_profile_unref(p);
    buf_free(&res.body);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_token_file_is_read_again(void **state UNUSED)
{
    char path[] = "/tmp/sluice-client-test-XXXXXX";
    close(mkstemp(path));
    write_file(path, "first\n");
    watched_file_set_period(10);
    struct result res = {.done = 0};
    const struct client_header_file header = {"X-Key", path};
    struct client_profile *p = profile_of((struct client_profile_conf){
        .credentials_file = path, .header_files = &header, .n_header_files = 1});
    struct client_request req = get("/x", &res);
    req.profile = p;
    perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&one), "Authorization: Bearer first\r\n"));
    assert_non_null(strstr(http_server_last_request(&one), "X-Key: first\r\n"));
    write_file(path, "the second");
    for (int64_t until = clock_mono_ms() + 5000; clock_mono_ms() < until; usleep(5000)) {
        perform(&req, &res);
        if (strstr(http_server_last_request(&one), "Bearer the second\r\n"))
            break;
    }
    assert_non_null(strstr(http_server_last_request(&one), "Bearer the second\r\n"));
    assert_non_null(strstr(http_server_last_request(&one), "X-Key: the second\r\n"));
    char echoed[64] = "Bearer the second, Bearer first";
    client_hide_secrets_in(p, STR_NONE, echoed, sizeof echoed);
    assert_string_equal(echoed, "Bearer <secret>, Bearer first"); /* the token of now */
    unlink(path);
    usleep(100000); /* ten looks */
    perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&one), "Bearer the second\r\n"));
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.credentials_file = path});
    req.profile = p;
    perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_non_null(strstr(res.reply.err.text, path));
    client_profile_unref(p);
    buf_free(&res.body);
}

static void a_token_from_a_pipe_is_refused(void **state UNUSED)
{
    char path[] = "/tmp/sluice-client-test-XXXXXX";
    struct result res = {.done = 0};
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct client_profile *p = profile_of((struct client_profile_conf){.credentials_file = path});
    struct client_request req = get("/x", &res);
    req.profile = p;
    perform(&req, &res);
    assert_non_null(strstr(res.reply.err.text, "it is not a plain file"));
    client_profile_unref(p);
    unlink(path);
    buf_free(&res.body);
}

static void bad_profiles_are_refused(void **state UNUSED)
{
    struct err err = {0};
    const char *headers[] = {"no colon"};
    assert_null(client_profile_new(&(struct client_profile_conf){.min_version = "SSL3"}, &err));
    assert_non_null(strstr(err.text, "\"SSL3\""));
    assert_null(client_profile_new(&(struct client_profile_conf){.headers = headers, .n_headers = 1}, &err));
    assert_non_null(strstr(err.text, "\"no <secret>\" is not of the form"));
    assert_null(strstr(err.text, "colon"));
    assert_null(client_profile_new(&(struct client_profile_conf){.credentials = "s3cret\n"}, &err));
    assert_non_null(strstr(err.text, "credentials or bearer_token: a line break"));
    assert_null(strstr(err.text, "s3cret"));
    assert_null(
        client_profile_new(&(struct client_profile_conf){.auth_type = "a\r\nX-Evil: 1", .credentials = "x"}, &err));
    assert_null(client_profile_new(&(struct client_profile_conf){.username = "a\r\nX-Evil: 1"}, &err));
    assert_non_null(strstr(err.text, "basic_auth username: a line break"));
    assert_null(client_profile_new(&(struct client_profile_conf){.username = "a", .password = "s3cret\n"}, &err));
    assert_null(strstr(err.text, "s3cret"));
    const struct client_header_file evil = {"X\r\nX-Evil", "/x"};
    assert_null(client_profile_new(&(struct client_profile_conf){.header_files = &evil, .n_header_files = 1}, &err));
    assert_non_null(strstr(err.text, "/x"));
}

#define WITH_SERVERS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVERS(a_get_and_a_kept_connection),
        WITH_SERVERS(a_post_sends_its_body_without_expect),
        WITH_SERVERS(an_error_status_is_an_answer),
        WITH_SERVERS(gzip_is_decoded_within_the_limit), WITH_SERVERS(a_packed_body_must_be_whole),
        WITH_SERVERS(the_data_callback_ends_or_cancels_a_call),
        WITH_SERVERS(a_status_counts_whatever_the_body_does), WITH_SERVERS(failures_are_told_in_words),
        WITH_SERVERS(no_more_than_max_inflight_run), WITH_SERVERS(doubtful_requests_hold_up_each_other_only),
        WITH_SERVERS(canceled_calls_say_nothing),
        WITH_SERVERS(a_connection_that_is_never_made),
        WITH_SERVERS(a_connection_that_cannot_be_watched),
        WITH_SERVERS(connections_of_an_idle_client_are_closed),
        WITH_SERVERS(connections_to_one_peer_are_closed_while_others_are_busy),
        WITH_SERVERS(sent_bytes_are_those_that_the_server_got), WITH_SERVERS(failures_of_dialing_and_of_gzip),
        WITH_SERVERS(credentials_are_sent_but_not_to_another_host),
        WITH_SERVERS(a_token_file_is_read_again),
        WITH_SERVERS(a_token_from_a_pipe_is_refused),
        cmocka_unit_test(bad_profiles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
