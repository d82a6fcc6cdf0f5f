// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/config/external_url.h"
#include "tests/unit/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 16 };

static bool parse(struct flags *f, struct err *err, ...)
{
    char *argv[MOST] = {(char *)"sluice"};
    int argc = 1;
    va_list args;
    va_start(args, err);
    for (char *word; (word = va_arg(args, char *)) != NULL && argc < MOST;)
        argv[argc++] = word;
    va_end(args);
    return flags_parse(argc, argv, f, err);
}
#define PARSE(f, ...) parse(f, &err, __VA_ARGS__, (char *)NULL)

static struct err err;

static void assert_str(struct str s, const char *text)
{
    if (!str_is(s, text))
        fail_msg("\"%.*s\", wanted \"%s\"", STR_ARG(s), text);
}

static struct str shown(const struct flags *f, const char *name)
{
    for (size_t i = 0; i < f->n_all; i++)
        if (str_is(f->all[i].name, name))
            return f->all[i].value;
    return STR_NONE;
}

static void test_defaults(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "--config.file=x.yml"));
    assert_int_equal(f.dialect, DIALECT_SLUICE);
    assert_int_equal(f.listen.n, 1);
    assert_str(f.listen.items[0], ":8429");
    assert_int_equal(f.query_timeout, 120000);
    assert_int_equal(f.query_lookback, 300000);
    assert_int_equal(f.query_max_samples, 50000000);
    assert_int_equal(f.query_memory, 256 << 20);
    assert_int_equal(f.flush_interval, 1000);
    assert_true(f.enable_reload && !f.enable_lifecycle && f.strict_parse);
    assert_false(f.version || f.help || f.dry_run);
    assert_str(shown(&f, "query.timeout"), "2m");
    flags_free(&f);
}

static void test_dialects(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-promscrape.config=x.yml", "-remoteWrite.url=http://a/w", "-remoteWrite.tmpDataPath=/q",
                      "-httpListenAddr=:1"));
    assert_int_equal(f.dialect, DIALECT_VMAGENT);
    assert_int_equal(f.max_scrape_size, 16 << 20);
    assert_str(f.queue_dir, "/q");
    assert_str(f.listen.items[0], ":1");
    assert_true(f.enable_reload && !f.enable_lifecycle);
    assert_str(shown(&f, "remoteWrite.url"), "secret");
    flags_free(&f);
    assert_true(PARSE(&f, "--config", "x.yml"));
    assert_int_equal(f.dialect, DIALECT_PROMXY);
    assert_str(f.listen.items[0], ":8082");
    assert_false(f.enable_lifecycle || f.enable_reload);
    flags_free(&f);
    assert_true(PARSE(&f, "--config.file=x.yml", "--dialect=prometheus", "--web.enable-lifecycle"));
    assert_true(f.enable_lifecycle && f.enable_reload);
    flags_free(&f);
    assert_true(PARSE(&f, "--config.file=x.yml", "--dialect=prometheus", "-http.disableCORS"));
    assert_true(f.disable_cors && !f.enable_reload);
    assert_int_equal(f.dialect, DIALECT_PROMETHEUS);
    assert_str(f.listen.items[0], ":9090");
    flags_free(&f);
}

static void test_forms_of_values(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-query.timeout", "30s", "--dryRun", "--no-web.enable-lifecycle",
                      "-promscrape.noStaleMarkers=true", "--query.max-memory=1GiB",
                      "-promscrape.fileSDCheckInterval=1.5m", "--query.timeout=40s"));
    assert_int_equal(f.query_timeout, 40000);
    assert_true(f.dry_run && f.no_stale_markers);
    assert_false(f.enable_lifecycle || f.enable_reload);
    assert_int_equal(f.query_memory, 1 << 30);
    assert_int_equal(f.sd_intervals.file, 90000);
    flags_free(&f);
    static const char *const prefixes[][2] = {
        {"--web.route-prefix=pre/", "/pre"}, {"--web.route-prefix=/a/b", "/a/b"}, {"--web.route-prefix=/", ""}};
    for (size_t i = 0; i < LEN(prefixes); i++) {
        assert_true(PARSE(&f, prefixes[i][0]));
        assert_string_equal(f.path_prefix.p, prefixes[i][1]);
        flags_free(&f);
    }
}

