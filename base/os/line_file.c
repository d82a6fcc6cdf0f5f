// SPDX-License-Identifier: Apache-2.0
#include "base/os/line_file.h"

#include "base/buf.h"
#include "base/os/thread.h"
#include "base/telemetry/log.h"
#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { LINE_FILE_KEEP_BYTES = 64 << 10 };

struct line_file {
    struct mutex mutex;            /* guards what follows */
    struct cond work, ended;
    struct thread *thread;         /* NULL before the first file */
    struct buf waiting;            /* lines that the thread has not taken */
    char *path;                    /* to be opened; NULL: nothing changes */
    size_t path_from;              /* lines from here on go to it */
    bool stopping, has_ended, abandoned;
    atomic_bool used;
    atomic_uint_fast64_t dropped;  /* lines */
    /* of the thread: */
    int fd; bool owned;            /* -1: none; owned: not stdout or stderr */
    char *open_path;
};

struct line_file *line_file_new(void)
{
    struct line_file *f = mem_zalloc(sizeof *f);
    f->fd = -1;
    mutex_init(&f->mutex, RANK_LEAF);
    cond_init(&f->work);
    cond_init(&f->ended);
    return f;
}

/* ---- the thread ---- */

static void line_file_close(struct line_file *f)
{
    if (f->owned)
        close(f->fd);
    mem_free(f->open_path);
    f->fd = -1;
    f->owned = false;
    f->open_path = NULL;
}

static void line_file_open(struct line_file *f, char *path)
{
    line_file_close(f);
    f->open_path = path;
    if (strcmp(path, "stdout") == 0 || strcmp(path, "stderr") == 0) {
        f->fd = strcmp(path, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO;
    } else if (*path) {
        f->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        f->owned = f->fd >= 0;
        if (f->fd < 0)
            log_error("log", "cannot open log file; dropping its lines until the next reload", "file", path, "err",
                      strerror(errno));
    }
}

static void line_file_write_lines(struct line_file *f, struct str text)
{
    if (text.n == 0 || (f->fd >= 0 && write_all(f->fd, text)))
        return;
    size_t lines = str_count(text, '\n');
    if (f->fd >= 0)
        log_error("log", "cannot write log file; dropping lines", "file", f->open_path, LOG_U64("lines", lines), "err",
                  strerror(errno));
    atomic_fetch_add(&f->dropped, lines);
}

/* Takes what has arrived: lines, and a file for those from `from` on. False: nothing is left, and the thread is to
 * end. */
static bool line_file_take(struct line_file *f, struct buf *lines, char **path, size_t *from)
{
    mutex_lock(&f->mutex);
    while (f->waiting.n == 0 && f->path == NULL && !f->stopping)
        cond_wait(&f->work, &f->mutex);
    struct buf empty = *lines;
    *lines = f->waiting;
    f->waiting = empty;
    *path = f->path;
    *from = f->path ? f->path_from : lines->n;
    f->path = NULL;
    mutex_unlock(&f->mutex);
    return lines->n > 0 || *path;
}

static void line_file_release(struct line_file *f)
{
    line_file_close(f);
    buf_free(&f->waiting);
    mem_free(f->path);
    cond_free(&f->work);
    cond_free(&f->ended);
    mutex_free(&f->mutex);
    mem_free(f);
}

static void line_file_run(void *arg)
{
    struct line_file *f = arg;
    struct buf lines = {0};
    char *path;
    size_t from;
    while (line_file_take(f, &lines, &path, &from)) {
        line_file_write_lines(f, str_first(buf_str(&lines), from));
        if (path)
            line_file_open(f, path);
        line_file_write_lines(f, str_skip(buf_str(&lines), from));
        buf_clear(&lines);
        if (lines.cap > LINE_FILE_KEEP_BYTES)
            buf_free(&lines);
    }
    buf_free(&lines);
    mutex_lock(&f->mutex);
    bool abandoned = f->abandoned;
    f->has_ended = true;
    cond_signal(&f->ended);
    mutex_unlock(&f->mutex);
    if (abandoned)
        line_file_release(f);
}

/* ---- other threads ---- */

bool line_file_check(struct str path, struct err *err)
{
    if (path.n == 0 || str_is(path, "stdout") || str_is(path, "stderr"))
        return true;
    char *file = str_dup(path), *slash = strrchr(file, '/');
    bool ok = access(file, W_OK) == 0;
    if (!ok && errno == ENOENT) { /* it would be created */
        if (slash)
            slash[slash == file] = 0;
        ok = access(slash ? file : ".", W_OK | X_OK) == 0;
    }
    ok = ok || err_set(err, ERR_UNAVAILABLE, "cannot write %.*s: %s", STR_ARG(path), strerror(errno));
    mem_free(file);
    return ok;
}

bool line_file_used(const struct line_file *f) { return atomic_load_explicit(&f->used, memory_order_relaxed); }

uint64_t line_file_dropped(const struct line_file *f) { return atomic_load(&f->dropped); }

void line_file_use(struct line_file *f, struct str path)
{
    if (f->thread == NULL && path.n == 0)
        return;
    mutex_lock(&f->mutex);
    mem_free(f->path);
    f->path = str_dup(path);
    f->path_from = f->waiting.n;
    cond_signal(&f->work);
    mutex_unlock(&f->mutex);
    if (f->thread == NULL && (f->thread = thread_start("line-file", line_file_run, f)) == NULL) {
        log_error("log", "cannot start the thread of a log file; dropping its lines until the next reload", "file",
                  f->path, "err", strerror(errno));
        return;
    }
    atomic_store(&f->used, path.n > 0);
}

void line_file_put(struct line_file *f, struct str line)
{
    if (!line_file_used(f))
        return;
    mutex_lock(&f->mutex);
    bool full = line.n > LINE_FILE_BYTES - f->waiting.n;
    if (!full) {
        buf_add_str(&f->waiting, line);
        cond_signal(&f->work);
    }
    mutex_unlock(&f->mutex);
    atomic_fetch_add(&f->dropped, full);
}

void line_file_free(struct line_file *f)
{
    mutex_lock(&f->mutex);
    f->stopping = true;
    cond_signal(&f->work);
    while (f->thread && !f->has_ended)
        if (!cond_wait_ms(&f->ended, &f->mutex, LINE_FILE_STOP_MS))
            break;
    f->abandoned = f->thread && !f->has_ended;
    bool abandoned = f->abandoned;
    struct thread *thread = f->thread; /* which frees f from here on if it is abandoned */
    mutex_unlock(&f->mutex);
    if (abandoned) {
        thread_detach(thread);
        return;
    }
    if (thread)
        thread_join(thread);
    line_file_release(f);
}
