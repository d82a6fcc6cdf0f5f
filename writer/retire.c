// SPDX-License-Identifier: Apache-2.0
/* Retires removed destinations, in three steps:
 *
 * 1. Each lane, which has already stopped using the destination, frees its part in a separate task, after tasks that
 *    other lanes have posted to it.
 * 2. The io thread ends the queue: it writes what is left and retries failed writes for RETRY_MS.
 * 3. Main closes the destination. Its queue directory remains on disk.
 */
#include "base/telemetry/log.h"
#include "writer/writer_internal.h"

#include <unistd.h>

enum {
    CLOSE_MS = 2000,    /* longest wait for a queue that is being closed */
    RETRY_MS = 3000,    /* failed writes are retried for this long */
    READS_MS = 10
};

struct retiring {
    struct list node;
    struct loop_task freed, closed;
    struct writer *writer;
    struct destination *dest; /* NULL when its files are closed */
    bool ending;
    atomic_uint lanes;        /* that have not yet freed their part */
};
struct retire_task {
    struct loop_task task;
    struct loop_timer again;
    struct retiring *retiring;
    struct destination_lane *dl;
};

static void run_closed(struct loop_task *task)
{
    struct retiring *x = CONTAINER(task, struct retiring, closed);
    struct writer *w = x->writer;
    if (x->dest) {
        destination_close(x->dest);
        if (w->stopped == NULL) /* its size is known now that all is written */
            orphans_find(w);
    }
    list_remove(&x->node);
    mem_free(x);
    writer_stop_if_retired(w);
}

static void retire_end_queue(struct retiring *x)
{
    if (!x->ending)
        queue_end(x->dest->queue, RETRY_MS, x->writer->env.main, &x->closed);
    x->ending = true;
}

static void run_freed(struct loop_task *task) { retire_end_queue(CONTAINER(task, struct retiring, freed)); }

static bool retire_reads_in_flight(const struct destination_lane *dl)
{
    for (size_t i = 0; i < dl->n; i++)
        if (dl->shards[i]->reading)
            return true;
    return false;
}

static void retire_free_lane(struct retire_task *f)
{
    struct retiring *x = f->retiring;
    struct loop *main = x->writer->env.main;
    if (retire_reads_in_flight(f->dl)) { /* the io thread still writes into the shard */
        loop_timer_in(f->dl->loop, &f->again, READS_MS);
        return;
    }
    destination_lane_free(f->dl);
    mem_free(f);
    if (atomic_fetch_sub(&x->lanes, 1) == 1)
        loop_post(main, &x->freed);
}

static void retire_lane(struct loop_task *task) { retire_free_lane(CONTAINER(task, struct retire_task, task)); }

static void run_retire_lane_again(struct loop_timer *timer)
{
    retire_free_lane(CONTAINER(timer, struct retire_task, again));
}

/* A reload has removed the destination while blocks were pending. */
static void log_backlog(const struct destination *d)
{
    log_warn("remote_write", "destination removed with undelivered samples; its queue directory stays until the "
             "destination is configured again or the directory is deleted", "name", d->name, "dir", d->identity,
             LOG_U64("pending_bytes", queue_bytes(d->queue) + queue_unwritten_bytes(d->queue)));
}

void retire_add(struct writer *w, struct destination *d)
{
    if (w->stopped == NULL && queue_bytes(d->queue) + queue_unwritten_bytes(d->queue) > 0)
        log_backlog(d);
    struct retiring *x = mem_zalloc(sizeof *x);
    *x = (struct retiring){.freed.run = run_freed, .closed.run = run_closed, .writer = w, .dest = d};
    atomic_init(&x->lanes, w->env.n_lanes);
    list_push_back(&w->retiring, &x->node);
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct retire_task *f = mem_zalloc(sizeof *f);
        *f = (struct retire_task){{.run = retire_lane}, {.run = run_retire_lane_again}, x, d->per_lane[i]};
        loop_post(w->env.lanes[i], &f->task);
    }
}

static bool retire_is_done(struct retiring *x)
{
    if (atomic_load(&x->lanes) > 0)
        return false;
    retire_end_queue(x);
    return queue_ended(x->dest->queue);
}

/* The wait is short unless the disk hangs: lanes do not wait for each other. */
bool retire_wait(struct writer *w, const char *identity, struct err *err)
{
    for (struct list *n = w->retiring.next; n != &w->retiring; n = n->next) {
        struct retiring *x = CONTAINER(n, struct retiring, node);
        if (x->dest == NULL || strcmp(x->dest->identity, identity) != 0)
            continue;
        for (int ms = 0; !retire_is_done(x); ms++) {
            if (ms == CLOSE_MS)
                return err_set(err, ERR_UNAVAILABLE,
                               "remote_write: the queue %s is still being closed; reload again in a moment", identity);
            usleep(1000);
        }
        destination_close(x->dest);
        x->dest = NULL;
    }
    return true;
}

void retire_abandon(struct writer *w)
{
    for (struct list *n = w->retiring.next; n != &w->retiring; n = n->next) {
        struct retiring *x = CONTAINER(n, struct retiring, node);
        if (x->dest)
            queue_log_abandoned(x->dest->queue);
    }
}
