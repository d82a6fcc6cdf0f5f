// SPDX-License-Identifier: Apache-2.0
#include "base/os/line_file.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/files.h"
#include "tests/unit/log_capture.h"

static void check_file(const char *path, const char *wanted)
{
    char text[4096] = {0};
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    (void)!fread(text, 1, sizeof text - 1, in);
    fclose(in);
    assert_string_equal(text, wanted);
}

static char directory[] = "/tmp/line_file_XXXXXX";
static char first[64], second[64];

static int set_up(void **state UNUSED)
{
    snprintf(directory, sizeof directory, "/tmp/line_file_XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(first, sizeof first, "%s/first", directory);
    snprintf(second, sizeof second, "%s/second", directory);
    return log_capture_start();
}

static int tear_down(void **state UNUSED)
{
    unlink(first);
    unlink(second);
    rmdir(directory);
    return log_capture_stop();
}

/* The thread has opened it. */
static void await_file(const char *path)
{
    for (int i = 0; i < 3000 && access(path, F_OK); i++)
        usleep(10000);
}

static void lines_go_to_the_file_in_use(void **state UNUSED)
{
    struct line_file *f = line_file_new();
    assert_false(line_file_used(f));
    line_file_put(f, STR("before\n")); /* not used, nothing is written */
    line_file_use(f, STR(""));
    line_file_use(f, str_of(first));
    assert_true(line_file_used(f));
    line_file_put(f, STR("a\n"));
    await_file(first);
    line_file_put(f, STR("b\n"));
    line_file_use(f, str_of(second));
    line_file_put(f, STR("c\n"));
    line_file_free(f);
    check_file(second, "c\n");
    check_file(first, "a\nb\n");
    struct stat s;
    assert_true(stat(first, &s) == 0 && (s.st_mode & 07) == 0); /* queries may be confidential */
}

static void a_file_that_was_renamed_is_created_again(void **state UNUSED)
{
    struct line_file *f = line_file_new();
    line_file_use(f, str_of(first));
    line_file_put(f, STR("a\n"));
    await_file(first);
    assert_int_equal(rename(first, second), 0);
    line_file_use(f, str_of(first));
    line_file_put(f, STR("b\n"));
    line_file_free(f);
    check_file(second, "a\n");
    check_file(first, "b\n");
}

static void lines_of_a_file_that_cannot_be_opened_are_dropped(void **state UNUSED)
{
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    struct line_file *f = line_file_new();
    line_file_use(f, STR("/nowhere/at/all"));
    line_file_put(f, STR("a\nb\n"));
    for (int i = 0; i < 3000 && line_file_dropped(f) < 2; i++)
        usleep(10000);
    assert_int_equal(line_file_dropped(f), 2);
    assert_non_null(strstr(log_capture_text(), "cannot open log file"));
    line_file_use(f, str_of(first));
    line_file_put(f, STR("c\n"));
    line_file_free(f);
    check_file(first, "c\n");
}

/* A pipe that nobody reads. */
static void a_file_that_hangs_holds_nobody(void **state UNUSED)
{
    static char line[1000];
    enum { LINES = 3000, BUFFERED = LINE_FILE_BYTES / sizeof line };
    struct line_file *f = line_file_new();
    assert_int_equal(mkfifo(first, 0600), 0);
    int reader = open(first, O_RDONLY | O_NONBLOCK);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    line_file_use(f, str_of(first));
    for (int i = 0; i < LINES; i++)
        line_file_put(f, str_n(line, sizeof line));
    /* The thread holds what it had taken before the pipe was full: nothing, a full buffer, or less. */
    assert_in_range(line_file_dropped(f), LINES - 2 * BUFFERED, LINES - BUFFERED);
    line_file_free(f);
    close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_go_to_the_file_in_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_was_renamed_is_created_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_of_a_file_that_cannot_be_opened_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_hangs_holds_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
