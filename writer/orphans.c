// SPDX-License-Identifier: Apache-2.0
/* Scan for orphaned queues. A directory with a generation (gNNNN-sSS) is a queue, and so is persistent-queue/N_HASH of
 * vmagent. Queue directories locked by another process are in use and not orphaned.
 *
 * The disk may hang, so the scan runs on its own thread (base/os/file_thread.h), and main polls for its end. A scan still
 * running when the writer is freed is abandoned.
 */
#include "writer/orphans.h"

#include "base/os/dir.h"
#include "base/os/file_thread.h"
#include "base/telemetry/log.h"
#include "base/text/utf8.h"
#include "writer/writer_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_segment_name(const char *name)
{
    uint64_t start;
    size_t n = strlen(name);
    const char *end = n > 4 ? name + n - 4 : "";
    return vmagent_chunk_name(name, &start) || strcmp(end, ".seg") == 0 || strcmp(end, ".vmq") == 0;
}

static bool is_generation_name(const char *name)
{
    unsigned number, shards;
    return sscanf(name, "g%u-s%u", &number, &shards) == 2;
}

/* Bytes of the segments in a directory and its subdirectories, `levels` deep. */
static uint64_t segment_bytes(const char *path, int levels)
{
    uint64_t sum = 0;
    DIR *dir = dir_open(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(st.st_mode) && is_segment_name(e->d_name))
            sum += (uint64_t)st.st_size;
        if (!S_ISDIR(st.st_mode) || levels == 0)
            continue;
        struct buf below = {0};
        buf_printf(&below, "%s/%s", path, e->d_name);
        sum += segment_bytes(buf_z(&below), levels - 1);
        buf_free(&below);
    }
    if (dir)
        closedir(dir);
    return sum;
}

static bool has_generation(const char *path)
{
    bool found = false;
    DIR *dir = dir_open(path);
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;)
        found = is_generation_name(e->d_name);
    if (dir)
        closedir(dir);
    return found;
}

/* State of one scan, used by its thread. */
struct orphans_scan {
    char *dir;
    char **configured; size_t n; /* identities */
    bool locked;                 /* the writer already holds the lock */
    struct orphan_list found;
    struct file_thread *thread;
};

/* The queue of a destination, or its quarantine. */
static bool is_configured(const struct orphans_scan *scan, const char *identity)
{
    for (size_t i = 0; i < scan->n; i++) {
        struct str own = str_of(scan->configured[i]), rest = str_skip(str_of(identity), own.n);
        if (str_starts(str_of(identity), own) && (rest.n == 0 || str_is(rest, QUARANTINE_SUFFIX)))
            return true;
    }
    return false;
}

/* name: within the queue directory */
static void add_orphan(struct orphans_scan *scan, const char *name, const char *path)
{
    struct orphan_list *list = &scan->found;
    mem_grow(&list->items, &list->_cap, list->n + 1, sizeof *list->items);
    list->items[list->n++] = (struct orphan){mem_strdup(name), segment_bytes(path, 2)};
}

/* Those of destinations were taken over when they were opened. */
static void list_vmagent_orphans(struct orphans_scan *scan)
{
    struct buf path = {0};
    buf_printf(&path, "%s/" VMAGENT_QUEUES, scan->dir);
    DIR *dir = dir_open(buf_z(&path));
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        uint64_t hash;
        buf_clear(&path);
        buf_printf(&path, "%s/" VMAGENT_QUEUES "/%s", scan->dir, e->d_name);
        if (vmagent_queue_name(e->d_name, &hash))
            add_orphan(scan, buf_z(&path) + strlen(scan->dir) + 1, buf_z(&path));
    }
    if (dir)
        closedir(dir);
    buf_free(&path);
}

static void list_orphans(struct orphans_scan *scan)
{
    DIR *dir = dir_open(scan->dir);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", scan->dir, e->d_name);
        bool printable = e->d_name[0] != '.' && utf8_valid(str_of(e->d_name)); /* it becomes a label value */
        if (printable && !is_configured(scan, e->d_name) && has_generation(buf_z(&path)))
            add_orphan(scan, e->d_name, buf_z(&path));
        buf_free(&path);
    }
    if (dir)
        closedir(dir);
    list_vmagent_orphans(scan);
}

/* Without destinations the queue directory is not locked. False: it does not exist, or another process has locked it.
 * The lock is released before the directories are read: otherwise a process that starts meanwhile would fail. */
