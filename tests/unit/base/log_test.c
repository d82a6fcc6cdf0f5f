// SPDX-License-Identifier: Apache-2.0
#include "base/telemetry/log.h"

#include "base/buf.h"
#include "base/os/thread.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/log_capture.h"

static int set_up(void **state UNUSED) { return log_capture_start(); }
static int tear_down(void **state UNUSED) { return log_capture_stop(); }

static void a_logfmt_line(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    log_warn("scrape", "no answer", "target", "http://h:9100/metrics", "err", "said \"no\"\n", "none", "");
    const char *s = log_capture_text();
    assert_int_equal(strncmp(s, "time=20", 7), 0);
    assert_string_equal(strstr(s, " level="),
                        " level=warn component=scrape msg=\"no answer\" target=http://h:9100/metrics"
                        " err=\"said \\\"no\\\"\\n\" none=\"\"\n");
}

static void a_json_line(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_JSON);
    log_error("queue", "full", "dir", "/var/\"q\"");
    const char *s = log_capture_text();
    assert_int_equal(strncmp(s, "{\"time\":\"20", 11), 0);
    assert_string_equal(strstr(s, ",\"level\""),
                        ",\"level\":\"error\",\"component\":\"queue\",\"msg\":\"full\",\"dir\":\"/var/\\\"q\\\"\"}\n");
}

static void lower_levels_are_counted_not_printed(void **state UNUSED)
{
    log_capture_setup(LOG_WARN, LOG_LOGFMT);
    uint64_t before = log_count(LOG_INFO);
    log_info("a", "b");
    assert_string_equal(log_capture_text(), "");
    assert_int_equal(log_count(LOG_INFO), before + 1);
}

static void a_huge_value_is_cut(void **state UNUSED)
{
    static char huge[200000];
    memset(huge, 'x', sizeof huge - 1);
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    log_info("a", "b", "v", huge);
    assert_in_range(strlen(log_capture_text()), 4096, 4300);
}

/* A peer may not hide a line by what it makes us say. */
static void a_line_of_escapes_is_printed(void **state UNUSED)
{
    static char odd[4097];
    memset(odd, 1, sizeof odd - 1);
    log_capture_setup(LOG_INFO, LOG_JSON);
    log_info("a", "b", "v", odd, "w", odd, "x", odd, "y", odd);
    assert_in_range(strlen(log_capture_text()), 4 * 6 * 4096, 4 * 6 * 4096 + 200);
}

static void values_have_types(void **state UNUSED)
{
    for (enum log_format format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        log_capture_setup(LOG_INFO, format);
        log_info("a", "b", LOG_U64("big", UINT64_MAX), LOG_I64("low", INT64_MIN), "text", "x=y", LOG_BOOL("on", 1 << 8),
                 LOG_STR("part", str_first(STR("a bc"), 3)), LOG_STR("none", STR_NONE), LOG_DURATION("for", 90000),
                 LOG_TIME("since", 1700000000123), LOG_U64("n", 3));
        const char *s = log_capture_text();
        assert_non_null(strstr(s, format == LOG_JSON
            ? "\"msg\":\"b\",\"big\":18446744073709551615,\"low\":-9223372036854775808,\"text\":\"x=y\",\"on\":true,"
              "\"part\":\"a b\",\"none\":\"\",\"for\":\"1m30s\",\"since\":\"2023-11-14T22:13:20.123Z\",\"n\":3}\n"
            : "msg=b big=18446744073709551615 low=-9223372036854775808 text=\"x=y\" on=true part=\"a b\" none=\"\" for=1m30s "
              "since=2023-11-14T22:13:20.123Z n=3\n"));
    }
}

static void chatter(const char *component) { log_info(component, "again"); }

static void repeated_lines_are_limited_and_the_suppressed_are_counted(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    for (int i = 0; i < 35; i++)
        chatter("loud");
    assert_int_equal(text_count(log_capture_text(), "\n"), 10);
    log_capture_ms += 59999;
    chatter("loud");
    assert_string_equal(log_capture_text(), "");
    log_capture_ms += 1;
    log_sweep();
    const char *s = log_capture_text();
    assert_int_equal(text_count(s, "\n"), 1);
    assert_non_null(strstr(s, "component=loud msg=again suppressed=26\n"));
    chatter("loud"); /* a new minute */
    assert_int_equal(text_count(log_capture_text(), "\n"), 1);
    log_sweep();
    assert_string_equal(log_capture_text(), "");
}

static void another_line_reports_the_suppressed(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    for (int i = 0; i < 11; i++)
        chatter("loud");
    assert_int_equal(text_count(log_capture_text(), "\n"), 10);
    log_capture_ms += 60000;
    log_info("other", "hello");
    const char *s = log_capture_text();
    assert_int_equal(text_count(s, "\n"), 2);
    assert_non_null(strstr(s, "suppressed=1\n"));
}

static void levels_have_names(void **state UNUSED)
{
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse(STR("Warning"), &level));
    assert_int_equal(level, LOG_WARN);
    assert_true(log_level_parse(STR("FATAL"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse(STR("loud"), &level));
}

static void log_a_hundred(void *arg UNUSED)
{
    for (int i = 0; i < 100; i++)
        log_info("thread", "line", "i", "1");
}

static void threads_write_whole_lines(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    uint64_t before = log_count(LOG_INFO);
    struct thread *threads[4];
    for (unsigned i = 0; i < LEN(threads); i++)
        threads[i] = thread_start("logger", log_a_hundred, NULL);
    for (unsigned i = 0; i < LEN(threads); i++)
        thread_join(threads[i]);
    assert_int_equal(log_count(LOG_INFO) - before, 400);
    struct str rest = str_of(log_capture_text()), line;
    size_t n = 0;
    for (; str_cut(&rest, '\n', &line) && line.n > 0; n++)
        assert_true(str_starts(line, STR("time=")) && str_ends(line, STR(" component=thread msg=line i=1")));
    assert_int_equal(n, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_logfmt_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_json_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_have_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lower_levels_are_counted_not_printed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_huge_value_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_of_escapes_is_printed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_lines_are_limited_and_the_suppressed_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_line_reports_the_suppressed, set_up, tear_down),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test_setup_teardown(threads_write_whole_lines, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
