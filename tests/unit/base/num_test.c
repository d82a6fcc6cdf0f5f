// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u; /* xorshift: the same numbers in every run */

static uint64_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Kinds that go wrong in different ways: any bits, powers of two, short decimals, quotients, integers near 2^53. */
static double random_double(void)
{
    uint64_t r = random_bits(), bits;
    double v;
    switch (r % 6) {
    case 0: bits = (random_bits() % 2047) << 52; break;
    case 1: return (double)(random_bits() % 100000000) / 1000;
    case 2: return (double)(random_bits() % 1000000) / (double)(1 + random_bits() % 1000000);
    case 3: return (double)(random_bits() >> (random_bits() % 64));
    case 4: bits = random_bits() >> (1 + random_bits() % 60); break; /* subnormal ones too */
    default: bits = random_bits(); break;
    }
    memcpy(&v, &bits, sizeof v);
    return isfinite(v) ? v : 1;
}

static bool same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static const char *format_z(size_t (*format)(char *, double), double v)
{
    static char text[NUM_PLAIN_MAX + 1];
    text[format(text, v)] = 0;
    return text;
}

/* The digits of "-12.50e+3" without sign, point, exponent and zeros at both ends: "125". */
static void significant(const char *text, char to[64])
{
    size_t n = 0;
    for (const char *p = text; *p && *p != 'e' && n < 63; p++)
        if (*p >= '0' && *p <= '9' && (n > 0 || *p != '0'))
            to[n++] = *p;
    while (n > 0 && to[n - 1] == '0')
        n--;
    to[n] = 0;
}

static void test_shortest(void **unused UNUSED)
{
    for (int i = 0; i < 200000; i++) {
        double v = random_double(), back;
        char text[64], best[64], ours[64];
        int digits = 1;
        for (; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*e", digits - 1, v);
            if (same(strtod(text, NULL), v))
                break;
        }
        const char *z = format_z(num_format, v);
        significant(text, best);
        significant(z, ours);
        back = strtod(z, NULL);
        /* Of two candidates of the same length printf's is the nearest to the true value, and so must ours be. */
        if (!same(back, v) || strlen(ours) > strlen(best) || (strlen(ours) == strlen(best) && strcmp(ours, best) != 0))
            fail_msg("%.17g is printed as %s, shortest is %s", v, z, text);
    }
}

static void test_round_trip(void **unused UNUSED)
{
    size_t (*const formats[])(char *, double) = {num_format, num_format_go, num_format_plain};
    for (int i = 0; i < 600000; i++) {
        double v = random_double(), back;
        const char *z = format_z(formats[i % 3], v);
        assert_true(strlen(z) <= (i % 3 == 2 ? NUM_PLAIN_MAX : NUM_MAX));
        if (!num_parse(str_of(z), &back) || !same(back, v))
            fail_msg("%.17g comes back from %s as %.17g", v, z, back);
    }
}

static void assert_as_strtod(const char *text)
{
    double v = -1, expected = strtod(text, NULL);
    const char *end = text + strlen(text);
    if (num_scan(text, end, &v) != end || !same(v, expected))
        fail_msg("%s is read as %.17g, strtod says %.17g", text, v, expected);
}

static void test_read_as_strtod(void **unused UNUSED)
{
    char text[400];
    for (int i = 0; i < 600000; i++) {
        double v = random_double();
        switch (i % 4) {
        case 0: snprintf(text, sizeof text, "%.17g", v); break;
        case 1: snprintf(text, sizeof text, "%.12g", v); break;
        case 2: snprintf(text, sizeof text, "%.25e", v); break;
        default:
            snprintf(text, sizeof text, "%llu%llu.%llue%d", (unsigned long long)random_bits(),
                     (unsigned long long)random_bits() >> (i % 64), (unsigned long long)random_bits() >> (i % 61),
                     (int)(random_bits() % 700) - 370);
        }
        assert_as_strtod(text);
    }
}

