// SPDX-License-Identifier: Apache-2.0
/* From addresses and labels to targets; where in the interval they are scraped. */
#include "scraper/schedule.h"
#include "scraper/target.h"

#include "recording_sink.h"

#include <string.h>

struct made {
    struct arena arena;
    struct scrape_job job;
    struct target_builder maker;
    struct target *target;
    enum target_result how;
    struct err err;
};

static void make(struct made *m, const char *yaml)
{
    memset(m, 0, sizeof *m);
    must_load_job(&m->arena, yaml, &m->job);
    const struct static_group *g = m->job.static_configs.items;
    struct target_source from = {g->targets.items[0], g->labels, STR_NONE, "static"};
    m->how = target_make(&m->maker, &m->job, &(struct target_environment){0}, &from, &m->target, &m->err);
}

static void unmake(struct made *m)
{
    if (m->how == TARGET_CREATED)
        target_unref(m->target);
    target_builder_free(&m->maker);
    arena_free(&m->arena);
}

static void expect(const char *yaml, const char *url, const char *labels)
{
    struct made m;
    struct buf text = {0};
    make(&m, yaml);
    if (m.how != TARGET_CREATED)
        fail_msg("%s", m.err.text);
    labels_print(&text, m.target->labels.wire);
    assert_string_equal(m.target->url.p, url);
    assert_string_equal(buf_z(&text), labels);
    buf_free(&text);
    unmake(&m);
}

static void expect_invalid(const char *yaml, const char *why)
{
    struct made m;
    make(&m, yaml);
    assert_int_equal(m.how, TARGET_INVALID);
    if (strstr(m.err.text, why) == NULL)
        fail_msg("%s", m.err.text);
    unmake(&m);
}

static void labels_and_urls(void **state UNUSED)
{
    expect("{job_name: j, static_configs: [{targets: ['h:1']}]}", "http://h:1/metrics",
           "{instance=\"h:1\", job=\"j\"}");
    expect("{job_name: j, scheme: https, metrics_path: probe, params: {module: [a b, c], x: []}, static_configs: [{targets: ['h:1'], labels: {zone: z}}]}",
           "https://h:1/probe?module=a%20b&module=c", "{instance=\"h:1\", job=\"j\", zone=\"z\"}");
    expect("{job_name: j, static_configs: [{targets: ['h:1'], labels: {job: other, instance: i, __metrics_path__: /m, __secret: x}}]}",
           "http://h:1/m", "{instance=\"i\", job=\"other\"}");
    expect("{job_name: j, static_configs: [{targets: ['https://h/path?a=b'], labels: {__param_c: d}}]}",
           "https://h/path?a=b&c=d", "{instance=\"https://h/path?a=b\", job=\"j\"}");
    expect("{job_name: j, static_configs: [{targets: ['http://u:secret@h:1/m', ]}]}", "http://u:secret@h:1/m",
           "{instance=\"http://h:1/m\", job=\"j\"}");
    expect("{job_name: j, static_configs: [{targets: ['http://h:1/m?a=b&token=secret', ]}]}",
           "http://h:1/m?a=b&token=secret", "{instance=\"http://h:1/m?a=b&token=xxxxx\", job=\"j\"}");
    expect("{job_name: j, static_configs: [{targets: ['[::1]:9100']}]}", "http://[::1]:9100/metrics",
           "{instance=\"[::1]:9100\", job=\"j\"}");
}

static void expect_params(const char *yaml, bool keep, const char *url)
{
    struct made m = {0};
    must_load_job(&m.arena, yaml, &m.job);
    m.job.keep_params = keep;
    struct target_source from = {.address = STR("h:1"), .mechanism = "static"};
    m.how = target_make(&m.maker, &m.job, &(struct target_environment){0}, &from, &m.target, &m.err);
    assert_int_equal(m.how, TARGET_CREATED);
    assert_string_equal(m.target->url.p, url);
    unmake(&m);
}

/* As Prometheus 3.5 requests them, and vmagent 1.145, which leaves out what has no label. */
static void parameters_without_a_label(void **state UNUSED)
{
    const char *empty = "{job_name: j, metrics_path: /probe, params: {z: ['1'], collect: [''], b: ['', c]}}";
    expect_params(empty, true, "http://h:1/probe?b=&b=c&collect=&z=1");
    expect_params(empty, false, "http://h:1/probe?z=1");
    const char *removed = "{job_name: j, params: {a: [x, y]}, relabel_configs: [{regex: __param_a, action: labeldrop}]}";
    expect_params(removed, true, "http://h:1/metrics?a=x&a=y");
    expect_params(removed, false, "http://h:1/metrics");
}

