// SPDX-License-Identifier: Apache-2.0
/* Queue directories whose disk hangs when a configuration needs them. The program does not wait for them: the
 * destination is not part of the topology, everything else takes effect, and when the disk responds,
 * writer_env.apply_again requests that the configuration is applied again, which adds the destination.
 *
 * The same with the lock file of the directory of all queues, without which no queue is opened.
 *
 * Opening a queue is never aborted while the writer runs, since a second thread would open the same files as the
 * first; a queue that is no longer needed is closed when its disk responds. Main.
 */
#ifndef WRITER_LATE_H
#define WRITER_LATE_H

#include "base/list.h"
#include "writer/queue/queue.h"

struct destination_conf;
struct writer;
struct late_opens {
    struct list queues;             /* of struct late_queue */
    struct queue_lock_request *lock; /* NULL: none is in progress */
    struct loop_task opened;        /* posted when one of them responds */
};
void late_init(struct writer *w);
/* Abandons what hangs. */
void late_free(struct writer *w);

/* Locks the directory of all queues, unless it is. */
enum queue_opened late_lock(struct writer *w, struct err *err);
/* Starts opening a queue, unless it is being opened; several at a time wait for their disks concurrently. */
bool late_begin(struct writer *w, const struct destination_conf *c, const char *identity, struct err *err) MUST_USE;
/* Waits for a queue that is being opened, unless its disk is known to hang. QUEUE_OPEN: the caller owns *q. */
enum queue_opened late_take(struct writer *w, const char *identity, struct queue **q, struct err *err);
/* Closes opened queues that late_take did not return; writer_env.apply_again will report those that hang. */
void late_sweep(struct writer *w);

#endif
