// SPDX-License-Identifier: Apache-2.0
/* Which selectors a label_filter keeps from a group. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/upstream/group_filter.h"
#include "promql/promql.h"

static struct filtering { struct arena arena; struct group_filter *filter; struct err err; } t;

static void filtering_begin(const char *text)
{
    struct label_filter_conf conf;
    t = (struct filtering){0};
    arena_init(&t.arena, 0);
    struct conf_context c = {.arena = &t.arena, .file = "f.yml"};
    const struct yaml *node = yaml_parse(&t.arena, str_of(text), "f.yml", &t.err);
    assert_non_null(node);
    assert_true(conf_load(&c, &label_filter_section, node, &conf, &t.err));
    t.filter = group_filter_new(&conf);
}

static void filtering_end(void)
{
    group_filter_free(t.filter);
    arena_free(&t.arena);
}

static void assert_sent(const char *selector, bool sent)
{
    const struct matcher *m;
    size_t n;
    assert_true(promql_parse_selector(&t.arena, str_of(selector), &m, &n, &t.err));
    if (group_filter_admits(t.filter, m, n, true) != sent)
        fail_msg("%s is%s sent", selector, sent ? " not" : "");
    matchers_free((struct matcher *)(uintptr_t)m, n);
}

static void set(const char *name, const char *a, const char *b, bool complete)
{
    struct str values[] = {str_of(a), str_of(b)};
    group_filter_set(t.filter, str_of(name), values, 2, complete);
}

static void nothing_is_filtered_by_an_empty_filter(void **state UNUSED)
{
    filtering_begin("{}");
    assert_null(t.filter);
    assert_sent("m", true);
    assert_false(group_filter_due(t.filter, 0));
    filtering_end();
}

static void listed_values(void **state UNUSED)
{
    filtering_begin("{static_labels_include: {instance: [a, b1]}}");
    assert_sent("m", true);
    assert_sent("m{instance=\"a\"}", true);
    assert_sent("m{instance=\"c\"}", false);
    assert_sent("m{instance=~\"b.\"}", true);
    assert_sent("m{instance=~\"c|d\"}", false);
    assert_sent("m{instance=~\"c|a\"}", true);
    assert_sent("m{instance!=\"a\",instance=~\"a|c\"}", false); /* all matchers together */
    assert_sent("m{instance!=\"a\",instance!=\"b1\",instance!=\"\"}", false);
    assert_sent("m{instance!~\".*1\",instance!=\"\"}", true);
    filtering_end();
}

/* promxy hides series that lack the label from these. */
static void series_without_the_label_are_found(void **state UNUSED)
{
    filtering_begin("{static_labels_include: {instance: [a]}}");
    assert_sent("m{instance=\"\"}", true);
    assert_sent("m{instance!=\"a\"}", true);
    assert_sent("m{instance!~\"a|b\"}", true);
    assert_sent("m{instance=~\"x|\"}", true);
    assert_sent("m{instance=~\"x?\"}", true);
    filtering_end();
}

static void excluded_values(void **state UNUSED)
{
    filtering_begin("{static_labels_exclude: {__name__: [up]}}");
    assert_sent("up", false);
    assert_sent("down", true);
    assert_sent("{__name__=~\"up|down\"}", true);
    assert_sent("{__name__=~\"up|up\"}", false);
    assert_sent("{__name__=~\"u.*\"}", true);
    assert_sent("{job=\"a\"}", true);
    filtering_end();
    filtering_begin("{static_labels_include: {l: [a, b]}, static_labels_exclude: {l: [b]}}");
    assert_sent("{l=\"b\"}", false);
    assert_sent("{l=~\"[bc]\"}", false);
    assert_sent("{l=~\"[ab]\"}", true);
    filtering_end();
}

static void values_that_are_read(void **state UNUSED)
{
    filtering_begin("{dynamic_labels: [job, __name__], sync_interval: 5m, static_labels_include: {job: [listed]}, "
                    "static_labels_exclude: {__name__: [up]}}");
    assert_true(str_is(group_filter_dynamic(t.filter, 1), "__name__") && group_filter_dynamic(t.filter, 2).p == NULL);
    assert_true(group_filter_due(t.filter, 0));
    assert_sent("m{job=\"x\"}", true); /* not known yet */
    assert_sent("up", false);
    set("job", "a", "b", false);       /* some servers have not responded */
    assert_sent("m{job=\"x\"}", true);
    group_filter_synced(t.filter, 1000, false);
    assert_true(!group_filter_due(t.filter, 1000) && group_filter_due(t.filter, 1000 + FILTER_RETRY_MS));
    set("job", "a", "b", true);
    assert_sent("m{job=\"x\"}", false);
    assert_sent("m{job=~\"b|x\"}", true);
    assert_sent("m{job=\"listed\"}", true);
    set("job", "c", "c", false);       /* what was known remains */
    assert_sent("m{job=\"a\"}", true);
    assert_sent("m{job=\"c\"}", true);
    set("job", "c", "c", true);
    assert_sent("m{job=\"a\"}", false);
    group_filter_synced(t.filter, 1000, true);
    assert_true(!group_filter_due(t.filter, 300999) && group_filter_due(t.filter, 301000));
    filtering_end();
}

static void values_are_read_once_by_default(void **state UNUSED)
{
    filtering_begin("{dynamic_labels: [job]}");
    group_filter_synced(t.filter, 0, false);
    assert_true(group_filter_due(t.filter, FILTER_RETRY_MS));
    group_filter_synced(t.filter, 0, true);
    assert_false(group_filter_due(t.filter, INT64_MAX - 1));
    filtering_end();
}

static void too_many_values_are_not_kept(void **state UNUSED)
{
    filtering_begin("{dynamic_labels: [job]}");
    struct str *values = ARENA_ARRAY(&t.arena, struct str, FILTER_VALUES + 1);
    for (size_t i = 0; i <= FILTER_VALUES; i++)
        values[i] = arena_printf(&t.arena, "v%zu", i);
    group_filter_set(t.filter, STR("job"), values, FILTER_VALUES, true);
    assert_sent("m{job=\"x\"}", false);
    group_filter_set(t.filter, STR("job"), values, FILTER_VALUES + 1, true);
    assert_sent("m{job=\"x\"}", true);
    filtering_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_filtered_by_an_empty_filter), cmocka_unit_test(listed_values),
        cmocka_unit_test(series_without_the_label_are_found),     cmocka_unit_test(excluded_values),
        cmocka_unit_test(values_that_are_read),                   cmocka_unit_test(values_are_read_once_by_default),
        cmocka_unit_test(too_many_values_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
