// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "promql/parse/lexer.h"
#include "promql/parse/literal.h"
#include "promql/ast/quote.h"

#include <math.h>
#include <stdio.h>

/* All tokens as messages call them, with | between; an error as E position text. */
static const char *described(const char *text)
{
    static struct buf out;
    struct lexer lx;
    buf_clear(&out);
    lexer_init(&lx, str_of(text));
    for (;;) {
        struct token t = lexer_next(&lx);
        if (out.n > 0)
            buf_add_char(&out, '|');
        if (t.kind == TOKEN_ERROR)
            buf_printf(&out, "E %zu %s", lx.start, lx.error);
        else
            token_describe(&out, t);
        if (t.kind == TOKEN_ERROR || t.kind == TOKEN_EOF)
            return buf_z(&out);
    }
}

static void test_kinds(void **state UNUSED)
{
    assert_string_equal(described(""), "end of input");
    assert_string_equal(described("foo a:b sum BY"),
                        "identifier \"foo\"|metric identifier \"a:b\"|<aggr:sum>|<BY>|end of input");
    assert_string_equal(described("1 2m 'x' \"a longer text\""),
                        "number \"1\"|duration \"2m\"|string \"'x'\"|string \"\\\"a longer \"...|end of input");
    assert_string_equal(described("< </ <= == != ^ % atan2 @"),
                        "<op:<>|<op:</>|<op:<=>|<op:==>|<op:!=>|<op:^>|<op:%>|<op:atan2>|<op:@>|end of input");
    assert_string_equal(described("start = ,"), "\"start\"|\"=\"|\",\"|end of input");
    assert_string_equal(described("Inf nAn"), "number \"Inf\"|number \"nAn\"|end of input");
}

static void test_places(void **state UNUSED)
{
    assert_string_equal(described("{sum=~'a',by!~`b`}"),
                        "\"{\"|identifier \"sum\"|<op:=~>|string \"'a'\"|\",\"|"
                        "identifier \"by\"|<op:!~>|string \"`b`\"|\"}\"|end of input");
    assert_string_equal(described("[5m:step()]"),
                        "\"[\"|duration \"5m\"|\":\"|\"step\"|\"(\"|\")\"|\"]\"|end of input");
    assert_string_equal(described("[ 5m ] #x\n7"), "\"[\"|duration \"5m\"|\"]\"|number \"7\"|end of input");
    assert_string_equal(described("{a #x\r=\"b\"}"),
                        "\"{\"|identifier \"a\"|\"=\"|string \"\\\"b\\\"\"|\"}\"|end of input");
    assert_string_equal(described("fill fill (fill_left"),
                        "identifier \"fill\"|<fill>|\"(\"|identifier \"fill_left\"|E 20 unclosed left parenthesis");
}

static void test_errors(void **state UNUSED)
{
    assert_string_equal(described("(1))"), "\"(\"|number \"1\"|\")\"|E 4 unexpected right parenthesis ')'");
    assert_string_equal(described("[[") , "\"[\"|E 1 unexpected character in duration expression: '['");
    assert_string_equal(described("[1["), "\"[\"|number \"1\"|E 2 unexpected left bracket '['");
    assert_string_equal(described("[:"), "\"[\"|E 2 unexpected colon before duration in duration expression");
    assert_string_equal(described("[1::"), "\"[\"|number \"1\"|\":\"|E 3 unexpected colon ':'");
    assert_string_equal(described("!"), "E 0 unexpected character after '!': '\xef\xbf\xbd'");
    assert_string_equal(described("{!"), "\"{\"|E 1 unexpected character after '!' inside braces: '\xef\xbf\xbd'");
    assert_string_equal(described("a = ~ \x01"), "identifier \"a\"|\"=\"|E 4 unexpected character: '~'");
    assert_string_equal(described("\x01"), "E 0 unexpected character: '\\x01'");
    assert_string_equal(described("\xc2\x85"), "E 0 unexpected character: '\\u0085'");
    assert_string_equal(described("'\xff'"), "E 0 invalid UTF-8 rune");
    assert_string_equal(described("'\\\n'"), "E 0 unknown escape sequence U+000A");
}

static void check_number(const char *text, double want)
{
    double v;
    const char *why;
    struct lexer lx;
    lexer_init(&lx, str_of(text));
    struct token t = lexer_next(&lx);
    assert_int_equal(t.kind, TOKEN_NUMBER);
    assert_int_equal(t.text.n, strlen(text));
    assert_true(literal_number(t.text, &v, &why));
    assert_memory_equal(&v, &want, sizeof v);
}

