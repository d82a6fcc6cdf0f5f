// SPDX-License-Identifier: Apache-2.0
/* Locks the queue directory with flock, and locks it again when its lock file was deleted. */
#include "writer/queue/queue_lock.h"

#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/os/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct queue_lock {
    char *dir, *path;
    struct mutex mutex; /* guards the fields below */
    int fd;             /* of the locked file */
    bool locked_by_other;         /* another process has locked it; logged */
};

/* Whether the name still leads to the descriptor's file. Errors other than "not found" count as unchanged. */
static bool lock_file_present(const char *path, int fd)
{
    struct stat named, locked;
    if (stat(path, &named) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return fstat(fd, &locked) != 0 || (named.st_dev == locked.st_dev && named.st_ino == locked.st_ino);
}

/* The descriptor of the locked file, or -1 with errno. A file that is deleted between open and flock is opened
 * again. */
static int lock_file_open(const char *dir, const char *path)
{
    enum { ATTEMPTS = 5 };
    for (int i = 0; i < ATTEMPTS; i++) {
        int fd = dir_create_with_parents(dir) ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640) : -1;
        if (fd < 0)
            return -1;
        int error = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (error == 0 && lock_file_present(path, fd))
            return fd;
        close(fd);
        errno = error == EWOULDBLOCK ? EBUSY : error;
        if (error != 0)
            return -1;
    }
    errno = EAGAIN;
    return -1;
}

struct queue_lock *queue_lock_new(const char *dir, struct err *err)
{
    struct queue_lock *l = mem_zalloc(sizeof *l);
    size_t n = strlen(dir) + sizeof "/lock";
    l->dir = mem_strdup(dir);
    l->path = mem_alloc(n);
    snprintf(l->path, n, "%s/lock", dir);
    mutex_init(&l->mutex, RANK_QUEUE_LOCK);
    l->fd = lock_file_open(l->dir, l->path);
    if (l->fd >= 0)
        return l;
    if (errno == EBUSY)
        err_set(err, ERR_INTERNAL,
                "queue directory %s is in use by another process; give this process a separate directory", dir);
    else
        err_set(err, ERR_INTERNAL, "cannot create or write to queue directory %s: %s; choose a writable directory with "
                "-remoteWrite.tmpDataPath or --storage.agent.path", dir, strerror(errno));
    queue_lock_free(l);
    return NULL;
}

void queue_lock_free(struct queue_lock *l)
{
    if (l == NULL)
        return;
    if (l->fd >= 0)
        close(l->fd);
    mutex_free(&l->mutex);
    mem_free(l->dir);
    mem_free(l->path);
    mem_free(l);
}

static bool lock_file_restore(struct queue_lock *l)
{
    int fd = lock_file_open(l->dir, l->path);
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
    l->locked_by_other = false;
    log_warn("queue", "lock file of the queue directory was deleted; created and locked it again", "file", l->path);
    return true;
}

bool queue_lock_hold(struct queue_lock *l)
{
    mutex_lock(&l->mutex);
    bool held = lock_file_present(l->path, l->fd) || lock_file_restore(l);
    int error = errno;
    mutex_unlock(&l->mutex);
    errno = error;
    return held;
}
