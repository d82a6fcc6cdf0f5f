// SPDX-License-Identifier: Apache-2.0
/* A disk that fails or hangs, by LD_PRELOAD, for files below $BAD_DISK_DIR, and a mount that hangs, for files below
 * $BAD_MOUNT_DIR. What is wrong is read from the file $BAD_DISK each time, words in any order:
 *
 *   slow-sync     fdatasync takes 5 s
 *   hang          writes, syncs and reads do not return until the word is gone
 *   lock          the same of opening the file "lock"
 *   mount         nothing that is done with a path below $BAD_MOUNT_DIR returns until the word is gone
 *   stat          the same of stat only
 *   write=ERRNO   pwrite, pwritev and ftruncate fail, and so does opening for writing
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name)                          \
    static __typeof__(&name) real;          \
    if (!real)                              \
        real = dlsym(RTLD_NEXT, #name)

static void faults(char text[128])
{
    static int (*real_open)(const char *, int, ...);
    if (!real_open)
        real_open = dlsym(RTLD_NEXT, "open");
    const char *path = getenv("BAD_DISK");
    int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? 0 : read(fd, text, 127);
    text[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

static void wait_while(const char *path, const char *fault)
{
    const char *dir = getenv("BAD_MOUNT_DIR");
    char text[128];
    int saved = errno;
    if (dir && strncmp(path, dir, strlen(dir)) == 0)
        for (faults(text); strstr(text, fault); faults(text))
            usleep(20000);
    errno = saved;
}

static void wait_for_mount(const char *path) { wait_while(path, "mount"); }

static bool on_bad_disk(int fd)
{
    const char *dir = getenv("BAD_DISK_DIR");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = dir ? readlink(link, path, sizeof path - 1) : 0;
    path[n > 0 ? n : 0] = 0;
    return n > 0 && strncmp(path, dir, strlen(dir)) == 0;
}

/* Waits while the disk hangs; the error of a write, or 0. */
static int bad(int fd)
{
    char text[128];
    int saved = errno, why = 0;
    if (on_bad_disk(fd)) {
        for (faults(text); strstr(text, "hang"); faults(text))
            usleep(20000);
        const char *at = strstr(text, "write=");
        why = at ? atoi(at + strlen("write=")) : 0;
    }
    errno = why ? why : saved;
    return why;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { REAL(pwritev); return bad(fd) ? -1 : real(fd, parts, n, at); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { REAL(pwrite); return bad(fd) ? -1 : real(fd, p, n, at); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); return bad(fd) ? -1 : real(fd, n); }
int fdatasync(int fd)
{
    REAL(fdatasync);
    char text[128];
    bad(fd);
    if (on_bad_disk(fd))
        for (int i = 0; i < 250 && (faults(text), strstr(text, "slow-sync")); i++)
            usleep(20000);
    return real(fd);
}
ssize_t pread(int fd, void *p, size_t n, off_t at) { REAL(pread); bad(fd); return real(fd, p, n, at); }

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    wait_for_mount(path);
    const char *dir = getenv("BAD_DISK_DIR");
    char text[128] = "";
    size_t n = strlen(path), tail = strlen("/lock");
    if (dir && strncmp(path, dir, strlen(dir)) == 0 && n > tail && strcmp(path + n - tail, "/lock") == 0)
        for (faults(text); strstr(text, "lock"); faults(text))
            usleep(20000);
    if (dir && strncmp(path, dir, strlen(dir)) == 0 && (flags & (O_WRONLY | O_RDWR)))
        faults(text);
    const char *at = strstr(text, "write=");
    if (at) {
        errno = atoi(at + strlen("write="));
        return -1;
    }
    return real(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) { REAL(fopen); wait_for_mount(path); return real(path, mode); }
int stat(const char *path, struct stat *st) { REAL(stat); wait_for_mount(path); wait_while(path, "stat"); return real(path, st); }
int access(const char *path, int mode) { REAL(access); wait_for_mount(path); return real(path, mode); }
int inotify_add_watch(int fd, const char *path, uint32_t mask) { REAL(inotify_add_watch); wait_for_mount(path); return real(fd, path, mask); }

int glob(const char *pattern, int flags, int (*failed)(const char *, int), glob_t *found)
{
    REAL(glob);
    wait_for_mount(pattern);
    return real(pattern, flags, failed, found);
}
