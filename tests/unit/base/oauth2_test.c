// SPDX-License-Identifier: Apache-2.0
/* Tokens of OAuth 2.0: when they are fetched, how often, and what requests do meanwhile. */
#include "client_fixture.h"

#include "base/http/client_profile.h"
#include "base/os/file_work.h"
#include "base/os/watched_file.h"
#include "base/text/duration.h"
#include "tests/unit/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct http_server token_server;
static struct {
    struct mutex mutex;       /* guards the rest */
    int status, tokens, asked;
    bool wants_form, silent;
    const char *body;         /* NULL: another token for each request */
    int expires_in, delay_ms;
    char last[2000];          /* head and body of the last request */
} issuer;

static void issue(void *arg UNUSED, const struct server_request *request, struct server_response *response)
{
    mutex_lock(&issuer.mutex);
    bool in_form = str_find_str(request->body, STR("client_secret=")) < request->body.n;
    issuer.asked++;
    snprintf(issuer.last, sizeof issuer.last, "%.*s%.*s", STR_ARG(request->head), STR_ARG(request->body));
    response->delay_ms = issuer.delay_ms;
    response->action = issuer.silent ? SERVER_SILENT : SERVER_KEEP;
    response->status = issuer.wants_form && !in_form ? 401 : issuer.status;
    if (issuer.body)
        buf_add_z(&response->body, issuer.body);
    else if (response->status == 200)
        buf_printf(&response->body, "{\"access_token\": \"token-%d\", \"token_type\": \"bearer\", \"expires_in\": %d}",
                   ++issuer.tokens, issuer.expires_in);
    mutex_unlock(&issuer.mutex);
}

static int issuer_asked(void)
{
    mutex_lock(&issuer.mutex);
    int n = issuer.asked;
    mutex_unlock(&issuer.mutex);
    return n;
}

static int oauth2_set_up(void **state)
{
    memset(&issuer, 0, sizeof issuer);
    issuer.status = 200;
    issuer.expires_in = 3600;
    mutex_init(&issuer.mutex, RANK_LEAF);
    http_server_start(&token_server, issue, NULL);
    return client_set_up(state);
}

static int oauth2_tear_down(void **state)
{
    int result = client_tear_down(state);
    file_work_await_threads(5000);
    http_server_stop(&token_server);
    mutex_free(&issuer.mutex);
    return result;
}

static struct client_profile *profile_with(struct client_oauth2 oauth2)
{
    char url[80];
    struct err err = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/token", token_server.port);
    oauth2.token_url = url;
    struct client_profile *p = client_profile_new(&(struct client_profile_conf){.oauth2 = &oauth2}, &err);
    if (p == NULL)
        fail_msg("%s", err.text);
    return p;
}

static struct client_profile *simple_profile(void)
{
    return profile_with((struct client_oauth2){.client_id = "me", .client_secret = "s3cret-value"});
}

static struct client_request get_as(struct client_profile *p, struct client_result *res)
{
    struct client_request req = client_get("/x", res);
    req.profile = p;
    return req;
}

static void must_send(struct client_profile *p, const char *token)
{
    struct client_result res = {.done = 0};
    struct client_request req = get_as(p, &res);
    char line[100];
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 200);
    snprintf(line, sizeof line, "\r\nAuthorization: Bearer %s\r\n", token);
    assert_non_null(strstr(http_server_last_request(&client_server), line));
    buf_free(&res.body);
}

static void must_fail(struct client_profile *p, const char *words)
{
    struct client_result res = {.done = 0};
    struct client_request req = get_as(p, &res);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    if (strstr(res.reply.err.text, words) == NULL || strstr(res.reply.err.text, "s3cret"))
        fail_msg("\"%s\" does not say \"%s\" only", res.reply.err.text, words);
    buf_free(&res.body);
}

