// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json/json_write.h"

#include <jansson.h>
#include <math.h>

static void test_fields(void **state UNUSED)
{
    struct buf b = {0};
    struct json_writer w = {.out = &b};
    json_begin_object(&w);
    json_field_str(&w, "a", STR("x\"y"));
    json_field_z(&w, "b", "z");
    json_field_bool(&w, "c", false);
    json_field_i64(&w, "d", -5);
    json_field_u64(&w, "e", UINT64_MAX);
    json_end_object(&w);
    assert_string_equal(buf_z(&b), "{\"a\":\"x\\\"y\",\"b\":\"z\",\"c\":false,\"d\":-5,\"e\":18446744073709551615}");
    buf_free(&b);
}

static void test_document(void **state UNUSED)
{
    struct buf b = {0};
    struct json_writer w = {.out = &b};
    json_begin_object(&w);
    json_key(&w, "status");
    json_z(&w, "success");
    json_key_str(&w, STR("a\"b"));
    json_begin_array(&w);
    json_begin_array(&w);
    json_ms(&w, 1500);
    json_num_str(&w, 1e21);
    json_end_array(&w);
    json_begin_object(&w);
    json_end_object(&w);
    json_put_null(&w);
    json_bool(&w, true);
    json_bool(&w, false);
    json_i64(&w, -5);
    json_double(&w, 0.1);
    json_double(&w, NAN);
    json_num_str(&w, -INFINITY);
    json_raw(&w, STR("[1]"));
    json_end_array(&w);
    json_key(&w, "z");
    json_html_str(&w, STR("<a&b>"));
    json_end_object(&w);
    assert_string_equal(
        buf_z(&b), "{\"status\":\"success\",\"a\\\"b\":[[1.500,\"1e+21\"],{},null,true,false,-5,0.1,null,\"-Inf\",[1]],"
                   "\"z\":\"\\u003ca\\u0026b\\u003e\"}");
    json_t *tree = json_loadb(b.p, b.n, 0, NULL);
    assert_non_null(tree);
    json_decref(tree);
    buf_free(&b);
}

static void assert_escaped(struct str s, const char *expected)
{
    struct buf b = {0};
    json_escape(&b, s);
    assert_string_equal(buf_z(&b), expected);
    buf_free(&b);
}

static void test_escapes(void **state UNUSED)
{
    assert_escaped(STR(""), "");
    assert_escaped(STR("plain <&> /"), "plain <&> /");
    assert_escaped(STR("\"\\\n\r\t\b\f"), "\\\"\\\\\\n\\r\\t\\b\\f");
    assert_escaped(STR("a\0b\x1f\x7f"), "a\\u0000b\\u001f\x7f");
    assert_escaped(STR("gr\xc3\xbcn \xf0\x9f\x98\x80"), "gr\xc3\xbcn \xf0\x9f\x98\x80");
    assert_escaped(STR("\xff"
                       "a\xc3"),
                   "\xef\xbf\xbd"
                   "a\xef\xbf\xbd");
    assert_escaped(STR("\xef\xbf\xbd"), "\xef\xbf\xbd");
    assert_escaped(STR("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* Every byte, read back by another program's eyes. */
static void test_all_bytes(void **state UNUSED)
{
    char text[127];
    for (int i = 0; i < 127; i++)
        text[i] = (char)(i + 1);
    struct buf b = {0};
    struct json_writer w = {.out = &b};
    json_html_str(&w, str_n(text, sizeof text));
    json_t *tree = json_loadb(b.p, b.n, JSON_DECODE_ANY, NULL);
    assert_non_null(tree);
    assert_int_equal(json_string_length(tree), sizeof text);
    assert_memory_equal(json_string_value(tree), text, sizeof text);
    json_decref(tree);
    buf_free(&b);
}

static void test_limit(void **state UNUSED)
{
    struct buf b = {.max = 4};
    struct json_writer w = {.out = &b};
    json_z(&w, "too long for it");
    assert_true(b.over);
    assert_true(b.n <= 4);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_all_bytes),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
