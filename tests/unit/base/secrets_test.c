// SPDX-License-Identifier: Apache-2.0
#include "base/text/secrets.h"

#include "base/http/client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void expect_hidden(const struct secrets *s, const char *text, const char *shown)
{
    struct buf out = {0};
    secrets_hide(s, str_of(text), &out);
    assert_string_equal(buf_z(&out), shown);
    buf_free(&out);
}

static void all_forms_are_found(void **state UNUSED)
{
    struct secrets s = {0};
    secrets_add(&s, STR("pa/s\"s&1"));
    expect_hidden(&s, "is pa/s\"s&1, and pa/s\"s&1", "is <secret>, and <secret>");
    expect_hidden(&s, "?a=pa%2Fs%22s%261&b", "?a=<secret>&b");
    expect_hidden(&s, "?a=p%61%2fs%22s%261", "?a=<secret>");
    expect_hidden(&s, "{\"e\":\"pa/s\\\"s&1\"}", "{\"e\":\"<secret>\"}");
    expect_hidden(&s, "\"pa\\/s\\\"s\\u00261\"", "\"<secret>\"");
    expect_hidden(&s, "<b>pa/s&quot;s&amp;1</b>", "<b><secret></b>");
    expect_hidden(&s, "PA/S\"S&1 pa/s\"s 1 %zz \\u00zz %", "PA/S\"S&1 pa/s\"s 1 %zz \\u00zz %");
    expect_hidden(&s, "", "");
    secrets_free(&s);
}

static void a_cut_secret_is_hidden(void **state UNUSED)
{
    struct secrets s = {0};
    secrets_add(&s, STR("abcdefgh"));
    expect_hidden(&s, "token=abcd", "token=<secret>");
    expect_hidden(&s, "token=abcdefg", "token=<secret>");
    expect_hidden(&s, "token=abc", "token=abc"); /* may be the beginning of any word */
    expect_hidden(&s, "abcdabcdefgh", "abcd<secret>");
    expect_hidden(&s, "got `token=abcd` in", "got `token=<secret>` in");
    secrets_free(&s);
    secrets_add(&s, STR("abcdefghijkl"));
    expect_hidden(&s, "abcdefg abcdefgh abcdefghijk-", "abcdefg <secret> <secret>-");
    secrets_free(&s);
}

static void the_longest_one_counts(void **state UNUSED)
{
    struct secrets s = {0};
    secrets_add(&s, STR("abcd"));
    secrets_add(&s, STR("abcdefgh"));
    secrets_add(&s, STR("abc"));
    assert_int_equal(s.n, 2); /* three bytes are no secret */
    expect_hidden(&s, "abcdefgh abcd-efgh", "<secret> <secret>-efgh");
    secrets_free(&s);
}

static void a_url_has_its_secrets(void **state UNUSED)
{
    struct secrets s = {0};
    secrets_add_url(&s, STR("socks5://someone:p%40ss%2Fword@h:1/p?a=plain&api_key=k%26y1&x#f"));
    expect_hidden(&s, "someone p@ss/word p%40ss%2Fword plain k&y1 k%26y1",
                  "<secret> <secret> <secret> plain <secret> <secret>");
    expect_hidden(&s, "Basic c29tZW9uZTpwQHNzL3dvcmQ=", "Basic <secret>"); /* someone:p@ss/word */
    secrets_free(&s);
    secrets_add_url(&s, STR("http://h:1/p"));
    secrets_add_url(&s, STR_NONE);
    assert_int_equal(s.n, 0);
    secrets_free(&s);
}

static void a_header_has_a_value(void **state UNUSED)
{
    struct secrets s = {0};
    secrets_add_header(&s, STR("X-Key: hush-hush"));
    secrets_add_header(&s, STR("Authorization: Token another1"));
    expect_hidden(&s, "X-Key:hush-hush; invalid token another1", "X-Key:<secret>; invalid token <secret>");
    secrets_free(&s);
}

static void logins_are_hidden_but_not_users(void **state UNUSED)
{
    static const char *const logins[][3] = {
        {"user", "word", "dXNlcjp3b3Jk"}, {"user", "words", "dXNlcjp3b3Jkcw=="}, {"users", "words", "dXNlcnM6d29yZHM="}};
    for (size_t i = 0; i < LEN(logins); i++) {
        struct secrets s = {0};
        char text[100], shown[100];
        secrets_add_login(&s, str_of(logins[i][0]), str_of(logins[i][1]));
        snprintf(text, sizeof text, "%s, %s, %s.", logins[i][0], logins[i][1], logins[i][2]);
        snprintf(shown, sizeof shown, "%s, <secret>, <secret>.", logins[i][0]);
        expect_hidden(&s, text, shown);
        secrets_free(&s);
    }
}

static void a_profile_hides_what_it_sends(void **state UNUSED)
{
    struct err err = {0};
    const char *headers[] = {"X-Key: hush-hush"};
    struct client_profile *p = client_profile_new(&(struct client_profile_conf){
        .username = "someone", .password = "p4ssword", .headers = headers, .n_headers = 1,
        .proxy_url = "http://me:pr0xy@h:1"}, &err);
    assert_non_null(p);
    char text[64] = "someone p4ssword hush-hush pr0xy t0ken";
    client_hide_secrets_in(p, STR("http://h/?token=t0ken"), text, sizeof text);
    assert_string_equal(text, "someone <secret> <secret> <secret> <secret>");
    char small[12] = "p4ssword ok";
    client_hide_secrets_in(p, STR_NONE, small, sizeof small);
    assert_string_equal(small, "<secret> ok");
    client_profile_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_are_found),
        cmocka_unit_test(a_cut_secret_is_hidden),
        cmocka_unit_test(the_longest_one_counts),
        cmocka_unit_test(a_url_has_its_secrets),
        cmocka_unit_test(a_header_has_a_value),
        cmocka_unit_test(logins_are_hidden_but_not_users),
        cmocka_unit_test(a_profile_hides_what_it_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
