// SPDX-License-Identifier: Apache-2.0
/* Locks the queue directory with flock, and locks it again when its lock file was deleted. */
#include "writer/queue/queue_lock.h"

#include "base/buf.h"
#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/os/thread.h"
#include "writer/queue/file_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct queue_lock {
    char *dir, *path;
    struct mutex mutex; /* guards the fields below */
    int fd;             /* of the locked file */
    struct file_identity file; /* likewise */
    bool marked;        /* it has the mark of a running writer */
    struct buf queues;  /* a line for each that is open */
    struct position_table *positions; /* of the running writer; not guarded: set before others have the lock */
    bool was_running;   /* it had the mark before */
    bool locked_by_other;         /* another process has locked it; logged */
};

/* The descriptor of the locked file, or -1 with errno. A file that is deleted between open and flock is opened
 * again. */
static int lock_file_open(const char *dir, const char *path, struct file_identity *file)
{
    enum { ATTEMPTS = 5 };
    for (int i = 0; i < ATTEMPTS; i++) {
        int fd = dir_create_with_parents(dir) ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640) : -1;
        if (fd < 0)
            return -1;
        int error = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        *file = file_identity_of(fd);
        if (error == 0 && file_presence(path, *file) != FILE_ABSENT)
            return fd;
        close(fd);
        errno = error == EWOULDBLOCK ? EBUSY : error;
        if (error != 0)
            return -1;
    }
    errno = EAGAIN;
    return -1;
}

static const char running_mark[] = "running\n", positions_line[] = "positions ";

/* The last process did not end cleanly. */
static void lock_restore_positions(struct queue_lock *l)
{
    char text[sizeof running_mark + sizeof positions_line + 16] = "";
    ssize_t n = pread(l->fd, text, sizeof text - 1, 0);
    const char *id = n >= (ssize_t)sizeof running_mark ? text + sizeof running_mark - 1 : "";
    if (strncmp(id, positions_line, sizeof positions_line - 1) == 0)
        position_table_restore(l->dir, strtoull(id + sizeof positions_line - 1, NULL, 16));
}

struct queue_lock *queue_lock_new(const char *dir, struct err *err)
{
    struct queue_lock *l = mem_zalloc(sizeof *l);
    size_t n = strlen(dir) + sizeof "/lock";
    l->dir = mem_strdup(dir);
    l->path = mem_alloc(n);
    snprintf(l->path, n, "%s/lock", dir);
    mutex_init(&l->mutex, RANK_QUEUE_LOCK);
    l->fd = lock_file_open(l->dir, l->path, &l->file);
    if (l->fd >= 0) {
        lock_restore_positions(l);
        return l;
    }
    if (errno == EBUSY)
        err_set(err, ERR_INTERNAL,
                "queue directory %s is in use by another process; give this process a separate directory", dir);
    else
        err_set(err, ERR_INTERNAL, "cannot create or write to queue directory %s: %s; choose a writable directory with "
                "-remoteWrite.tmpDataPath or --storage.agent.path", dir, strerror(errno));
    queue_lock_free(l);
    return NULL;
}

/* Without the mark only vm_app_prev_shutdown_unclean is wrong after a crash, and sluice queue takes no queue. */
static void lock_file_mark(struct queue_lock *l)
{
    struct buf text = {0};
    buf_add_z(&text, running_mark);
    if (l->positions)
        buf_printf(&text, "%s%016llx\n", positions_line, (unsigned long long)position_table_id(l->positions));
    buf_add(&text, l->queues.p, l->queues.n);
    ssize_t n = pwrite(l->fd, text.p, text.n, 0);
    bool ok = n == (ssize_t)text.n && ftruncate(l->fd, n) == 0;
    buf_free(&text);
    if (!ok)
        log_debug("queue", "cannot write to the lock file of the queue directory", "file", l->path, "err",
                  strerror(errno));
}

static void lock_file_begin_run(struct queue_lock *l)
{
    char text[sizeof running_mark];
    l->was_running = pread(l->fd, text, sizeof text, 0) > 0;
    l->marked = true;
    l->positions = position_table_new();
    lock_file_mark(l);
}

static void lock_set_queues(struct queue_lock *l, const char *remove, const char *add)
{
    struct buf left = {0};
    mutex_lock(&l->mutex);
    for (struct str rest = buf_str(&l->queues); rest.n > 0;) {
        struct str line = str_first(rest, (size_t)((const char *)memchr(rest.p, '\n', rest.n) - (const char *)rest.p));
        rest = str_skip(rest, line.n + 1);
        if (!str_eq(line, str_of(remove)))
            buf_printf(&left, "%.*s\n", STR_ARG(line));
    }
    if (add)
        buf_printf(&left, "%s\n", add);
    buf_free(&l->queues);
    l->queues = left;
    if (l->marked)
        lock_file_mark(l);
    mutex_unlock(&l->mutex);
}

void queue_lock_add_queue(struct queue_lock *l, const char *name)
{
    if (l)
        lock_set_queues(l, name, name);
}

void queue_lock_remove_queue(struct queue_lock *l, const char *name)
{
    if (l)
        lock_set_queues(l, name, NULL);
}

