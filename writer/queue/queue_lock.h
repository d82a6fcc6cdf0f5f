// SPDX-License-Identifier: Apache-2.0
/* Lock on the directory of all queues, which keeps a second process out: flock on the file `lock` in it.
 *
 * The file may be deleted, alone or with the directory. A second process would then create and lock a new one, so the
 * io threads check once a second, and before they create any file again, that the name still leads to the locked file.
 *
 * While a writer runs, the file has the line "running" and a line for each queue that it uses; a clean stop empties it. So
 * the next run knows how this one ended, and `sluice queue` which queues it may take. A line "positions ID" names the
 * table of positions (position_table.h); who locks the directory after a crash applies it first.
 */
#ifndef WRITER_QUEUE_QUEUE_LOCK_H
#define WRITER_QUEUE_QUEUE_LOCK_H

#include "base/err.h"
#include "base/os/file_thread.h"
#include "writer/queue/position_table.h"

struct queue_lock;
/* Creates dir if it does not exist. NULL: in use by another process, or an error. */
struct queue_lock *queue_lock_new(const char *dir, struct err *err) MUST_USE;
/* The same on a separate thread, as queue_open_begin and the functions after it (queue.h), and marks the file until
 * queue_lock_free. */
struct queue_lock_request;
enum queue_opened { QUEUE_OPEN, QUEUE_FAILED, QUEUE_HANGS };
struct queue_lock_request *queue_lock_begin(const char *dir, struct err *err) MUST_USE;
enum queue_opened queue_lock_end(struct queue_lock_request *r, int64_t hang_ms, bool (*interrupted)(void),
                                 struct queue_lock **lock, struct err *err) MUST_USE;
void queue_lock_notify(struct queue_lock_request *r, struct loop *home, struct loop_task *task);
void queue_lock_cancel(struct queue_lock_request *r);
void queue_lock_free(struct queue_lock *l); /* NULL is fine */
/* Any thread; reads and writes the disk. The name of a queue in the directory, while it is open. NULL is fine. */
void queue_lock_add_queue(struct queue_lock *l, const char *name);
void queue_lock_remove_queue(struct queue_lock *l, const char *name);
/* Whether another process uses the queue of this name, or none of the directory. */
enum queue_use { QUEUE_DIR_UNUSED, QUEUE_UNUSED, QUEUE_USED };
enum queue_use queue_lock_use_of(const char *dir, const char *name);
/* Of the running writer; NULL: it has none. */
struct position_table *queue_lock_positions(const struct queue_lock *l);
/* The path below the directory of the lock, or NULL. */
const char *queue_lock_relative(const struct queue_lock *l, const char *path);
bool queue_lock_was_running(const struct queue_lock *l); /* the last run did not end with queue_lock_free */
/* Any thread; reads the disk. Creates and locks the file again when it was deleted. False with errno: the directory is
 * not usable now; EBUSY: another process has locked it. */
bool queue_lock_hold(struct queue_lock *l) MUST_USE;

#endif
