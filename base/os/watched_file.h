// SPDX-License-Identifier: Apache-2.0
/* Small files whose present content is needed at any moment by threads that may not wait for a disk: passwords, tokens,
 * certificates. Threads of their own, named "file-refresh", look at each file once a second and read it when its time,
 * size or inode changed; everybody else takes the last content that was read, which is immutable and counted. A file
 * that cannot be read any more keeps its last content; that is logged once and counted in
 * sluice_file_refresh_errors_total at each look.
 *
 * A file system that hangs holds the thread that looks there and nobody else: before a thread looks at a file there is
 * another one that goes on with the others, up to 16. Users of the same path share one watched file. Without any the
 * threads end.
 */
#ifndef BASE_OS_WATCHED_FILE_H
#define BASE_OS_WATCHED_FILE_H

#include "base/err.h"
#include "base/refs.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum watched_kind {
    WATCHED_LINE,  /* at most 64 KiB; white space at its ends is left out; a line break or NUL within is an error */
    WATCHED_BYTES, /* at most 1 MiB, as they are */
    WATCHED_KINDS
};

struct file_text { /* never changes */
    struct refs _refs;
    size_t n;
    char text[]; /* n bytes and a NUL */
};
void file_text_unref(struct file_text *t); /* any thread; NULL is fine */

struct watched_file;
/* Any thread that may wait: returns when the file was looked at, or after 200 ms; at once while another file hangs. */
struct watched_file *watched_file_new(const char *path, enum watched_kind kind);
void watched_file_free(struct watched_file *f); /* any thread; never waits; NULL is fine */
/* Any thread; never waits. A reference to the last content; NULL with the reason when there was none yet. */
struct file_text *watched_file_text(struct watched_file *f, struct err *err) MUST_USE;

void watched_file_register_stats(void); /* once, before other threads start */
/* After the last watched_file_free: waits for the threads' end, but not for those that hang. */
void watched_file_await_threads(void);
void watched_file_set_period(int ms); /* for tests: the second between looks; before the first file */
/* For tests: called by the thread that is about to look at a file; it may hang. NULL: none. */
void watched_file_set_look_hook(void (*hook)(const char *path));

#endif
