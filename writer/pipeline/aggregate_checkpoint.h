// SPDX-License-Identifier: Apache-2.0
/* When the state of aggregation on a lane is saved (writer/aggregate/aggregate_file.h). The lane's thread.
 *
 * - Each flush interval, if anything has changed: what has. If that is much, less often, so that at most
 *   CHECKPOINT_RATE bytes a second are appended. The whole state is saved instead when as much as it has been appended,
 *   at first, and at the same rate after the disk has failed.
 * - Right before results of an interval are written, and then not before these are on disk in their queues: a process
 *   that follows one that was killed in between writes the same results again, rather than none. If results follow each
 *   other more quickly than that, the state is saved before some of them, when those before may not be on disk yet.
 *
 * A process that is killed thus loses the input since the last saving, and no result whose interval is longer than a
 * flush interval and CHECKPOINT_MARGIN_MS. Results wait for a saving, but at most CHECKPOINT_DISK_MS for a disk that is
 * too slow. */
#ifndef WRITER_PIPELINE_AGGREGATE_CHECKPOINT_H
#define WRITER_PIPELINE_AGGREGATE_CHECKPOINT_H

#include "writer/aggregate/aggregate.h"
#include "writer/aggregate/aggregate_file.h"

enum { CHECKPOINT_RATE = 4 << 20, CHECKPOINT_MARGIN_MS = 300 /* until sealed blocks are on disk */,
       CHECKPOINT_DISK_MS = 5000 };
struct aggregate_checkpoint {
    struct aggregate_file *file;         /* NULL: nothing is saved */
    int64_t interval;                    /* ms */
    bool changed;                        /* since the last saving began */
    bool flushes;                        /* results are being written */
    bool saved;                          /* right before these */
    bool saving, begun; unsigned set;    /* which set is being saved; begun: it has begun */
    bool whole;                          /* this saving */
    size_t whole_bytes, appended;        /* of the last whole saving, and since; 0: the next one must be whole */
    bool handed;                         /* frames of this saving, to the file */
    int64_t due, hold, since;            /* Unix ms: of the next saving; not before; when this one began */
    int64_t full_since;                  /* Unix ms: since when the disk has been too slow; 0: it is not */
    size_t bytes;                        /* of this saving, or the last one */
    struct buf frame;
};

enum { CHECKPOINT_RETRY_MS = 20 };
enum checkpoint_state {
    CHECKPOINT_IDLE,
    CHECKPOINT_MORE, /* in the next turn */
    CHECKPOINT_WAITS /* for the disk, CHECKPOINT_RETRY_MS */
};
/* Before aggregate_flush, in each turn. sets: NULL ones are skipped. IDLE: a flush may begin. */
enum checkpoint_state checkpoint_run(struct aggregate_checkpoint *c, struct aggregate *const *sets, unsigned n,
                                     int64_t now, int64_t end);
void checkpoint_flushed(struct aggregate_checkpoint *c, int64_t now); /* aggregate_flush has nothing left to do */
int64_t checkpoint_due(const struct aggregate_checkpoint *c);        /* INT64_MAX: never */
/* The state at the stop of the program, waiting for the disk. */
void checkpoint_finish(struct aggregate_checkpoint *c, struct aggregate *const *sets, unsigned n, int64_t now);
void checkpoint_free(struct aggregate_checkpoint *c);

#endif
