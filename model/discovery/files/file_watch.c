// SPDX-License-Identifier: Apache-2.0
/* Directories are watched, not files: files are replaced by renaming, and patterns match files that do not exist yet.
 * If inotify is not available, files are polled once an interval. */
#include "model/discovery/files/file_watch.h"

#include "base/telemetry/log.h"

#include <errno.h>
#include <string.h>

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
    dir_watch_drain(w->dirs);
    /* never postponed: the directory may be written to all the time */
    if (w->timer.due > loop_mono(w->loop) + SETTLE_MS)
        loop_timer_in(w->loop, &w->timer, SETTLE_MS);
}

void file_watch_init(struct file_watch *w, struct loop *loop, void (*poll)(struct file_watch *w))
{
    *w = (struct file_watch){.loop = loop, .poll = poll, .events.run = file_watch_event, .timer.run = file_watch_timer};
}

static void file_watch_end_events(struct file_watch *w)
{
    if (w->dirs == NULL)
        return;
    loop_unwatch(w->loop, &w->events);
    dir_watch_unref(w->dirs);
    w->dirs = NULL;
}

void file_watch_stop(struct file_watch *w)
{
    loop_timer_stop(w->loop, &w->timer);
    file_watch_end_events(w);
}

static void file_watch_begin_events(struct file_watch *w)
{
    w->dirs = dir_watch_new();
    w->events.fd = w->dirs ? w->dirs->fd : -1;
    if (w->dirs && loop_watch(w->loop, &w->events, EPOLLIN))
        return;
    log_warn("file_sd", "cannot watch directories with inotify; polling them every refresh_interval", "err",
             strerror(errno));
    dir_watch_unref(w->dirs);
    w->dirs = NULL;
}

void file_watch_set(struct file_watch *w, int64_t interval)
{
    file_watch_stop(w);
    w->interval = interval;
    if (interval == 0)
        return;
    file_watch_begin_events(w);
    loop_timer_in(w->loop, &w->timer, interval);
}