static void test_read_hard(void **unused UNUSED)
{
    static const char *const texts[] = {
        "0", "-0", "0.0e999999999999", "1e-400", "1e400", "-1e400", "4.9e-324", "2.4703282292062327e-324",
        "2.4703282292062328e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "1.7976931348623157e308",
        "1.7976931348623158e308", "1.7976931348623159e308", "9007199254740993", "9007199254740993.0",
        "9007199254740993.00000000000000000000000000000000000001", "9007199254740992.9999999999999999999999", "0.1",
        "0.30000000000000004", "8.5e22", "1e22", "1e23", "123456789012345678901234567890", "5e-1",
        "00000000000000000000001", "0.000000000000000000000000000001234", "100000000000000000000000000000000e-32",
        ".5", "5.", "+1", "6929495644600919.5", "3.7455744005952583e15", "18446744073709551615",
        "18446744073709551616", "1E5", "1e+5", "1e-0",
    };
    for (size_t i = 0; i < LEN(texts); i++)
        assert_as_strtod(texts[i]);
    char text[900];
    for (int halves = 0; halves < 60; halves++) { /* exactly between two doubles, and a trifle beside it */
        snprintf(text, sizeof text, "%.800f", ldexp(9007199254740993.0 * 2 + 1, -halves));
        assert_as_strtod(text);
        text[700] = '1';
        assert_as_strtod(text);
    }
}

static void test_scan_stops(void **unused UNUSED)
{
    static const struct {
        const char *text;
        int n;
        double v;
    } cases[] = {
        {"1,", 1, 1},    {"1.5 x", 3, 1.5}, {"2e", 1, 2},   {"2e+", 1, 2},  {"2e+x", 1, 2},
        {"-3\n", 2, -3}, {"1.2.3", 3, 1.2}, {"x", -1, 0},   {"", -1, 0},    {"-", -1, 0},
        {".", -1, 0},    {"+.e5", -1, 0},   {"Inf", -1, 0}, {"NaN", -1, 0}, {"0x1p1", 1, 0},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        double v = 0;
        const char *text = cases[i].text, *stop = num_scan(text, text + strlen(text), &v);
        assert_int_equal(stop ? stop - text : -1, cases[i].n);
        assert_true(v == cases[i].v);
    }
    double v;
    const char text[] = "12345";
    assert_ptr_equal(num_scan(text, text + 2, &v), text + 2);
    assert_true(v == 12);
}

static void test_parse(void **unused UNUSED)
{
    static const struct {
        const char *text;
        double v;
    } good[] = {
        {"Inf", INFINITY}, {"+inf", INFINITY}, {"-INF", -INFINITY}, {"infinity", INFINITY}, {"-Infinity", -INFINITY},
        {"0x1p-2", 0.25}, {"-0X1.8P1", -3}, {"0x.8p0", 0.5}, {"0x1fp0", 31}, {"0x1p+3", 8}, {"1e999", INFINITY},
        {"-1e999", -INFINITY}, {"0x1p9999", INFINITY}, {"1e21", 1e21}, {".5", 0.5}, {"5.", 5}, {"+7", 7}, {"007", 7},
    };
    static const char *const bad[] = {"",      " 1",   "1 ",     "1_000", "+nan",   "-NaN",   "infin", "0x",  "0x1",
                                      "0x1.8", "0xp1", "0x1p",   "0x1p+", "1e",     "e1",     "1e1.5", "--1", "+",
                                      ".",     "1f",   "00x1p1", "x1p1",  "0x1p1x", "nan(1)", "1,5"};
    double v;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(num_parse(str_of(good[i].text), &v));
        assert_true(v == good[i].v);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        if (num_parse(str_of(bad[i]), &v))
            fail_msg("\"%s\" is taken for a number", bad[i]);
    assert_true(num_parse(STR("nAn"), &v) && isnan(v));
}

