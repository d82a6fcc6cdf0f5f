// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group.h"
#include "gateway/upstream/source.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct loaded { struct server_registry *registry; struct coverage_registry *coverage; struct arena arena; struct server_group_conf conf; struct group_list groups; struct err err; };

static struct str own_zone;
static const struct group_discovered *discovered;

static bool load(struct loaded *l, const char *text)
{
    memset(l, 0, sizeof *l);
    arena_init(&l->arena, 0);
    l->registry = server_registry_new();
    l->coverage = coverage_registry_new();
    struct upstream_env env = {.registry = l->registry, .coverage = l->coverage, .zone = own_zone,
                               .discovered = discovered};
    struct conf_context c = {.arena = &l->arena, .file = "f.yml"};
    const struct yaml *node = yaml_parse(&l->arena, str_of(text), "f.yml", &l->err);
    return node && conf_load(&c, &server_group_section, node, &l->conf, &l->err) &&
           groups_add(&l->groups, &l->arena, &l->conf, 0, &env, &l->err);
}

static void drop(struct loaded *l)
{
    groups_free(&l->groups);
    server_registry_free(l->registry);
    coverage_registry_free(l->coverage);
    arena_free(&l->arena);
}

static void defaults(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "static_configs: [{targets: ['a:9090', 'b:9090']}]"));
    assert_true(l.conf.anti_affinity == CONF_AUTO && l.conf.remote_read && l.conf.timeout == 0 &&
                l.conf.client.dial_timeout == 2000);
    assert_true(l.conf.kind == SERVER_AUTO && l.conf.overlap == OVERLAP_NONE && l.conf.read_mode == READ_MERGE);
    assert_int_equal(l.groups.n, 1);
    const struct group *g = &l.groups.items[0];
    assert_true(str_is(g->name, "server_groups[0]") && g->n_servers == 2 && g->rule.automatic);
    assert_true(str_is(g->servers[1]->url, "http://b:9090") &&
                str_is(g->servers[1]->read_url, "http://b:9090/api/v1/read"));
    drop(&l);
}

static void check_order(const char *zone, const char *wanted)
{
    struct loaded l;
    char order[5] = "";
    own_zone = str_of(zone);
    assert_true(load(&l, "{static_configs: [{targets: ['a:1'], zone: east}, {targets: ['b:1', 'c:1'], zone: west}, "
                         "{targets: ['d:1'], zone: north}], "
                         "relabel_configs: [{source_labels: [__zone__], regex: north, target_label: __zone__, "
                         "replacement: west}]}"));
    assert_int_equal(l.groups.n, 1);
    assert_int_equal(l.groups.items[0].labels.count, 0);
    for (size_t i = 0; i < 4; i++)
        order[i] = l.groups.items[0].servers[i]->url.p[strlen("http://")];
    assert_string_equal(order, wanted);
    own_zone = STR("");
    drop(&l);
}

static void servers_of_the_own_zone_come_first(void **state UNUSED)
{
    check_order("", "abcd");
    check_order("east", "abcd");
    check_order("west", "bcda");
    check_order("south", "abcd");
}

static void promxy_fields(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "{name: n, static_configs: [{targets: ['a:1'], labels: {t: x}}], labels: {sg: one}, "
                         "anti_affinity: 1500ms, prefer_max: true, "
                         "remote_read: true, remote_read_path: custom/read, query_params: {nocache: ['1']}, "
                         "scheme: https, path_prefix: /prom/, "
                         "http_client: {dial_timeout: 1s, tls_config: {insecure_skip_verify: true}, bearer_token: abc}, "
                         "http_headers: {X-Scope: me}, "
                         "timeout: 5s, ignore_error: true, overlap: merge, read_mode: hedge, kind: prometheus, written_by: main}"));
    const struct group *g = &l.groups.items[0];
    assert_true(g->rule.ms == 1500 && !g->rule.automatic && g->rule.prefer_max && g->failure == GROUP_IGNORED &&
                g->overlap == OVERLAP_MERGE);
    assert_true(str_is(labels_get(g->labels, STR("sg")), "one") && str_is(labels_get(g->labels, STR("t")), "x"));
    assert_true(str_is(g->servers[0]->url, "https://a:1/prom") &&
                str_is(g->servers[0]->read_url, "https://a:1/prom/custom/read"));
    assert_true(str_is(g->servers[0]->params, "?nocache=1") && g->servers[0]->timeout == 5000 &&
                g->servers[0]->dial_timeout == 1000);
    drop(&l);
}

static void prefix_of_the_api_is_not_doubled(void **state UNUSED)
{
    static const char *const prefixes[][2] = {
        {"/api/v1", "http://a:1"}, {"/api/v1/", "http://a:1"}, {"api/v1", "http://a:1"}, {"/x/api/v1", "http://a:1/x"},
        {"/x", "http://a:1/x"}, {"/", "http://a:1"}, {"''", "http://a:1"}};
    for (size_t i = 0; i < LEN(prefixes); i++) {
        struct loaded l;
        char text[200];
        snprintf(text, sizeof text, "{static_configs: [{targets: ['a:1']}], path_prefix: %s}", prefixes[i][0]);
        assert_true(load(&l, text));
        assert_true(str_is(l.groups.items[0].servers[0]->url, prefixes[i][1]));
        drop(&l);
    }
}

