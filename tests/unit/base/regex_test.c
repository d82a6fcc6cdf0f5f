// SPDX-License-Identifier: Apache-2.0
/* Every plan against RE2's own answer; then expansion, replacement and the words of errors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/regex/re2.h"
#include "base/regex/regex.h"

#include <stdio.h>
#include <string.h>

static const char *const planned[] = {
    "", "foo", "foo|bar|baz", "foo|", "|foo", "|", "()", "(foo)", "(?:foo|bar)", "a(b|c)d", "a(b|c(d|e)?)?f", "foo|foo",
    "[abc]", "[a-c]x[0-2]", "[-a]", "[a-]", "[.]", "[\\]\\-]", "a?", "a??b", "ab?c", "\xc3\xa9?x", "x\xc3\xa9?",
    "a\\.b", "a\\\\b",
    ".*", ".+", "(.*)", "(.+)", "(?:.*)", "foo.*", "foo.+", ".*foo", ".+foo", ".*foo.*", ".+foo.+", ".*foo.+",
    "foo.*bar",
    "foo.+bar", "foo.*a.*bar", "foo.+a.+bar", "foo.*?", ".*.*", ".*.+", "(.*)foo(.+)", "^foo$", "^foo|bar$", "^$",
    "^.*$",
    "(foo|bar)_(a|b)", "prod-(eu|us)-[0-9]", "\xc3\xa9|\xe4\xb8\x96", "a]b", "a}b", "a b", "a\nb", "foo.*foo",
};
static const char *const general[] = {
    "a*", "a+", "[^a]", "a{2}", "a{,2}", "prod-.+-[0-9]+", "(?i)foo", "(?i:foo|bar)", "\\d+", "a.c", ".", ".?",
    "foo.*|bar", "(foo|bar).*",
    "[[:alpha:]]+", "(?P<n>a)b", "(?<n>a)b", "a|b*", "(a|b)+", ".+.+", "\\Qa.b\\E", "x.*y.*z.*w", "[\\d]",
    "foo(?-s).*", "a$|b", "(^a)b",
    "\\bfoo", "foo[a-z]*", "fo{2}", "a||b*", "foo\\b.*", "[a-zA-Z0-9]{1,3}", "(?U)a.*", "[(?<]+", "(?<x>[(?<])\\(?<",
};
static const char *const subjects[] = {
    "", "a", "b", "c", "f", "x", "foo", "bar", "baz", "fo", "fooo", "foofoo", "foobar", "foo bar", "fooabar",
    "fooaxabar", "FOO", "Foo",
    "abd", "acd", "af", "abf", "acf", "acdf", "acef", "ax0", "cx2", "dx2", "-", ".", "]", "\\", "a.b", "axb", "a\\b",
    "ac", "abc", "ab",
    "\xc3\xa9", "\xc3\xa9x", "x\xc3\xa9", "\xe4\xb8\x96", ("\xe4\xb8\x96" "foo"), "foo\xe4\xb8\x96", "foo_a", "bar_b",
    "foo_c", "prod-eu-1",
    "prod-us-9", "prod-eu-x", "prod-a-12", "a\nb", "foo\n", "\nfoo", "foo\nbar", "\n", "a]b", "a}b", "a b", "aa",
    "aab", "b*", "xyzw", "x1y2z3w",
    "aaaa", "12", "foo123", "(?<", "[(?<]", "^foo$", "xfoo", "foox", "xfoox", "^", "$", "a{,2}", "fofo", "Q", "(((?<",
    "((?<",
};

static struct re2_pattern *reference(const char *pattern)
{
    char wrapped[256];
    struct re2_error error;
    const char *named = strstr(pattern, "(?<");
    if (named == pattern) /* the reference library does not know this form */
        snprintf(wrapped, sizeof wrapped, "^(?s:(?P<%s)$", pattern + 3);
    else
        snprintf(wrapped, sizeof wrapped, "^(?s:%s)$", pattern);
    struct re2_pattern *re = re2_new(wrapped, strlen(wrapped), &error);
    if (re == NULL)
        fail_msg("%s: %s", pattern, error.what);
    return re;
}

