// SPDX-License-Identifier: Apache-2.0
/* Log lines of a test: the log writes to a pipe, and its clock stands still. For cmocka's setup and teardown:
 *
 *   log_capture_start() ... log_capture_text() ... log_capture_stop()
 *
 * Each start is an hour after the one before, so that a limited call site prints again. At most 1 MiB of lines may be
 * unread.
 */
#ifndef TESTS_UNIT_LOG_CAPTURE_H
#define TESTS_UNIT_LOG_CAPTURE_H

#include "base/telemetry/log.h"

extern int64_t log_capture_ms; /* the clock, monotonic ms */

int log_capture_start(void);   /* level info, logfmt; 0, or -1 with errno */
int log_capture_stop(void);
void log_capture_setup(enum log_level level, enum log_format format);
const char *log_capture_text(void); /* lines since the last call; valid until the next one */
size_t text_count(const char *text, const char *part); /* occurrences */

#endif
