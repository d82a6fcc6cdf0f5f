// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/url.h"

#include <string.h>

static void test_parse(void **state UNUSED)
{
    struct url u;
    struct err err;
    assert_true(url_parse(STR("HTTPS://me:p%40s@host.example:9090/a/b?x=1&y#frag"), &u, &err));
    assert_true(str_is(u.scheme, "HTTPS") && str_is(u.user, "me") && str_is(u.password, "p%40s"));
    assert_true(str_is(u.host, "host.example") && str_is(u.port, "9090") && str_is(u.path, "/a/b"));
    assert_true(str_is(u.query, "x=1&y") && str_is(u.fragment, "frag"));
    assert_true(url_parse(STR("http://[::1]:80?q"), &u, &err));
    assert_true(str_is(u.host, "::1") && str_is(u.port, "80") && u.path.n == 0 && str_is(u.query, "q"));
    assert_true(url_parse(STR("http://h"), &u, &err));
    assert_true(str_is(u.host, "h") && u.port.n == 0 && u.path.n == 0 && u.query.n == 0);
    assert_true(url_parse(STR("http://a@b@h/"), &u, &err));
    assert_true(str_is(u.user, "a@b") && str_is(u.host, "h"));
}

static void test_parse_bad(void **state UNUSED)
{
    static const char *const bad[] = {
        "", "host:9090", "ftp://h/", "http:/h", "http://", "http:///p", "http://h:x/", "http://h:0/",
        "http://h:65536/", "http://[::1", "http://[::1]x", "http://a b/", "http://h/\n", "://h", "http://:80/",
    };
    struct url u;
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err err = {0};
        if (url_parse(str_of(bad[i]), &u, &err))
            fail_msg("\"%s\" is taken for a URL", bad[i]);
        assert_int_equal(err.kind, ERR_BAD_DATA);
    }
    struct err err;
    assert_false(url_parse(STR("http://me:hush@h:port/"), &u, &err));
    assert_null(strstr(err.text, "hush"));
    assert_false(url_parse(STR("http://me:hu/sh@h:80/"), &u, &err));
    assert_null(strstr(err.text, "hu/"));
}

static void test_address(void **state UNUSED)
{
    static const struct { const char *address, *host, *port; } cases[] = {
        {"h:80", "h", "80"}, {":80", "", "80"}, {"[::1]:80", "::1", "80"}, {"::1:80", "::1", "80"},
        {"h:", "h", ""}, {"[]:80", "", "80"}, {"[:80", "[", "80"}, {":", "", ""}};
    struct str host, port;
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_true(address_split(str_of(cases[i].address), &host, &port));
        if (!str_is(host, cases[i].host) || !str_is(port, cases[i].port))
            fail_msg("\"%s\": host \"%.*s\", port \"%.*s\"", cases[i].address, STR_ARG(host), STR_ARG(port));
    }
    assert_false(address_split(STR("h"), &host, &port));
    assert_false(address_split(STR(""), &host, &port));
}

static void test_redact(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {"http://h:80/p?a=b", "http://h:80/p?a=b"}, {"http://me:hush@h/p@q", "http://xxxxx:xxxxx@h/p@q"},
        {"http://me@h", "http://xxxxx@h"}, {"http://me:@h", "http://xxxxx:xxxxx@h"},
        {"http://me:x@[::1]:80/", "http://xxxxx:xxxxx@[::1]:80/"},
        {"http://h/p?apiKey=1&b=2&Access_Token=3&c#f", "http://h/p?apiKey=xxxxx&b=2&Access_Token=xxxxx&c#f"},
        {"//me:hush@h/p?token=1", "xxxxx@h/p?token=xxxxx"}, {"nonsense", "nonsense"}, {"", ""},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        url_redact(&b, str_of(cases[i][0]));
        assert_string_equal(buf_z(&b), cases[i][1]);
        buf_free(&b);
    }
}

static void test_redact_address(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {"h:80", "h:80"}, {"h:80/p@q?a=b", "h:80/p@q?a=b"}, {"me:hush@h:80", "xxxxx:xxxxx@h:80"},
        {"[::1]:80?token=1", "[::1]:80?token=xxxxx"}, {"https://me:hush@h/?key=1", "https://xxxxx:xxxxx@h/?key=xxxxx"},
        {"me:hush@h h", "xxxxx@h h"}, {"socks5://me:hush@h", "xxxxx@h"}, {"", ""},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        url_redact_address(&b, str_of(cases[i][0]));
        assert_string_equal(buf_z(&b), cases[i][1]);
        buf_free(&b);
    }
}