static void test_external_url(void **state UNUSED)
{
    static const struct { const char *url, *prefix, *route, *links; } set[] = {
        {"--web.external-url=https://p.example/prom/", NULL, "/prom", "/prom"},
        {"--web.external-url=https://p.example/prom", "--web.route-prefix=/", "", "/prom"},
        {"--web.external-url=https://p.example", "--web.route-prefix=x", "/x", ""},
        {"--web.external-url=/prometheus/", NULL, "/prometheus", "/prometheus"},
        {"--web.external-url=", "--web.route-prefix=x", "/x", "/x"}};
    struct flags f;
    for (size_t i = 0; i < LEN(set); i++) {
        assert_true(set[i].prefix ? PARSE(&f, set[i].url, set[i].prefix) : PARSE(&f, set[i].url));
        assert_string_equal(f.path_prefix.p, set[i].route);
        assert_string_equal(f.link_prefix.p, set[i].links);
        flags_free(&f);
    }
    assert_false(PARSE(&f, "--web.external-url=p.example/x"));
    flags_free(&f);
    assert_false(PARSE(&f, "--web.external-url=http://p.example/'onload='x"));
    flags_free(&f);

    static const struct { const char *url, *target, *global; } targets[] = {
        {"https://p.example/prom", "http://localhost:9090/prom/metrics", "https://p.example/prom/metrics"},
        {"https://p.example:8443", "http://127.0.0.1:9090/metrics?a=b", "https://p.example:8443/metrics?a=b"},
        {"https://p.example:8443", "http://u:p@[::1]:9100/metrics", "http://u:p@p.example:9100/metrics"},
        {"https://[2001:db8::1]/", "http://localhost/metrics", "http://[2001:db8::1]/metrics"},
        {"https://p.example", "http://node:9090/metrics", "http://node:9090/metrics"},
        {"/prom", "http://localhost:9090/metrics", "http://localhost:9090/metrics"},
        {"", "http://localhost:9090/metrics", "http://localhost:9090/metrics"}};
    for (size_t i = 0; i < LEN(targets); i++) {
        char flag[100];
        struct buf out = {0};
        snprintf(flag, sizeof flag, "--web.external-url=%s", targets[i].url);
        assert_true(PARSE(&f, "--web.listen-address=:9090", flag));
        external_url_of_target(&out, &f, str_of(targets[i].target));
        assert_string_equal(buf_z(&out), targets[i].global);
        buf_free(&out);
        flags_free(&f);
    }
}

static void test_lists(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-remoteWrite.url=http://a/w,http://b/w", "-remoteWrite.url=http://c/w",
                      "-remoteWrite.bearerToken=,x", "-remoteWrite.headers='A: 1,2',{b,c}"));
    assert_int_equal(f.remote_write.url.n, 3);
    assert_str(f.remote_write.url.items[1], "http://b/w");
    assert_str(f.remote_write.url.items[2], "http://c/w");
    assert_int_equal(f.remote_write.bearer_token.n, 2);
    assert_str(f.remote_write.bearer_token.items[0], "");
    assert_str(f.remote_write.bearer_token.items[1], "x");
    assert_int_equal(f.remote_write.headers.n, 2);
    assert_str(f.remote_write.headers.items[0], "A: 1,2");
    assert_str(f.remote_write.headers.items[1], "{b,c}");
    assert_str(shown(&f, "remoteWrite.bearerToken"), "secret");
    flags_free(&f);
}

/* A switch takes no value but after "=", whatever follows it, and has a --no- form. */
static void test_switches(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-remoteWrite.disableOnDiskQueue", "-remoteWrite.url=http://a/w", "-remoteWrite.forcePromProto",
                      "-remoteWrite.forceVMProto=false,true", "-remoteWrite.tlsInsecureSkipVerify"));
    assert_int_equal(f.remote_write.url.n, 1);
    assert_str(f.remote_write.disable_disk_queue.items[0], "true");
    assert_str(f.remote_write.force_prom_proto.items[0], "true");
    assert_int_equal(f.remote_write.force_vm_proto.n, 2);
    assert_str(f.remote_write.tls_insecure.items[0], "true");
    flags_free(&f);
    assert_true(PARSE(&f, "--no-storage.tsdb.wal-compression", "--no-agent", "--no-auto-gomemlimit", "--no-dryRun"));
    assert_false(f.dry_run);
    flags_free(&f);
    assert_false(PARSE(&f, "--no-query.timeout"));
    flags_free(&f);
}

static void test_environment(void **state UNUSED)
{
    struct flags f;
    setenv("SLUICE_TEST_TOKEN", "zz,z", 1);
    assert_true(PARSE(&f, "-remoteWrite.bearerToken=%{SLUICE_TEST_TOKEN}", "-promscrape.config", "/%{SLUICE_TEST_TOKEN}.yml",
                      "-remoteWrite.label=a=100%{"));
    assert_int_equal(f.remote_write.bearer_token.n, 2);
    assert_str(f.remote_write.bearer_token.items[0], "zz");
    assert_str(f.config_file, "/zz,z.yml");
    assert_str(f.remote_write.label.items[0], "a=100%{");
    flags_free(&f);
    assert_false(PARSE(&f, "-remoteWrite.bearerToken=%{SLUICE_TEST_NOBODY}"));
    assert_non_null(strstr(err.text, "--remoteWrite.bearerToken: environment variable SLUICE_TEST_NOBODY is not set"));
    flags_free(&f);
}