static void test_layout(void **unused UNUSED)
{
    static const struct {
        double v;
        const char *api, *go, *plain;
    } cases[] = {
        {0, "0", "0", "0"}, {-0.0, "-0", "-0", "-0"}, {1, "1", "1", "1"}, {-1.5, "-1.5", "-1.5", "-1.5"},
        {100000, "100000", "100000", "100000"}, {1e6, "1000000", "1e+06", "1000000"},
        {123456789, "123456789", "1.23456789e+08", "123456789"}, {1e-4, "0.0001", "0.0001", "0.0001"},
        {1e-5, "0.00001", "1e-05", "0.00001"}, {1e-6, "0.000001", "1e-06", "0.000001"},
        {1e-7, "1e-07", "1e-07", "0.0000001"}, {1e20, "100000000000000000000", "1e+20", "100000000000000000000"},
        {1e21, "1e+21", "1e+21", "1000000000000000000000"}, {1.5e100, "1.5e+100", "1.5e+100", NULL},
        {5e-324, "5e-324", "5e-324", NULL},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308", NULL},
        {9007199254740993.0, "9007199254740992", "9.007199254740992e+15", "9007199254740992"},
        {123456789012345678.0, "123456789012345680", "1.2345678901234568e+17", "123456789012345680"},
        {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004", "0.30000000000000004"},
        {1e23, "1e+23", "1e+23", NULL}, {INFINITY, "+Inf", "+Inf", "+Inf"}, {-INFINITY, "-Inf", "-Inf", "-Inf"},
        {NAN, "NaN", "NaN", "NaN"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_string_equal(format_z(num_format, cases[i].v), cases[i].api);
        assert_string_equal(format_z(num_format_go, cases[i].v), cases[i].go);
        if (cases[i].plain)
            assert_string_equal(format_z(num_format_plain, cases[i].v), cases[i].plain);
    }
    assert_int_equal(strlen(format_z(num_format_plain, 1e300)), 301);
    assert_int_equal(strlen(format_z(num_format_plain, -5e-324)), 327);
}

static void test_integers(void **unused UNUSED)
{
    int64_t i;
    uint64_t u;
    assert_true(num_parse_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(num_parse_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(num_parse_i64(STR("+7"), &i) && i == 7);
    assert_false(num_parse_i64(STR("9223372036854775808"), &i));
    assert_false(num_parse_i64(STR("-9223372036854775809"), &i));
    assert_true(num_parse_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    static const char *const bad[] = {"", "+", "-", "1.0", "1 ", "0x1", "18446744073709551616", "-+1", "+-1", "--1"};
    for (size_t k = 0; k < LEN(bad); k++) {
        assert_false(num_parse_u64(str_of(bad[k]), &u));
        assert_false(num_parse_i64(str_of(bad[k]), &i));
    }
    assert_false(num_parse_u64(STR("-1"), &u));
    struct buf b = {0};
    buf_add_i64(&b, INT64_MIN);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_num(&b, -2.5);
    assert_string_equal(buf_z(&b), "-9223372036854775808 18446744073709551615 0 -2.5");
    buf_free(&b);
}

static void assert_u64(uint64_t v)
{
    char text[NUM_MAX + 1], wanted[NUM_MAX + 1];
    snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)v);
    text[num_format_u64(text, v)] = 0;
    assert_string_equal(text, wanted);
    if (v < (uint64_t)1 << 53)
        assert_string_equal(format_z(num_format, (double)v), wanted);
}

static void test_integers_are_written(void **unused UNUSED)
{
    for (uint64_t v = 0; v < 10000; v++) { /* every group of four digits, at all places */
        assert_u64(v);
        assert_u64(v * 10001);
        assert_u64(v * 100010001 + 100000000);
        assert_u64(v * UINT64_C(1000100010001));
    }
    for (uint64_t power = 1; power < UINT64_MAX / 10; power *= 10) {
        assert_u64(power - 1);
        assert_u64(power);
        assert_u64(power * 10 - 9);
    }
    for (int i = 0; i < 200000; i++)
        assert_u64(random_bits() >> (i % 64));
    assert_u64(UINT64_MAX);
    assert_string_equal(format_z(num_format, -12345678), "-12345678");
    assert_string_equal(format_z(num_format, -9007199254740991), "-9007199254740991");
}

static void test_ms(void **unused UNUSED)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0"}, {12000, "12"}, {12345, "12.345"}, {1500, "1.500"}, {5, "0.005"}, {-1250, "-1.250"}, {-1000, "-1"},
        {-1, "-0.001"}, {INT64_MIN, "-9223372036854775.808"}, {1435781430781, "1435781430.781"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        buf_add_ms(&b, cases[i].ms);
        assert_string_equal(buf_z(&b), cases[i].text);
        buf_free(&b);
    }
}

static void test_size(void **unused UNUSED)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"10", 10}, {"16MB", 16000000}, {"16MiB", 16 << 20}, {"1.5GiB", 3u << 29}, {"512KB", 512000},
        {"1TB", 1000000000000}, {"64Mi", 64 << 20}, {"64 MiB", 64 << 20}, {"1k", 1000}, {"7B", 7}, {"0", 0},
        {"18446744073709551615", UINT64_MAX},
    };
    static const char *const bad[] = {"", "-1", "MB", "1X", "1KiBB", "1ib", "1e30GB", "1MMB", "NaN", "1 2"};
    uint64_t bytes;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(num_parse_size(str_of(good[i].text), &bytes));
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(num_parse_size(str_of(bad[i]), &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shortest),  cmocka_unit_test(test_round_trip), cmocka_unit_test(test_read_as_strtod),
        cmocka_unit_test(test_read_hard), cmocka_unit_test(test_scan_stops), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_layout),    cmocka_unit_test(test_integers),   cmocka_unit_test(test_ms),
        cmocka_unit_test(test_size),       cmocka_unit_test(test_integers_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