static void test_numbers(void **state UNUSED)
{
    check_number("0", 0);
    check_number(".5", 0.5);
    check_number("5.", 5);
    check_number("1e3", 1000);
    check_number("1_000.5e-1_0", 1000.5e-10);
    check_number("0x1F", 31);
    check_number("0x_ff_ff", 65535);
    check_number("017", 15);
    check_number("08", 8);
    check_number("0_7", 7);
    check_number("9223372036854775807", 9223372036854775807.0);
    check_number("9223372036854775808", 9223372036854775808.0);
    check_number("inF", INFINITY);
    double v;
    const char *why;
    assert_false(literal_number(STR("0xffffffffffffffffff"), &v, &why));
    assert_string_equal(why, "invalid syntax");
    assert_false(literal_number(STR("1e999"), &v, &why));
    assert_string_equal(why, "value out of range");
    assert_false(literal_number(STR("1_e3"), &v, &why));
}

static void test_durations(void **state UNUSED)
{
    static const struct { const char *text; double seconds; const char *why; } cases[] = {
        {"1h30m", 5400, NULL}, {"1y2w3d4h5m6s7ms", 31536000 + 2 * 604800 + 3 * 86400 + 4 * 3600 + 306 + 0.007, NULL},
        {"0s", 0, NULL}, {"1001ms", 1.001, NULL}, {"292y", 292 * 31536000.0, NULL},
        {"293y", 0, "duration out of range"}, {"1m1h", 0, "not a valid duration string: \"1m1h\""},
        {"1m1m", 0, "not a valid duration string: \"1m1m\""}, {"5ys", 0, "unknown unit \"ys\" in duration \"5ys\""},
        {"99999999999999999999s", 0, "not a valid duration string: \"99999999999999999999s\""},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf why = {0};
        double v;
        bool ok = literal_duration(str_of(cases[i].text), &v, &why);
        assert_int_equal(ok, cases[i].why == NULL);
        if (ok)
            assert_true(fabs(v - cases[i].seconds) < 1e-9 * (1 + v));
        else
            assert_string_equal(buf_z(&why), cases[i].why);
        buf_free(&why);
    }
}

static void check_string(const char *text, const char *want, size_t n)
{
    struct arena a;
    struct lexer lx;
    arena_init(&a, 0);
    lexer_init(&lx, str_of(text));
    struct token t = lexer_next(&lx);
    assert_int_equal(t.kind, TOKEN_STRING);
    assert_true(str_eq(literal_string(&a, t.text), str_n(want, n)));
    arena_free(&a);
}

static void test_strings(void **state UNUSED)
{
    check_string("\"\"", "", 0);
    check_string("'a\"b'", "a\"b", 3);
    check_string("`a\\nb\n`", "a\\nb\n", 5);
    check_string("\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\"", "\a\b\f\n\r\t\v\\\"", 9);
    check_string("'\\''", "'", 1);
    check_string("\"\\101\\x41\\xff\\u00e9\\U0001F600z\"", "AA\xff\xc3\xa9\xf0\x9f\x98\x80z", 10);
    check_string("\"\\0001\"", "\0001", 2);
}

static void test_quoting(void **state UNUSED)
{
    struct buf out = {0};
    quote_text(&out, str_n("a\"\\\n\x01\x7f\xc3\xa9\xff\xc2\xa0\xf3\xa0\x80\x81", 15));
    assert_string_equal(buf_z(&out), "\"a\\\"\\\\\\n\\x01\\x7f\xc3\xa9\\xff\\u00a0\\U000e0001\"");
    buf_free(&out);
}

/* Whatever bytes there are, the lexer ends, and moves on with every token. */
static void test_any_bytes(void **state UNUSED)
{
    static const char alphabet[] = "a1 .:_(){}[]\"'`\\,=!~<>+-*/%^@#\nxeEsmin\xc3\xff";
    uint32_t seed = 1;
    for (int round = 0; round < 200000; round++) {
        char text[24];
        size_t n = 0;
        for (; n < sizeof text; n++) {
            seed = seed * 1664525 + 1013904223;
            text[n] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        struct lexer lx;
        lexer_init(&lx, str_n(text, n));
        struct token t;
        do {
            size_t from = lx.pos;
            t = lexer_next(&lx);
            assert_true(t.kind <= TOKEN_EOF || lx.pos > from);
            assert_true(lx.pos <= n && t.pos + t.text.n <= n);
        } while (t.kind > TOKEN_EOF);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),    cmocka_unit_test(test_places),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_durations), cmocka_unit_test(test_strings),
        cmocka_unit_test(test_quoting),  cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