static void compare(const char *pattern)
{
    struct err err = {0};
    struct re2_pattern *expected = reference(pattern);
    struct regex *re = regex_new(str_of(pattern), &err);
    if (re == NULL)
        fail_msg("%s: %s", pattern, err.text);
    for (size_t i = 0; i < LEN(subjects); i++) {
        struct str s = str_of(subjects[i]);
        if (regex_match(re, s) != re2_match(expected, s.p, s.n))
            fail_msg("pattern %s, subject \"%s\": we say %d", pattern, subjects[i], regex_match(re, s));
        if (regex_match(re, s) && !str_starts(s, regex_prefix(re)))
            fail_msg("pattern %s matches \"%s\" without its prefix", pattern, subjects[i]);
    }
    regex_free(re);
    re2_free(expected);
}

static void test_plans_answer_as_re2(void **state UNUSED)
{
    for (size_t i = 0; i < LEN(planned); i++)
        compare(planned[i]);
    for (size_t i = 0; i < LEN(general); i++)
        compare(general[i]);
}

/* Patterns put together at random, mostly of what the analyser understands; the same ones in every run. */
static void random_pattern(struct buf *out, uint64_t *seed)
{
    static const char *const pieces[] = {"a", "b", "ab", ".*", ".+", "|", "(", ")", "(?:", "?", "[ab]", "[^a]", "\\.",
                                         "^", "$", "\xc3\xa9",
                                         ".", "*", "+", "{2}", "]", "-", "\\", "(?i)", "\\Qa", "\\E", "[a-", "*?"};
    buf_clear(out);
    for (size_t i = 0, n = *seed % 9; i < n; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        size_t among = *seed >> 62 ? 16 : LEN(pieces); /* three times of four without what is likely to be refused */
        buf_add_z(out, pieces[(*seed >> 33) % among]);
    }
    *seed += 0x9e3779b97f4a7c15u;
}

static void test_random_patterns_answer_as_re2(void **state UNUSED)
{
    static const char *const texts[] = {"", "a", "b", "ab", "ba", "aa", "aab", "abab", "A", ".", "a.b", "\xc3\xa9",
                                        "a\xc3\xa9", ("\xc3\xa9" "b"), "\n",
                                        "a\nb", "b\nab", "a]", "-", "abb", "bab", "bb", "a{2}", "x", "axb", "(",
                                        "abxab", "aba"};
    struct buf pattern = {0};
    uint64_t seed = 7;
    size_t valid = 0;
    for (int i = 0; i < 30000; i++) {
        random_pattern(&pattern, &seed);
        struct re2_error error;
        struct err err;
        struct re2_pattern *expected = re2_new(buf_z(&pattern), pattern.n, &error);
        struct regex *re = regex_new(buf_str(&pattern), &err);
        if ((re == NULL) != (expected == NULL))
            fail_msg("%s: RE2 says %s", buf_z(&pattern), expected ? "valid" : error.what);
        for (size_t j = 0; re && j < LEN(texts); j++)
            if (regex_match(re, str_of(texts[j])) != re2_match(expected, texts[j], strlen(texts[j])))
                fail_msg("pattern %s, subject \"%s\"", buf_z(&pattern), texts[j]);
        for (size_t j = 0; re && j < LEN(texts); j++)
            if (regex_match(re, str_of(texts[j])) && !str_starts(str_of(texts[j]), regex_prefix(re)))
                fail_msg("pattern %s matches \"%s\" without its prefix", buf_z(&pattern), texts[j]);
        valid += re != NULL;
        regex_free(re);
        re2_free(expected);
    }
    assert_true(valid > 10000);
    buf_free(&pattern);
}

static struct regex *regex_of(const char *pattern)
{
    struct err err = {0};
    struct regex *re = regex_new(str_of(pattern), &err);
    if (re == NULL)
        fail_msg("%s: %s", pattern, err.text);
    return re;
}