static void assert_clipped(const struct group *g, int64_t now, int64_t from, int64_t to, const char *want)
{
    struct group_window w = {from, to};
    char got[64] = "none";
    if (group_admits(g, (struct group_reader){.now = now}, NULL, 0, &w))
        snprintf(got, sizeof got, "%lld %lld", (long long)w.from, (long long)w.to);
    assert_string_equal(got, want);
}

static void time_ranges(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "{static_configs: [{targets: ['a:1']}], relative_time_range: {start: -1h30m, end: -1m, truncate: true}}"));
    const struct group *g = &l.groups.items[0];
    assert_clipped(g, 10000000, 4599999, 10000000, "4600000 9940000");
    assert_clipped(g, 10000000, 5000000, 6000000, "5000000 6000000");
    assert_clipped(g, 10000000, 9940001, 10000000, "none");
    assert_clipped(g, 10000000, 0, 4599999, "none");
    assert_clipped(g, 10000000, INT64_MIN, INT64_MAX, "4600000 9940000");
    drop(&l);
    assert_true(load(&l, "{static_configs: [{targets: ['a:1']}], relative_time_range: {start: -3h}}"));
    assert_clipped(&l.groups.items[0], 20000000, 0, 9200000, "0 9200000");
    assert_clipped(&l.groups.items[0], 20000000, 0, 9199999, "none");
    drop(&l);
    assert_true(load(&l, "{static_configs: [{targets: ['a:1']}], absolute_time_range: {start: '1970-01-01T00:01:00Z', "
                         "end: 1970-01-01T00:02:00Z, truncate: true}, relative_time_range: {start: -10s}}"));
    assert_clipped(&l.groups.items[0], 100000, 0, 1000000, "60000 120000"); /* the relative one does not truncate */
    assert_clipped(&l.groups.items[0], 200000, 0, 1000000, "none");
    drop(&l);
}

static void fails(const char *text, const char *words)
{
    struct loaded l;
    assert_false(load(&l, text));
    if (strstr(l.err.text, words) == NULL)
        fail_msg("%s", l.err.text);
    drop(&l);
}

static void what_is_wrong(void **state UNUSED)
{
    fails("{static_configs: [{targets: ['a:1']}], anti_afinity: 3s}", "did you mean \"anti_affinity\"");
    fails("{static_configs: [{targets: ['a:1']}], anti_affinity: quick}", "f.yml:1: server_group.anti_affinity");
    fails("{static_configs: [{targets: ['a:1']}], label_filter: {dynamic_label: [a]}}", "did you mean");
    fails("{static_configs: [{targets: ['a:1']}], relative_time_range: {start: -1h, end: -2h}}", "the end is before the start");
    fails("{static_configs: [{targets: ['a:1']}], relative_time_range: {start: yesterday}}", "expected a duration from now");
    fails("{static_configs: [{targets: ['a:1']}], absolute_time_range: {end: yesterday}}", "expected a time such as");
    fails("{static_configs: [{targets: ['a:1']}], inject_matchers: [a]}", "inject_matchers: \"a\" is not a matcher");
    fails("{static_configs: [{targets: ['a:1']}], metrics_relabel_configs: [{action: keep, source_label: a}]}", "action");
    fails("{static_configs: [{targets: ['a:1']}], metrics_relabel_configs: [{action: labeldrop, source_label: a, "
          "target_label: b}]}", "labeldrop has no target_label");
    fails("{static_configs: [{targets: ['a:1']}], metrics_relabel_configs: [{source_label: a}]}",
          "replace requires a valid target_label");
    fails("{static_configs: [{targets: ['a:1']}], openstack_sd_configs: [{names: [a]}]}", "server_group.openstack_sd_configs is not supported yet");
    fails("{static_configs: [{targets: ['http://a:1']}]}", "is not host:port");
    fails("{labels: {a: b}}", "static_configs or a *_sd_configs is required");
    fails("{static_configs: [{targets: ['a:1']}], scheme: ftp}", "neither http nor https");
    fails("{static_configs: [{targets: ['a:1']}], http_client: {bearer_token: x, basic_auth: {username: y}}}",
          "keep one kind of credentials");
    fails("{static_configs: [{targets: ['a:1']}], relabel_configs: [{action: drop, regex: a:1, source_labels: [__address__]}]}", "drop all targets");
    fails("{static_configs: [{targets: ['a:1']}], labels: {__name__: b}}", "not a valid label name");
}

