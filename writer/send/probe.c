// SPDX-License-Identifier: Apache-2.0
#include "writer/send/destination_lane.h"

#include "base/text/duration.h"

/* ---- jobs for other lanes ---- */

struct probe_job { struct loop_task task; struct destination_lane *lane; int64_t due; };

static void probe_post(struct destination_lane *dl, void (*run)(struct loop_task *task), int64_t due)
{
    struct probe_job *j = mem_alloc(sizeof *j);
    *j = (struct probe_job){{.run = run}, dl, due};
    atomic_fetch_add(&dl->releases, 1);
    loop_post(dl->loop, &j->task);
}

static struct probe_job probe_job_end(struct loop_task *task)
{
    struct probe_job *j = CONTAINER(task, struct probe_job, task), copy = *j;
    atomic_fetch_sub(&copy.lane->releases, 1);
    mem_free(j);
    return copy;
}

/* A lane that works again, or has left, ignores its turn. */
static void probe_run_turn(struct loop_task *task)
{
    struct probe_job j = probe_job_end(task);
    if (j.lane->down && !loop_timer_armed(&j.lane->retry))
        loop_timer_at(j.lane->loop, &j.lane->retry, j.due);
}

/* A request that was in flight may have failed meanwhile: then the lane waits for the next retry. */
static void probe_run_release(struct loop_task *task)
{
    struct destination_lane *dl = probe_job_end(task).lane;
    mutex_lock(&dl->dest->lock);
    bool waits = dl->probe_waits;
    mutex_unlock(&dl->dest->lock);
    if (dl->down && !waits)
        destination_lane_continue(dl);
}

/* ---- whose turn it is, with the lock ---- */

static int64_t probe_next_backoff(struct probe *p, const struct dest_settings *s)
{
    p->backoff = p->backoff ? p->backoff * 2 : s->min_backoff;
    if (p->backoff > s->max_backoff)
        p->backoff = s->max_backoff;
    /* plus up to 10% jitter, so that several senders do not retry in step */
    return p->backoff + clock_mono_ns() / 1000 % (p->backoff / 10 + 1);
}

/* The next lane that waits, in a circle; the last one is this one itself. */
static struct destination_lane *probe_pass_turn(struct destination *d)
{
    struct probe *p = &d->probe;
    do
        p->turn = (p->turn + 1) % d->n_lanes;
    while (!d->per_lane[p->turn]->probe_waits);
    p->armed = true;
    return d->per_lane[p->turn];
}

/* ---- events ---- */

void probe_failed(struct destination_lane *dl, int64_t wait_ms)
{
    struct destination *d = dl->dest;
    struct probe *p = &d->probe;
    struct destination_lane *next = NULL;
    int64_t wait = 0;
    mutex_lock(&d->lock);
    if (!dl->probe_waits) {
        dl->probe_waits = true;
        if (p->lanes++ == 0) {
            p->turn = dl->index;
            p->armed = false;
        }
    }
    if (p->turn == dl->index && !p->armed) { /* of requests that fail together only the first increases the delay */
        wait = probe_next_backoff(p, dl->settings);
        if (wait_ms > 0)
            wait = wait_ms > dl->settings->max_backoff ? dl->settings->max_backoff : wait_ms;
        next = probe_pass_turn(d);
    }
    mutex_unlock(&d->lock);
    if (next == dl)
        loop_timer_in(dl->loop, &dl->retry, wait);
    else if (next)
        probe_post(next, probe_run_turn, clock_mono_ms() + wait);
}

void probe_begun(struct destination_lane *dl)
{
    mutex_lock(&dl->dest->lock);
    if (dl->dest->probe.turn == dl->index)
        dl->dest->probe.armed = false;
    mutex_unlock(&dl->dest->lock);
}

void probe_succeeded(struct destination_lane *dl)
{
    struct destination *d = dl->dest;
    mutex_lock(&d->lock);
    d->probe = (struct probe){.lanes = 0};
    for (unsigned i = 0; i < d->n_lanes; i++) {
        if (d->per_lane[i]->probe_waits && i != dl->index)
            probe_post(d->per_lane[i], probe_run_release, 0);
        d->per_lane[i]->probe_waits = false;
    }
    mutex_unlock(&d->lock);
}

void probe_left(struct destination_lane *dl)
{
    struct destination *d = dl->dest;
    struct destination_lane *next = NULL;
    mutex_lock(&d->lock);
    if (dl->probe_waits) {
        dl->probe_waits = false;
        if (--d->probe.lanes > 0 && d->probe.turn == dl->index)
            next = probe_pass_turn(d);
    }
    mutex_unlock(&d->lock);
    if (next)
        probe_post(next, probe_run_turn, clock_mono_ms());
}
