// SPDX-License-Identifier: Apache-2.0
/* What a group shows of its servers' labels, and what its servers are asked for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/view/view.h"
#include "promql/promql.h"

static struct viewing {
    struct arena arena;
    struct label_view view;
    struct err err;
    struct buf text;
} t;

#define RULE(action, source, target) {action, {source, sizeof source - 1}, {target, sizeof target - 1}}

static bool viewing_begin(const struct view_rule *rules, size_t n, const char *inject)
{
    struct label label = {STR("sg"), STR("Eu")};
    struct str one = str_of(inject ? inject : "");
    struct str_list list = {&one, inject != NULL};
    t = (struct viewing){0};
    arena_init(&t.arena, 0);
    return view_make(&t.view, &t.arena, labels_from(&t.arena, &label, 1), rules, n, &list, &t.err);
}

static void viewing_end(void)
{
    buf_free(&t.text);
    arena_free(&t.arena);
}

static const char *shown(const char *selector)
{
    struct labels_builder b = {0};
    const struct matcher *m;
    size_t n;
    assert_true(promql_parse_selector(&t.arena, str_of(selector), &m, &n, &t.err));
    builder_start(&b, (struct labels){0});
    for (size_t i = 0; i < n; i++)
        builder_set(&b, m[i].name, m[i].value);
    struct labels from = builder_labels(&b, &t.arena);
    buf_clear(&t.text);
    labels_print(&t.text, view_show(&t.view, &t.arena, from));
    builder_free(&b);
    return buf_z(&t.text);
}

static const char *asked(const char *selector)
{
    const struct matcher *m, *out;
    size_t n, n_out;
    buf_clear(&t.text);
    assert_true(promql_parse_selector(&t.arena, str_of(selector), &m, &n, &t.err));
    if (!view_route(&t.view, &t.arena, m, n, &out, &n_out))
        buf_add_z(&t.text, "none");
    else
        matchers_print(&t.text, out, n_out);
    if (!view_routes_exactly(&t.view, m, n))
        buf_add_z(&t.text, " filtered");
    matchers_free((struct matcher *)(uintptr_t)m, n);
    return buf_z(&t.text);
}

/* job becomes scrape_job, replica is dropped. */
static const struct view_rule renamed[] = {
    RULE(VIEW_REPLACE, "job", "scrape_job"), RULE(VIEW_LABELDROP, "job", ""), RULE(VIEW_LABELDROP, "replica", "")};

static void labels_are_renamed_and_dropped(void **state UNUSED)
{
    assert_true(viewing_begin(renamed, LEN(renamed), NULL));
    assert_string_equal(shown("{__name__=\"m\",job=\"a\",replica=\"1\",x=\"y\"}"), "m{scrape_job=\"a\", sg=\"Eu\", x=\"y\"}");
    assert_string_equal(shown("{scrape_job=\"old\",sg=\"other\"}"), "{sg=\"Eu\"}");
    viewing_end();
}

static void matchers_are_those_of_the_servers(void **state UNUSED)
{
    assert_true(viewing_begin(renamed, LEN(renamed), NULL));
    assert_string_equal(asked("m{scrape_job=\"a\",x!=\"y\"}"), "{job=\"a\",x!=\"y\",__name__=\"m\"}");
    assert_string_equal(asked("m{scrape_job=\"\"}"), "{job=\"\",__name__=\"m\"}");
    assert_string_equal(asked("m{job=\"a\"}"), "none");
    viewing_end();
}

/* promxy returns nothing for these: a dropped label is absent, which != and =~".*" accept. */
static void a_dropped_label_is_absent(void **state UNUSED)
{
    assert_true(viewing_begin(renamed, LEN(renamed), NULL));
    assert_string_equal(asked("m{replica!=\"x\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{replica=~\".*\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{replica=\"\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{replica!~\".+\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{replica=\"x\"}"), "none");
    assert_string_equal(asked("m{replica!=\"\"}"), "none");
    assert_string_equal(asked("{replica!=\"x\"}"), "{__name__!=\"\"}");
    viewing_end();
}

static void group_labels_are_answered_here(void **state UNUSED)
{
    static const struct view_rule rules[] = {
        RULE(VIEW_LOWERCASE, "sg", "region"), RULE(VIEW_UPPERCASE, "missing", "also")};
    assert_true(viewing_begin(rules, LEN(rules), NULL));
    assert_string_equal(shown("{x=\"y\"}"), "{region=\"eu\", sg=\"Eu\", x=\"y\"}");
    assert_string_equal(asked("m{sg=\"Eu\",region=~\"e.\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{region=\"Eu\"}"), "none");
    viewing_end();
}

