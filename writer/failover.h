// SPDX-License-Identifier: Apache-2.0
/* When a backup sends (writer/send/backup.h has the lanes' part).
 *
 *                     the oldest block of the primary
 *                     is pending for failover_after
 *      +-> STANDBY --------------------------------> RECORDING ---> SENDING --+
 *      |      ^                                   the window is on disk       |
 *   LOADING --+-------- no block was pending that long for failover_hold -----+
 *
 * The backup begins with the oldest sample that the primary has not acknowledged. It sends until the primary has taken
 * its backlog, too: until then new samples may be in no other storage. failover_hold keeps a primary that fails again and
 * again from switching to and fro.
 *
 * A backup may have a backup, too: each has the blocks that its primary has not delivered or dropped.
 *
 * The time of which the backup has samples is a window (failover_windows.h). It is on disk, without an end, before the
 * first block is sent, so that after a crash the backup goes on where it was. Queries read the windows from the backup,
 * too: writer_written.
 *
 * Threads: main, unless stated otherwise.
 */
#ifndef WRITER_FAILOVER_H
#define WRITER_FAILOVER_H

#include "writer/failover_windows.h"
#include "writer/writer_internal.h"

enum failover_state { FAILOVER_LOADING, FAILOVER_STANDBY, FAILOVER_RECORDING, FAILOVER_SENDING };
struct failover;

/* The pair that is in force already, or a new one. A reference. */
struct backup_pair *failover_pair(const struct writer *w, struct destination *primary, struct destination *backup);
/* The topology is the newest one; plan: its settings. NULL: the writer stops. */
void failover_use(struct writer *w, const struct topology *p, const struct writer_plan *plan);

/* Any thread, under the writer's lock; `d` is a backup if d->failover is set. */
struct failover_status {
    const char *primary;             /* its name */
    bool sends;
    int64_t since;                   /* Unix ms since when it sends */
    uint64_t switches;               /* how often it began to send */
    unsigned windows;
    int64_t window_ms;               /* sum of the windows' lengths */
};
void failover_status(const struct failover *f, int64_t now, struct failover_status *out);
void failover_collect(struct writer *w, struct stats_out *out); /* metrics; any thread, without the lock */
/* Whether samples of the time were written. */
struct written failover_written(const struct failover *f, int64_t from, int64_t to);

#endif
