// SPDX-License-Identifier: Apache-2.0
/* Schedules reading target files: soon after a change in a watched directory (inotify), and at least once an interval.
 * Main thread. */
#ifndef MODEL_DISCOVERY_FILE_WATCH_H
#define MODEL_DISCOVERY_FILE_WATCH_H

#include "base/os/loop.h"
#include "model/discovery/files/dir_watch.h"

struct file_watch {
    struct loop *loop;
    void (*poll)(struct file_watch *w); /* the struct is embedded in the owner's */
    struct loop_fd events;
    struct loop_timer timer;
    int64_t interval;            /* 0 = no files */
    struct dir_watch *dirs;      /* to which the readers of files add their directories; NULL: they are polled */
};
void file_watch_init(struct file_watch *w, struct loop *loop, void (*poll)(struct file_watch *w));
void file_watch_set(struct file_watch *w, int64_t interval); /* begins again without directories; 0: no files */
void file_watch_stop(struct file_watch *w);

#endif
