// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/matcher.h"
#include "tests/unit/model/scratch.h"

static void test_types(void **state UNUSED)
{
    static const struct { enum match_type type; const char *pattern, *value; bool want; } cases[] = {
        {MATCH_EQ, "a", "a", true}, {MATCH_EQ, "a", "b", false}, {MATCH_EQ, "", "", true},
        {MATCH_NE, "a", "a", false}, {MATCH_NE, "a", "", true},
        {MATCH_RE, "a|b", "b", true}, {MATCH_RE, "a|b", "ab", false},
        {MATCH_RE, ".*", "", true}, {MATCH_RE, ".+", "", false},
        {MATCH_NRE, "a.*", "abc", false}, {MATCH_NRE, "a.*", "ba", true}, {MATCH_NRE, "", "", false},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct matcher m;
        assert_true(matcher_init(&m, &arena, cases[i].type, STR("x"), str_of(cases[i].pattern), NULL));
        assert_int_equal(matcher_value(&m, str_of(cases[i].value)), cases[i].want);
        matchers_free(&m, 1);
    }
}

static void test_labels(void **state UNUSED)
{
    struct label items[] = {{STR("__name__"), STR("up")}, {STR("job"), STR("a")}};
    struct labels l = labels_from(&arena, items, LEN(items));
    struct matcher m[3];
    assert_true(matcher_init(&m[0], &arena, MATCH_EQ, STR("__name__"), STR("up"), NULL));
    assert_true(matcher_init(&m[1], &arena, MATCH_RE, STR("a.b"), STR("|x\"y"), NULL)); /* absent is empty */
    assert_true(matcher_init(&m[2], &arena, MATCH_NE, STR("job"), STR("b"), NULL));
    assert_true(matchers_match(m, 3, l));
    assert_true(matchers_match(NULL, 0, l));
    assert_true(matcher_matches_empty(&m[1]) && !matcher_matches_empty(&m[0]));
    assert_false(matchers_match(m, 3, labels_with(&arena, l, STR("job"), STR("b"))));
    assert_false(matchers_match(m, 3, labels_with(&arena, l, STR("a.b"), STR("c"))));
    struct buf out = {0};
    matchers_print(&out, m, 3);
    assert_string_equal(buf_z(&out), "{__name__=\"up\",\"a.b\"=~\"|x\\\"y\",job!=\"b\"}");
    buf_free(&out);
    matchers_free(m, 3);
}

static void test_bad_regex(void **state UNUSED)
{
    struct matcher m;
    struct err err = {0};
    assert_false(matcher_init(&m, &arena, MATCH_RE, STR("x"), STR("a("), &err));
    assert_int_equal(err.kind, ERR_BAD_DATA);
    assert_string_not_equal(err.text, "");
    matchers_free(&m, 1);
}

static void test_a_spent_arena(void **state UNUSED)
{
    static char name[1000];
    struct matcher m;
    struct arena small;
    struct err err = {0};
    arena_init(&small, 500);
    assert_false(matcher_init(&m, &small, MATCH_RE, str_n(name, sizeof name), STR("b.*c"), &err));
    assert_int_equal(err.kind, ERR_LIMIT);
    matchers_free(&m, 1);
    arena_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_bad_regex),
        cmocka_unit_test(test_a_spent_arena),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
