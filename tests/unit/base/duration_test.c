// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text/duration.h"

#include <stdlib.h>
#include <time.h>

struct pair {
    const char *text;
    int64_t ms;
};

static void test_duration(void **state UNUSED)
{
    static const struct pair good[] = {
        {"0", 0},          {"0s", 0},           {"1ms", 1},
        {"5s", 5000},      {"1h30m", 5400000},  {"1d", 86400000},
        {"1w", 604800000}, {"1y", 31536000000}, {"1y2w3d4h5m6s7ms", 33019506007},
        {"90m", 5400000},  {"00015s", 15000},   {"292y", 292 * 31536000000},
    };
    static const char *const bad[] = {
        "", "1", "s", "1.5h", "-1s", "+1s", "1s1h", "1s1s", "1m1m", "1ms1s", "1h ", " 1h", "1us", "1H", "10x", "293y",
        "99999999999999999999s", "00", "1h30",
    };
    int64_t ms;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(duration_parse(str_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        if (duration_parse(str_of(bad[i]), &ms))
            fail_msg("\"%s\" is taken for a duration", bad[i]);
}

static void test_duration_loose(void **state UNUSED)
{
    static const struct pair good[] = {
        {"1.5h", 5400000}, {"1h30m", 5400000}, {"100ms", 100}, {"10us", 0}, {"1500us", 1}, {"-2m", -120000},
        {"15", 15000}, {"0.5", 500}, {".5", 500}, {"1.001", 1001}, {"0.0005", 0}, {"1d", 86400000},
        {"1.5w", 907200000}, {"1y", 31536000000}, {"1s1s", 2000}, {"30m1h", 5400000}, {"0", 0}, {"-1.5", -1500},
        {"+1s", 1000}, {"1\u00b5s", 0}, {"2000000ns", 2}, {"1.0000000009s", 1000}, {"9223372036s", 9223372036000},
    };
    static const char *const bad[] = {
        "", "-", "h", "1x", "1h5", "5h-1m", "1..5s", "1.s", "1 s", ".", "1e3", "9223372037s", "18446744073709551615y",
        "18446744073709551616s",
    };
    int64_t ms;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(duration_parse_loose(str_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        if (duration_parse_loose(str_of(bad[i]), &ms))
            fail_msg("\"%s\" is taken for a duration", bad[i]);
}

static void test_duration_print(void **state UNUSED)
{
    static const struct pair cases[] = {
        {"0s", 0},         {"1h30m", 5400000}, {"15s", 15000},      {"1d", 86400000},
        {"1w", 604800000}, {"8d", 691200000},  {"1y", 31536000000}, {"366d", 31622400000},
        {"250ms", 250},    {"-5m", -300000},   {"1s500ms", 1500},   {"1d1h", 90000000},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        buf_add_duration(&b, cases[i].ms);
        assert_string_equal(buf_z(&b), cases[i].text);
        buf_free(&b);
    }
}

static void test_time(void **state UNUSED)
{
    static const struct pair good[] = {
        {"0", 0}, {"1435781430.781", 1435781430781}, {"1.4357e9", 1435700000000}, {"-1.5", -1500}, {"1.0004", 1000},
        {"1.0006", 1001}, {"2015-07-01T20:10:30.781Z", 1435781430781},
        {"2015-07-01T20:10:51.781+02:30", 1435772451781}, {"2015-07-01T20:10:30Z", 1435781430000},
        {"1969-12-31T23:59:59.999999999Z", -1}, {"2024-02-29T00:00:00-00:30", 1709166600000},
        {"-292273086-05-16T16:47:06Z", -9223309901257974000},
        {"292277025-08-18T07:12:54.999999999Z", 9223309901257974999},
    };
    static const char *const bad[] = {
        "", "NaN", "Inf", "-inf", "1e300", "now", "2015-07-01", "2015-07-01 20:10:30Z", "2015-07-01T20:10:30",
        "2015-13-01T00:00:00Z", "2015-02-29T00:00:00Z", "2015-02-28T24:00:00Z", "2015-02-28T00:00:00.Z",
        "2015-02-28T00:00:00+0100", "2015-02-28T00:00:00ZZ", "2015-02-28T00:00:00+24:00",
    };
    int64_t ms;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(time_parse(str_of(good[i].text), &ms));
        assert_true(ms == good[i].ms);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        if (time_parse(str_of(bad[i]), &ms))
            fail_msg("\"%s\" is taken for a time", bad[i]);
}

static void test_civil(void **state UNUSED)
{
    srand(3);
    for (int i = 0; i < 200000; i++) { /* years -5000 to 9000, beside the C library */
        time_t t = (time_t)((int64_t)rand() * 206 + rand() % 1000 - 220000000000);
        struct tm tm;
        gmtime_r(&t, &tm);
        struct civil c = civil_from_unix(t);
        assert_int_equal(c.year, tm.tm_year + (int64_t)1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(c.hour * 3600 + c.minute * 60 + c.second, tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        assert_int_equal(c.weekday, tm.tm_wday);
        assert_int_equal(c.yday, tm.tm_yday + 1);
        assert_int_equal(civil_to_unix(c), t);
    }
}

static void test_rfc3339(void **state UNUSED)
{
    static const struct pair cases[] = {
        {"1970-01-01T00:00:00Z", 0}, {"1969-12-31T23:59:59.999Z", -1}, {"2015-07-01T20:10:30.781Z", 1435781430781},
        {"0000-01-01T00:00:00Z", -62167219200000},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        struct buf b = {0};
        int64_t back;
        buf_add_rfc3339(&b, cases[i].ms);
        assert_string_equal(buf_z(&b), cases[i].text);
        assert_true(time_parse(buf_str(&b), &back));
        assert_int_equal(back, cases[i].ms);
        buf_free(&b);
    }
}

static void test_retry_after(void **state UNUSED)
{
    int64_t wait;
    assert_true(retry_after_parse(STR("120"), 0, &wait) && wait == 120000);
    assert_true(retry_after_parse(STR("18446744073709551615"), 0, &wait) && wait > 0);
    assert_true(retry_after_parse(STR("Sun, 06 Nov 1994 08:49:37 GMT"), 784111770000, &wait) && wait == 7000);
    assert_true(retry_after_parse(STR("Sun, 06 Nov 1994 08:49:37 GMT"), 784111780000, &wait) && wait == 0);
    static const char *const bad[] = {
        "", "-1", "1.5", "soon", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 ovD 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < LEN(bad); i++)
        assert_false(retry_after_parse(str_of(bad[i]), 0, &wait));
}

static void test_clocks(void **state UNUSED)
{
    int64_t before = clock_mono_ns(), cpu = clock_cpu_ns();
    assert_true(clock_wall_ms() > 1600000000000);
    assert_true(llabs(clock_wall_ms() / 1000 - (int64_t)time(NULL)) <= 1);
    assert_true(clock_mono_ns() >= before && clock_cpu_ns() >= cpu);
    assert_true(llabs(clock_mono_ms() - before / 1000000) < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration),       cmocka_unit_test(test_duration_loose),
        cmocka_unit_test(test_duration_print), cmocka_unit_test(test_time),
        cmocka_unit_test(test_civil),          cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_retry_after),    cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
