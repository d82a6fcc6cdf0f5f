// SPDX-License-Identifier: Apache-2.0
#include "scraper/failures/failure_log.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/log_capture.h"

static struct failure_log failures;

static int set_up(void **state UNUSED)
{
    failures = (struct failure_log){0};
    failure_log_init(&failures, STR("node"));
    return log_capture_start();
}

static int tear_down(void **state UNUSED) { return log_capture_stop(); }

static void fail_targets(size_t n, const char *why, int64_t now)
{
    for (size_t i = 0; i < n; i++) {
        char url[64], err[256];
        snprintf(url, sizeof url, "http://u:secret@10.0.%zu.%zu:9100/metrics", i / 256, i % 256);
        snprintf(err, sizeof err, "GET http://10.0.%zu.%zu:9100/metrics: %s", i / 256, i % 256, why);
        failure_log_failing(&failures, str_of(url), err, now);
    }
}

static void many_failing_targets_are_four_lines(void **state UNUSED)
{
    fail_targets(3000, "connection refused", 1000);
    fail_targets(7000, "timed out after 2000 ms", 2000);
    const char *text = log_capture_text();
    assert_int_equal(text_count(text, "\n"), 3);
    assert_int_equal(text_count(text, "msg=\"cannot scrape target; retrying at the next interval\" job=node"), 3);
    assert_null(strstr(text, "secret"));
    failure_log_flush(&failures, 3000); /* too early: more may come */
    assert_string_equal(log_capture_text(), "");
    failure_log_flush(&failures, 6000);
    text = log_capture_text();
    assert_int_equal(text_count(text, "\n"), 1);
    assert_non_null(strstr(text, "job=node targets=9997 most_common_err=\"timed out after 2000 ms\" "
                                 "targets_with_it=7000"));
    failure_log_flush(&failures, 11000);
    assert_string_equal(log_capture_text(), "");
    failure_log_free(&failures);
}

static void a_minute_has_two_summaries_at_most(void **state UNUSED)
{
    fail_targets(10, "connection refused", 1000);
    failure_log_flush(&failures, 6000);
    fail_targets(10, "connection refused", 7000);
    for (int64_t now = 11000; now < 61000; now += 5000)
        failure_log_flush(&failures, now);
    assert_int_equal(text_count(log_capture_text(), "\n"), 4);
    failure_log_flush(&failures, 61000);
    const char *text = log_capture_text();
    assert_int_equal(text_count(text, "\n"), 1);
    assert_non_null(strstr(text, "targets=10 "));
    fail_targets(10, "connection refused", 121000);
    assert_int_equal(text_count(log_capture_text(), "\n"), 3); /* a new minute */
    failure_log_free(&failures);
    assert_non_null(strstr(log_capture_text(), "targets=7 "));
}

static void recoveries_are_summed_up_too(void **state UNUSED)
{
    for (size_t i = 0; i < 100; i++)
        failure_log_recovered(&failures, STR("http://h:1/metrics"), 90000, 1000);
    const char *text = log_capture_text();
    assert_int_equal(text_count(text, "msg=\"target is scraped again\" job=node target=http://h:1/metrics "
                                    "failed_for=1m30s"), 3);
    failure_log_flush(&failures, 6000);
    assert_non_null(strstr(log_capture_text(), "level=info component=scrape msg=\"more targets of the job are scraped again\" "
                                     "job=node targets=97"));
    failure_log_free(&failures);
    assert_string_equal(log_capture_text(), "");
}

static void more_errors_than_are_told_apart(void **state UNUSED)
{
    char why[32];
    for (int i = 0; i < 20; i++) {
        snprintf(why, sizeof why, "HTTP %d", 500 + i);
        fail_targets(i == 5 ? 3 : 1, why, 1000);
    }
    log_capture_text();
    failure_log_flush(&failures, 6000);
    assert_non_null(strstr(log_capture_text(), "targets=19 most_common_err=\"HTTP 505\" targets_with_it=3"));
    failure_log_free(&failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_failing_targets_are_four_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_minute_has_two_summaries_at_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recoveries_are_summed_up_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_errors_than_are_told_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
