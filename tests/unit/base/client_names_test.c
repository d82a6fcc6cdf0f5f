// SPDX-License-Identifier: Apache-2.0
/* The client and host names: with a name server that answers, is late, or does not respond at all. */
#include "base/http/client.h"

#include "base/http/resolver.h"
#include "base/os/thread.h"
#include "base/text/duration.h"
#include "tests/unit/base/both_ways.h"
#include "tests/unit/base/name_server.h"
#include "tests/unit/http_server.h"
#include "tests/unit/threads.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server that redirects /to/HOST and responds ok to everything else ---- */

static struct http_server web;

static void redirect_to_host(void *arg UNUSED, const struct server_request *request, struct server_response *r)
{
    r->action = SERVER_CLOSE;
    if (str_starts(request->path, STR("/to/"))) {
        struct str host = str_skip(request->path, 4);
        r->status = 302;
        snprintf(r->headers, sizeof r->headers, "Location: http://%.*s:%d/there\r\nConnection: close\r\n", STR_ARG(host),
                 web.port);
    } else {
        snprintf(r->headers, sizeof r->headers, "Connection: close\r\n");
        buf_add_z(&r->body, "ok");
    }
}

/* ---- the client ---- */

enum { SOON_MS = 30000, LOOKUP_MS = 3000 /* until a lookup without a response fails, at least */, TIMEOUT_MS = 2000 };

static struct loop *loop;
static struct client *client;
static bool by_libcurl;
static int n_done;

struct result { struct client_reply reply; };

static void on_done(void *arg, const struct client_reply *r)
{
    struct result *res = arg;
    res->reply = *r;
    n_done++;
}

static int set_up(void **state UNUSED)
{
    name_server_start();
    http_server_start(&web, redirect_to_host, NULL);
    loop = loop_new();
    client = client_new(loop, &(struct client_settings){.max_inflight = 1000, .by_libcurl = by_libcurl});
    n_done = 0;
    return 0;
}

static int tear_down(void **state UNUSED)
{
    client_free(client);
    loop_free(loop);
    http_server_stop(&web);
    name_server_stop();
    return 0;
}

static struct client_call *start_get(const char *host, const char *path, struct client_profile *p, struct result *res,
                                     int64_t timeout_ms)
{
    char url[512];
    snprintf(url, sizeof url, "http://%s:%d%s", host, web.port, path);
    return client_send(client, &(struct client_request){.method = "GET", .url = url, .profile = p, .done = on_done,
                                                        .timeout_ms = timeout_ms, .arg = res});
}

static struct client_reply get(const char *host, const char *path, struct client_profile *p)
{
    struct result res;
    int wanted = n_done + 1;
    start_get(host, path, p, &res, SOON_MS);
    while (n_done < wanted)
        loop_turn(loop, -1);
    return res.reply;
}

static void expect_ok(const char *host, const char *path, struct client_profile *p)
{
    struct client_reply r = get(host, path, p);
    if (r.status != 200)
        fail_msg("%s: %d %s", host, r.status, r.err.text);
}

static void names_lead_to_their_addresses(void **state UNUSED)
{
    char host[64];
    expect_ok("one.test", "/", NULL);
    snprintf(host, sizeof host, "Host: one.test:%d\r\n", web.port);
    assert_non_null(strstr(http_server_last_request(&web), host));
    expect_ok("ONE.test", "/", NULL);
    assert_int_equal(name_server_asked("one.test"), 1); /* Connection: close, so each needed the address */
    expect_ok("many.test", "/", NULL);                  /* ::1 refuses, 127.0.0.1 is the next */
    expect_ok("late.test", "/", NULL);
    expect_ok("localhost", "/", NULL);
    expect_ok("x.localhost", "/", NULL);
}

static void an_error_names_the_host(void **state UNUSED)
{
    struct client_reply r = get("absent.test", "/", NULL);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.kind, ERR_BAD_GATEWAY);
    assert_non_null(strstr(r.err.text, "could not resolve host: absent.test: no such host"));
    assert_false(r.sent);
}

/* Hundreds of names without a response: each call ends by its own timeout, another one does not notice, and all of it
 * takes one thread. */
static void a_silent_name_server_costs_only_its_names(void **state UNUSED)
{
    enum { N = 300 };
    static struct result hung[N];
    struct result res;
    char host[64];
    unsigned threads = count_threads();
    int64_t before = clock_mono_ms();
    for (int i = 0; i < N; i++) {
        snprintf(host, sizeof host, "silent%d.test", i);
        start_get(host, "/", NULL, &hung[i], TIMEOUT_MS);
    }
    start_get("127.0.0.1", "/", NULL, &res, SOON_MS);
    res.reply.status = 0;
    while (res.reply.status == 0)
        loop_turn(loop, -1);
    assert_int_equal(res.reply.status, 200);
    assert_int_equal(n_done, 1); /* before the timeout of the others */
    assert_in_range(count_threads(), 0, threads + 1);
    while (n_done < N + 1)
        loop_turn(loop, -1);
    assert_true(clock_mono_ms() - before >= TIMEOUT_MS - 10);
    assert_int_equal(hung[7].reply.err.kind, ERR_GATEWAY_TIME);
    assert_non_null(strstr(hung[7].reply.err.text, "could not resolve host: silent7.test: no response"));
    assert_in_range(hung[7].reply.total_ms, TIMEOUT_MS - 10, SOON_MS);
    assert_int_equal(client_inflight(client), 0);
}

