// SPDX-License-Identifier: Apache-2.0
/* A log of lines in a file, or on stdout or stderr, that any thread appends to and no thread waits for.
 *
 * A separate thread opens, writes and closes the file; it is started by the first line_file_use. Up to
 * LINE_FILE_BYTES of lines are buffered while it cannot be written; further lines are dropped and counted. A file that
 * cannot be opened or written is logged, and its lines are dropped: it is opened again by the next line_file_use, which
 * is also how it is rotated.
 */
#ifndef BASE_OS_LINE_FILE_H
#define BASE_OS_LINE_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum { LINE_FILE_BYTES = 1 << 20, LINE_FILE_STOP_MS = 1000 };

struct line_file;
struct line_file *line_file_new(void);
/* Writes to this file from now on: a path, "stdout" or "stderr"; "" closes it. Lines appended earlier still go to the
 * previous one. One thread. */
void line_file_use(struct line_file *f, struct str path);
/* Whether line_file_use could open it, without doing so; waits for the file system. */
bool line_file_check(struct str path, struct err *err) MUST_USE;
bool line_file_used(const struct line_file *f);       /* otherwise lines need not be made */
void line_file_put(struct line_file *f, struct str line); /* with its line end; none longer than LINE_FILE_BYTES */
uint64_t line_file_dropped(const struct line_file *f);
/* Writes what is buffered, for at most LINE_FILE_STOP_MS; a thread that a file system holds longer is abandoned. No
 * thread may append any more. */
void line_file_free(struct line_file *f);

#endif