static void test_inert(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-enableTCP6", "-loggerTimezone", "UTC", "--storage.tsdb.retention.time=15d",
                      "-loggerMaxArgLen=5", "--storage.agent.wal-compression-type=zstd", "-loggerTimezone=UTC",
                      "--log-level=trace", "-enableMultitenantHandlers=false", "-promscrape.cluster.membersCount=1"));
    assert_int_equal(f.warnings.n, 2);
    assert_str(f.warnings.items[0], "--loggerTimezone is ignored: logs are written to stderr, in UTC, with fixed fields");
    assert_str(f.ignored.items[1], "storage.tsdb.retention.time");
    assert_str(f.log_level, "trace");
    assert_int_equal(f.tuning.n, 3);
    assert_str(f.tuning.items[1], "loggerMaxArgLen");
    flags_free(&f);
    assert_false(PARSE(&f, "-enableMultitenancyViaHeaders=true", "-enableMultitenantHandlers", "-enableTCP6"));
    assert_int_equal(f.errors.n, 2);
    assert_non_null(strstr(buf_z(&f.errors.text), "--enableMultitenantHandlers is not supported yet: pushes to /insert/ would be rejected; "));
    assert_non_null(strstr(err.text, "--enableMultitenancyViaHeaders is not supported yet: data of all tenants would be mixed; remove it, or start "
                                     "with --accept-inert=enableMultitenancyViaHeaders to ignore it (and 1 more"));
    flags_free(&f);
    assert_true(PARSE(&f, "-enableMultitenancyViaHeaders", "--enableMultitenantHandlers", "--accept-inert=enableMultitenancyViaHeaders,enableMultitenantHandlers"));
    assert_int_equal(f.ignored.n, 2);
    flags_free(&f);
    assert_false(PARSE(&f, "--strict", "-loggerTimezone=UTC"));
    assert_non_null(strstr(err.text, "--loggerTimezone is ignored: logs are written to stderr, in UTC, with fixed fields; remove it, or start without --strict"));
    flags_free(&f);
}

static void test_auth_keys(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "-metricsAuthKey=abc", "-pprofAuthKey=x"));
    assert_true(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR("abc")));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR("abd")));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR("ab")));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR("abcd")));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR_NONE));
    assert_true(auth_key_matches(&f.auth_keys, AUTH_KEY_CONFIG, STR_NONE));
    assert_true(auth_key_matches(&f.auth_keys, AUTH_KEY_NONE, STR("x")));
    assert_str(shown(&f, "metricsAuthKey"), "secret");
    flags_free(&f);
    /* a key in a file that is empty, or not there, is no key that a request could send */
    char path[] = "/tmp/sluice-key-XXXXXX", flag[100];
    close(mkstemp(path));
    write_file(path, "abc\n");
    snprintf(flag, sizeof flag, "-reloadAuthKey=file://%s", path);
    assert_true(PARSE(&f, flag, "-metricsAuthKey=file:///does/not/exist"));
    auth_keys_open(&f.auth_keys);
    assert_true(auth_key_matches(&f.auth_keys, AUTH_KEY_RELOAD, STR("abc")));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_RELOAD, str_of(flag + 15)));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR_NONE));
    assert_false(auth_key_matches(&f.auth_keys, AUTH_KEY_METRICS, STR("file:///does/not/exist")));
    auth_keys_close(&f.auth_keys);
    unlink(path);
    flags_free(&f);
}

static void test_features(void **state UNUSED)
{
    struct flags f;
    assert_true(PARSE(&f, "--enable-feature=exemplar-storage,native-histograms,bogus", "--enable-feature=promql-per-step-stats"));
    assert_int_equal(f.warnings.n, 2);
    assert_str(f.warnings.items[0], "--enable-feature=native-histograms is ignored: scrape_native_histograms of global "
                                    "or a job requests them, as in Prometheus 3.8 and later");
    assert_str(f.warnings.items[1], "--enable-feature=bogus is ignored: this feature is not known; check its name");
    assert_int_equal(f.ignored.n, 1);
    assert_str(f.ignored.items[0], "enable-feature");
    assert_int_equal(f.config_check_interval, 0);
    flags_free(&f);
    assert_true(PARSE(&f, "--enable-feature=auto-reload-config"));
    assert_true(f.warnings.n == 0 && f.config_check_interval == 30000);
    flags_free(&f);
    assert_true(PARSE(&f, "--config.auto-reload"));
    assert_true(f.warnings.n == 0 && f.config_check_interval == 30000);
    flags_free(&f);
    assert_true(PARSE(&f, "--config.auto-reload", "--config.auto-reload-interval=5s"));
    assert_int_equal(f.config_check_interval, 5000);
    flags_free(&f);
    assert_false(PARSE(&f, "--enable-feature=bogus", "--strict"));
    assert_non_null(strstr(err.text, "--enable-feature=bogus is ignored: this feature is not known; check its name; remove it, or "
                                     "start without --strict"));
    flags_free(&f);
}

