// SPDX-License-Identifier: Apache-2.0
#include "writer/queue/ack.h"

static void run_receipt(struct loop_task *task)
{
    struct ack *r = CONTAINER(task, struct ack, task);
    loop_timer_stop(r->home, &r->late);
    if (r->done)
        r->done(r->arg, !atomic_load(&r->failed));
    mem_free(r);
}

/* Those who hold it may do so for a long time yet. */
static void run_receipt_late(struct loop_timer *timer)
{
    struct ack *r = CONTAINER(timer, struct ack, late);
    void (*done)(void *arg, bool ok) = r->done;
    r->done = NULL;
    done(r->arg, false);
}

struct ack *ack_new(struct loop *home, void (*done)(void *arg, bool ok), void *arg)
{
    struct ack *r = mem_zalloc(sizeof *r);
    r->task.run = run_receipt;
    r->late.run = run_receipt_late;
    loop_timer_in(home, &r->late, RECEIPT_MS);
    atomic_init(&r->holds, 1);
    atomic_init(&r->failed, false);
    r->home = home;
    r->done = done;
    r->arg = arg;
    return r;
}

void ack_drop(struct ack *r, bool ok)
{
    if (!ok)
        atomic_store(&r->failed, true);
    if (atomic_fetch_sub_explicit(&r->holds, 1, memory_order_acq_rel) == 1)
        loop_post(r->home, &r->task);
}