static void test_userinfo(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {"http://h:80/p@q", ""}, {"http://me:hush@h/p@q", "me:hush"}, {"http://me@[::1]:80/", "me"},
        {"socks5://me:hu@sh@h:1", "me:hu@sh"}, {"me:hush@h", "me:hush"}, {"http://@h", ""}, {"@", ""}, {"", ""},
    };
    for (size_t i = 0; i < LEN(cases); i++)
        assert_true(str_is(url_userinfo(str_of(cases[i][0])), cases[i][1]));
}

static void test_escapes(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct buf b = {0};
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    url_encode(&b, str_n(all, 256));
    struct str back;
    assert_true(url_decode(&a, buf_str(&b), false, &back));
    assert_true(str_eq(back, str_n(all, 256)));
    buf_clear(&b);
    url_encode(&b, STR("aZ0-._~ /+%\xff"));
    assert_string_equal(buf_z(&b), "aZ0-._~%20%2F%2B%25%FF");
    assert_true(url_decode(&a, STR("a+b%2b%2F"), true, &back) && str_is(back, "a b+/"));
    assert_true(url_decode(&a, STR("a+b"), false, &back) && str_is(back, "a+b"));
    static const char *const bad[] = {"%", "%2", "%zz", "a%4", "%%41"};
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(url_decode(&a, str_of(bad[i]), true, &back));
    buf_free(&b);
    arena_free(&a);
}

static void test_join(void **state UNUSED)
{
    static const char *const cases[][3] = {{"http://h", "api", "http://h/api"},
                                           {"http://h/", "/api", "http://h/api"},
                                           {"http://h/x//", "api/v1", "http://h/x/api/v1"}};
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        url_join(&b, str_of(cases[i][0]), str_of(cases[i][1]));
        assert_string_equal(buf_z(&b), cases[i][2]);
        buf_free(&b);
    }
}

static void test_form(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct form f = {0};
    struct err err;
    assert_true(form_parse(&a, &f, STR("query=up%7B%7D&match[]=a&empty=&&flag&match%5B%5D=b+c"), &err));
    assert_true(form_parse(&a, &f, STR("query=down"), &err)); /* the body comes later and wins */
    assert_true(str_is(form_get(&f, "query"), "down"));
    assert_int_equal(form_count(&f, "match[]"), 2);
    assert_true(str_is(form_nth(&f, "match[]", 0), "a") && str_is(form_nth(&f, "match[]", 1), "b c"));
    assert_null(form_nth(&f, "match[]", 2).p);
    assert_null(form_get(&f, "absent").p);
    assert_non_null(form_get(&f, "empty").p);
    assert_non_null(form_get(&f, "flag").p);
    assert_false(form_parse(&a, &f, STR("a=%x"), &err));
    assert_false(form_parse(&a, &f, STR("a=1;b=2"), &err));
    assert_true(form_parse(&a, &f, STR(""), &err));
    arena_free(&a);
}

static void test_form_times(void **state UNUSED)
{
    struct buf b = {0};
    form_add_ms(&b, "start", -1500);
    form_add_ms(&b, "end", 1751883600050);
    assert_string_equal(buf_z(&b), "start=-1.500&end=1751883600.050");
    buf_free(&b);
}

static void test_form_limit(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct form f = {0};
    struct err err = {0};
    struct buf b = {0};
    for (int i = 0; i < 10000; i++)
        buf_add_z(&b, "a&");
    assert_true(form_parse(&a, &f, buf_str(&b), &err));
    assert_int_equal(f.n, 10000);
    assert_false(form_parse(&a, &f, STR("a"), &err));
    assert_int_equal(err.kind, ERR_BAD_DATA);
    buf_free(&b);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_parse_bad), cmocka_unit_test(test_redact),
        cmocka_unit_test(test_escapes),    cmocka_unit_test(test_join),      cmocka_unit_test(test_form),
        cmocka_unit_test(test_form_limit), cmocka_unit_test(test_form_times), cmocka_unit_test(test_redact_address),
        cmocka_unit_test(test_userinfo),   cmocka_unit_test(test_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
