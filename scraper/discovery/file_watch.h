// SPDX-License-Identifier: Apache-2.0
/* When files are looked at again: soon after something happens in one of the watched folders (inotify), and at least
 * once an interval. The main thread's.
 */
#ifndef SCRAPER_DISCOVERY_FILE_WATCH_H
#define SCRAPER_DISCOVERY_FILE_WATCH_H

#include "base/os/loop.h"
#include "scraper/scraper.h"

struct discovery {
    struct loop *loop;
    void (*look)(struct discovery *d); /* embed it */
    struct loop_fd events;
    struct loop_timer timer;
    int64_t interval;          /* 0 = nothing to look at */
    bool watching;
};
void discovery_init(struct discovery *d, struct loop *loop, void (*look)(struct discovery *d));
/* Watches the folders of these jobs' files from now on, and those only. */
void discovery_watch(struct discovery *d, const struct scrape_job *jobs, size_t n);
void discovery_stop(struct discovery *d);

#endif
