// SPDX-License-Identifier: Apache-2.0
/* Files as users write them, in a new folder. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"
#include "gateway/config/config.h"
#include "tests/unit/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/config_test.XXXXXX";
static struct err err;
static struct flags flags;

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_file(path, text);
}

static void parse_flags(const char *config_flag, const char *const *more)
{
    char first[256];
    char *argv[16] = {(char *)"sluice", first};
    int argc = 2;
    snprintf(first, sizeof first, "--%s=%s/main.yml", config_flag, folder);
    for (; more && *more; more++)
        argv[argc++] = (char *)*more;
    assert_true(flags_parse(argc, argv, &flags, &err));
}

static struct config *load_as(const char *config_flag, const char *text, const char *const *more)
{
    put("main.yml", text);
    parse_flags(config_flag, more);
    return config_load(&flags, NULL, &err);
}

static struct config *load(const char *text)
{
    struct config *c = load_as("config.file", text, NULL);
    if (c == NULL)
        fail_msg("%s", err.text);
    return c;
}

static void end(struct config *c)
{
    config_unref(c);
    flags_free(&flags);
}

static void refused(const char *text, unsigned line, const char *says)
{
    char where[64];
    snprintf(where, sizeof where, "main.yml:%u:", line);
    if (load_as("config.file", text, NULL) != NULL)
        fail_msg("accepted: %s", text);
    if (strstr(err.text, where) == NULL || strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say %s ... %s", err.text, where, says);
    flags_free(&flags);
}

static void assert_str(struct str s, const char *text)
{
    if (!str_is(s, text))
        fail_msg("\"%.*s\", wanted \"%s\"", STR_ARG(s), text);
}

static bool warned(const struct config *c, const char *what)
{
    for (size_t i = 0; i < c->warnings.n; i++)
        if (strstr(c->warnings.items[i].p, what))
            return true;
    return false;
}

static bool shows(const struct config *c, const char *what)
{
    return str_find_str(c->masked, str_of(what)) < c->masked.n;
}

static void test_empty(void **state UNUSED)
{
    struct config *c = load("");
    assert_int_equal(c->n_jobs + c->n_destinations + c->n_groups, 0);
    assert_int_equal(c->global.scrape_interval, 60000);
    assert_non_null(c->recent);
    assert_int_equal(c->recent->retention, 7200000);
    end(c);
}

/* What says nothing, and what says that there is nothing. */
static void test_empty_or_not(void **state UNUSED)
{
    static const struct { const char *text; bool empty; } cases[] = {
        {"", true}, {"\n", true}, {"# only a remark\n", true}, {"---\n", true},
        {"{}", false}, {"scrape_configs: []\n", false}, {"global:\n", false}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct config *c = load(cases[i].text);
        assert_int_equal(c->empty, cases[i].empty);
        assert_int_equal(c->n_jobs + c->n_destinations + c->n_groups, 0);
        end(c);
    }
}

static void test_jobs(void **state UNUSED)
{
    put("more-1.yml", "- job_name: c\n  static_configs: [{targets: ['c:1']}]\n");
    put("more-2.yml", "[]\n");
    struct config *c = load("global: {scrape_interval: 10s, sample_limit: 7}\nscrape_config_files: ['more-*.yml', 'none-*.yml']\n"
                            "scrape_configs:\n- job_name: a\n- job_name: b\n  scrape_interval: 5s\n  sample_limit: 9\n");
    assert_int_equal(c->n_jobs, 3);
    assert_int_equal(c->jobs[0].scrape_interval, 10000);
    assert_int_equal(c->jobs[0].sample_limit, 7);
    assert_int_equal(c->jobs[1].scrape_interval, 5000);
    assert_int_equal(c->jobs[1].scrape_timeout, 5000);
    assert_int_equal(c->jobs[1].sample_limit, 9);
    assert_str(c->jobs[2].job_name, "c");
    assert_true(c->jobs[0].honor_timestamps && c->scrape.broken_lines_fail);
    end(c);
}

