// SPDX-License-Identifier: Apache-2.0
/* Acknowledgement of a pushed batch: reports to the sender when its blocks are as safe as `durability` demands.
 *
 * The batch and every place that its bytes pass (pending block, write job) hold a reference. When the last reference is
 * dropped, `done` runs on the loop of the lane that committed the batch. A reference that is dropped with ok = false
 * fails the batch, and so does a disk that takes longer than ACK_TIMEOUT_MS. The reference count is atomic: lanes and
 * io threads drop references.
 */
#ifndef WRITER_QUEUE_ACK_H
#define WRITER_QUEUE_ACK_H

#include "base/os/loop.h"
#include "base/refs.h"

#include <stdatomic.h>

enum { ACK_TIMEOUT_MS = 10000 };
struct ack {
    struct loop_task task;
    struct loop_timer timeout;
    struct refs refs;
    atomic_bool failed;
    struct loop *home;
    void (*done)(void *arg, bool ok);
    void *arg;
};

/* On the thread of `home`. One reference, the batch's. */
struct ack *ack_new(struct loop *home, void (*done)(void *arg, bool ok), void *arg);
static inline struct ack *ack_ref(struct ack *a)
{
    refs_take(&a->refs);
    return a;
}
void ack_release(struct ack *a, bool ok); /* any thread */

/* When a block must be on disk. The acks wait for that; a reference of each belongs to the block. more: the same acks
 * wait for a later block of this shard too, so that one sync serves both. write_by: clock_mono_ms at which it is written
 * unless it is delivered by then; 0, or with acks: at once. */
struct write_terms { struct ack *const *acks; size_t n; bool more; int64_t write_by; };

#endif