static void paths_are_escaped(void **state UNUSED)
{
    expect_params("{job_name: j, metrics_path: '/a b'}", true, "http://h:1/a%20b");
    expect_params("{job_name: j, metrics_path: \"/\\t<\\xe9>%20?x=y&z\"}", true, "http://h:1/%09%3C%C3%A9%3E%20?x=y&z");
}

/* Labels of a target set limits instead of its job, as in vmagent. */
static void limits_of_labels(void **state UNUSED)
{
    static const struct { const char *labels; uint32_t samples, labels_max, series, body; bool valid; } cases[] = {
        {"", 10, 20, 30, 1000, true},
        {"__sample_limit__: '1', __label_limit__: '2', __series_limit__: '3', __max_scrape_size__: 4KiB", 1, 2, 3, 4096, true},
        {"__sample_limit__: '0', __series_limit__: '-1', __max_scrape_size__: '0'", 0, 20, 0, 1000, true},
        {"__sample_limit__: '99999999999'", UINT32_MAX, 20, 30, 1000, true},
        {"__sample_limit__: many", 0, 0, 0, 0, false},
        {"__series_limit__: '1.5'", 0, 0, 0, 0, false},
        {"__max_scrape_size__: huge", 0, 0, 0, 0, false}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct made m = {0};
        struct buf yaml = {0};
        buf_printf(&yaml, "{job_name: j, sample_limit: 10, label_limit: 20, series_limit: 30, body_size_limit: 1000, "
                          "static_configs: [{targets: ['h:1'], labels: {%s}}]}", cases[i].labels);
        make(&m, buf_z(&yaml));
        assert_int_equal(m.how, cases[i].valid ? TARGET_CREATED : TARGET_INVALID);
        if (cases[i].valid) {
            const struct target_settings *s = &m.target->settings;
            assert_true(s->sample_limit == cases[i].samples && s->label_limit == cases[i].labels_max);
            assert_true(s->series_limit == cases[i].series && s->body_max == cases[i].body);
            assert_int_equal(m.target->labels.wire.count, 2);
        }
        unmake(&m);
        buf_free(&yaml);
    }
}

/* As vmagent 1.145 has it. */
static void the_instance_may_be_the_host_alone(void **state UNUSED)
{
    static const char *const pairs[][3] = {
        {"http", "h", "h:80"}, {"https", "h", "h:443"}, {"http", "https://h/p?a=b", "h:443"},
        {"https", "http://h", "h:80"},
        {"http", "http://h:1/x", "h:1"}, {"http", "h:80/z", "h:80"}, {"http", "h/?q=r", "h:80"},
        {"http", "[::1]", "[::1]"}, {"http", "https://me:hush@h/?token=x", "h:443"}};
    for (size_t i = 0; i < LEN(pairs); i++) {
        struct made m = {0};
        must_load_job(&m.arena, "job_name: j", &m.job);
        m.job.scheme = str_of(pairs[i][0]);
        m.job.instance_is_host = true;
        struct target_source from = {.address = str_of(pairs[i][1]), .mechanism = "static"};
        m.how = target_make(&m.maker, &m.job, &(struct target_environment){0}, &from, &m.target, &m.err);
        assert_int_equal(m.how, TARGET_CREATED);
        struct str instance = labels_get(m.target->labels.wire, STR("instance"));
        if (!str_is(instance, pairs[i][2]))
            fail_msg("%s: %.*s", pairs[i][1], STR_ARG(instance));
        unmake(&m);
    }
}

static void relabeling(void **state UNUSED)
{
    expect("job_name: blackbox\n"
           "metrics_path: /probe\n"
           "relabel_configs:\n"
           "- {source_labels: [__address__], target_label: __param_target}\n"
           "- {source_labels: [__param_target], target_label: instance}\n"
           "- {target_label: __address__, replacement: 'exporter:9115'}\n"
           "- {source_labels: [__meta_x], target_label: x}\n"
           "static_configs: [{targets: ['http://site'], labels: {__meta_x: 'y'}}]\n",
           "http://exporter:9115/probe?target=http%3A%2F%2Fsite",
           "{instance=\"http://site\", job=\"blackbox\", x=\"y\"}");
    struct made m;
    make(&m, "{job_name: j, relabel_configs: [{source_labels: [__address__], regex: 'h:.', action: drop}], static_configs: [{targets: ['h:1']}]}");
    assert_int_equal(m.how, TARGET_DROPPED);
    assert_true(str_is(labels_get(m.maker.discovered, STR("__scrape_interval__")), "1m"));
    unmake(&m);
}

