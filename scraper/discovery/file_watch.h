// SPDX-License-Identifier: Apache-2.0
/* Schedules reading target files: soon after a change in a watched directory (inotify), and at least once an interval.
 * Main thread. */
#ifndef SCRAPER_DISCOVERY_FILE_WATCH_H
#define SCRAPER_DISCOVERY_FILE_WATCH_H

#include "base/os/loop.h"
#include "scraper/scraper.h"

struct discovery {
    struct loop *loop;
    void (*look)(struct discovery *d); /* the struct is embedded in the owner's */
    struct loop_fd events;
    struct loop_timer timer;
    int64_t interval;          /* 0 = no files */
    bool watching;
};
void discovery_init(struct discovery *d, struct loop *loop, void (*look)(struct discovery *d));
/* Watches the directories of these jobs' files, and no others. */
void discovery_watch(struct discovery *d, const struct scrape_job *jobs, size_t n);
void discovery_stop(struct discovery *d);

#endif
