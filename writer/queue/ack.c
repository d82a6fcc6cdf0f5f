// SPDX-License-Identifier: Apache-2.0
/* Acknowledgements: reference counting across threads, and the timeout for slow disks. */
#include "writer/queue/ack.h"

static void ack_run(struct loop_task *task)
{
    struct ack *a = CONTAINER(task, struct ack, task);
    loop_timer_stop(a->home, &a->timeout);
    if (a->done)
        a->done(a->arg, !atomic_load(&a->failed));
    mem_free(a);
}

/* The references may be held for a long time after this. */
static void ack_run_timeout(struct loop_timer *timer)
{
    struct ack *a = CONTAINER(timer, struct ack, timeout);
    void (*done)(void *arg, bool ok) = a->done;
    a->done = NULL;
    done(a->arg, false);
}

struct ack *ack_new(struct loop *home, void (*done)(void *arg, bool ok), void *arg)
{
    struct ack *a = mem_zalloc(sizeof *a);
    a->task.run = ack_run;
    a->timeout.run = ack_run_timeout;
    loop_timer_in(home, &a->timeout, ACK_TIMEOUT_MS);
    refs_init(&a->refs);
    atomic_init(&a->failed, false);
    a->home = home;
    a->done = done;
    a->arg = arg;
    return a;
}

void ack_release(struct ack *a, bool ok)
{
    if (!ok)
        atomic_store(&a->failed, true);
    if (refs_drop(&a->refs))
        loop_post(a->home, &a->task);
}
