// SPDX-License-Identifier: Apache-2.0
/* Queue directories whose disk hangs when a configuration needs them. The program does not wait for them: the
 * destination is left out of the topology, everything else comes into force, and when the disk responds,
 * writer_env.late_opened asks for the configuration to be applied again, which takes the destination in.
 *
 * The same with the lock file of the directory of all queues, without which no queue is opened.
 *
 * A queue that is being opened is never given up while the writer runs, since a second thread would open the same files
 * beside the first; one that is not wanted any more is closed when its disk responds. Main.
 */
#ifndef WRITER_LATE_H
#define WRITER_LATE_H

#include "base/list.h"
#include "writer/queue/queue.h"

struct destination_conf;
struct writer;
struct late_opens {
    struct list queues;             /* of struct late_queue */
    struct queue_lock_request *lock; /* NULL: none is under way */
    struct loop_task opened;        /* posted when one of them responds */
};
void late_init(struct writer *w);
/* Abandons what hangs. */
void late_free(struct writer *w);

/* Locks the directory of all queues, unless it is. */
enum queue_opened late_lock(struct writer *w, struct err *err);
/* Begins to open a queue, unless that has begun; several at a time wait for their disks together. */
bool late_begin(struct writer *w, const struct destination_conf *c, const char *identity, struct err *err) MUST_USE;
/* Waits for a queue that was begun, if its disk is not known to hang. QUEUE_OPEN: it is *q, the caller's. */
enum queue_opened late_take(struct writer *w, const char *identity, struct queue **q, struct err *err);
/* Closes what nobody has taken; what hangs will be reported by writer_env.late_opened. */
void late_sweep(struct writer *w);

#endif
