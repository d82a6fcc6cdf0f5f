// SPDX-License-Identifier: Apache-2.0
#include "writer/receipt.h"

static void run(struct loop_task *task)
{
    struct receipt *r = CONTAINER(task, struct receipt, task);
    r->done(r->arg, !atomic_load(&r->failed));
    mem_free(r);
}

struct receipt *receipt_new(struct loop *home, void (*done)(void *arg, bool ok), void *arg)
{
    struct receipt *r = mem_zalloc(sizeof *r);
    r->task.run = run;
    atomic_init(&r->holds, 1);
    atomic_init(&r->failed, false);
    r->home = home;
    r->done = done;
    r->arg = arg;
    return r;
}

void receipt_drop(struct receipt *r, bool ok)
{
    if (!ok)
        atomic_store(&r->failed, true);
    if (atomic_fetch_sub_explicit(&r->holds, 1, memory_order_acq_rel) == 1)
        loop_post(r->home, &r->task);
}