static void case_is_undone_exactly_for_values(void **state UNUSED)
{
    static const struct view_rule rules[] = {
        RULE(VIEW_LOWERCASE, "branch", "branch"), RULE(VIEW_UPPERCASE, "instance", "instanceUpper")};
    assert_true(viewing_begin(rules, LEN(rules), NULL));
    assert_true(t.view.unites && t.view.changes_case); /* Main and main are one series */
    assert_string_equal(shown("{branch=\"Main-1\",instance=\"a.b:9\"}"),
                        "{branch=\"main-1\", instance=\"a.b:9\", instanceUpper=\"A.B:9\", sg=\"Eu\"}");
    assert_string_equal(asked("m{branch=\"main.1\"}"), "{branch=~\"[mM][aA][iI][nN]\\\\.1\",__name__=\"m\"}");
    assert_string_equal(asked("m{branch!=\"v2\"}"), "{branch!~\"[vV]2\",__name__=\"m\"}");
    assert_string_equal(asked("m{branch=\"Main\"}"), "none");
    assert_string_equal(asked("m{branch!=\"Main\"}"), "{__name__=\"m\"}");
    assert_string_equal(asked("m{branch=\"\"}"), "{branch=~\"\",__name__=\"m\"}");
    assert_string_equal(asked("m{branch=~\"a|b\"}"), "{branch=~\"(?i:a|b)\",__name__=\"m\"} filtered");
    assert_string_equal(asked("m{branch!~\"a|b\"}"), "{__name__=\"m\"} filtered");
    assert_string_equal(asked("m{instance=~\"a.*\"}"), "{instance=~\"a.*\",__name__=\"m\"}");
    viewing_end();
}

static void matchers_are_injected(void **state UNUSED)
{
    assert_true(viewing_begin(renamed, LEN(renamed), "job=~\"a|b\""));
    assert_string_equal(asked("m{scrape_job!=\"a\"}"), "{job!=\"a\",__name__=\"m\",job=~\"a|b\"}");
    assert_string_equal(asked("{sg=\"Eu\"}"), "{job=~\"a|b\"}");
    viewing_end();
    assert_false(viewing_begin(NULL, 0, "job"));
    assert_non_null(strstr(t.err.text, "is not a matcher"));
    viewing_end();
    assert_false(viewing_begin(NULL, 0, "a=\"b\",c=\"d\""));
    viewing_end();
}

/* A dropped label tells series apart unless its value is shown elsewhere, or only one is asked for. */
static void series_are_united_if_they_may_be_equal(void **state UNUSED)
{
    assert_true(viewing_begin(renamed, LEN(renamed), NULL));
    assert_true(t.view.unites && strstr(t.view.refusal, "replica"));
    viewing_end();
    assert_true(viewing_begin(renamed, 2, NULL));
    assert_true(!t.view.unites && t.view.refusal == NULL);
    viewing_end();
    assert_true(viewing_begin(renamed, LEN(renamed), "replica=\"1\""));
    assert_true(!t.view.unites && t.view.refusal == NULL);
    viewing_end();
    assert_true(viewing_begin(renamed, LEN(renamed), "replica=~\"1|2\""));
    assert_true(t.view.unites);
    viewing_end();
}

static void rules_apply_in_order(void **state UNUSED)
{
    static const struct view_rule rules[] = {
        RULE(VIEW_REPLACE, "a", "b"), RULE(VIEW_REPLACE, "b", "c"), RULE(VIEW_REPLACE, "x", "a"),
        RULE(VIEW_LOWERCASE, "c", "c"), RULE(VIEW_REPLACE, "d", "d")};
    assert_true(viewing_begin(rules, LEN(rules), NULL));
    assert_string_equal(shown("{a=\"A\",b=\"B\",x=\"X\",d=\"D\"}"), "{a=\"X\", b=\"A\", c=\"a\", d=\"D\", sg=\"Eu\", x=\"X\"}");
    assert_string_equal(asked("{a=\"1\",b=\"2\",c=\"3\",d=\"4\"}"), "{x=\"1\",a=\"2\",a=~\"3\",d=\"4\"}");
    assert_true(view_touches(&t.view, STR("x")) && !view_touches(&t.view, STR("d")));
    viewing_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_renamed_and_dropped),
        cmocka_unit_test(matchers_are_those_of_the_servers),
        cmocka_unit_test(a_dropped_label_is_absent),
        cmocka_unit_test(group_labels_are_answered_here),
        cmocka_unit_test(case_is_undone_exactly_for_values),
        cmocka_unit_test(matchers_are_injected),
        cmocka_unit_test(series_are_united_if_they_may_be_equal),
        cmocka_unit_test(rules_apply_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
