// SPDX-License-Identifier: Apache-2.0
/* A directory is a queue when a generation (gNNNN-sSS) is in it. Queues that another process has locked are its own,
 * and no orphans.
 *
 * The disk may hang, so a thread of its own looks, and main polls whether it has finished. A thread that has not when
 * the writer is freed is abandoned, and frees the look itself.
 */
#include "writer/orphans.h"

#include "base/os/dir.h"
#include "base/telemetry/log.h"
#include "base/text/num.h"
#include "base/os/thread.h"
#include "base/text/utf8.h"
#include "writer/writer_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_segment_name(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".seg") == 0;
}

static bool is_generation_name(const char *name)
{
    unsigned number, shards;
    return sscanf(name, "g%u-s%u", &number, &shards) == 2;
}

/* Bytes of the segments in a directory and in those below it, `levels` deep. */
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

/* What the thread works with. */
struct orphans_look {
    char *dir;
    char **configured; size_t n; /* identities */
    bool locked;                 /* the writer holds the lock already */
    struct orphan_list found;
    struct thread *thread;
    atomic_int state;
};
enum { LOOK_RUNNING, LOOK_DONE, LOOK_ABANDONED };

static bool is_configured(const struct orphans_look *look, const char *identity)
{
    for (size_t i = 0; i < look->n; i++)
        if (strcmp(look->configured[i], identity) == 0)
            return true;
    return false;
}

static void list_orphans(struct orphans_look *look)
{
    struct orphan_list *list = &look->found;
    DIR *dir = dir_open(look->dir);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", look->dir, e->d_name);
        bool printable = e->d_name[0] != '.' && utf8_valid(str_of(e->d_name)); /* it becomes a label */
        if (printable && !is_configured(look, e->d_name) && has_generation(buf_z(&path))) {
            mem_grow(&list->items, &list->_cap, list->n + 1, sizeof *list->items);
            list->items[list->n++] = (struct orphan){mem_strdup(e->d_name), segment_bytes(buf_z(&path), 2)};
        }
        buf_free(&path);
    }
    if (dir)
        closedir(dir);
}

/* Without destinations the folder is not locked. False: it is not there, or another process has it. The lock is not
 * held while its directories are read, or a process that begins meanwhile would find it taken. */
static bool queues_are_unused(const struct orphans_look *look)
{
    struct buf path = {0};
    buf_printf(&path, "%s/lock", look->dir);
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
    for (size_t i = 0; i < list->n; i++) {
        char bytes[24];
        bytes[num_format_u64(bytes, list->items[i].bytes)] = 0;
        log_warn("remote_write",
                 "queue directory of a destination that is not configured; its samples are sent once it "
                 "is configured again, delete the directory if they are not wanted", "dir", list->items[i].dir,
                 "bytes", bytes);
    }
}

static void free_look(struct orphans_look *look)
{
    for (size_t i = 0; i < look->n; i++)
        mem_free(look->configured[i]);
    mem_free(look->configured);
    mem_free(look->dir);
    free_orphans(&look->found);
    mem_free(look);
}

static void run_look(void *arg)
{
    struct orphans_look *look = arg;
    int running = LOOK_RUNNING;
    if (look->locked || queues_are_unused(look))
        list_orphans(look);
    if (!atomic_compare_exchange_strong(&look->state, &running, LOOK_DONE))
        free_look(look);
}

static void publish_look(struct writer *w, struct orphans_look *look)
{
    if (!w->orphans_logged)
        log_orphans(&look->found);
    w->orphans_logged = true;
    mutex_lock(&w->lock);
    struct orphan_list before = w->orphans;
    w->orphans = look->found;
    mutex_unlock(&w->lock);
    look->found = before;
}

static void run_orphans_timer(struct loop_timer *timer)
{
    struct writer *w = CONTAINER(timer, struct writer, orphans_timer);
    struct orphans_look *look = w->orphans_look;
    if (look == NULL) {
        orphans_find(w);
        return;
    }
    if (atomic_load(&look->state) == LOOK_RUNNING) {
        loop_timer_in(w->env.main, timer, ORPHANS_POLL);
        return;
    }
    thread_join(look->thread);
    publish_look(w, look);
    free_look(look);
    w->orphans_look = NULL;
    if (w->orphans_again)
        orphans_find(w);
    else if (w->orphans.n > 0)
        loop_timer_in(w->env.main, timer, ORPHANS_PERIOD);
}

void orphans_find(struct writer *w)
{
    w->orphans_timer.run = run_orphans_timer;
    w->orphans_again = w->orphans_look != NULL;
    loop_timer_in(w->env.main, &w->orphans_timer, ORPHANS_POLL);
    if (w->orphans_again)
        return;
    struct orphans_look *look = mem_zalloc(sizeof *look);
    *look = (struct orphans_look){.dir = mem_strdup(w->dir), .locked = w->queue_lock != NULL};
    atomic_init(&look->state, LOOK_RUNNING);
    look->configured = mem_zalloc((w->n + 1) * sizeof *look->configured);
    for (; look->n < w->n; look->n++)
        look->configured[look->n] = mem_strdup(w->destinations[look->n]->identity);
    look->thread = thread_start("queue-look", run_look, look);
    if (look->thread)
        w->orphans_look = look;
    else /* no thread to be had: later */
        free_look(look);
}

void orphans_stop(struct writer *w)
{
    struct orphans_look *look = w->orphans_look;
    int running = LOOK_RUNNING;
    loop_timer_stop(w->env.main, &w->orphans_timer);
    struct thread *thread = look ? look->thread : NULL; /* an abandoned look is the thread's, which may free it */
    if (look && atomic_compare_exchange_strong(&look->state, &running, LOOK_ABANDONED)) {
        thread_detach(thread);
    } else if (look) {
        thread_join(thread);
        free_look(look);
    }
    w->orphans_look = NULL;
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
