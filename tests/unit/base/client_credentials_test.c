// SPDX-License-Identifier: Apache-2.0
/* Profiles of the client: credentials, from where they are read and to whom they are sent. */
#include "client_fixture.h"

#include "base/os/file_work.h"
#include "base/os/watched_file.h"
#include "base/text/duration.h"
#include "tests/unit/files.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct client_result res = {.done = 0};
    const char *headers[] = {"X-Tenant: 7"};
    struct client_profile *p =
        profile_of((struct client_profile_conf){.credentials = "s3cret", .headers = headers, .n_headers = 1});
    struct client_request req = client_get("/away", &res);
    req.profile = p;
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nAuthorization: Bearer s3cret\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nX-Tenant: 7\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_other), "GET /there "));
    assert_null(strstr(http_server_last_request(&client_other), "Authorization"));
    assert_null(strstr(http_server_last_request(&client_other), "X-Tenant")); /* may be a secret, too */
    assert_null(strstr(http_server_last_request(&client_other), "Expect"));
    req = client_get("/loop", &res);
    req.profile = p;
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nX-Tenant: 7\r\n")); /* on the same host they stay */
    req = client_get("/away", &res);
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.username = "u", .password = "p", .no_follow_redirects = true});
    req.profile = p;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 302);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nAuthorization: Basic dTpw\r\n"));
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.username = "u", .password = "p"});
    req.profile = p;
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nAuthorization: Basic dTpw\r\n"));
    assert_null(strstr(http_server_last_request(&client_other), "Authorization"));
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.username = "a\r\nX: 1", .password = "p\n"}); /* harmless: encoded */
    req.profile = p;
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "\r\nAuthorization: Basic YQ0KWDogMTpwCg==\r\n"));
    client_profile_unref(p);
    buf_free(&res.body);
}

static void a_token_file_is_read_again(void **state UNUSED)
{
    char path[] = "/tmp/sluice-client-test-XXXXXX";
    close(mkstemp(path));
    write_file(path, "first\n");
    watched_file_set_period(10);
    struct client_result res = {.done = 0};
    const struct client_header_file header = {"X-Key", path};
    struct client_profile *p = profile_of((struct client_profile_conf){
        .credentials_file = path, .header_files = &header, .n_header_files = 1});
    struct client_request req = client_get("/x", &res);
    req.profile = p;
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "Authorization: Bearer first\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_server), "X-Key: first\r\n"));
    write_file(path, "the second");
    for (int64_t until = clock_mono_ms() + 5000; clock_mono_ms() < until; usleep(5000)) {
        client_perform(&req, &res);
        if (strstr(http_server_last_request(&client_server), "Bearer the second\r\n"))
            break;
    }
    assert_non_null(strstr(http_server_last_request(&client_server), "Bearer the second\r\n"));
    assert_non_null(strstr(http_server_last_request(&client_server), "X-Key: the second\r\n"));
    char echoed[64] = "Bearer the second, Bearer first";
    client_hide_secrets_in(p, STR_NONE, echoed, sizeof echoed);
    assert_string_equal(echoed, "Bearer <secret>, Bearer first"); /* the token of now */
    unlink(path);
    usleep(100000); /* ten looks */
    client_perform(&req, &res);
    assert_non_null(strstr(http_server_last_request(&client_server), "Bearer the second\r\n"));
    client_profile_unref(p);
    p = profile_of((struct client_profile_conf){.credentials_file = path});
    req.profile = p;
    client_perform(&req, &res);
    assert_int_equal(res.reply.status, 0);
    assert_non_null(strstr(res.reply.err.text, path));
    client_profile_unref(p);
    buf_free(&res.body);
}

static void a_token_from_a_pipe_is_refused(void **state UNUSED)
{
    char path[] = "/tmp/sluice-client-test-XXXXXX";
    struct client_result res = {.done = 0};
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct client_profile *p = profile_of((struct client_profile_conf){.credentials_file = path});
    struct client_request req = client_get("/x", &res);
    req.profile = p;
    client_perform(&req, &res);
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
    assert_null(client_profile_new(&(struct client_profile_conf){.max_version = "TLS14"}, &err));
    assert_string_equal(err.text, "max_version: \"TLS14\" is none of TLS10, TLS11, TLS12, TLS13");
    assert_null(client_profile_new(&(struct client_profile_conf){.max_version = "TLS11"}, &err));
    assert_string_equal(err.text, "max_version: TLS11 is below min_version, which is TLS12 by default");
    assert_false(client_profile_check(&(struct client_profile_conf){.min_version = "TLS13", .max_version = "TLS12"}, &err));
    assert_null(client_profile_new(&(struct client_profile_conf){.headers = headers, .n_headers = 1}, &err));
    assert_non_null(strstr(err.text, "\"no <secret>\" is not of the form"));
    assert_null(strstr(err.text, "colon"));
    assert_null(client_profile_new(&(struct client_profile_conf){.credentials = "s3cret\n"}, &err));
    assert_non_null(strstr(err.text, "credentials or bearer_token: a line break"));
    assert_null(strstr(err.text, "s3cret"));
    assert_null(
        client_profile_new(&(struct client_profile_conf){.auth_type = "a\r\nX-Evil: 1", .credentials = "x"}, &err));
    const struct client_header_file evil = {"X\r\nX-Evil", "/x"};
    assert_null(client_profile_new(&(struct client_profile_conf){.header_files = &evil, .n_header_files = 1}, &err));
    assert_non_null(strstr(err.text, "/x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(credentials_are_sent_but_not_to_another_host),
        CLIENT_TEST(a_token_file_is_read_again),
        CLIENT_TEST(a_token_from_a_pipe_is_refused),
        cmocka_unit_test(bad_profiles_are_refused),
    };
    return RUN_BOTH_WAYS(client_by_libcurl, tests);
}
