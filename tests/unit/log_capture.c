// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/log_capture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int64_t log_capture_ms;
static int capture_pipe[2];

static int64_t log_capture_clock(void) { return log_capture_ms; }

int log_capture_start(void)
{
    log_capture_ms += 3600000;
    log_set_clock(log_capture_clock);
    if (pipe(capture_pipe) != 0 || fcntl(capture_pipe[1], F_SETPIPE_SZ, 1 << 20) < 0)
        return -1;
    log_capture_setup(LOG_INFO, LOG_LOGFMT);
    return 0;
}

int log_capture_stop(void)
{
    log_setup(LOG_INFO, LOG_LOGFMT, 2);
    log_set_clock(NULL);
    close(capture_pipe[0]);
    return close(capture_pipe[1]);
}

void log_capture_setup(enum log_level level, enum log_format format) { log_setup(level, format, capture_pipe[1]); }

/* A NUL marks the end of what is there. */
const char *log_capture_text(void)
{
    static char text[1 << 20];
    size_t n = 0;
    assert_int_equal(write(capture_pipe[1], "", 1), 1);
    do {
        ssize_t more = read(capture_pipe[0], text + n, sizeof text - n);
        assert_true(more > 0);
        n += (size_t)more;
    } while (text[n - 1] != 0);
    return text;
}

size_t text_count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}
