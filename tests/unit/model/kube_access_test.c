// SPDX-License-Identifier: Apache-2.0
/* Where an API server is and how to authenticate: kubeconfig files, service accounts, and what the configuration refuses. */
#include "model/discovery/source/sd_conf.h"
#include "tests/unit/files.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char access_dir[64];

static const char *access_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", access_dir, name);
    return path;
}

static int make_access_dir(void **state UNUSED)
{
    snprintf(access_dir, sizeof access_dir, "/tmp/kube_access.XXXXXX");
    return mkdtemp(access_dir) == NULL;
}

static int remove_access_dir(void **state UNUSED)
{
    static const char *const names[] = {"config", "namespace"};
    for (size_t i = 0; i < LEN(names); i++)
        unlink(access_path(names[i]));
    return rmdir(access_dir);
}

#define KUBECONFIG(cluster, user)                                                                                     \
    "apiVersion: v1\nkind: Config\ncurrent-context: two\n"                                                            \
    "contexts:\n- {name: one, context: {cluster: x, user: x}}\n- {name: two, context: {cluster: c, user: u}}\n"       \
    "clusters:\n- {name: x, cluster: {server: 'https://wrong'}}\n- {name: c, cluster: {" cluster "}}\n"               \
    "users:\n- {name: x, user: {token: wrong}}\n- {name: u, user: {" user "}}\n"

static struct kube_access read_kubeconfig(struct arena *a, const char *text)
{
    struct kube_access access;
    write_file(access_path("config"), text);
    kube_access_file(a, arena_z(a, str_of(access_path("config"))), &access);
    return access;
}

static void kubeconfig_files(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct kube_access x = read_kubeconfig(&a, KUBECONFIG("server: 'https://k:6443', certificate-authority: ca/k.pem, tls-server-name: k8s, "
                                                          "proxy-url: 'http://p:3128'", "token: secret"));
    assert_int_equal(x.error.n, 0);
    assert_string_equal(x.server.p, "https://k:6443");
    assert_string_equal(x.http.tls.ca_file.p, access_path("ca/k.pem"));
    assert_string_equal(x.http.tls.server_name.p, "k8s");
    assert_string_equal(x.http.proxy_url.p, "http://p:3128");
    assert_string_equal(x.http.bearer_token.p, "secret");
    assert_true(x.http.follow_redirects && !x.http.tls.insecure_skip_verify);

    x = read_kubeconfig(&a, KUBECONFIG("server: 'https://k', certificate-authority: /no, certificate-authority-data: Q0E=, insecure-skip-tls-verify: true",
                                       "client-certificate-data: Q0VSVA==, client-key: key.pem, tokenFile: /t, token: old"));
    assert_int_equal(x.error.n, 0);
    assert_string_equal(x.http.tls.ca.p, "CA");
    assert_true(x.http.tls.ca_file.n == 0 && x.http.tls.insecure_skip_verify);
    assert_string_equal(x.http.tls.cert.p, "CERT");
    assert_string_equal(x.http.tls.key_file.p, access_path("key.pem"));
    assert_string_equal(x.http.bearer_token_file.p, "/t");
    assert_int_equal(x.http.bearer_token.n, 0);

    x = read_kubeconfig(&a, KUBECONFIG("server: 'http://k'", "username: me, password: secret"));
    assert_string_equal(x.http.basic_auth->username.p, "me");
    assert_string_equal(x.http.basic_auth->password.p, "secret");
    arena_free(&a);
}

static void kubeconfig_files_that_are_refused(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {KUBECONFIG("server: 'https://k'", "exec: {command: aws}"), "exec is not supported; use a token"},
        {KUBECONFIG("server: 'https://k'", "auth-provider: {name: gcp}"), "auth-provider is not supported"},
        {KUBECONFIG("server: 'https://k'", "token: t, as: admin"), "as is not supported"},
        {KUBECONFIG("server: 'https://k'", "token: t, username: u"), "a token and a username"},
        {KUBECONFIG("server: 'https://k', certificate-authority-data: '%'", ""), "certificate-authority-data is not base64"},
        {KUBECONFIG("", "token: t"), "has no server"},
        {"current-context: none\n", "no context \"none\""},
        {"[]", "no context \"\""},
        {"a: [", "config:"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct kube_access x = read_kubeconfig(&a, cases[i][0]);
        if (x.error.n == 0 || strstr(x.error.p, cases[i][1]) == NULL)
            fail_msg("%zu: \"%s\" is not \"%s\"", i, x.error.n > 0 ? x.error.p : "", cases[i][1]);
        assert_null(strstr(x.error.p, "secret"));
        kube_access_file(&a, "/no/such/kubeconfig", &x);
        assert_non_null(strstr(x.error.p, "/no/such/kubeconfig: No such file"));
        arena_free(&a);
    }
}

