// SPDX-License-Identifier: Apache-2.0
/* Directories are watched, not files: files are replaced by renaming, and patterns match files that do not exist yet.
 * If inotify is not available, files are polled once an interval. */
#include "scraper/discovery/file_watch.h"

#include "base/telemetry/log.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { SETTLE_MS = 100 }; /* several files are often written together */

static void file_watch_timer(struct loop_timer *timer)
{
    struct file_watch *w = CONTAINER(timer, struct file_watch, timer);
    loop_timer_in(w->loop, timer, w->interval);
    w->poll(w);
}

static void file_watch_event(struct loop_fd *watch, uint32_t events UNUSED)
{
    struct file_watch *w = CONTAINER(watch, struct file_watch, events);
    char drained[4096];
    while (read(watch->fd, drained, sizeof drained) > 0) {
    }
    /* never postponed: the directory may be written to all the time */
    if (w->timer.due > loop_mono(w->loop) + SETTLE_MS)
        loop_timer_in(w->loop, &w->timer, SETTLE_MS);
}

void file_watch_init(struct file_watch *w, struct loop *loop, void (*poll)(struct file_watch *w))
{
    *w = (struct file_watch){.loop = loop, .poll = poll, .events.run = file_watch_event, .timer.run = file_watch_timer};
}

void file_watch_stop(struct file_watch *w)
{
    loop_timer_stop(w->loop, &w->timer);
    if (!w->watching)
        return;
    loop_unwatch(w->loop, &w->events);
    close(w->events.fd);
    w->watching = false;
}

static void watch_directory(struct file_watch *w, struct str path)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    char *dir = n ? str_dup(str_first(path, n)) : mem_strdup(".");
    if (inotify_add_watch(w->events.fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE) < 0)
        log_warn("file_sd", "cannot watch directory with inotify; polling it every refresh_interval", "directory", dir,
                 "err", strerror(errno));
    mem_free(dir);
}

void file_watch_set(struct file_watch *w, const struct file_sd *const *items, size_t n)
{
    file_watch_stop(w);
    w->interval = 0;
    if (n == 0)
        return;
    w->events.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    w->watching = w->events.fd >= 0;
    if (w->watching && !loop_watch(w->loop, &w->events, EPOLLIN)) {
        close(w->events.fd);
        w->watching = false;
    }
    for (size_t i = 0; i < n; i++) {
        if (w->interval == 0 || items[i]->refresh_interval < w->interval)
            w->interval = items[i]->refresh_interval;
        for (size_t k = 0; w->watching && k < items[i]->files.n; k++)
            watch_directory(w, items[i]->files.items[k]);
    }
    loop_timer_in(w->loop, &w->timer, w->interval);
}