static bool queue_dir_unlocked(const struct orphans_scan *scan)
{
    struct buf path = {0};
    buf_printf(&path, "%s/lock", scan->dir);
    int fd = open(buf_z(&path), O_RDWR | O_CLOEXEC);
    buf_free(&path);
    bool unused = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd >= 0)
        close(fd);
    return unused;
}

static void free_orphans(struct orphan_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        mem_free(list->items[i].dir);
    mem_free(list->items);
    *list = (struct orphan_list){0};
}

static void log_orphans(const struct orphan_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        log_warn("remote_write",
                 "queue directory of a destination that is not configured; its samples are sent once it "
                 "is configured again; sluice queue resend sends them elsewhere, sluice queue drop deletes them",
                 "dir", list->items[i].dir, LOG_U64("bytes", list->items[i].bytes));
}

static void free_orphans_scan(void *arg)
{
    struct orphans_scan *scan = arg;
    for (size_t i = 0; i < scan->n; i++)
        mem_free(scan->configured[i]);
    mem_free(scan->configured);
    mem_free(scan->dir);
    free_orphans(&scan->found);
    mem_free(scan);
}

static void run_orphans_scan(void *arg, struct file_thread *self UNUSED)
{
    struct orphans_scan *scan = arg;
    if (scan->locked || queue_dir_unlocked(scan))
        list_orphans(scan);
}

static void publish_orphans(struct writer *w, struct orphans_scan *scan)
{
    if (!w->orphans_logged)
        log_orphans(&scan->found);
    w->orphans_logged = true;
    mutex_lock(&w->lock);
    struct orphan_list before = w->orphans;
    w->orphans = scan->found;
    mutex_unlock(&w->lock);
    scan->found = before;
}

static void run_orphans_timer(struct loop_timer *timer)
{
    struct writer *w = CONTAINER(timer, struct writer, orphans_timer);
    struct orphans_scan *scan = w->orphans_scan;
    if (scan == NULL) {
        orphans_find(w);
        return;
    }
    if (!file_thread_at(scan->thread, FILE_ENDED)) {
        loop_timer_in(w->env.main, timer, ORPHANS_POLL);
        return;
    }
    (void)!file_thread_end(scan->thread, INT64_MAX);
    publish_orphans(w, scan);
    free_orphans_scan(scan);
    w->orphans_scan = NULL;
    if (w->orphans_rescan)
        orphans_find(w);
    else if (w->orphans.n > 0)
        loop_timer_in(w->env.main, timer, ORPHANS_PERIOD);
}

void orphans_find(struct writer *w)
{
    if (w->env.ignore_orphans || w->late.lock) /* without a lock the scan acquires it briefly, which would block our own
                                                * thread */
        return;
    w->orphans_timer.run = run_orphans_timer;
    w->orphans_rescan = w->orphans_scan != NULL;
    loop_timer_in(w->env.main, &w->orphans_timer, ORPHANS_POLL);
    if (w->orphans_rescan)
        return;
    struct orphans_scan *scan = mem_zalloc(sizeof *scan);
    *scan = (struct orphans_scan){.dir = mem_strdup(w->dir), .locked = w->queue_lock != NULL};
    scan->configured = mem_zalloc((w->n + 1) * sizeof *scan->configured);
    for (; scan->n < w->n; scan->n++)
        scan->configured[scan->n] = mem_strdup(w->destinations[scan->n]->identity);
    scan->thread = file_thread_start(&(struct file_thread_conf){.name = "queue-scan", .run = run_orphans_scan,
                                                                .release = free_orphans_scan, .arg = scan});
    if (scan->thread)
        w->orphans_scan = scan;
    else /* out of threads: retried at the next call */
        free_orphans_scan(scan);
}

void orphans_stop(struct writer *w)
{
    struct orphans_scan *scan = w->orphans_scan;
    loop_timer_stop(w->env.main, &w->orphans_timer);
    if (scan && file_thread_end(scan->thread, 0))
        free_orphans_scan(scan);
    w->orphans_scan = NULL;
    free_orphans(&w->orphans);
}

void orphans_collect(struct writer *w, struct stats_out *out)
{
    static const char name[] = "sluice_queue_orphaned_bytes";
    stats_family(out, name, STATS_GAUGE,
                 "Bytes on disk in the queue directory of a destination that is not configured");
    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->orphans.n; i++) {
        const struct stats_label path = {"path", str_of(w->orphans.items[i].dir)};
        stats_value(out, name, &path, 1, (double)w->orphans.items[i].bytes);
    }
    mutex_unlock(&w->lock);
}
