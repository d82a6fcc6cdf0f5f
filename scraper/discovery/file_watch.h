// SPDX-License-Identifier: Apache-2.0
/* Schedules reading target files: soon after a change in a watched directory (inotify), and at least once an interval.
 * Main thread. */
#ifndef SCRAPER_DISCOVERY_FILE_WATCH_H
#define SCRAPER_DISCOVERY_FILE_WATCH_H

#include "base/os/loop.h"
#include "scraper/discovery/sd_conf.h"

struct file_watch {
    struct loop *loop;
    void (*poll)(struct file_watch *w); /* the struct is embedded in the owner's */
    struct loop_fd events;
    struct loop_timer timer;
    int64_t interval;          /* 0 = no files */
    bool watching;
};
void file_watch_init(struct file_watch *w, struct loop *loop, void (*poll)(struct file_watch *w));
/* Watches the directories of the files of these items, and no others. */
void file_watch_set(struct file_watch *w, const struct file_sd *const *items, size_t n);
void file_watch_stop(struct file_watch *w);

#endif