static void test_flags_from_the_environment(void **state UNUSED)
{
    struct flags f;
    setenv("VM_remoteWrite_url", "http://a/w", 1);
    setenv("VM_httpListenAddr", ":7", 1);
    setenv("VM_loggerLevel", "ERROR", 1);
    assert_true(PARSE(&f, "-envflag.enable", "-envflag.prefix=VM_", "-loggerLevel=WARN"));
    assert_int_equal(f.remote_write.url.n, 1);
    assert_str(f.listen.items[0], ":7");
    assert_str(f.log_level, "WARN"); /* the command line wins */
    flags_free(&f);
    setenv("VM_enableMultitenantHandlers", "true", 1);
    assert_false(PARSE(&f, "-envflag.enable", "-envflag.prefix=VM_"));
    assert_non_null(strstr(err.text, "--enableMultitenantHandlers is not supported yet"));
    flags_free(&f);
    unsetenv("VM_enableMultitenantHandlers");
    assert_true(PARSE(&f, "-envflag.prefix=VM_"));
    assert_int_equal(f.remote_write.url.n, 0);
    flags_free(&f);
}

/* As vmagent 1.145 reads them: what is opened and not closed is a plain character, as in passwords. */
static void test_items_with_quotes_and_brackets(void **state UNUSED)
{
    static const struct { const char *text, *items[4]; } cases[] = {
        {"a'x,p)b,{c,d", {"a'x", "p)b", "{c", "d"}},
        {"[a,b],(c(d,e),f)", {"[a,b]", "(c(d,e),f)"}},
        {"\"a,b\",x'c,d'e,", {"a,b", "x'c,d'e", ""}},
        {"(a]b,c", {"(a]b", "c"}}};
    for (size_t i = 0; i < LEN(cases); i++) {
        char word[100];
        struct flags f;
        size_t n = 0;
        snprintf(word, sizeof word, "-remoteWrite.bearerToken=%s", cases[i].text);
        assert_true(PARSE(&f, word));
        for (; n < LEN(cases[i].items) && cases[i].items[n]; n++) {
            assert_true(n < f.remote_write.bearer_token.n);
            assert_str(f.remote_write.bearer_token.items[n], cases[i].items[n]);
        }
        assert_int_equal(f.remote_write.bearer_token.n, n);
        flags_free(&f);
    }
}

static void test_errors(void **state UNUSED)
{
    static const struct { const char *word, *says; } bad[] = {
        {"--query.max-sample=1", "unknown flag --query.max-sample; did you mean --query.max-samples?"},
        {"-remoteWrite.uri=x", "did you mean --remoteWrite.url?"},
        {"--xyzzy", "unknown flag --xyzzy; see --help"},
        {"--query.timeout=soon", "--query.timeout: \"soon\" is not a duration"},
        {"--lanes=1000", "--lanes: 1000 is out of range"},
        {"--config.file", "--config.file requires a value"},
        {"stray", "unexpected argument \"stray\""},
        {"--log.level=loud", "--log.level: \"loud\""},
        {"--web.cors.origin=((", "--web.cors.origin"},
        {"--dialect=klingon", "--dialect"},
        {"-dryRun=perhaps", "--dryRun"},
    };
    struct flags f;
    for (size_t i = 0; i < LEN(bad); i++) {
        if (PARSE(&f, bad[i].word))
            fail_msg("%s was accepted", bad[i].word);
        if (strstr(err.text, bad[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].word, err.text, bad[i].says);
        flags_free(&f);
    }
    assert_false(PARSE(&f, "--config.file=a", "-promscrape.config=b"));
    assert_non_null(strstr(err.text, "remove one"));
    flags_free(&f);
}

static void test_documents(void **state UNUSED)
{
    struct buf out = {0};
    flags_help(&out);
    assert_non_null(strstr(buf_z(&out), "--web.listen-address, --httpListenAddr, --bind-addr"));
    buf_clear(&out);
    flags_document(&out);
    assert_non_null(strstr(buf_z(&out), "| `query.timeout` |  | `2m` | Query timeout |\n"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_dialects), cmocka_unit_test(test_forms_of_values),
        cmocka_unit_test(test_external_url),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_items_with_quotes_and_brackets),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_inert), cmocka_unit_test(test_features), cmocka_unit_test(test_auth_keys),
        cmocka_unit_test(test_flags_from_the_environment), cmocka_unit_test(test_errors), cmocka_unit_test(test_documents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
