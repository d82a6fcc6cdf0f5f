// SPDX-License-Identifier: Apache-2.0
#include "base/http/http_conf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct job { struct http_conf http; };

static bool check_job(struct conf_context *c UNUSED, const struct yaml *node, void *value, struct err *err)
{
    const struct job *j = value;
    return http_conf_check(node, &j->http, err);
}

static const struct conf_row job_rows[] = {HTTP_CONF_ROWS(struct job, http), {0}};
static const struct conf_section job_section = {"job", sizeof(struct job), job_rows, .check = check_job};

static struct arena arena;

static bool load(const char *text, struct job *job, struct err *err)
{
    struct conf_context c = {.arena = &arena, .file = "f.yml", .dir = STR("/etc")};
    const struct yaml *y = yaml_parse(&arena, str_of(text), "f.yml", err);
    return y != NULL && conf_load(&c, &job_section, y, job, err);
}

static void everything_at_once(void **state UNUSED)
{
    struct job job;
    struct err err = {0};
    bool ok = load("basic_auth: {username: u, password_file: p.txt}\n"
                   "tls_config: {ca_file: ca.pem, server_name: s, min_version: TLS13}\n"
                   "proxy_url: http://p:1\nfollow_redirects: false\nheaders: ['X-A: 1']\n"
                   "http_headers: {X-B: {values: [b, bb], secrets: [c], files: [h.txt]}, X-D: {values: [d]}}\n",
                   &job, &err);
    if (!ok)
        fail_msg("%s", err.text);
    assert_true(str_is(job.http.basic_auth->username, "u"));
    assert_true(str_is(job.http.basic_auth->password_file, "/etc/p.txt"));
    assert_true(str_is(job.http.tls.ca_file, "/etc/ca.pem"));
    assert_false(job.http.follow_redirects);
    const struct str_map *values = &job.http.http_headers.values, *files = &job.http.http_headers.files;
    assert_int_equal(values->n, 4);
    assert_true(str_is(values->keys[2], "X-B") && str_is(values->values[2], "c") && str_is(values->values[3], "d"));
    assert_true(files->n == 1 && str_is(files->keys[0], "X-B") && str_is(files->values[0], "/etc/h.txt"));
    struct client_profile *p = http_conf_profile(&job.http, &err);
    assert_non_null(p);
    client_profile_unref(p);
}

static void credentials_of_clouds_make_profiles(void **state UNUSED)
{
    static const char *const texts[] = {
        "sigv4: {region: r, access_key: a, secret_key: b, role_arn: c, external_id: d, sts_endpoint: 'http://s'}",
        "azuread: {managed_identity: {client_id: a}}", "azuread: {oauth: {client_id: a, client_secret: b, tenant_id: 'c/d'}}",
        "azuread: {sdk: {}}", "azuread: {certificate: {client_id: a, tenant_id: b, certificate_path: /nonexistent}}",
        "azuread: {workload_identity: {client_id: a, tenant_id: b, token_file_path: /nonexistent}}",
        "proxy_connect_header: {X-A: [a, b], X-B: c}"};
    struct client_profile *made[LEN(texts)];
    for (size_t i = 0; i < LEN(texts); i++) {
        struct job job;
        struct err err = {0};
        if (!load(texts[i], &job, &err) || (made[i] = http_conf_profile(&job.http, &err)) == NULL)
            fail_msg("%s: %s", texts[i], err.text);
        for (size_t k = 0; k < i; k++)
            assert_true(client_profile_hash(made[k]) != client_profile_hash(made[i]));
    }
    for (size_t i = 0; i < LEN(texts); i++)
        client_profile_unref(made[i]);
}

