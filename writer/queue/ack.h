// SPDX-License-Identifier: Apache-2.0
/* A receipt: "is what I committed safe yet?" A batch holds one; every place that its bytes go through holds it too, and
 * when the last hold is dropped `done` runs on the loop of the lane that committed. One hold that is dropped with false
 * makes it a no, and so does a disk that takes longer than RECEIPT_MS. Holds are atomic: lanes and io threads drop
 * them.
 */
#ifndef WRITER_QUEUE_ACK_H
#define WRITER_QUEUE_ACK_H

#include "base/os/loop.h"

#include <stdatomic.h>

enum { RECEIPT_MS = 10000 };
struct ack {
    struct loop_task task;
    struct loop_timer late;
    atomic_uint holds;
    atomic_bool failed;
    struct loop *home;
    void (*done)(void *arg, bool ok);
    void *arg;
};

/* On the thread of `home`. One hold: the batch's. */
struct ack *ack_new(struct loop *home, void (*done)(void *arg, bool ok), void *arg);
static inline struct ack *ack_hold(struct ack *r)
{
    atomic_fetch_add_explicit(&r->holds, 1, memory_order_relaxed);
    return r;
}
void ack_drop(struct ack *r, bool ok); /* any thread */

/* Who waits for one block: a hold of each goes with it. more: they wait for a block behind it in the shard too, so
 * that one sync serves both. */
struct pending_acks { struct ack *const *acks; size_t n; bool more; };

#endif
