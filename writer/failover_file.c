// SPDX-License-Identifier: Apache-2.0
#include "writer/failover_file.h"

#include "base/os/file_read.h"
#include "base/os/file_work.h"
#include "base/telemetry/log.h"
#include "base/write_all.h"
#include "writer/queue/queue_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { FAILOVER_FILE_HANGS_MS = 10000 };

struct failover_file {
    struct file_work work;
    char *path, *next_path, *dir;
    bool started;
    atomic_bool busy;   /* the fields below are the work's */
    bool writes, ok;
    struct buf text;
    struct err err;
};

/* --- on a thread for files ------------------------------------------------------------------------------------------ */

static void failover_file_read(struct failover_file *f)
{
    bool missing = access(f->path, F_OK) != 0 && errno == ENOENT;
    f->ok = missing || file_read(f->path, FAILOVER_FILE_BYTES, &f->text, &f->err);
}

static void failover_file_write(struct failover_file *f)
{
    int fd = open(f->next_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    f->ok = fd >= 0 && write_all(fd, buf_str(&f->text)) && fsync(fd) == 0 &&
            rename(f->next_path, f->path) == 0 && queue_sync_names(f->dir, 1);
    if (!f->ok)
        err_set(&f->err, ERR_UNAVAILABLE, "%s: %s", f->path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void run_failover_file(struct file_work *w)
{
    struct failover_file *f = CONTAINER(w, struct failover_file, work);
    if (f->writes)
        failover_file_write(f);
    else
        failover_file_read(f);
    atomic_store(&f->busy, false);
}

static void failover_file_hangs(struct file_work *w)
{
    struct failover_file *f = CONTAINER(w, struct failover_file, work);
    log_error("remote_write", "file of failovers does not respond; after a crash queries may not read their times from "
              "the backup", "file", f->path);
}

static void release_failover_file(struct file_work *w)
{
    struct failover_file *f = CONTAINER(w, struct failover_file, work);
    buf_free(&f->text);
    mem_free(f->path);
    mem_free(f->next_path);
    mem_free(f->dir);
    mem_free(f);
}

/* --- main ----------------------------------------------------------------------------------------------------------- */

static void failover_file_start(struct failover_file *f)
{
    atomic_store(&f->busy, true);
    f->started = file_work_in(&f->work, 0);
}

static char *failover_path(const char *queue_dir, const char *suffix)
{
    struct buf path = {0};
    buf_printf(&path, "%s%s", queue_dir, suffix);
    char *copy = str_dup(buf_str(&path));
    buf_free(&path);
    return copy;
}

struct failover_file *failover_file_new(const char *queue_dir)
{
    struct failover_file *f = mem_zalloc(sizeof *f);
    f->work = (struct file_work){.run = run_failover_file, .hangs = failover_file_hangs, .release = release_failover_file,
                                 .hang_ms = FAILOVER_FILE_HANGS_MS};
    f->path = failover_path(queue_dir, ".failover");
    f->next_path = failover_path(queue_dir, ".failover.new");
    f->dir = failover_path(queue_dir, "/..");
    failover_file_start(f);
    return f;
}

void failover_file_free(struct failover_file *f)
{
    if (file_work_drop(&f->work))
        release_failover_file(&f->work);
}

bool failover_file_busy(struct failover_file *f)
{
    bool busy = atomic_load(&f->busy);
    if (busy && !f->started) /* no thread could be started */
        f->started = file_work_in(&f->work, 0);
    return busy;
}

bool failover_file_take(struct failover_file *f, struct failover_windows *windows, int64_t now, struct err *err)
{
    windows->n = 0;
    if (f->ok && f->text.n == 0)
        return true;
    bool ok = failover_windows_parse(windows, f->ok ? buf_str(&f->text) : STR(""), now);
    if (!ok)
        err_set(err, ERR_BAD_DATA, "%s", f->ok ? "it is corrupted" : f->err.text);
    return ok;
}

void failover_file_save(struct failover_file *f, const struct failover_windows *windows)
{
    buf_clear(&f->text);
    failover_windows_print(&f->text, windows);
    f->writes = true;
    failover_file_start(f);
}

bool failover_file_saved(const struct failover_file *f, struct err *err)
{
    if (!f->ok)
        *err = f->err;
    return f->ok;
}