/* A reload reports a section as changed even if the change is not printed. */
static void changed_secrets_are_a_change(void **state UNUSED)
{
    static const char *const texts[] = {
        "{}", "bearer_token: a", "bearer_token: b", "http_headers: {X-A: {secrets: [a]}}",
        "http_headers: {X-A: {secrets: [b]}}", "http_headers: {X-B: {secrets: [a]}}",
        "http_headers: {X-A: {values: [b, a]}}", "http_headers: {X-A: {files: [a]}}",
        "http_headers: {X-A: {files: [b]}}"};
    struct job x, y;
    struct err err = {0};
    for (size_t i = 0; i < LEN(texts); i++)
        for (size_t k = 0; k < LEN(texts); k++) {
            assert_true(load(texts[i], &x, &err) && load(texts[k], &y, &err));
            assert_int_equal(conf_equal(&job_section, &x, &y), i == k);
        }
}

static void nothing_is_fine_too(void **state UNUSED)
{
    struct job job;
    struct err err = {0};
    assert_true(load("{}", &job, &err));
    assert_true(job.http.follow_redirects);
    struct client_profile *p = http_conf_profile(&job.http, &err);
    assert_non_null(p);
    client_profile_unref(p);
}

static void expect(const char *text, const char *words)
{
    struct job job;
    struct err err = {0};
    assert_false(load(text, &job, &err));
    if (strstr(err.text, words) == NULL || strstr(err.text, "f.yml:1") == NULL)
        fail_msg("\"%s\" does not say \"%s\" and its place", err.text, words);
}

static void contradictions_are_refused(void **state UNUSED)
{
    expect("{bearer_token: a, basic_auth: {username: u}}", "basic_auth and bearer_token are both set");
    expect("{bearer_token: a, bearer_token_file: b}", "bearer_token and bearer_token_file are both set");
    expect("basic_auth: {password: a, password_file: b}", "password and password_file are both set");
    expect("authorization: {type: Basic, credentials: x}", "use basic_auth");
    expect("tls_config: {cert_file: a}", "requires both");
    expect("http_headers: {X: {file: [a]}}", "unknown key");
    expect("{sigv4: {}, azuread: {managed_identity: {}}}", "sigv4 and azuread are both set");
    expect("azuread: {managed_identity: {}, oauth: {client_id: a, client_secret: b, tenant_id: c}}", "set one of");
    expect("azuread: {certificate: {client_id: a, tenant_id: b}}", "certificate_path");
    expect("azuread: {sdk: {}, certificate: {client_id: a, tenant_id: b, certificate_path: c}}", "set one of");
    expect("proxy_connect_header: {X: [{a: b}]}", "a list of values");
    expect("oauth2: {client_id: a}", "oauth2");
    expect("bearer_token: \"a\\0b\"", "bearer_token: it contains a NUL byte");
    expect("bearer_token_file: \"a\\0b\"", "bearer_token_file: it contains a NUL byte");
    expect("proxy_url: \"http://a\\0b\"", "proxy_url: it contains a NUL byte");
}

static void no_secret_is_printed(void **state UNUSED)
{
    struct job job;
    struct err err = {0};
    struct buf out = {0};
    assert_true(
        load("{bearer_token: s3cret, proxy_url: 'http://u:s3cret@h', headers: ['X-Key: s3cret', 'X-Also:s3cret'], "
             "http_headers: {X-C: {values: [s3cret], files: [/x]}, X-D: {secrets: [s3cret, s3cret]}}}",
             &job, &err));
    conf_print(&out, &job_section, &job, 0);
    assert_null(strstr(buf_z(&out), "s3cret"));
    assert_non_null(strstr(buf_z(&out), "- 'X-Key: <secret>'\n"));
    assert_non_null(strstr(buf_z(&out), "X-Also"));
    assert_non_null(strstr(buf_z(&out), "  X-C: {secrets: [<secret>], files: [/x]}\n"
                                        "  X-D: {secrets: [<secret>, <secret>], files: []}\n"));
    buf_free(&out);
}

static int tear_down(void **state UNUSED)
{
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(changed_secrets_are_a_change),
        cmocka_unit_test(nothing_is_fine_too),
        cmocka_unit_test(credentials_of_clouds_make_profiles),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(no_secret_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
