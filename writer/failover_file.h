// SPDX-License-Identifier: Apache-2.0
/* The file of a backup's windows (failover_windows.h), read once and written after each change: to a new file, which is
 * synced and renamed. The work is done on the threads for files; main starts it and asks whether it has ended. Main. */
#ifndef WRITER_FAILOVER_FILE_H
#define WRITER_FAILOVER_FILE_H

#include "base/err.h"
#include "writer/failover_windows.h"

struct failover_file;
struct failover_file *failover_file_new(const char *queue_dir); /* begins to read it */
void failover_file_free(struct failover_file *f);               /* a write that has begun is completed */
/* Whether it is being read or written. */
bool failover_file_busy(struct failover_file *f);
/* Once, when it is no longer busy: what was read, nothing if there is no file. False with *windows of all times: it
 * cannot be read. */
bool failover_file_take(struct failover_file *f, struct failover_windows *windows, int64_t now, struct err *err) MUST_USE;
void failover_file_save(struct failover_file *f, const struct failover_windows *windows); /* while it is not busy */
bool failover_file_saved(const struct failover_file *f, struct err *err) MUST_USE; /* the last save, when it has ended */

#endif