static void bad_targets(void **state UNUSED)
{
    expect_invalid("{job_name: j, relabel_configs: [{regex: __address__, action: labeldrop}], static_configs: [{targets: ['h:1']}]}", "no address");
    expect_invalid("{job_name: j, static_configs: [{targets: ['h:1'], labels: {__scrape_interval__: often}}]}",
                   "\"often\" is not a positive duration");
    expect_invalid("{job_name: j, static_configs: [{targets: ['h:1'], labels: {__scrape_timeout__: 2m}}]}", "longer");
    expect_invalid("{job_name: j, static_configs: [{targets: ['h:1'], labels: {'': x}}]}", "label name is empty");
}

static void too_many_labels_are_no_target(void **state UNUSED)
{
    struct buf yaml = {0};
    buf_add_z(&yaml, "{job_name: j, static_configs: [{targets: ['h:1'], labels: {");
    for (int i = 0; i <= LABELS_MAX_COUNT; i++)
        buf_printf(&yaml, "l%d: x, ", i);
    buf_add_z(&yaml, "}}]}");
    expect_invalid(buf_z(&yaml), "label set too large");
    buf_free(&yaml);
}

static void the_identity_is_of_job_url_and_labels(void **state UNUSED)
{
    struct made a, b, c, d;
    make(&a, "{job_name: j, static_configs: [{targets: ['h:1'], labels: {a: b}}]}");
    make(&b, "{job_name: j, scrape_interval: 30s, honor_labels: true, static_configs: [{targets: ['h:1'], labels: {a: b}}]}");
    make(&c, "{job_name: j, static_configs: [{targets: ['h:1'], labels: {a: c}}]}");
    make(&d, "{job_name: j, metrics_path: /m, static_configs: [{targets: ['h:1'], labels: {a: b}}]}");
    assert_true(a.target->id == b.target->id);
    assert_true(a.job.fingerprint != b.job.fingerprint);
    assert_true(a.job.fingerprint == c.job.fingerprint);
    assert_true(a.target->id != c.target->id);
    assert_true(a.target->id != d.target->id);
    unmake(&a);
    unmake(&b);
    unmake(&c);
    unmake(&d);
}

static void jobs_inherit_and_are_checked(void **state UNUSED)
{
    struct arena a = {0};
    struct scrape_job job;
    struct err err;
    struct scrape_globals g = prometheus_globals;
    g.sample_limit = 7;
    g.scrape_interval = 5000;
    g.body_size_limit = 1 << 28;
    assert_true(load_job(&a, "job_name: j", &g, &job, &err));
    assert_int_equal(job.scrape_interval, 5000);
    assert_int_equal(job.scrape_timeout, 5000); /* the global timeout is longer than this interval */
    assert_int_equal(job.sample_limit, 7);
    assert_true(job.honor_timestamps);
    assert_int_equal(job.scrape_offset, -1);
    assert_true(load_job(&a, "{job_name: j, sample_limit: 0, honor_timestamps: false, scrape_offset: 3s}", &g, &job,
                         &err));
    assert_int_equal(job.sample_limit, 0);
    assert_true(load_job(&a, "{job_name: j, body_size_limit: 0}", &g, &job, &err));
    assert_int_equal(job.body_size_limit, 1 << 28); /* 0 says nothing: Prometheus' users write it for "no limit" */
    assert_true(load_job(&a, "{job_name: j, max_scrape_size: 1KiB}", &g, &job, &err));
    assert_int_equal(job.body_size_limit, 1024);
    assert_true(load_job(&a, "{job_name: j, honor_timestamps: false, scrape_offset: 3s}", &g, &job, &err));
    assert_false(job.honor_timestamps);
    assert_int_equal(job.scrape_offset, 3000);
    assert_false(load_job(&a, "{job_name: j, scrape_interval: 1s, scrape_timeout: 2s}", &g, &job, &err));
    assert_non_null(strstr(err.text, "test.yml:1"));
    assert_false(load_job(&a, "{job_name: j, scheme: gopher}", &g, &job, &err));
    assert_false(load_job(&a, "{metrics_path: /m}", &g, &job, &err));
    assert_false(load_job(&a, "{job_name: j, metric_path: /m}", &g, &job, &err));
    assert_non_null(strstr(err.text, "metrics_path"));
    arena_free(&a);
}

