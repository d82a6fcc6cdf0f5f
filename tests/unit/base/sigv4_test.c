// SPDX-License-Identifier: Apache-2.0
/* Signatures of AWS, compared with the "AWS Signature Version 4 Test Suite" that AWS has published: its requests and
 * signatures are from boto/botocore, tests/unit/auth/aws4_testsuite, and with hashes of bodies from awslabs/aws-c-auth,
 * tests/aws-signing-test-suite/v4. Both are under the Apache License 2.0. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/aws/aws_profile.h"
#include "base/aws/sigv4.h"

static const struct sigv4_key suite_key = {STR("us-east-1"), STR("service"), STR("AKIDEXAMPLE"),
                                           STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), STR_NONE};
enum { SUITE_TIME = 1440938160 }; /* 2015-08-30T12:36:00Z */
#define SUITE_TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static const struct suite_case {
    const char *name, *method, *path, *query, *headers[4][2], *body, *signed_headers, *signature;
} suite[] = {
    {"get-vanilla", "GET", "/", "", {{0}}, "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-with-session-token", "GET", "/", "", {{"X-Amz-Security-Token", SUITE_TOKEN}}, "",
     "host;x-amz-date;x-amz-security-token", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"get-utf8", "GET", "/\xe1\x88\xb4", "", {{0}}, "", "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-relative-relative", "GET", "/example1/example2/../..", "", {{0}}, "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash", "GET", "//", "", {{0}}, "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash", "GET", "/./", "", {{0}}, "", "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slashes", "GET", "//example//", "", {{0}}, "", "host;x-amz-date",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-slash-pointless-dot", "GET", "/./example", "", {{0}}, "", "host;x-amz-date",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-space", "GET", "/example space/", "", {{0}}, "", "host;x-amz-date",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-special-character", "GET", "/example/$delete", "", {{0}}, "", "host;x-amz-date",
     "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27"},
    {"get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", {{0}}, "", "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-encoded", "GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1", {{0}}, "",
     "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-order-value", "GET", "/", "Param1=value2&Param1=value1", {{0}}, "", "host;x-amz-date",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved", "GET", "/", UNRESERVED "=" UNRESERVED, {{0}}, "", "host;x-amz-date",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query", "GET", "/", "\xe1\x88\xb4=bar", {{0}}, "", "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-header-value-trim", "GET", "/", "", {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}, "",
     "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-header-key-sort", "POST", "/", "", {{"My-Header1", "value1"}}, "", "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-vanilla-query", "POST", "/", "Param1=value1", {{0}}, "", "host;x-amz-date",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-x-www-form-urlencoded", "POST", "/", "", {{"Content-Type", "application/x-www-form-urlencoded"}},
     "Param1=value1", "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded with the hash", "POST", "/", "",
     {{"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Length", "13"},
      {"X-Amz-Content-Sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     "Param1=value1", "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
};

static void signatures_are_those_of_the_test_suite(void **state UNUSED)
{
    for (size_t i = 0; i < LEN(suite); i++) {
        const struct suite_case *c = &suite[i];
        struct sigv4_header headers[SIGV4_HEADERS] = {{STR("X-Amz-Date"), STR("20150830T123600Z")},
                                                      {STR("Host"), STR("example.amazonaws.com")}};
        size_t n = 2;
        for (size_t h = 0; h < LEN(c->headers) && c->headers[h][0]; h++)
            headers[n++] = (struct sigv4_header){str_of(c->headers[h][0]), str_of(c->headers[h][1])};
        struct sigv4_request request = {str_of(c->method), str_of(c->path), str_of(c->query), headers, n,
                                        str_of(c->body)};
        struct buf got = {0}, wanted = {0};
        sigv4_authorization(&suite_key, &request, SUITE_TIME, &got);
        buf_printf(&wanted, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                   "SignedHeaders=%s, Signature=%s", c->signed_headers, c->signature);
        if (!str_eq(buf_str(&got), buf_str(&wanted)))
            fail_msg("%s: %s", c->name, buf_z(&got));
        buf_free(&got);
        buf_free(&wanted);
    }
}

static void lines_of(const char *url, struct str token, struct buf *out)
{
    struct sigv4_key key = suite_key;
    key.session_token = token;
    buf_clear(out);
    sigv4_add_lines(&key, STR("POST"), str_of(url), STR(""), STR("body"), SUITE_TIME, out);
}

static void requests_have_lines_for_what_is_signed(void **state UNUSED)
{
    struct buf lines = {0};
    lines_of("https://example.amazonaws.com:443/a?b", STR_NONE, &lines);
    assert_non_null(strstr(buf_z(&lines), "Host: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n"
        "X-Amz-Content-Sha256: 230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5\nAuthorization: AWS4-"));
    assert_non_null(strstr(buf_z(&lines), "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "));
    lines_of("http://[::1]:443/", STR(SUITE_TOKEN), &lines);
    assert_non_null(strstr(buf_z(&lines), "Host: [::1]:443\n"));
    assert_non_null(strstr(buf_z(&lines), "\nX-Amz-Security-Token: " SUITE_TOKEN "\nAuthorization: "));
    assert_non_null(strstr(buf_z(&lines), "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, "));
    buf_free(&lines);
}

/* The request goes to an address; its Host header is the name. */
static void a_given_host_is_signed(void **state UNUSED)
{
    struct buf named = {0}, lines = {0};
    lines_of("https://example.amazonaws.com/a?b", STR_NONE, &named);
    sigv4_add_lines(&suite_key, STR("POST"), STR("https://192.0.2.1:443/a?b"), STR("example.amazonaws.com"), STR("body"),
                    SUITE_TIME, &lines);
    struct str without = str_skip(buf_str(&named), strlen("Host: example.amazonaws.com\n"));
    assert_true(str_eq(buf_str(&lines), without));
    buf_free(&named);
    buf_free(&lines);
}

static void profiles_are_read(void **state UNUSED)
{
    static const char file[] = "# [default]\n[default]\naws_access_key_id=AK1\n aws_secret_access_key = nested\n"
                               "[profile  dev] ; comment\nregion = eu-west-1 # near\naws_access_key_id : AK2\n"
                               "s3 =\n  region = nested\nrole_arn=arn:aws:iam::1:role/a;b\n[dev]\nregion = other\n[end";
    struct str text = STR(file);
    assert_true(str_is(aws_profile_get(text, "default", "aws_access_key_id"), "AK1"));
    assert_null(aws_profile_get(text, "default", "aws_secret_access_key").p);
    assert_true(str_is(aws_profile_get(text, "profile dev", "region"), "eu-west-1"));
    assert_null(aws_profile_get(text, "profile dev", "aws_access_key_id").p);
    assert_true(str_is(aws_profile_get(text, "profile dev", "ROLE_ARN"), "arn:aws:iam::1:role/a;b"));
    assert_true(str_is(aws_profile_get(text, "dev", "region"), "other"));
    assert_true(aws_profile_has(text, "dev") && !aws_profile_has(text, "end") && !aws_profile_has(STR_NONE, "x"));
}

static void elements_are_read(void **state UNUSED)
{
    struct arena a;
    arena_init(&a, 0);
    struct str xml = STR("<R><Message>a &lt;b&gt; &amp;amp; &x; </Message><Code/><Cut>no end");
    assert_true(str_is(aws_xml_text(&a, xml, "Message"), "a <b> &amp; &x;"));
    assert_null(aws_xml_text(&a, xml, "Code").p);
    assert_null(aws_xml_text(&a, xml, "Cut").p);
    assert_null(aws_xml_text(&a, STR_NONE, "Cut").p);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_test_suite), cmocka_unit_test(requests_have_lines_for_what_is_signed),
        cmocka_unit_test(a_given_host_is_signed), cmocka_unit_test(profiles_are_read), cmocka_unit_test(elements_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