static void calls_that_wait_for_a_name_may_be_canceled(void **state UNUSED)
{
    struct result res[3];
    struct client_call *call = start_get("silent.test", "/", NULL, &res[0], 10000);
    start_get("silent.test", "/", NULL, &res[1], 10000);
    start_get("late.test", "/", NULL, &res[2], 10000);
    while (name_server_asked("silent.test") == 0 || name_server_asked("late.test") == 0)
        loop_turn(loop, 5);
    client_cancel(call);
    assert_int_equal(client_inflight(client), 2);
    struct resolver_request cached = {.loop = loop};
    for (; !resolver_ask(&cached, "late.test"); usleep(1000)) /* cached: the answer to the call is posted, and dropped */
        resolver_cancel(&cached);
    mem_free(cached.addresses);
    int64_t before = clock_mono_ms();
    client_free(client);
    assert_in_range(clock_mono_ms() - before, 0, LOOKUP_MS / 2);
    loop_turn(loop, 0);
    assert_int_equal(n_done, 0);
    client = client_new(loop, &(struct client_settings){.max_inflight = 2, .by_libcurl = by_libcurl});
}

static void a_redirect_may_lead_to_a_name(void **state UNUSED)
{
    expect_ok("127.0.0.1", "/to/one.test", NULL);
    assert_non_null(strstr(http_server_last_request(&web), "GET /there "));
    expect_ok("one.test", "/to/many.test", NULL);
    expect_ok("one.test", "/to/127.0.0.1", NULL);
    struct client_reply r = get("127.0.0.1", "/to/absent.test", NULL);
    assert_non_null(strstr(r.err.text, "could not resolve host: absent.test: no such host"));
    assert_true(r.sent);
    struct result res;
    int64_t before = clock_mono_ms();
    n_done = 0;
    start_get("127.0.0.1", "/to/silent.test", NULL, &res, 400);
    while (n_done == 0)
        loop_turn(loop, -1);
    assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
    assert_in_range(clock_mono_ms() - before, 390, LOOKUP_MS - 100);
}

static struct client_profile *profile_of(struct client_profile_conf conf)
{
    struct err err = {0};
    struct client_profile *p = client_profile_new(&conf, &err);
    assert_non_null(p);
    return p;
}

static void proxies_may_have_names(void **state UNUSED)
{
    char url[64];
    snprintf(url, sizeof url, "http://one.test:%d", web.port);
    struct client_profile *p = profile_of((struct client_profile_conf){.proxy_url = url});
    expect_ok("far.invalid", "/x", p); /* the proxy's affair */
    assert_non_null(strstr(http_server_last_request(&web), "GET http://far.invalid:"));
    assert_int_equal(name_server_asked("far.invalid"), 0);
    client_profile_unref(p);
    setenv("http_proxy", url, 1);
    p = profile_of((struct client_profile_conf){.proxy_from_environment = true, .no_proxy = "two.test"});
    expect_ok("far.invalid", "/y", p);
    assert_non_null(strstr(http_server_last_request(&web), "GET http://far.invalid:"));
    expect_ok("two.test", "/z", p);
    assert_non_null(strstr(http_server_last_request(&web), "GET /z "));
    unsetenv("http_proxy");
    client_profile_unref(p);
    snprintf(url, sizeof url, "http://absent.test:%d", web.port);
    p = profile_of((struct client_profile_conf){.proxy_url = url});
    struct client_reply r = get("far.invalid", "/", p);
    assert_non_null(strstr(r.err.text, "could not resolve host: absent.test: no such host"));
    client_profile_unref(p);
}

/* The name of the handshake is not the one to connect to. */
static void a_tls_server_name_is_not_resolved(void **state UNUSED)
{
    char url[64];
    struct result res = {0};
    struct client_profile *p = profile_of((struct client_profile_conf){.server_name = "inner.test"});
    snprintf(url, sizeof url, "https://one.test:%d/", web.port);
    client_send(client, &(struct client_request){.method = "GET", .url = url, .profile = p, .done = on_done,
                                                 .timeout_ms = SOON_MS, .arg = &res});
    while (n_done == 0)
        loop_turn(loop, -1);
    assert_non_null(strstr(res.reply.err.text, "TLS")); /* it got as far as to the handshake */
    assert_int_equal(name_server_asked("one.test"), 1);
    assert_int_equal(name_server_asked("inner.test"), 0);
    client_profile_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_lead_to_their_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_names_the_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_name_server_costs_only_its_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_that_wait_for_a_name_may_be_canceled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_redirect_may_lead_to_a_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proxies_may_have_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tls_server_name_is_not_resolved, set_up, tear_down),
    };
    return RUN_BOTH_WAYS(by_libcurl, tests);
}
