// SPDX-License-Identifier: Apache-2.0
/* Parameters as Prometheus reads them, with its words for what is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/query/params.h"

static struct arena arena;

static struct form form(const char *text)
{
    struct form f = {0};
    struct err err;
    assert_true(form_parse(&arena, &f, str_of(text), &err));
    return f;
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void times(void **state)
{
    (void)state;
    static const struct { const char *form; int64_t ms; } good[] = {
        {"", 7}, {"time=", 7}, {"time=1.5", 1500}, {"time=-1.2345", -1234}, {"time=1e3", 1000000},
        {"time=2015-07-01T20:10:51.781Z", 1435781451781}, {"time=2015-07-01T22:10:51.781%2B02:00", 1435781451781}};
    for (size_t i = 0; i < LEN(good); i++) {
        struct form f = form(good[i].form);
        struct err err;
        int64_t ms;
        assert_true(param_time(&f, "time", 7, &ms, &err));
        assert_int_equal(ms, good[i].ms);
    }
    struct form f = form("time=yesterday");
    struct err err;
    int64_t ms;
    assert_false(param_time(&f, "time", 7, &ms, &err));
    assert_string_equal(err.text, "invalid parameter \"time\": invalid time value for 'time': "
                                  "cannot parse \"yesterday\" to a valid timestamp");
    assert_int_equal(err.kind, ERR_BAD_DATA);
}

static void partial_responses(void **state)
{
    (void)state;
    static const struct { const char *form; enum partial_response wanted; } good[] = {
        {"", PARTIAL_AS_CONFIGURED}, {"partial_response=", PARTIAL_AS_CONFIGURED}, {"partial_response=1", PARTIAL_ALLOWED},
        {"partial_response=true", PARTIAL_ALLOWED}, {"partial_response=0", PARTIAL_DENIED},
        {"partial_response=false", PARTIAL_DENIED}, {"deny_partial_response=1", PARTIAL_DENIED},
        {"deny_partial_response=0", PARTIAL_AS_CONFIGURED}, {"deny_partial_response=1&partial_response=1", PARTIAL_DENIED}};
    static const char *const bad[] = {"partial_response=yes", "deny_partial_response=2"};
    enum partial_response is;
    struct err err;
    for (size_t i = 0; i < LEN(good); i++) {
        struct form f = form(good[i].form);
        assert_true(param_partial(&f, &is, &err));
        assert_int_equal(is, good[i].wanted);
    }
    for (size_t i = 0; i < LEN(bad); i++) {
        struct form f = form(bad[i]);
        assert_false(param_partial(&f, &is, &err));
        assert_int_equal(err.kind, ERR_BAD_DATA);
    }
}

static void window_is_everything_when_absent(void **state)
{
    (void)state;
    struct form f = form("end=5");
    struct err err;
    int64_t start, end;
    assert_true(param_window(&f, &start, &end, &err));
    assert_true(start == INT64_MIN && end == 5000);
    f = form("start=1");
    assert_true(param_window(&f, &start, &end, &err));
    assert_true(start == 1000 && end == INT64_MAX);
}

static void timeouts(void **state)
{
    (void)state;
    static const struct { const char *form; int64_t cap, ms; } good[] = {
        {"", 120000, 120000}, {"timeout=30", 120000, 30000}, {"timeout=30s", 120000, 30000}, {"timeout=5m", 120000, 120000},
        {"timeout=0.0015", 120000, 1}, {"timeout=5m", 0, 300000}, {"timeout=-5", 120000, -5000}};
    struct err err;
    int64_t ms;
    for (size_t i = 0; i < LEN(good); i++) {
        struct form f = form(good[i].form);
        assert_true(param_timeout(&f, good[i].cap, &ms, &err));
        assert_int_equal(ms, good[i].ms);
    }
    struct form f = form("timeout=1e30");
    assert_false(param_timeout(&f, 0, &ms, &err));
    assert_string_equal(err.text, "invalid parameter \"timeout\": cannot parse \"1e30\" to a valid duration. It overflows int64");
    f = form("lookback_delta=2.5s");
    assert_false(param_lookback(&f, 0, &ms, &err));
    assert_string_equal(err.text, "error parsing lookback delta duration: cannot parse \"2.5s\" to a valid duration");
    f = form("lookback_delta=0");
    assert_true(param_lookback(&f, 300000, &ms, &err));
    assert_int_equal(ms, 300000);
}

static void grids(void **state)
{
    (void)state;
    struct err err;
    struct grid_params g;
    struct form f = form("start=0.5&end=10&step=2.5");
    assert_true(param_grid(&f, &g, &err));
    assert_true(g.start == 500 && g.end == 10000 && g.step == 2500);
    f = form("start=0&end=11000&step=1");
    assert_true(param_grid(&f, &g, &err));

    static const struct { const char *form, *error; } bad[] = {
        {"end=30&step=15", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"},
        {"start=1&step=15", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"},
        {"start=1&end=30", "invalid parameter \"step\": cannot parse \"\" to a valid duration"},
        {"start=40&end=30&step=x", "invalid parameter \"end\": end timestamp must not be before start time"},
        {"start=1&end=30&step=0.0005", "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. "
                                       "Try a positive integer"},
        {"start=0&end=11001&step=1", "exceeded maximum resolution of 11,000 points per timeseries. "
                                     "Try decreasing the query resolution (?step=XX)"},
        {"start=-9e15&end=9e15&step=1", "exceeded maximum resolution of 11,000 points per timeseries. "
                                        "Try decreasing the query resolution (?step=XX)"}};
    for (size_t i = 0; i < LEN(bad); i++) {
        f = form(bad[i].form);
        assert_false(param_grid(&f, &g, &err));
        assert_string_equal(err.text, bad[i].error);
        assert_int_equal(err.kind, ERR_BAD_DATA);
    }
}

static void limits(void **state)
{
    (void)state;
    static const struct { const char *form, *error; } bad[] = {
        {"limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"},
        {"limit=1.5", "invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax"},
        {"limit=99999999999999999999", "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range"},
        {"limit=-1", "invalid parameter \"limit\": limit must be non-negative"}};
    struct err err;
    size_t limit;
    for (size_t i = 0; i < LEN(bad); i++) {
        struct form f = form(bad[i].form);
        assert_false(param_limit(&f, &limit, &err));
        assert_string_equal(err.text, bad[i].error);
    }
    struct form f = form("limit=40000");
    assert_true(param_limit(&f, &limit, &err));
    assert_int_equal(limit, 40000);
    f = form("");
    assert_true(param_limit(&f, &limit, &err));
    assert_int_equal(limit, 0);

    int64_t n;
    f = form("limit=-1&limit_per_metric=x");
    assert_true(param_number(&f, "limit", &n, &err));
    assert_int_equal(n, -1);
    assert_false(param_number(&f, "limit_per_metric", &n, &err));
    assert_string_equal(err.text, "limit_per_metric must be a number");
}

static void selectors(void **state)
{
    (void)state;
    struct selector_params s;
    struct err err;
    struct form f = form("match[]=up%7Bjob%3D~%22a.*%22%7D&match%5B%5D=%7Bx%3D%22y%22%7D");
    assert_true(param_selectors(&arena, &f, &s, &err) && param_selectors_narrow(&s, &err));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.sizes[0], 2);
    assert_int_equal(s.sizes[1], 1);
    assert_string_equal(arena_z(&arena, s.sets[1][0].value), "y");

    static const struct { const char *form, *error; } bad[] = {
        {"match[]={}", "match[] must contain at least one non-empty matcher"},
        {"match[]=up&match[]={a%3D~%22.*%22}", "match[] must contain at least one non-empty matcher"},
        {"match[]=up[5m]", "1:3: parse error: unexpected \"[\""}};
    for (size_t i = 0; i < LEN(bad); i++) {
        f = form(bad[i].form);
        assert_false(param_selectors(&arena, &f, &s, &err) && param_selectors_narrow(&s, &err));
        assert_string_equal(err.text, bad[i].error);
    }
}

static void label_names(void **state)
{
    (void)state;
    static const struct { const char *text, *name; } good[] = {
        {"job", "job"}, {"a.b", "a.b"}, {"U__foo_2e_bar", "foo.bar"},
        {"U___e4_", "\u00e4"}, {"U___e4__", "U___e4__"}, {"U__a__b", "a_b"}, {"U___1F600_", "\U0001F600"},
        /* what is no escape is a name as it stands */
        {"U__j_zz_b", "U__j_zz_b"}, {"U__a_", "U__a_"},
        {"U__a_2e", "U__a_2e"}, {"U__a_d800_", "U__a_d800_"}, {"U__a_1234567_", "U__a_1234567_"}};
    struct err err;
    struct str name;
    for (size_t i = 0; i < LEN(good); i++) {
        assert_true(param_label_name(&arena, str_of(good[i].text), &name, &err));
        assert_string_equal(arena_z(&arena, name), good[i].name);
    }
    assert_false(param_label_name(&arena, STR("\xff"), &name, &err));
    assert_string_equal(err.text, "invalid label name: \"\\xff\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(partial_responses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(window_is_everything_when_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timeouts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(selectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(label_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