/* A lock file without the mark is that of a version that does not name its queues. */
enum queue_use queue_lock_use_of(const char *dir, const char *name)
{
    enum { TEXT_MAX = 1 << 20 };
    struct buf path = {0}, line = {0};
    buf_printf(&path, "%s/lock", dir);
    int fd = open(buf_z(&path), O_RDONLY | O_CLOEXEC);
    enum queue_use use = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 ? QUEUE_DIR_UNUSED : QUEUE_USED;
    char *text = use == QUEUE_USED ? mem_zalloc(TEXT_MAX + 2) : NULL;
    ssize_t n = text ? pread(fd, text + 1, TEXT_MAX, 0) : 0;
    buf_printf(&line, "\n%s\n", name);
    if (n > 0 && n < TEXT_MAX && strncmp(text + 1, running_mark, sizeof running_mark - 1) == 0) {
        text[0] = '\n';
        use = strstr(text, buf_z(&line)) ? QUEUE_USED : QUEUE_UNUSED;
    }
    mem_free(text);
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    buf_free(&line);
    return use;
}

bool queue_lock_was_running(const struct queue_lock *l) { return l->was_running; }
struct position_table *queue_lock_positions(const struct queue_lock *l) { return l->positions; }

const char *queue_lock_relative(const struct queue_lock *l, const char *path)
{
    size_t n = strlen(l->dir);
    return strncmp(path, l->dir, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

void queue_lock_free(struct queue_lock *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0 && l->marked && ftruncate(l->fd, 0) != 0)
        log_debug("queue", "cannot empty the lock file of the queue directory", "file", l->path, "err", strerror(errno));
    if (l->fd >= 0)
        close(l->fd);
    position_table_delete(l->positions);
    mutex_free(&l->mutex);
    buf_free(&l->queues);
    mem_free(l->dir);
    mem_free(l->path);
    mem_free(l);
}

/* --- on a separate thread ----------------------------------------------------------------------------------------- */

struct queue_lock_request {
    struct file_thread *thread;
    char *dir;
    struct queue_lock *lock; /* the thread's until it ends */
    struct err err;
};

static void run_lock_request(void *arg, struct file_thread *self UNUSED)
{
    struct queue_lock_request *r = arg;
    r->lock = queue_lock_new(r->dir, &r->err);
    if (r->lock)
        lock_file_begin_run(r->lock);
}

static void lock_request_release(void *arg)
{
    struct queue_lock_request *r = arg;
    queue_lock_free(r->lock);
    mem_free(r->dir);
    mem_free(r);
}

struct queue_lock_request *queue_lock_begin(const char *dir, struct err *err)
{
    struct queue_lock_request *r = mem_zalloc(sizeof *r);
    r->dir = mem_strdup(dir);
    r->thread = file_thread_start(&(struct file_thread_conf){.name = "queue-lock", .run = run_lock_request,
                                                             .release = lock_request_release, .arg = r});
    if (r->thread)
        return r;
    err_set(err, ERR_UNAVAILABLE, "%s: cannot start a thread that locks the queue directory: %s; raise the limit of "
            "threads (ulimit -u, pids cgroup)", dir, strerror(errno));
    lock_request_release(r);
    return NULL;
}

enum queue_opened queue_lock_end(struct queue_lock_request *r, int64_t hang_ms, bool (*interrupted)(void),
                                 struct queue_lock **lock, struct err *err)
{
    switch (file_thread_wait(r->thread, FILE_ENDED, hang_ms, interrupted)) {
    case FILE_HANGS: return QUEUE_HANGS;
    case FILE_INTERRUPTED:
        err_set(err, ERR_CANCELED, "%s: interrupted while locking the queue directory; its disk does not respond",
                r->dir);
        queue_lock_cancel(r);
        return QUEUE_FAILED;
    case FILE_REACHED: break;
    }
    *lock = r->lock;
    *err = r->err;
    r->lock = NULL;
    queue_lock_cancel(r);
    return *lock ? QUEUE_OPEN : QUEUE_FAILED;
}

void queue_lock_notify(struct queue_lock_request *r, struct loop *home, struct loop_task *task)
{
    file_thread_notify(r->thread, FILE_ENDED, home, task);
}

void queue_lock_cancel(struct queue_lock_request *r)
{
    if (file_thread_end(r->thread, 0))
        lock_request_release(r);
}

/* --- deleted files ------------------------------------------------------------------------------------------------ */

static bool lock_file_restore(struct queue_lock *l)
{
    struct file_identity file;
    int fd = lock_file_open(l->dir, l->path, &file);
    if (fd < 0 && errno == EBUSY && !l->locked_by_other) {
        l->locked_by_other = true;
        log_error("queue", "queue directory was deleted, and another process uses it now; keeping blocks in memory and "
                  "retrying every 1s; stop the other process or give it a separate directory", "dir", l->dir);
        errno = EBUSY;
    }
    if (fd < 0)
        return false;
    close(l->fd);
    l->fd = fd;
    l->file = file;
    l->locked_by_other = false;
    if (l->marked)
        lock_file_mark(l);
    log_warn("queue", "lock file of the queue directory was deleted; created and locked it again", "file", l->path);
    return true;
}

bool queue_lock_hold(struct queue_lock *l)
{
    mutex_lock(&l->mutex);
    bool held = file_presence(l->path, l->file) != FILE_ABSENT || lock_file_restore(l);
    int error = errno;
    mutex_unlock(&l->mutex);
    errno = error;
    return held;
}