static void check_literals(const char *pattern, const char *joined)
{
    struct regex *re = regex_of(pattern);
    struct buf out = {0};
    size_t n;
    const struct str *literals = regex_literals(re, &n);
    if (literals == NULL)
        buf_add_z(&out, "none");
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%.*s", i ? "," : "", STR_ARG(literals[i]));
    assert_string_equal(buf_z(&out), joined);
    buf_free(&out);
    regex_free(re);
}

static void test_literals(void **state UNUSED)
{
    check_literals("foo", "foo");
    check_literals("foo|bar|foo", "foo,bar");
    check_literals("a(b|c[12])d", "abd,ac1d,ac2d");
    check_literals("foo|", "foo,");
    check_literals("", "");
    check_literals("^a\\.b$", "a.b");
    check_literals("a.*", "none");
    check_literals("(?i)a", "none");
    check_literals("[0-9][0-9][0-9][0-9]", "none");
}

static void check_prefix(const char *pattern, const char *prefix)
{
    struct regex *re = regex_of(pattern);
    assert_true(str_is(regex_prefix(re), prefix));
    regex_free(re);
}

static void test_prefix(void **state UNUSED)
{
    check_prefix("foo.*", "foo");
    check_prefix("foo.*bar", "foo");
    check_prefix("prod-.+-[0-9]+", "prod-");
    check_prefix("foo[0-9]+|bar", "");
    check_prefix("foo*x", "fo");
    check_prefix("f*", "");
    check_prefix("(?i)foo.*", "");
    check_prefix(".*foo", "");
}

static void test_many_literals(void **state UNUSED)
{
    struct buf pattern = {0};
    for (int i = 0; i < 5000; i++)
        buf_printf(&pattern, "%sinstance-%04d:9100", i ? "|" : "", i);
    struct regex *re = regex_of(buf_z(&pattern));
    size_t n;
    assert_true(regex_match(re, STR("instance-4999:9100")));
    assert_false(regex_match(re, STR("instance-5000:9100")));
    assert_null(regex_literals(re, &n));
    regex_free(re);
    buf_free(&pattern);
}

/* A pattern made to multiply must cost neither time nor memory. */
static void test_products_are_bounded(void **state UNUSED)
{
    struct buf pattern = {0};
    for (int i = 0; i < 900; i++)
        buf_printf(&pattern, "%s%d", i ? "|" : "(", i);
    buf_add_char(&pattern, ')');
    for (int i = 0; i < 3000; i++)
        buf_add_z(&pattern, "(?:x)");
    struct regex *re = regex_of(buf_z(&pattern));
    assert_false(regex_match(re, STR("1x")));
    regex_free(re);
    buf_free(&pattern);
}

static void check_expand(const char *pattern, const char *subject, const char *replacement, const char *expected)
{
    struct regex *re = regex_of(pattern);
    struct buf out = {0};
    bool matched = regex_expand(re, str_of(subject), str_of(replacement), &out);
    assert_int_equal(matched, expected != NULL);
    assert_string_equal(buf_z(&out), expected ? expected : "");
    buf_free(&out);
    regex_free(re);
}

static void test_expand(void **state UNUSED)
{
    check_expand("(.*)", "abc", "$1", "abc");
    check_expand("(.*)", "abc", "<${1}>$0$2", "<abc>abc");
    check_expand("(.*)", "", "$1", "");
    check_expand("(.+)", "", "$1", NULL);
    check_expand("foo", "foo", "bar", "bar");
    check_expand("foo", "foo", "[$0]", "[foo]");
    check_expand("foo", "fox", "bar", NULL);
    check_expand("foo(.*)", "foobar", "$1", "bar");
    check_expand("(.*);(.*)", "a;b", "$2-$1", "b-a");
    check_expand("([^:]+)(?::\\d+)?", "h:9100", "$1:80", "h:80");
    check_expand("(?P<host>[^:]+):(?<port>.*)", "h:9100", "${port} $host $nothing.", "9100 h .");
    check_expand("(a)", "a", "$1x", "");
    check_expand("(a)", "a", "${1}x", "ax");
    check_expand("(a)", "a", "$$1 $ ${ ${1 ${} $-", "$1 $ ${ ${1 ${} $-");
    check_expand("(a)", "a", "$01", "");
    check_expand("(a)|(b)", "b", "[$1][$2]", "[][b]");
    check_expand("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)(l)(m)(n)(o)(p)(q)", "abcdefghijklmnopq", "$17$16", "qp");
}

