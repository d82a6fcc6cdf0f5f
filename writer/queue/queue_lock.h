// SPDX-License-Identifier: Apache-2.0
/* The lock on the directory of all queues, which keeps a second process out: flock on the file `lock` in it.
 *
 * The file may be deleted, alone or with the directory. A second process would then create and lock another one, so the
 * io threads check once a second, and before they create anything anew, that the file is the one that is locked.
 */
#ifndef WRITER_QUEUE_QUEUE_LOCK_H
#define WRITER_QUEUE_QUEUE_LOCK_H

#include "base/err.h"

struct queue_lock;
/* Creates dir when it does not exist. NULL: it is in use, or an error. */
struct queue_lock *queue_lock_new(const char *dir, struct err *err) MUST_USE;
void queue_lock_free(struct queue_lock *l); /* NULL is fine */
/* Any thread; reads the disk. Creates and locks the file again when it was deleted. False with errno: the directory
 * cannot be used now; EBUSY: another process has locked it. */
bool queue_lock_hold(struct queue_lock *l) MUST_USE;

#endif
