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
    struct discovery *d = CONTAINER(timer, struct discovery, timer);
    loop_timer_in(d->loop, timer, d->interval);
    d->look(d);
}

static void file_watch_event(struct loop_fd *watch, uint32_t events UNUSED)
{
    struct discovery *d = CONTAINER(watch, struct discovery, events);
    char drained[4096];
    while (read(watch->fd, drained, sizeof drained) > 0) {
    }
    /* never postponed: the directory may be written to all the time */
    if (d->timer.due > loop_mono(d->loop) + SETTLE_MS)
        loop_timer_in(d->loop, &d->timer, SETTLE_MS);
}

void discovery_init(struct discovery *d, struct loop *loop, void (*look)(struct discovery *d))
{
    *d = (struct discovery){.loop = loop, .look = look, .events.run = file_watch_event, .timer.run = file_watch_timer};
}

void discovery_stop(struct discovery *d)
{
    loop_timer_stop(d->loop, &d->timer);
    if (!d->watching)
        return;
    loop_unwatch(d->loop, &d->events);
    close(d->events.fd);
    d->watching = false;
}

static void watch_directory(struct discovery *d, struct str path)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    char *dir = n ? str_dup(str_first(path, n)) : mem_strdup(".");
    if (inotify_add_watch(d->events.fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE) < 0)
        log_warn("file_sd", "cannot watch directory with inotify; polling it every refresh_interval", "directory", dir,
                 "err", strerror(errno));
    mem_free(dir);
}

static void watch_job(struct discovery *d, const struct scrape_job *job)
{
    for (size_t i = 0; i < job->file_sd_configs.n; i++) {
        const struct file_sd *sd = (const struct file_sd *)job->file_sd_configs.items + i;
        if (d->interval == 0 || sd->refresh_interval < d->interval)
            d->interval = sd->refresh_interval;
        for (size_t k = 0; d->watching && k < sd->files.n; k++)
            watch_directory(d, sd->files.items[k]);
    }
}

void discovery_watch(struct discovery *d, const struct scrape_job *jobs, size_t n)
{
    bool any = false;
    discovery_stop(d);
    d->interval = 0;
    for (size_t i = 0; i < n; i++)
        any = any || jobs[i].file_sd_configs.n > 0;
    if (!any)
        return;
    d->events.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    d->watching = d->events.fd >= 0;
    if (d->watching && !loop_watch(d->loop, &d->events, EPOLLIN)) {
        close(d->events.fd);
        d->watching = false;
    }
    for (size_t i = 0; i < n; i++)
        watch_job(d, &jobs[i]);
    loop_timer_in(d->loop, &d->timer, d->interval);
}
