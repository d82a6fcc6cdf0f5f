// SPDX-License-Identifier: Apache-2.0
/* Small files (passwords, tokens, certificates) whose current content is needed by threads that must not wait for a
 * disk. Threads for files (base/os/file_work.h) check each file once a second and read it if its time, size or inode
 * has changed; other threads use the content read last, which is immutable and reference counted. A file that cannot be
 * read any more keeps its last content; this is logged once, and each failed check is counted in
 * sluice_file_refresh_errors_total. A file system that hangs blocks only the check of its file. Users of the same path
 * share a watched file.
 *
 * A path may be an http(s) URL, as in vmagent, which is fetched every WATCHED_URL_MS.
 */
#ifndef BASE_OS_WATCHED_FILE_H
#define BASE_OS_WATCHED_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/refs.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCHED_URL_MS = 5000 };
enum watched_kind {
    WATCHED_LINE,  /* at most 64 KiB; surrounding white space is removed; a line break or NUL within is an error */
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
/* Any thread that may wait: returns when the file has been checked, or after 200 ms; at once while another file
 * hangs. */
struct watched_file *watched_file_new(const char *path, enum watched_kind kind);
void watched_file_free(struct watched_file *f); /* any thread; never waits; NULL is fine */
/* Any thread; never waits. A reference to the last content; NULL with the reason when there was none yet. */
struct file_text *watched_file_text(struct watched_file *f, struct err *err) MUST_USE;

void watched_file_register_stats(void); /* once, before other threads start */
/* What fetches a URL, at most `max` bytes, on a thread that may wait; errors name it without its secrets. Before the
 * first file; without it URLs cannot be read. */
void watched_file_set_fetch(bool (*fetch)(const char *url, size_t max, struct buf *out, struct err *err));
void watched_file_set_period(int ms); /* for tests: the second between looks; before the first file */
/* For tests: called by the thread that is about to check a file; it may hang. NULL: none. */
void watched_file_set_look_hook(void (*hook)(const char *path));

#endif
