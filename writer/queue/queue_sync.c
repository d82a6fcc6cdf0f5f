// SPDX-License-Identifier: Apache-2.0
#include "writer/queue/queue_sync.h"

#include "base/mem.h"
#include "base/os/file_work.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, SYNC_HANGS_MS = 10000 };

struct sync_item { int fd; char *dir; unsigned levels; };
struct queue_syncer {
    struct file_work work;
    atomic_bool busy;   /* the fields below are the work's */
    struct sync_item *items; size_t n, _cap;
    atomic_ullong syncs, ns;
};

static bool queue_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok;
}

bool queue_sync_names(const char *dir, unsigned levels)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s", dir);
    for (unsigned i = 0; i < levels; i++) {
        if (!queue_sync_dir(path))
            return false;
        n += snprintf(path + n, sizeof path - (size_t)n, "/..");
    }
    return true;
}

static void sync_item_end(struct sync_item *i)
{
    close(i->fd);
    mem_free(i->dir);
}

static void run_queue_sync(struct file_work *w)
{
    struct queue_syncer *s = CONTAINER(w, struct queue_syncer, work);
    for (size_t i = 0; i < s->n; i++) {
        struct sync_item *item = &s->items[i];
        int64_t begin = clock_mono_ns();
        bool ok = fdatasync(item->fd) == 0;
        atomic_fetch_add(&s->syncs, 1);
        atomic_fetch_add(&s->ns, (unsigned long long)(clock_mono_ns() - begin));
        if (!ok || !queue_sync_names(item->dir, item->levels))
            log_error("queue", "cannot sync queue segment; a power loss may lose its blocks", "dir", item->dir, "err",
                      strerror(errno));
        sync_item_end(item);
    }
    s->n = 0;
    atomic_store(&s->busy, false);
}

static void queue_sync_hangs(struct file_work *w UNUSED)
{
    log_error("queue", "a sync of queue segments takes more than 10 s; a power loss may lose blocks");
}

static void release_queue_syncer(struct file_work *w)
{
    struct queue_syncer *s = CONTAINER(w, struct queue_syncer, work);
    while (s->n > 0)
        sync_item_end(&s->items[--s->n]);
    mem_free(s->items);
    mem_free(s);
}

struct queue_syncer *queue_syncer_new(void)
{
    struct queue_syncer *s = mem_zalloc(sizeof *s);
    s->work = (struct file_work){.run = run_queue_sync, .hangs = queue_sync_hangs, .release = release_queue_syncer,
                                 .hang_ms = SYNC_HANGS_MS};
    return s;
}

void queue_syncer_free(struct queue_syncer *s)
{
    if (s && file_work_drop(&s->work))
        release_queue_syncer(&s->work);
}

bool queue_syncer_busy(const struct queue_syncer *s) { return atomic_load(&s->busy); }

bool queue_syncer_add(struct queue_syncer *s, int fd, const char *dir, unsigned levels)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return false;
    mem_grow(&s->items, &s->_cap, s->n + 1, sizeof *s->items);
    s->items[s->n++] = (struct sync_item){copy, mem_strdup(dir), levels};
    return true;
}

/* If no thread can be started, the caller's serves. */
void queue_syncer_start(struct queue_syncer *s)
{
    if (s->n == 0)
        return;
    atomic_store(&s->busy, true);
    if (!file_work_in(&s->work, 0) && file_work_drop(&s->work))
        run_queue_sync(&s->work);
}

void queue_syncer_take_counts(struct queue_syncer *s, uint64_t *syncs, uint64_t *ns)
{
    *syncs = atomic_exchange(&s->syncs, 0);
    *ns = atomic_exchange(&s->ns, 0);
}
