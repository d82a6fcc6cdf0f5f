// SPDX-License-Identifier: Apache-2.0
/* Internal to base/telemetry: writes finished lines in one of two modes:
 *
 *   direct      before log_writer_run and after a clean log_writer_stop: the caller writes, and may block.
 *   by thread   while log_writer_run runs: the line is appended to a buffer, and the caller continues. Lines beyond the
 *               buffer are dropped and counted; the thread reports them at their position in the log. Once a line was
 *               dropped all are until the thread takes the buffer, so the order is preserved.
 */
#ifndef BASE_TELEMETRY_LOG_WRITER_H
#define BASE_TELEMETRY_LOG_WRITER_H

#include "base/buf.h"

#include <stdint.h>

/* Limit of waiting lines, and of lines being written: about 700 lines in all, more than rate-limited call sites log
 * in a minute. The last line may exceed it: whether a line is accepted does not depend on its length. */
enum { LOG_WRITER_BYTES = 64 << 10 };

typedef void log_report_fn(uint64_t lines, struct buf *out); /* appends a line that reports the number dropped */

void log_writer_set_fd(int fd);             /* any thread; for subsequent writes */
void log_writer_put(struct str line);       /* any thread; one line, terminated by its only line break; copied */
/* body of the writing thread: returns after log_writer_stop; one at a time */
void log_writer_run(log_report_fn *report);
bool log_writer_runs(void);                 /* lines are written by thread */
/* Ends log_writer_run when all lines are written, waiting at most `ms`. False: timed out, the thread may hang in a
 * write, and all further lines are dropped. */
bool log_writer_stop(int64_t ms) MUST_USE;
uint64_t log_writer_dropped(void);          /* lines dropped or failed to write, since the start */
void log_writer_await(int64_t ms); /* returns when no line is waiting, or after `ms`; async-signal-safe */

#endif