static void check_replace(const char *pattern, const char *subject, const char *replacement, const char *expected)
{
    struct err err = {0};
    struct regex *re = regex_new_unanchored(str_of(pattern), &err);
    struct buf out = {0};
    assert_non_null(re);
    regex_replace_all(re, str_of(subject), str_of(replacement), &out);
    assert_string_equal(buf_z(&out), expected);
    buf_free(&out);
    regex_free(re);
}

static void test_replace_all(void **state UNUSED)
{
    check_replace("a", "banana", "o", "bonono");
    check_replace("(n)a", "banana", "<$1>", "ba<n><n>");
    check_replace("x", "banana", "o", "banana");
    check_replace("a*", "baac", "x", "xbxcx");
    check_replace("", "\xc3\xa9z", "-", "-\xc3\xa9-z-");
    check_replace("", "", "-", "-");
    check_replace("^a", "aa", "b", "ba");
    check_replace("[^a-z]+", "a-b_c", "", "abc");
}

static void test_errors(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {"foo(", "missing closing ): `foo(`"},
        {"foo)", "unexpected ): `foo)`"},
        {"(?<n>a", "missing closing ): `(?<n>a`"},
        {"*", "missing argument to repetition operator: `*`"},
        {"*^", "missing argument to repetition operator: `*`"},
        {"a|+", "missing argument to repetition operator: `+`"},
        {"a**", "invalid nested repetition operator: `**`"},
        {"a\\y", "invalid escape sequence: `\\y`"},
        {"a\\C", "invalid escape sequence: `\\C`"},
        {"x[a-", "missing closing ]: `[a-`"},
        {"[z-a]", "invalid character class range: `z-a`"},
        {"a{1001}", "invalid repeat count: `{1001}`"},
        {"a\\", "trailing backslash at end of expression: ``"},
        {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
        {"a.\xff", "invalid UTF-8: `a.\xff`"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct err err = {0};
        char expected[256];
        snprintf(expected, sizeof expected, "error parsing regexp: %s", cases[i][1]);
        assert_null(regex_new(str_of(cases[i][0]), &err));
        assert_int_equal(err.kind, ERR_BAD_DATA);
        if (strncmp(err.text, expected, strlen(expected)) != 0)
            fail_msg("%s: got %s", expected, err.text);
    }
}

static void test_quoted_text_matches_itself_alone(void **state UNUSED)
{
    static const char every[] = "a.b+c*d?e(f)g|h[i]j{k}l^m$n\\o-p/q\"r\ns\xc3\xa9";
    struct buf pattern = {0};
    regex_quote(&pattern, str_of(every));
    struct regex *re = regex_of(buf_z(&pattern));
    assert_true(regex_match(re, str_of(every)));
    for (size_t i = 0; i < strlen(every); i++) {
        char other[sizeof every];
        memcpy(other, every, sizeof other);
        other[i] = other[i] == 'x' ? 'y' : 'x';
        assert_false(regex_match(re, str_of(other)));
    }
    regex_free(re);
    buf_free(&pattern);
}

static void test_bytes(void **state UNUSED)
{
    struct regex *re = regex_of("a+");
    assert_true(regex_match(re, STR("aa")));
    assert_true(str_is(regex_pattern(re), "a+"));
    assert_in_range(regex_bytes(re), 1000, 10000);
    regex_free(re);
    re = regex_of("[a-z][a-z]"); /* 676 strings */
    assert_in_range(regex_bytes(re), 676 * (sizeof(struct str) + 2), 676 * 200);
    regex_free(re);
    regex_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_answer_as_re2), cmocka_unit_test(test_random_patterns_answer_as_re2),
        cmocka_unit_test(test_literals), cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_many_literals), cmocka_unit_test(test_products_are_bounded),
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_replace_all), cmocka_unit_test(test_errors), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_quoted_text_matches_itself_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