/* By several requests, which wait for it, and by profiles with the same settings. */
static void a_token_is_fetched_once(void **state UNUSED)
{
    struct client_result res[5] = {{.done = 0}};
    const char *scopes[] = {"read", "write all"};
    const struct client_oauth2_param params[] = {{"audience", "a&b"}};
    struct client_oauth2 conf = {.client_id = "me/you", .client_secret = "s3cret:value", .scopes = scopes, .n_scopes = 2,
                                 .params = params, .n_params = 1};
    struct client_profile *p = profile_with(conf), *q = profile_with(conf), *other = simple_profile();
    assert_int_equal(issuer_asked(), 0); /* nobody has needed it */
    assert_true(client_profile_hash(p) == client_profile_hash(q) && client_profile_hash(p) != client_profile_hash(other));
    issuer.delay_ms = 30;
    for (size_t i = 0; i < LEN(res); i++) {
        struct client_request req = get_as(i % 2 ? p : q, &res[i]);
        client_start(&req, &res[i]);
    }
    for (size_t i = 0; i < LEN(res); i++) {
        while (!res[i].done)
            loop_turn(client_loop, 10);
        assert_int_equal(res[i].reply.status, 200);
        buf_free(&res[i].body);
    }
    assert_int_equal(issuer_asked(), 1);
    assert_non_null(strstr(issuer.last, "POST /token "));
    assert_non_null(strstr(issuer.last, "\r\nAuthorization: Basic bWUlMkZ5b3U6czNjcmV0JTNBdmFsdWU=\r\n")); /* encoded */
    assert_non_null(strstr(issuer.last, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(issuer.last, "grant_type=client_credentials&scope=read%20write%20all&audience=a%26b"));
    client_profile_unref(p);
    must_send(q, "token-1");
    must_send(other, "token-2");
    must_send(q, "token-1");
    assert_true(client_profile_sends(q, STR("authorization")));
    client_profile_unref(q);
    client_profile_unref(other);
}

static void a_token_is_renewed_before_it_expires(void **state UNUSED)
{
    struct client_profile *p = simple_profile();
    issuer.expires_in = 60;
    must_send(p, "token-1");
    clock_advance(49000);
    must_send(p, "token-1");
    clock_advance(1500);
    must_send(p, "token-2");
    clock_advance(51000);
    issuer.status = 503;
    must_send(p, "token-2"); /* cannot be renewed, but has not expired */
    clock_advance(10000);
    must_fail(p, "HTTP 503");
    issuer.status = 200;
    clock_advance(1000);
    must_send(p, "token-3");
    client_profile_unref(p);
}

static void credentials_go_into_the_form_if_the_server_wants_that(void **state UNUSED)
{
    struct client_profile *p = simple_profile();
    issuer.wants_form = true;
    issuer.expires_in = 8;
    must_send(p, "token-1");
    assert_int_equal(issuer_asked(), 2);
    assert_non_null(strstr(issuer.last, "&client_id=me&client_secret=s3cret-value"));
    assert_null(strstr(issuer.last, "Authorization"));
    clock_advance(8000);
    must_send(p, "token-2");
    assert_int_equal(issuer_asked(), 3); /* remembered */
    client_profile_unref(p);
}

static void failures_are_named_without_secrets(void **state UNUSED)
{
    static const struct { int status; const char *body, *words; } bad[] = {
        {400, "{\"error\": \"invalid_client\", \"error_description\": \"no s3cret-value\"}", "HTTP 400: invalid_client: no <secret>"},
        {500, "<html>", "HTTP 500"}, {200, "<html>", "is not JSON"}, {200, "{}", "no access_token"},
        {200, "{\"access_token\": \"a\\nb\"}", "control character"}};
    struct client_profile *p = simple_profile();
    for (size_t i = 0; i < LEN(bad); i++) {
        issuer.status = bad[i].status;
        issuer.body = bad[i].body;
        must_fail(p, bad[i].words);
        int asked = issuer_asked();
        must_fail(p, bad[i].words);
        assert_int_equal(issuer_asked(), asked); /* not repeated at once */
        clock_advance(1000);
    }
    issuer.status = 200;
    issuer.body = "{\"access_token\": \"t\", \"token_type\": \"DPoP\", \"expires_in\": \"3600\"}";
    struct client_result res = {.done = 0};
    struct client_request req = get_as(p, &res);
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nAuthorization: DPoP t\r\n"));
    buf_free(&res.body);
    client_profile_unref(p);
}

static void a_silent_server_costs_the_timeout(void **state UNUSED)
{
    struct client_profile *p = simple_profile();
    struct client_result res = {.done = 0}, canceled = {.done = 0};
    struct client_request req = get_as(p, &res), other = get_as(p, &canceled);
    issuer.silent = true;
    req.timeout_ms = 100;
    struct client_call *call = client_start(&other, &canceled);
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_int_equal(res.reply.err.kind, ERR_GATEWAY_TIME);
    assert_non_null(strstr(res.reply.err.text, "the oauth2 token_url does not respond"));
    client_cancel(call);
    (void)client_start(&other, &canceled); /* it ends with the client */
    client_profile_unref(p);
    buf_free(&res.body);
    assert_int_equal(canceled.done, 0);
}

static void a_new_secret_needs_a_new_token(void **state UNUSED)
{
    char path[] = "/tmp/sluice-oauth2-test-XXXXXX";
    close(mkstemp(path));
    write_file(path, "s3cret-one\n");
    watched_file_set_period(10);
    struct client_profile *p = profile_with((struct client_oauth2){.client_id = "me", .client_secret_file = path});
    issuer.wants_form = true;
    must_send(p, "token-1");
    assert_non_null(strstr(issuer.last, "client_secret=s3cret-one"));
    replace_file(path, "s3cret-other");
    struct client_result res = {.done = 0};
    struct client_request req = get_as(p, &res);
    for (int64_t until = clock_mono_ms() + 5000; clock_mono_ms() < until && issuer_asked() < 3; usleep(5000))
        client_perform(&req, &res);
    must_send(p, "token-2");
    assert_non_null(strstr(issuer.last, "client_secret=s3cret-other"));
    buf_free(&res.body);
    client_profile_unref(p);
    assert_int_equal(unlink(path), 0);
}

#define OAUTH2_TEST(test) cmocka_unit_test_setup_teardown(test, oauth2_set_up, oauth2_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OAUTH2_TEST(a_token_is_fetched_once), OAUTH2_TEST(a_token_is_renewed_before_it_expires),
        OAUTH2_TEST(credentials_go_into_the_form_if_the_server_wants_that), OAUTH2_TEST(failures_are_named_without_secrets),
        OAUTH2_TEST(a_silent_server_costs_the_timeout), OAUTH2_TEST(a_new_secret_needs_a_new_token)};
    return RUN_BOTH_WAYS(client_by_libcurl, tests);
}