/* A list is vmagent's form, a mapping Prometheus'; paths start from the file's folder, wherever the program runs. */
static void test_job_files(void **state UNUSED)
{
    put("more-1.yml", "scrape_configs:\n- job_name: m\n  file_sd_configs: [{files: ['targets/*.json', '/no/*.json']}]\n"
                      "  basic_auth: {username: u, password_file: hush}\n");
    put("more-2.yml", "scrape_configs:\n");
    put("more-3.yml", "{}\n");
    struct config *c = load("scrape_config_files: ['more-?.yml', none.yml]\n");
    char text[400];
    assert_int_equal(c->n_jobs, 1);
    const struct file_sd *sd = c->jobs[0].sd.file_sd_configs.items;
    snprintf(text, sizeof text, "%s/targets/*.json", folder);
    assert_str(sd->files.items[0], text);
    assert_str(sd->files.items[1], "/no/*.json");
    snprintf(text, sizeof text, "main.yml:1: scrape_config_files: no file matches %s/none.yml", folder);
    assert_true(warned(c, text));
    snprintf(text, sizeof text, "more-1.yml:3: file_sd_config.files: no file matches %s/targets/*.json", folder);
    assert_true(warned(c, text));
    assert_true(warned(c, "more-1.yml:3: file_sd_config.files: no file matches /no/*.json"));
    snprintf(text, sizeof text, "more-1.yml:4: basic_auth.password_file: cannot read %s/hush: No such file", folder);
    assert_true(warned(c, text));
    assert_int_equal(c->warnings.n, 4);
    end(c);
    char before[300];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    put("main.yml", "scrape_config_files: [none.yml]\n"); /* named without a folder: an absolute path all the same */
    char *argv[] = {(char *)"sluice", (char *)"--config.file=main.yml"};
    assert_true(flags_parse(2, argv, &flags, &err));
    c = config_load(&flags, NULL, &err);
    snprintf(text, sizeof text, "no file matches %s/none.yml", folder);
    assert_true(c && warned(c, text));
    end(c);
    assert_int_equal(chdir(before), 0);
    put("more-1.yml", "scrape_configs: []\nglobal: {}\n");
    assert_null(load_as("config.file", "scrape_config_files: [more-1.yml]\n", NULL));
    assert_non_null(strstr(err.text, "more-1.yml:2: unknown key \"global\""));
    flags_free(&flags);
}

/* As Prometheus 3.5.3 sends them. */
static void test_environment_in_labels(void **state UNUSED)
{
    const char *text = "global:\n  external_labels: {a: '${SLUICE_TEST_A}', b: '$SLUICE_TEST_A', c: '$$x', d: '${SLUICE_TEST_NONE}',\n"
                       "                    e: 'x$', f: '${SLUICE_TEST_A}-2', g: '$-', h: '${', i: '$.', j: a$$}\n";
    static const char *const want[][2] = {
        {"a", "pod-0"}, {"b", "pod-0"}, {"c", "$x"}, {"e", "x$"}, {"f", "pod-0-2"}, {"i", "$."}, {"j", "a$"}};
    setenv("SLUICE_TEST_A", "pod-0", 1);
    struct config *c = load(text);
    const struct str_map *labels = &c->global.external_labels;
    assert_int_equal(labels->n, LEN(want));
    for (size_t i = 0; i < LEN(want); i++) {
        assert_str(labels->keys[i], want[i][0]);
        assert_str(labels->values[i], want[i][1]);
    }
    assert_true(warned(c, "the environment variable SLUICE_TEST_NONE is empty or not set"));
    end(c);
    c = load_as("promscrape.config", text, NULL); /* vmagent has no such thing */
    assert_str(c->global.external_labels.values[0], "${SLUICE_TEST_A}");
    end(c);
}

static void test_headers(void **state UNUSED)
{
    struct config *c = load("remote_write:\n- url: http://a/w\n  headers:\n    X-Scope-OrgID: team-a\n    X-Empty:\n"
                            "- {url: 'http://b/w', name: b, headers: ['A: b']}\n");
    assert_int_equal(c->destinations[0].http.headers.n, 2);
    assert_str(c->destinations[0].http.headers.items[0], "X-Scope-OrgID: team-a");
    assert_str(c->destinations[0].http.headers.items[1], "X-Empty: ");
    assert_str(c->destinations[1].http.headers.items[0], "A: b");
    assert_false(shows(c, "team-a"));
    end(c);
    refused("remote_write:\n- url: http://a/w\n  headers: {a: [b]}\n", 3, "remote_write.headers: expected a list of "
            "strings or a mapping");
}

