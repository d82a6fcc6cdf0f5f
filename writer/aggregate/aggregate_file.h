// SPDX-License-Identifier: Apache-2.0
/* Checkpoints: the state of aggregation on disk, beside the queue, for a process that follows one that was killed or
 * stopped.
 *
 * DIR/aggregation/PLACE.LANE has the state of a stage on a lane (aggregate_save_some), PLACE being the hash that
 * identifies the stage, in hexadecimal. A whole saving is written to PLACE.LANE.new while the lane saves, synced and
 * renamed when it is complete; what has changed since is appended and synced. The threads for files do this: a lane
 * hands over frames and never waits for a disk. What is read is checked by the frames' checksums: a file ends with the
 * last saving that is complete, and one without is ignored and logged. */
#ifndef WRITER_AGGREGATE_AGGREGATE_FILE_H
#define WRITER_AGGREGATE_AGGREGATE_FILE_H

#include "base/buf.h"

#include <stdint.h>

/* The files that the previous process has left of a stage, of all its lanes, whose number may differ. Reference
 * counted; any thread. */
struct aggregate_left;
/* Main; waits for the disk, at most some seconds. NULL: nothing. dir: of the queues. */
struct aggregate_left *aggregate_left_read(const char *dir, uint64_t place);
struct aggregate_left *aggregate_left_ref(struct aggregate_left *l);
void aggregate_left_unref(struct aggregate_left *l); /* NULL is fine */
size_t aggregate_left_files(const struct aggregate_left *l);
/* The lane's own file, if there is one, is the first: its times are those of the lane's groups. */
struct str aggregate_left_bytes(const struct aggregate_left *l, unsigned lane, size_t file);
/* A lane has read it; the memory is freed when all lanes have called this. */
void aggregate_left_taken(struct aggregate_left *l, unsigned n_lanes);

/* The file of a lane; on its thread. left: NULL, or what was read of this place: when the new files of all lanes are
 * complete, those of lanes that no longer exist are deleted. */
struct aggregate_file;
struct aggregate_file *aggregate_file_new(const char *dir, uint64_t place, unsigned lane, unsigned n_lanes,
                                          struct aggregate_left *left);
/* What has been handed over is still written, or removed. NULL is fine. */
void aggregate_file_free(struct aggregate_file *f);
bool aggregate_file_busy(struct aggregate_file *f); /* the last complete saving is not on disk yet */
bool aggregate_file_full(struct aggregate_file *f); /* the disk is slower: hand over the next frame later */
bool aggregate_file_lost(struct aggregate_file *f); /* something could not be written: the next saving must be whole */
/* Hands over the next frames of a saving, and empties the buffer. FIRST: of a saving, which replaces one that was not
 * completed; LAST: it is complete; WHOLE: it replaces those before it. */
enum { AGGREGATE_FILE_FIRST = 1, AGGREGATE_FILE_LAST = 2, AGGREGATE_FILE_WHOLE = 4 };
void aggregate_file_add(struct aggregate_file *f, struct buf *frames, unsigned which);
void aggregate_file_remove(struct aggregate_file *f);
void aggregate_file_wait(void); /* a little, at the stop of the program */

#endif