/* What is no key of the job, but of the cluster, the dialect or the flags. */
static void jobs_that_find_the_same_targets(void **state UNUSED)
{
    struct scrape_job a = {0}, b[7] = {{0}};
    assert_true(scrape_job_targets_equal(&a, &b[0]));
    b[0].cluster.by_view = true;
    b[1].cluster.hands_over = true;
    b[2].cluster.keep_ms = 1;
    b[3].cluster.replicas = 2;
    b[4].cluster.standby = true;
    b[5].keep_params = true;
    b[6].relabel_configs = (struct conf_items){&(struct relabel_rule){0}, 1};
    for (size_t i = 0; i < LEN(b); i++)
        assert_false(scrape_job_targets_equal(&a, &b[i]));
}

static void schedule_times(void **state UNUSED)
{
    assert_int_equal(schedule_next(1000, 100, 30, 0), 1030);
    assert_int_equal(schedule_next(1029, 100, 30, 930), 1030);
    assert_int_equal(schedule_next(1030, 100, 30, 1030), 1130);
    assert_int_equal(schedule_next(1029, 100, 30, 1030), 1130); /* fired early */
    assert_int_equal(schedule_next(1000, 100, 30, 990), 1130);  /* another offset */
    assert_int_equal(schedule_next(1000, 100, 30, 5000), 1030); /* the clock was set back */
    assert_int_equal(schedule_next(-5, 100, 0, -1000), 0);
    assert_int_equal(schedule_offset(60000, 0, 0, -1), 0);
    assert_int_equal(schedule_offset(60000, 0, UINT64_MAX / 2, -1), 29999);
    assert_int_equal(schedule_offset(60000, 0, UINT64_MAX, -1), 59999);
    assert_int_equal(schedule_offset(60000, 0, 1, 61000), 1000);
    assert_int_equal(schedule_offset(60000, 1000, UINT64_MAX / 2, -1), 29000);
    assert_int_equal(schedule_offset(60000, 1000, UINT64_MAX, -1), 59000);
    assert_int_equal(schedule_offset(2500, 1000, UINT64_MAX, -1), 1000); /* the rest of the interval has no slot */
    assert_int_equal(schedule_offset(500, 1000, UINT64_MAX, -1), 499);
    assert_int_equal(schedule_offset(60000, 1000, 1, 61500), 1500);
    assert_int_equal(schedule_time(1000, 1099, 1000), 1000);
    assert_int_equal(schedule_time(1000, 1101, 1000), 1101);
    assert_int_equal(schedule_time(1000, 899, 1000), 899);
}

static void slots_hold_some_tens_of_targets(void **state UNUSED)
{
    static const struct { int64_t interval; size_t targets; int64_t slot; } cases[] = {
        {15000, 0, 1000}, {15000, 1, 1000}, {15000, 900, 1000}, {15000, 1000, 500}, {15000, 5000, 100},
        {15000, 100000, 0}, {60000, 100000, 20}, {5000, 100, 200}, {5000, 1000, 200}, {1000, 10, 50}, {200, 1, 10},
        {100, 1, 0}, {INT64_MAX / 64, SIZE_MAX, 0}};
    for (size_t i = 0; i < LEN(cases); i++)
        assert_int_equal(schedule_slot(cases[i].interval, cases[i].targets), cases[i].slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_and_urls), cmocka_unit_test(parameters_without_a_label),
        cmocka_unit_test(paths_are_escaped),
        cmocka_unit_test(the_instance_may_be_the_host_alone),
        cmocka_unit_test(limits_of_labels),
        cmocka_unit_test(relabeling),
        cmocka_unit_test(bad_targets),
        cmocka_unit_test(too_many_labels_are_no_target),
        cmocka_unit_test(the_identity_is_of_job_url_and_labels),
        cmocka_unit_test(jobs_inherit_and_are_checked),
        cmocka_unit_test(jobs_that_find_the_same_targets),
        cmocka_unit_test(schedule_times),
        cmocka_unit_test(slots_hold_some_tens_of_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
