// SPDX-License-Identifier: Apache-2.0
#include "gateway/servers/latency.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct latency latency;
static struct buf out;
static struct stats_out text = {.out = &out};

static int reset(void **state UNUSED)
{
    memset(&latency, 0, sizeof latency);
    buf_clear(&out);
    return 0;
}

static void check(void (*collect)(struct latency *l, struct stats_out *o, struct stats_label *labels, unsigned n),
                  const char *wanted)
{
    struct stats_label labels[3] = {{"url", STR("u")}};
    buf_clear(&out);
    collect(&latency, &text, labels, 1);
    assert_string_equal(buf_z(&out), wanted);
}

/* The number of label values is bounded, whatever a server sends. */
static void responses_are_counted_by_call_and_status(void **state UNUSED)
{
    static const int statuses[] = {200, 200, 418, 451, 429, 204, 302, 599, 0, 504};
    for (size_t i = 0; i < LEN(statuses); i++)
        latency_count(&latency, "/api/v1/query", statuses[i], statuses[i] == 200, 1);
    latency_count(&latency, NULL, 200, true, 1);
    check(latency_collect_codes, "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"200\"} 2\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"429\"} 1\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"504\"} 1\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"none\"} 1\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"4xx\"} 2\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"query\",code=\"other\"} 3\n"
                                 "sluice_upstream_responses_total{url=\"u\",call=\"remote_read\",code=\"200\"} 1\n");
}

/* Of each kind of requests, and of those that succeed; the last ones weigh most. */
static void the_usual_time_is_that_of_a_kind(void **state UNUSED)
{
    assert_int_equal(latency_usual_ms(&latency, LATENCY_QUERY), LATENCY_UNKNOWN);
    latency_count(&latency, "/api/v1/query", 500, false, 7);
    assert_int_equal(latency_usual_ms(&latency, LATENCY_QUERY), LATENCY_UNKNOWN);
    latency_count(&latency, "/api/v1/query", 200, true, 100);
    assert_int_equal(latency_usual_ms(&latency, LATENCY_QUERY), 100);
    latency_count(&latency, "/api/v1/query", 200, true, 200);
    assert_int_equal(latency_usual_ms(&latency, LATENCY_QUERY), 150);
    latency_count(&latency, "/api/v1/labels", 200, true, 0);
    assert_int_equal(latency_usual_ms(&latency, LATENCY_LABEL_NAMES), 0);
    for (int i = 0; i < 100; i++)
        latency_count(&latency, "/api/v1/query", 200, true, 1000);
    assert_in_range(latency_usual_ms(&latency, LATENCY_QUERY), 990, 1000);
    assert_int_equal(latency_usual_ms(&latency, LATENCY_READ), LATENCY_UNKNOWN);
}

static void durations_are_a_histogram(void **state UNUSED)
{
    static const int64_t times[] = {0, 5, 6, 200, 3000, 100000};
    for (size_t i = 0; i < LEN(times); i++)
        latency_count(&latency, "/api/v1/query", 200, true, times[i]);
#define BUCKET(le, n) "sluice_upstream_request_duration_seconds_bucket{url=\"u\",le=\"" le "\"} " n "\n"
    check(latency_collect_histogram,
          BUCKET("0.005", "2") BUCKET("0.02", "3") BUCKET("0.05", "3") BUCKET("0.2", "4") BUCKET("0.5", "4")
          BUCKET("2", "4") BUCKET("10", "5") BUCKET("60", "5") BUCKET("+Inf", "6")
          "sluice_upstream_request_duration_seconds_sum{url=\"u\"} 103.211\n"
          "sluice_upstream_request_duration_seconds_count{url=\"u\"} 6\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(responses_are_counted_by_call_and_status, reset),
        cmocka_unit_test_setup(the_usual_time_is_that_of_a_kind, reset),
        cmocka_unit_test_setup(durations_are_a_histogram, reset),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&out);
    return failed;
}