/* Keys of the peers that do nothing here: named, in the line of the key, and an error where they guard something. */
static void test_inert_keys(void **state UNUSED)
{
    refused("server_groups:\n- static_configs: [{targets: ['a:1']}]\n  serverset_sd_configs:\n    - role: node\n", 3,
            "server_group.serverset_sd_configs is not supported yet: Its servers would not be queried");
    refused("remote_read:\n\n- url: http://a/read\n", 1, "--accept-inert=remote_read");
    static const char *const accepted[] = {"--accept-inert=scrape_config.proxy_oauth2", NULL};
    const char *text = "rule_files: [x]\nscrape_configs:\n- {job_name: a, proxy_oauth2: {a: b}}\n"
                       "- {job_name: b, proxy_oauth2: {a: b}, serverset_sd_configs: [{role: pod}]}\n";
    struct config *c = load_as("config.file", text, accepted);
    if (c == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(c->warnings.n, 4);
    assert_int_equal(c->ignored.n, 3); /* each key once */
    assert_str(c->ignored.items[1], "scrape_config.proxy_oauth2");
    end(c);
    static const char *const strict[] = {"--strict", NULL};
    assert_null(load_as("config.file", "rule_files: [x]\n", strict));
    assert_non_null(strstr(err.text, "main.yml:1: rule_files is ignored, an error with --strict"));
    flags_free(&flags);
}

static void test_all_errors_at_once(void **state UNUSED)
{
    static const char *const want[] = {
        "main.yml:2: global.scrape_interval: \"x\" is not a duration", "main.yml:3: global: unknown key \"surprise\"",
        "main.yml:5: scrape_config: missing required key \"job_name\"", "main.yml:6: scrape_config.proxy_oauth2",
        "main.yml:8: scrape_config.scheme: expected a string, got a list", "main.yml:9: remote_write: missing required key \"url\"",
        "main.yml:10: alertting"};
    struct conf_errors errors = {0};
    put("main.yml", "global:\n  scrape_interval: x\n  surprise: 1\nscrape_configs:\n- metrics_path: /a\n  proxy_oauth2:\n"
                    "    5\n- {job_name: b, scheme: [a]}\nremote_write: [{name: a}]\nalertting: {}\n");
    parse_flags("config.file", NULL);
    assert_null(config_load(&flags, &errors, &err));
    const char *all = buf_z(&errors.text);
    for (size_t i = 0; i < LEN(want) - 1; i++)
        if (strstr(all, want[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", want[i], all);
    assert_int_equal(errors.n, LEN(want));
    assert_non_null(strstr(all, "main.yml:10: unknown key \"alertting\""));
    assert_non_null(strstr(err.text, "main.yml:2: "));
    assert_non_null(strstr(err.text, "(and 6 more"));
    buf_free(&errors.text);
    flags_free(&flags);
}

static void check_all(const char *const *flag_list, const char *const *want, size_t n)
{
    struct conf_errors errors = {0};
    parse_flags("config.file", flag_list);
    assert_null(config_load(&flags, &errors, &err));
    const char *all = buf_z(&errors.text);
    for (size_t i = 0; i < n; i++)
        if (strstr(all, want[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", want[i], all);
    if (errors.n != n)
        fail_msg("%zu errors, wanted %zu:\n%s", errors.n, n, all);
    buf_free(&errors.text);
    flags_free(&flags);
}

/* Files that a file or flags name are read in the same round, whether the first file is right or not. */
static void test_errors_of_all_files_at_once(void **state UNUSED)
{
    char common[256], own[256], missing[256];
    static const char *const in_files[] = {"jobs-1.yml:2: scrape_config.scrape_timeout", "jobs-2.yml:1: scrape_config: unknown key",
                                           "common.yml:1: relabel_config.action", "own.yml:1: regex"};
    static const char *const doc[] = {"main.yml:2: unknown key \"x\"", "main.yml:3: unknown key \"y\""};
    const char *want[LEN(in_files) + LEN(doc)];
    snprintf(common, sizeof common, "--remoteWrite.relabelConfig=%s/common.yml", folder);
    snprintf(own, sizeof own, "--remoteWrite.urlRelabelConfig=%s/own.yml", folder);
    snprintf(missing, sizeof missing, "--remoteWrite.relabelConfig=%s/missing.yml", folder);
    put("jobs-1.yml", "- {job_name: a}\n- {job_name: b, scrape_timeout: x}\n");
    put("jobs-2.yml", "[{job_name: c, no_such_key: 1}]\n");
    put("common.yml", "[{action: kepp}]\n");
    put("own.yml", "[{action: keep, regex: '('}]\n");
    const char *const files[] = {common, own, "--remoteWrite.url=http://a/w", "--remoteWrite.url=http://b/w", NULL};
    put("main.yml", "scrape_config_files: ['jobs-*.yml']\n");
    check_all(files, in_files, LEN(in_files));
    put("main.yml", "scrape_config_files: ['jobs-*.yml']\nx: 1\ny: 2\n");
    memcpy(want, in_files, sizeof in_files);
    memcpy(want + LEN(in_files), doc, sizeof doc);
    check_all(files, want, LEN(want));
    put("main.yml", "scrape_configs: [{job_name: a}, {job_name: a}]\nremote_write: [{url: 'http://a/w?x=1'}, {url: 'http://a/w?x=2'}]\n");
    const char *const alone[] = {missing, NULL}; /* without any URL */
    static const char *const wanted[] = {"main.yml:1: scrape_configs: duplicate job_name", "missing.yml: No such file",
                                         "duplicate url http://a/w?x=2 (query strings are ignored)"};
    check_all(alone, wanted, 2); /* destinations are put together with the flags' */
    check_all(NULL, (const char *const[]){wanted[0], wanted[2]}, 2);
}

/* Discovery of the peers that is not there is no typing error, whatever its kind. */
static void test_kinds_of_discovery(void **state UNUSED)
{
    static const char *const kinds[] = {"aws", "serverset", "oci", "outscale", "spcs", "upcloud", "vultr"};
    for (size_t i = 0; i < LEN(kinds); i++) {
        char job[128], group[128], says[128];
        snprintf(job, sizeof job, "scrape_configs:\n- job_name: a\n  %s_sd_configs: [{a: b}]\n", kinds[i]);
        snprintf(group, sizeof group, "server_groups:\n- %s_sd_configs: [{a: b}]\n", kinds[i]);
        snprintf(says, sizeof says, "server_group.%s_sd_configs is not supported yet", kinds[i]);
        refused(group, 2, says);
        static const char *const strict[] = {"--strict", NULL};
        assert_null(load_as("config.file", job, strict));
        snprintf(says, sizeof says, "scrape_config.%s_sd_configs is not supported yet, an error with --strict", kinds[i]);
        assert_non_null(strstr(err.text, says));
        flags_free(&flags);
        snprintf(says, sizeof says, "scrape_config.%s_sd_configs (", kinds[i]);
        struct config *c = load(job);
        assert_int_equal(c->warnings.n, 1);
        assert_non_null(strstr(c->warnings.items[0].p, says));
        end(c);
    }
}

/* Those of jobs are one warning with each key once. */
static void test_missing_kinds_are_reported_together(void **state UNUSED)
{
    struct config *c = load("scrape_configs:\n- {job_name: a, vultr_sd_configs: [{a: b}]}\n"
                            "- {job_name: b, serverset_sd_configs: [{a: b}], vultr_sd_configs: [{a: b}]}\n"
                            "- {job_name: c, vultr_sd_configs: []}\n");
    assert_int_equal(c->warnings.n, 1);
    const char *text = strstr(c->warnings.items[0].p, "scrape_config.vultr_sd_configs (");
    assert_non_null(text);
    assert_non_null(strstr(text, ":2, 3), scrape_config.serverset_sd_configs ("));
    assert_int_equal(c->ignored.n, 2);
    end(c);
}

/* What only the start would find: clients, names. */
static void test_what_the_start_needs(void **state UNUSED)
{
    static const char *const bad[][2] = {
        {"scrape_configs: [{job_name: j, headers: [\"A: b\\r\\nC: d\"]}]\n", "job \"j\": headers"},
        {"scrape_configs: [{job_name: j, bearer_token: \"a\\nb\"}]\n", "job \"j\": credentials or bearer_token"},
        {"remote_write: [{url: 'http://a/w', tls_config: {min_version: TLS99}}]\n", "remote_write \"http://a/w\": min_version"},
        {"remote_write: [{url: 'http://a/w'}, {url: 'http://a/w'}]\n", "duplicate url http://a/w (query strings"},
        {"remote_write: [{url: 'http://a/w', name: n}, {url: 'http://b/w', name: n}]\n", "duplicate name \"n\""},
        {"server_groups: [{static_configs: [{targets: ['a:1']}], http_client: {tls_config: {min_version: TLS99}}}]\n", "TLS99"}};
    for (size_t i = 0; i < LEN(bad); i++) {
        if (load_as("config.file", bad[i][0], NULL) != NULL)
            fail_msg("accepted: %s", bad[i][0]);
        if (strstr(err.text, bad[i][1]) == NULL)
            fail_msg("%s", err.text);
        flags_free(&flags);
    }
}

static void test_inherited_limits(void **state UNUSED)
{
    struct config *c = load("global: {target_limit: 3, label_name_length_limit: 4, label_value_length_limit: 5}\n"
                            "scrape_configs: [{job_name: a}, {job_name: b, target_limit: 0, label_value_length_limit: 9}]\n");
    assert_true(c->jobs[0].target_limit == 3 && c->jobs[0].label_name_length_limit == 4);
    assert_true(c->jobs[0].label_value_length_limit == 5 && c->jobs[1].label_value_length_limit == 9);
    assert_int_equal(c->jobs[1].target_limit, 0);
    end(c);
}

/* A reload keeps a job whose fingerprint is the same running as it is. */
static void test_inherited_limits_are_fingerprinted(void **state UNUSED)
{
    static const char *const limits[] = {"sample_limit", "label_limit", "label_name_length_limit",
                                         "label_value_length_limit", "body_size_limit"};
    struct config *c = load("scrape_configs: [{job_name: a}]\n");
    uint64_t unlimited = c->jobs[0].fingerprint;
    end(c);
    for (size_t i = 0; i < LEN(limits); i++) {
        char text[100];
        snprintf(text, sizeof text, "global: {%s: 7}\nscrape_configs: [{job_name: a}]\n", limits[i]);
        c = load(text);
        if (c->jobs[0].fingerprint == unlimited)
            fail_msg("%s", limits[i]);
        end(c);
    }
}

static void test_common_rules(void **state UNUSED)
{
    const char *rule = "global:\n  metric_relabel_configs: [{action: labeldrop, regex: x}]\nscrape_configs:\n- job_name: a\n"
                       "  metric_relabel_configs: [{action: labeldrop, regex: y}]\n";
    struct config *c = load(rule);
    assert_int_equal(c->jobs[0].metric_relabel_configs.n, 2);
    const struct relabel_rule *rules = c->jobs[0].metric_relabel_configs.items;
    assert_str(rules[0].regex_text, "x");
    assert_str(rules[1].regex_text, "y");
    uint64_t before = c->jobs[0].fingerprint;
    end(c);
    c = load("global:\n  metric_relabel_configs: [{action: labeldrop, regex: z}]\nscrape_configs:\n- job_name: a\n"
             "  metric_relabel_configs: [{action: labeldrop, regex: y}]\n");
    assert_true(c->jobs[0].fingerprint != before);
    end(c);
}

static void test_vmagent(void **state UNUSED)
{
    setenv("SLUICE_TEST_HOST", "h:9", 1);
    struct config *c = load_as("promscrape.config",
                               "global: {scrape_interval: 1.5m}\nscrape_configs:\n- job_name: a\n  scrape_interval: 15\n"
                               "  scrape_timeout: 1m\n  static_configs: [{targets: ['%{SLUICE_TEST_HOST}']}]\n", NULL);
    assert_non_null(c);
    assert_int_equal(c->global.scrape_interval, 90000);
    assert_int_equal(c->jobs[0].scrape_interval, 15000);
    assert_int_equal(c->jobs[0].scrape_timeout, 15000);
    assert_false(c->jobs[0].honor_timestamps);
    assert_str(((const struct static_group *)c->jobs[0].static_configs.items)->targets.items[0], "h:9");
    assert_false(shows(c, "SLUICE_TEST_HOST"));
    end(c);
    assert_null(load_as("promscrape.config", "\n\nx: %{SLUICE_TEST_NOBODY}\n", NULL));
    assert_non_null(strstr(err.text, "main.yml:3: environment variable SLUICE_TEST_NOBODY is not set"));
    flags_free(&flags);
    static const char *const lenient[] = {"-promscrape.config.strictParse=false", NULL};
    c = load_as("promscrape.config", "scrape_configs: []\nsurprise: 1\n", lenient);
    assert_non_null(c);
    assert_true(warned(c, "surprise"));
    end(c);
}

/* Placeholders are looked for once, however long the file and however few its braces. */
static void test_a_long_file_with_placeholders(void **state UNUSED)
{
    struct buf text = {0};
    buf_add_z(&text, "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets:\n");
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "    - 10.%d.%d.%d:9100\n", i >> 16, i >> 8 & 255, i & 255);
    buf_add_z(&text, "    - %{SLUICE_TEST_HOST}\n    - 100%{");
    setenv("SLUICE_TEST_HOST", "h:9", 1);
    int64_t began = clock_cpu_ns();
    struct config *c = load_as("promscrape.config", buf_z(&text), NULL);
    int64_t took = clock_cpu_ns() - began;
    assert_non_null(c);
    const struct str_list *targets = &((const struct static_group *)c->jobs[0].static_configs.items)->targets;
    assert_int_equal(targets->n, 100002);
    assert_str(targets->items[100000], "h:9");
    assert_str(targets->items[100001], "100%{");
    assert_true(took < 10 * INT64_C(1000000000)); /* 0.1 s; two minutes when each byte looks for the next brace */
    assert_true(c->jobs[0].instance_is_host);
    end(c);
    buf_free(&text);
}

static void test_promxy(void **state UNUSED)
{
    struct config *c = load("promxy_server:\n  server_groups:\n  - static_configs: [{targets: ['a:1', 'b:1']}]\n    anti_affinity: 10s\n"
                            "    path_prefix: /api/v1\npromxy: {server_groups: [{static_configs: [{targets: ['c:1']}]}]}\n"
                            "rule_files: ['*.rules']\n");
    assert_int_equal(c->n_groups, 2);
    assert_true(warned(c, "main.yml:1: promxy_server is deprecated; rename it to promxy"));
    assert_true(warned(c, "main.yml:7: rule_files is ignored: Rules are not evaluated"));
    assert_str(c->ignored.items[0], "rule_files");
    assert_null(c->recent);
    end(c);
    c = load("global: {}\npromxy_server:\n- static_configs: [{targets: ['a:1']}]\n  anti_affinity: 10s\n  scheme: http\n"
             "  path_prefix: /api/v1\n- static_configs: [{targets: ['b:1']}]\n");
    assert_int_equal(c->n_groups, 2);
    assert_true(warned(c, "main.yml:2: promxy_server is deprecated"));
    assert_true(shows(c, "a:1"));
    end(c);
    refused("promxy_server:\n- static_configs: [{targets: ['a:1']}]\n- anti_afinity: 1s\n", 3, "did you mean \"anti_affinity\"");
}

static void test_destinations(void **state UNUSED)
{
    static const char *const more[] = {
        "-remoteWrite.url=http://a/w?secret=1,http://b/w", "-remoteWrite.queues=2", "-remoteWrite.bearerToken=,tick3t",
        "-remoteWrite.label=dc=lab",
        "-remoteWrite.sendTimeout=1.5m,", "-remoteWrite.disableOnDiskQueue=false,true",
        "-remoteWrite.forcePromProto=true", NULL};
    struct config *c = load_as("config.file",
                               "global: {external_labels: {a: b}}\n"
                               "remote_write: [{name: f, url: 'http://f/w',\n"
                               "                basic_auth: {username: u, password: hush}}]\n", more);
    assert_non_null(c);
    assert_int_equal(c->n_destinations, 3);
    const struct destination_conf *d = c->destinations;
    assert_str(d[0].name, "f");
    assert_str(d[1].url, "http://a/w?secret=1");
    assert_int_equal(d[1].queue.shards, 2);
    assert_int_equal(d[2].queue.shards, 2);
    assert_int_equal(d[1].remote_timeout, 90000);
    assert_int_equal(d[2].remote_timeout, 30000);
    assert_int_equal(d[1].http.bearer_token.n, 0);
    assert_str(d[2].http.bearer_token, "tick3t");
    assert_int_equal(d[1].durability, DURABILITY_SPILL);
    assert_int_equal(d[2].durability, DURABILITY_MEMORY);
    assert_int_equal(d[2].on_full, FULL_PUSH_BACK);
    assert_int_equal(d[1].protocol, PROTOCOL_SNAPPY);
    assert_str(d[2].extra_labels.keys[0], "dc");
    assert_str(d[2].extra_labels.values[0], "lab");
    assert_false(shows(c, "hush"));
    assert_false(shows(c, "tick3t"));
    assert_true(shows(c, "<secret>"));
    assert_null(c->recent);
    end(c);
}

static void test_relabel_files(void **state UNUSED)
{
    char common[300], own[300];
    const char *more[] = {"-remoteWrite.url=http://a/w,http://b/w", common, own, NULL};
    snprintf(common, sizeof common, "-remoteWrite.relabelConfig=%s/common.yml", folder);
    snprintf(own, sizeof own, "-remoteWrite.urlRelabelConfig=,%s/own.yml", folder);
    put("common.yml", "- {action: labeldrop, regex: x}\n");
    put("own.yml", "- {action: labeldrop, regex: y}\n");
    struct config *c = load_as("config.file", "", more);
    assert_non_null(c);
    assert_int_equal(c->pipeline.relabel_configs.n, 1);
    assert_str(((const struct relabel_rule *)c->pipeline.relabel_configs.items)->regex_text, "x");
    assert_int_equal(c->destinations[0].write_relabel_configs.n, 0);
    assert_int_equal(c->destinations[1].write_relabel_configs.n, 1);
    assert_str(((const struct relabel_rule *)c->destinations[1].write_relabel_configs.items)->regex_text, "y");
    end(c);
    put("own.yml", "- {action: labeldrop}\n- {acton: keep}\n");
    assert_null(load_as("config.file", "", more));
    assert_non_null(strstr(err.text, "own.yml:2"));
    flags_free(&flags);
}

static void test_recent(void **state UNUSED)
{
    struct config *c = load("remote_write: [{name: p, url: 'http://a/w'}]\nserver_groups: [{static_configs: [{targets: ['a:1']}], written_by: p}]\n"
                            "recent: {like: p, budget: 8MiB}\n");
    assert_non_null(c->recent);
    assert_int_equal(c->recent->budget, 8 << 20);
    end(c);
}

static void test_errors(void **state UNUSED)
{
    refused("scrape_configs:\n- job_name: x\n  scrape_intervall: 5s\n", 3, "did you mean \"scrape_interval\"?");
    refused("global:\n  scrape_interval: 5 apples\n", 2, "5 apples");
    refused("global:\n  scrape_interval: 1.5m\n", 2, "1.5m");
    refused("scrape_configs: 5\n", 1, "scrape_configs");
    refused("remote_write:\n- url: [1, 2]\n", 2, "url");
    refused("scrape_configs:\n- job_name: x\n- job_name: x\n", 3, "\"x\"");
    refused("scrape_config:\n", 1, "did you mean \"scrape_configs\"?");
    refused("recent: {like: nobody}\n", 1, "nobody");
    refused("remote_write: [{url: 'http://a/w', name: p}]\nserver_groups:\n- static_configs: [{targets: ['a:1']}]\n  written_by: q\n", 4, "\"q\"");
    refused("remote_write: [{url: 'http://a/w', name: p}]\nserver_groups:\n- static_configs: [{targets: ['a:1']}]\n  written_by: [p, q]\n", 4, "\"q\"");
    refused("remote_read: [{url: x}]\n", 1, "server_groups");
    refused("global: {scrape_interval: 5s, scrape_timeout: 6s}\n", 1, "must not exceed scrape_interval");
    refused("global:\n  metric_name_validation_scheme: legacy\n  external_labels: {a_b: x, a.b: y}\n", 3, "\"a.b\"");
    refused("global: {metric_name_validation_scheme: legacy}\notlp:\n  translation_strategy: NoTranslation\n", 3, "legacy");
    refused("a: b\n  c: d\n", 2, "");
    put("more-3.yml", "job_name: x\n");
    assert_null(load_as("config.file", "scrape_config_files: [more-3.yml]\n", NULL));
    assert_non_null(strstr(err.text, "more-3.yml:1: unknown key \"job_name\": expected a list, or a mapping"));
    flags_free(&flags);
}

/* What is printed can be loaded again and says the same. */
static void test_masked_loads(void **state UNUSED)
{
    struct config *c = load("global: {external_labels: {a: b}}\n"
                            "scrape_configs: [{job_name: x, static_configs: [{targets: ['t:1'], labels: {l: v}}]}]\n"
                            "remote_write: [{name: p, url: 'http://a/w'}]\nserver_groups: [{static_configs: [{targets: ['a:1']}], labels: {g: '1'}}]\n");
    char *first = str_dup(c->masked);
    end(c);
    c = load(first);
    char *second = str_dup(c->masked);
    assert_string_equal(second, first);
    assert_null(strstr(first, "scrape_offset")); /* each target has its own */
    mem_free(second);
    mem_free(first);
    end(c);
}

/* Of flags without rules, too: what drops labels needs them sorted. */
static void test_labels_dropped_by_aggregation(void **state UNUSED)
{
    static const char *const more[] = {
        "-streamAggr.dedupInterval=4s", "-streamAggr.dropInputLabels=replica,instance,replica", "-remoteWrite.url=http://a",
        "-remoteWrite.tmpDataPath=/tmp", "-remoteWrite.streamAggr.dedupInterval=4s",
        "-remoteWrite.streamAggr.dropInputLabels=z^^b^^a", NULL};
    struct config *c = load_as("config.file", "", more);
    if (c == NULL)
        fail_msg("%s", err.text);
    const struct str_list *all = &c->pipeline.aggregate->drop_input_labels;
    assert_int_equal(all->n, 2);
    assert_str(all->items[0], "instance");
    assert_str(all->items[1], "replica");
    assert_int_equal(c->n_destinations, 1);
    const struct str_list *own = &c->destinations[0].aggregate->drop_input_labels;
    assert_int_equal(own->n, 3);
    assert_str(own->items[0], "a");
    assert_str(own->items[2], "z");
    end(c);
}

/* Whichever allocation is the first that does not fit. */
static void test_instance_without_memory(void **state UNUSED)
{
    static const char text[] = "scrape_configs:\n"
                               "- {job_name: a}\n- {job_name: b}\n- {job_name: c}\n- {job_name: d}\n- {job_name: e}\n"
                               "remote_write:\n"
                               "- {url: 'http://a/'}\n- {url: 'http://b/', name: b}\n- {url: 'http://c/'}\n"
                               "- {url: 'http://d/'}\n- {url: 'http://e/'}\n";
    struct config *c = load("");
    bool fits = false;
    for (size_t k = 1; !fits; k++) {
        struct instance_checked checked;
        struct arena a;
        arena_init(&a, 0);
        a.fail_after = k;
        enum instance_verdict verdict = config_check_instance(c, &flags, &a, STR("one"), str_of(text), &checked, &err);
        fits = a.fail_after > 0;
        if ((verdict == INSTANCE_VALID) != fits || (!fits && strstr(err.text, "memory") == NULL))
            fail_msg("allocation %zu: verdict %d, %s", k, verdict, err.text);
        if (fits)
            assert_int_equal(checked.jobs.n, 5);
        arena_free(&a);
    }
    end(c);
}

static int set_up(void **state UNUSED) { return mkdtemp(folder) == NULL; }

static int tear_down(void **state UNUSED)
{
    static const char *const names[] = {"main.yml", "more-1.yml", "more-2.yml", "more-3.yml", "common.yml", "own.yml",
                                        "jobs-1.yml", "jobs-2.yml"};
    char path[256];
    for (size_t i = 0; i < LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty), cmocka_unit_test(test_empty_or_not), cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_job_files), cmocka_unit_test(test_environment_in_labels), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_inert_keys), cmocka_unit_test(test_all_errors_at_once),
        cmocka_unit_test(test_errors_of_all_files_at_once), cmocka_unit_test(test_kinds_of_discovery), cmocka_unit_test(test_missing_kinds_are_reported_together),
        cmocka_unit_test(test_what_the_start_needs), cmocka_unit_test(test_inherited_limits),
        cmocka_unit_test(test_inherited_limits_are_fingerprinted), cmocka_unit_test(test_common_rules),
        cmocka_unit_test(test_vmagent),
        cmocka_unit_test(test_a_long_file_with_placeholders), cmocka_unit_test(test_promxy),
        cmocka_unit_test(test_destinations), cmocka_unit_test(test_relabel_files), cmocka_unit_test(test_recent),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_masked_loads),
        cmocka_unit_test(test_labels_dropped_by_aggregation), cmocka_unit_test(test_instance_without_memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
