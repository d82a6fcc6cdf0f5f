// SPDX-License-Identifier: Apache-2.0
/* Reads the target files of one pattern on a thread for files (base/os/file_work.h), because their file system may
 * hang. Until it responds the last contents of the files remain in use.
 *
 * All functions on the main thread.
 */
#ifndef MODEL_DISCOVERY_FILE_READER_H
#define MODEL_DISCOVERY_FILE_READER_H

#include "base/os/loop.h"
#include "model/discovery/files/dir_watch.h"
#include "model/discovery/files/file_sd.h"

enum { FILE_READER_HANG_MS = 5000 };

struct file_reader;
struct file_reader_env {
    struct loop *main;
    void (*news)(void *arg); /* on main: a read has ended, or hangs */
    void *arg;
    int64_t hang_ms;         /* 0: FILE_READER_HANG_MS */
};
struct file_reader *file_reader_new(const struct file_reader_env *env, struct sd_owner owner, struct str pattern);
void file_reader_free(struct file_reader *r); /* never waits */
/* Requests a read, and if `dirs` is not NULL a watch of the directory. A request during a read is served after it.
 * await: file_reader_awaited() is true until that read has ended, or hangs. */
void file_reader_read(struct file_reader *r, struct dir_watch *dirs, bool await);

bool file_reader_reads(const struct file_reader *r);   /* a read is under way, or requested, and does not hang */
bool file_reader_hangs(const struct file_reader *r);
bool file_reader_awaited(const struct file_reader *r);
bool file_reader_was_read(const struct file_reader *r); /* once at least */
struct str file_reader_pattern(const struct file_reader *r);
const struct sd_files *file_reader_files(const struct file_reader *r); /* of the last read; valid until `news` */
bool file_reader_has_news(const struct file_reader *r);  /* since file_reader_take_news */
bool file_reader_take_news(struct file_reader *r);       /* true: targets may have changed since the last call */

#endif
