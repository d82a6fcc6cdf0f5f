// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/json/json_tree.h"

static struct json_tree *parse(const char *text)
{
    struct err err = {0};
    struct json_tree *t = json_tree_parse(str_of(text), &err);
    if (t == NULL)
        fail_msg("%s: %s", text, err.text);
    return t;
}

static void test_reading(void **state UNUSED)
{
    struct json_tree *t = parse("{\"s\": \"a\\u0000\\u00e9\", \"n\": 1.5, \"i\": 9007199254740993, \"b\": true, "
                                "\"z\": null, \"a\": [1, [2]]}");
    double v;
    assert_true(str_eq(json_tree_str(json_tree_get(t, "s")), str_n("a\0\xc3\xa9", 4)));
    assert_true(json_tree_number(json_tree_get(t, "n"), &v));
    assert_true(v == 1.5);
    assert_int_equal(json_tree_kind(json_tree_get(t, "z")), JSON_TREE_NULL);
    const struct json_tree *a = json_tree_get(t, "a");
    assert_int_equal(json_tree_count(a), 2);
    assert_true(json_tree_number(json_tree_at(json_tree_at(a, 1), 0), &v));
    assert_true(v == 2);
    json_tree_free(t);
}

static void test_absent(void **state UNUSED)
{
    struct json_tree *t = parse("[1]");
    double v;
    const struct json_tree *none = json_tree_get(json_tree_get(t, "x"), "y");
    assert_null(none);
    assert_null(json_tree_at(t, 1));
    assert_null(json_tree_at(none, 0));
    assert_int_equal(json_tree_kind(none), JSON_TREE_ABSENT);
    assert_int_equal(json_tree_count(none), 0);
    assert_null(json_tree_str(none).p);
    assert_null(json_tree_str(t).p);
    assert_false(json_tree_number(none, &v));
    struct json_tree_member m = {0};
    assert_false(json_tree_next(t, &m));
    json_tree_free(t);
    json_tree_free(NULL);
}

static void test_iteration(void **state UNUSED)
{
    struct json_tree *t = parse("{\"b\": 1, \"a\": \"x\", \"c\": {}}");
    struct json_tree_member m = {0};
    char order[8] = {0};
    size_t n = 0;
    while (json_tree_next(t, &m))
        order[n++] = m.key.p[0];
    assert_string_equal(order, "bac");
    assert_int_equal(json_tree_kind(json_tree_get(t, "c")), JSON_TREE_OBJECT);
    json_tree_free(t);
}

static void test_errors(void **state UNUSED)
{
    static const char *const bad[] = {"", "{", "{\"a\" 1}", "[1] 2", "[\n1,\n]", "\"\xff\"", "nul"};
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err err = {0};
        assert_null(json_tree_parse(str_of(bad[i]), &err));
        assert_int_equal(err.kind, ERR_BAD_DATA);
    }
    struct err err = {0};
    assert_null(json_tree_parse(STR("[\n1,\n]"), &err));
    assert_true(str_starts(str_of(err.text), STR("line 3: ")));
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_add_char(&deep, '[');
    assert_null(json_tree_parse(buf_str(&deep), &err));
    buf_free(&deep);
}

/* A short text that would take a hundred times its length in memory. */
static void test_many_values(void **state UNUSED)
{
    struct buf text = {0};
    struct err err = {0};
    buf_add_z(&text, "[\",,,,\\\",\"");
    for (int i = 0; i < 1000; i++)
        buf_add_z(&text, ",[0]");
    buf_add_char(&text, ']');
    struct json_tree *t = json_tree_parse(buf_str(&text), &err);
    assert_int_equal(json_tree_count(t), 1001);
    json_tree_free(t);
    text.n--;
    for (int i = 0; i < JSON_TREE_VALUES_MAX; i++)
        buf_add_z(&text, ",0");
    buf_add_char(&text, ']');
    assert_null(json_tree_parse(buf_str(&text), &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading), cmocka_unit_test(test_absent), cmocka_unit_test(test_iteration),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_many_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
