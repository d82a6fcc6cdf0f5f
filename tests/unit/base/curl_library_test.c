// SPDX-License-Identifier: Apache-2.0
/* libcurl is loaded by the first request that needs it, and requests wait for it. The order of the tests matters: it is
 * loaded once. */
#include "base/http/curl_library.h"

#include "tests/unit/base/client_fixture.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void plain_requests_do_without(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/x", &res);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    assert_false(curl_library_loaded());
    buf_free(&res.body);
}

/* To a server that speaks no TLS. */
static struct client_request to_https(char url[64], struct client_result *res)
{
    struct client_request req = client_get("/x", res);
    snprintf(url, 64, "https://127.0.0.1:%d/x", client_server.port);
    req.url = url;
    return req;
}

static void without_a_descriptor_requests_fail(void **state UNUSED)
{
    struct client_result res[2] = {{.done = 0}};
    char url[64];
    struct client_request first = to_https(url, &res[0]), second = to_https(url, &res[1]);
    struct rlimit before, none;
    int next = dup(2);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    client_start(&first, &res[0]);
    client_start(&second, &res[1]);
    assert_int_equal(client_inflight(client_tested), 2);
    while (!res[0].done || !res[1].done)
        loop_turn(client_loop, -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(res[i].reply.err.kind, ERR_UNAVAILABLE);
        if (strstr(res[i].reply.err.text, url) == NULL || strstr(res[i].reply.err.text, ": libcurl cannot be loaded: ") == NULL)
            fail_msg("%s", res[i].reply.err.text);
    }
    assert_int_equal(client_inflight(client_tested), 0);
    assert_false(curl_library_loaded());
}

static void requests_that_wait_can_be_canceled(void **state UNUSED)
{
    struct client_result canceled = {.done = 0}, abandoned = {.done = 0};
    char url[64];
    struct client_request req = to_https(url, &canceled), last = to_https(url, &abandoned);
    client_cancel(client_start(&req, &canceled));
    client_start(&last, &abandoned);
    client_free(client_tested);
    client_tested = NULL;
    loop_turn(client_loop, 0);
    assert_int_equal(canceled.done + abandoned.done, 0);
}

static void a_redirect_waits_for_it(void **state UNUSED)
{
    struct client_result res = {.done = 0};
    struct client_request req = client_get("/moved", &res);
    client_perform(&req, &res);
    if (res.reply.status != 200)
        fail_msg("%s", res.reply.err.text);
    assert_true(str_eq(buf_str(&res.body), STR("hello")));
    assert_true(curl_library_loaded());
    buf_free(&res.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(plain_requests_do_without),
        CLIENT_TEST(without_a_descriptor_requests_fail),
        CLIENT_TEST(requests_that_wait_can_be_canceled),
        CLIENT_TEST(a_redirect_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