static void targets_with_other_labels_are_shards(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "{static_configs: [{targets: ['a:1', 'b:1'], labels: {shard: x}}, "
                         "{targets: ['c:1'], labels: {shard: y}}], labels: {sg: s}}"));
    assert_int_equal(l.groups.n, 2);
    assert_int_equal(l.groups.items[0].n_servers, 2);
    assert_true(str_is(labels_get(l.groups.items[1].labels, STR("shard")), "y") &&
                str_is(labels_get(l.groups.items[1].labels, STR("sg")), "s"));
    drop(&l);
}

static void route(const struct group *g, struct arena *a, enum match_type type, const char *name, const char *value,
                  const char *want)
{
    struct matcher m;
    struct err err;
    struct buf text = {0};
    const struct matcher *out;
    size_t n;
    assert_true(matcher_init(&m, a, type, str_of(name), str_of(value), &err));
    if (group_route(g, a, &m, 1, &out, &n))
        matchers_print(&text, out, n);
    assert_string_equal(buf_z(&text), want);
    buf_free(&text);
    matchers_free(&m, 1);
}

static void routing(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "{static_configs: [{targets: ['a:1']}], labels: {sg: one}}"));
    const struct group *g = &l.groups.items[0];
    route(g, &l.arena, MATCH_EQ, "__name__", "up", "{__name__=\"up\"}");
    route(g, &l.arena, MATCH_EQ, "sg", "one", "{__name__!=\"\"}");
    route(g, &l.arena, MATCH_EQ, "sg", "two", "");
    route(g, &l.arena, MATCH_NE, "sg", "one", "");
    route(g, &l.arena, MATCH_RE, "sg", "o.*", "{__name__!=\"\"}");
    route(g, &l.arena, MATCH_NE, "other", "x", "{other!=\"x\",__name__!=\"\"}");
    drop(&l);
}

static struct source *no_recent(void *arg UNUSED) { return NULL; }

static bool has_recent(const struct loaded *l, struct str like)
{
    struct upstream_env env = {.recent_get = no_recent, .recent_like = like};
    struct err err;
    struct upstream *u = upstream_new(&l->conf, 1, &env, &err);
    assert_non_null(u);
    bool recent = u->groups.items[0].recent;
    upstream_unref(u);
    return recent;
}

/* Each of two servers is filled by its own destination; the recent store keeps the stream of either. */
static void written_by_several(void **state UNUSED)
{
    struct loaded l;
    assert_true(load(&l, "{static_configs: [{targets: ['a:1', 'b:1']}], written_by: [left, right]}"));
    assert_true(l.groups.items[0].one_writer);
    assert_true(has_recent(&l, STR("left")) && has_recent(&l, STR("right")));
    assert_false(has_recent(&l, STR("other")) || has_recent(&l, STR("")));
    drop(&l);
    assert_true(load(&l, "{static_configs: [{targets: ['a:1', 'b:1']}], written_by: left}"));
    assert_true(l.groups.items[0].one_writer && has_recent(&l, STR("left")) && !has_recent(&l, STR("right")));
    drop(&l);
    assert_true(load(&l, "{static_configs: [{targets: ['a:1', 'b:1']}], written_by: ''}"));
    assert_false(l.groups.items[0].one_writer || has_recent(&l, STR("")));
    drop(&l);
}

/* A group some of whose servers are left out would have wrong results. */
static void too_many_are_discovered(void **state UNUSED)
{
    struct loaded l;
    struct str *targets = mem_zalloc((GROUP_FOUND_MAX + 1) * sizeof *targets);
    for (size_t i = 0; i <= GROUP_FOUND_MAX; i++)
        targets[i] = i < 2 ? STR("a:1") : STR("dropped:1");
    struct static_group group = {.targets = {targets, GROUP_FOUND_MAX}};
    struct sd_groups groups = {.items = &group, .n = 1};
    struct sd_found found = {"file", STR("__meta_filepath"), STR("f.json"), &groups};
    struct group_discovered all = {.found = {&found, 1}};
    static const char text[] = "{static_configs: [{targets: ['s:1']}], file_sd_configs: [{files: [f.json]}], "
                               "relabel_configs: [{source_labels: [__address__], regex: 'dropped.*', action: drop}]}";
    discovered = &all;
    assert_true(load(&l, text));
    assert_int_equal(l.groups.n, 1);
    assert_int_equal(l.groups.items[0].n_servers, 2); /* s:1, and a:1 once */
    drop(&l);
    group.targets.n++;
    assert_true(load(&l, text));
    assert_int_equal(l.groups.n, 1);
    assert_int_equal(l.groups.items[0].n_servers, 0);
    assert_true(str_is(l.groups.items[0].lacks, "its service discovery found 10001 targets, more than 10000"));
    drop(&l);
    discovered = NULL;
    mem_free(targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_ranges), cmocka_unit_test(defaults),
        cmocka_unit_test(servers_of_the_own_zone_come_first), cmocka_unit_test(promxy_fields), cmocka_unit_test(prefix_of_the_api_is_not_doubled),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(targets_with_other_labels_are_shards), cmocka_unit_test(routing),
        cmocka_unit_test(written_by_several),
        cmocka_unit_test(too_many_are_discovered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