static void service_accounts(void **state UNUSED)
{
    struct arena a;
    struct kube_access x;
    arena_init(&a, 0);
    unsetenv("KUBERNETES_SERVICE_HOST");
    kube_access_pod(&a, access_dir, &x);
    assert_non_null(strstr(x.error.p, "does not run in a pod"));
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    kube_access_pod(&a, access_dir, &x);
    assert_int_equal(x.error.n, 0);
    assert_true(str_is(x.server, "https://[fd00::1]:443"));
    assert_int_equal(x.namespace.n, 0);
    write_file(access_path("namespace"), "shop\n");
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    kube_access_pod(&a, access_dir, &x);
    assert_true(str_is(x.server, "https://10.0.0.1:443"));
    assert_string_equal(x.namespace.p, "shop");
    assert_string_equal(x.http.bearer_token_file.p, access_path("token"));
    assert_string_equal(x.http.tls.ca_file.p, access_path("ca.crt"));
    arena_free(&a);
}

static bool load_kubernetes(struct arena *a, const char *text, bool vmagent, struct kubernetes_sd *sd, struct err *err)
{
    struct conf_context c = {.arena = a, .file = "f.yml", .vmagent_relabeling = vmagent};
    const struct yaml *node = yaml_parse(a, str_of(text), "f.yml", err);
    return node && conf_load(&c, &kubernetes_sd_section, node, sd, err);
}

static void what_the_configuration_refuses(void **state UNUSED)
{
    static const struct { const char *text, *prometheus, *vmagent; } cases[] = { /* NULL: accepted */
        {"{role: pod, api_server: 'https://k'}", NULL, NULL},
        {"{role: endpointslices, api_server: 'https://k'}", NULL, NULL},
        {"{api_server: 'https://k'}", "role", "role"},
        {"{role: pods, api_server: 'https://k'}", "pods", "pods"},
        {"{role: pod, api_server: 'https://k', kubeconfig_file: x}", "both set", "both set"},
        {"{role: pod, api_server: 'https://k', namespaces: {own_namespace: true}}", "own_namespace", "own_namespace"},
        {"{role: pod, kubeconfig_file: x, namespaces: {own_namespace: true}}", "own_namespace", "own_namespace"},
        {"{role: pod, kubeconfig_file: x, bearer_token: t}", "bearer_token: not with kubeconfig_file", NULL},
        {"{role: pod, tls_config: {ca_file: x}}", "tls_config: requires api_server", NULL},
        {"{role: pod, follow_redirects: true, enable_http2: true}", NULL, NULL},
        {"{role: pod, selectors: [{role: pod, label: a}, {role: node, field: b}]}", NULL, NULL},
        {"{role: pod, selectors: [{role: pod, label: a}, {role: pod, field: b}]}", "two selectors of role pod", "two selectors"},
        {"{role: pod, selectors: [{role: service, label: a}]}", "role pod has no selector of role service", "no selector of role"},
        {"{role: endpoints, selectors: [{role: endpointslice, label: a}]}", "no selector of role endpointslice", "no selector"},
        {"{role: ingress, selectors: [{role: ingress, label: a}]}", NULL, NULL},
        {"{role: pod, api_server: 'https://k', bearer_token: t, basic_auth: {username: u}}", "both set", "both set"},
    };
    for (size_t i = 0; i < LEN(cases); i++)
        for (int vmagent = 0; vmagent < 2; vmagent++) {
            struct arena a;
            struct err err = {0};
            struct kubernetes_sd sd;
            const char *wanted = vmagent ? cases[i].vmagent : cases[i].prometheus;
            arena_init(&a, 0);
            bool ok = load_kubernetes(&a, cases[i].text, vmagent, &sd, &err);
            if (ok ? wanted != NULL : wanted == NULL || strstr(err.text, wanted) == NULL)
                fail_msg("%s: \"%s\" is not \"%s\"", cases[i].text, err.text, wanted ? wanted : "");
            assert_true(!ok || i != 1 || sd.role == KUBE_ROLE_ENDPOINTSLICE);
            arena_free(&a);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kubeconfig_files), cmocka_unit_test(kubeconfig_files_that_are_refused),
        cmocka_unit_test(service_accounts), cmocka_unit_test(what_the_configuration_refuses),
    };
    return cmocka_run_group_tests(tests, make_access_dir, remove_access_dir);
}
