// SPDX-License-Identifier: Apache-2.0
/* Inside base/telemetry: where finished lines go. Two ways of writing:
 *
 * direct      before log_writer_run and after a clean log_writer_stop: the caller writes and waits for the descriptor.
 * by thread   while log_writer_run runs: a line is appended to a buffer, and the caller goes on. What does not fit is
 *             dropped and counted; the thread reports it where the lines would have stood. Once a line was dropped all
 *             are until the thread takes the buffer: the order stays.
 */
#ifndef BASE_TELEMETRY_LOG_WRITER_H
#define BASE_TELEMETRY_LOG_WRITER_H

#include "base/buf.h"

#include <stdint.h>

/* Of lines that wait, and as many of lines that are being written: some 700 lines in all, more than what call sites
 * that are limited say in a minute. The last line may pass it: whether a line is taken does not depend on its length. */
enum { LOG_WRITER_BYTES = 64 << 10 };

typedef void log_report_fn(uint64_t lines, struct buf *out); /* appends the line that tells how many were dropped */

void log_writer_set_fd(int fd);             /* any thread; for the writes that begin afterwards */
void log_writer_put(struct str line);       /* any thread; ends in a line break and has no other; copied */
void log_writer_run(log_report_fn *report); /* the writing thread's body: until log_writer_stop; once at a time */
/* Ends log_writer_run when all lines are written; waits for that at most so long. False: time is up, the thread may
 * hang in a write, and all further lines are dropped. */
bool log_writer_stop(int64_t ms) MUST_USE;
uint64_t log_writer_dropped(void);          /* lines dropped or failed to be written, since the start */
void log_writer_await(int64_t ms); /* returns when nothing waits, or time is up; async-signal-safe */

#endif
