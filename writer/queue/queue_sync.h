// SPDX-License-Identifier: Apache-2.0
/* fdatasync of a queue's segments, off the io thread: a sync may take seconds on a busy disk, and meanwhile delivered
 * blocks must be recorded, or a crash would send them again. It runs on a thread for files (base/os/file_work.h).
 *
 * Owned by the io thread, which adds files while no sync is running. A sync that hangs when the queue is freed frees the
 * syncer when its disk responds.
 */
#ifndef WRITER_QUEUE_QUEUE_SYNC_H
#define WRITER_QUEUE_QUEUE_SYNC_H

#include <stdbool.h>
#include <stdint.h>

struct queue_syncer;
struct queue_syncer *queue_syncer_new(void);
void queue_syncer_free(struct queue_syncer *s); /* NULL is fine */
bool queue_syncer_busy(const struct queue_syncer *s);
/* Adds a descriptor, which is duplicated, and `levels` directories: dir and its parents, whose names are new. False:
 * no descriptor is left. */
bool queue_syncer_add(struct queue_syncer *s, int fd, const char *dir, unsigned levels);
void queue_syncer_start(struct queue_syncer *s); /* what was added, if anything */
void queue_syncer_take_counts(struct queue_syncer *s, uint64_t *syncs, uint64_t *ns); /* since the last call */
/* A new file's name is on disk when its directory is synced. False with errno. */
bool queue_sync_names(const char *dir, unsigned levels);

#endif
