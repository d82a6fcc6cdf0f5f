// SPDX-License-Identifier: Apache-2.0
/* Retries of a failing destination on one lane, and the draining of older generations. */
#include "writer/send/destination_lane.h"

#include <assert.h>

/* --- retries ------------------------------------------------------------------------------------------------------ */

/* One shard retries at a time, of all lanes (probe.h); when it succeeds, all continue. So a destination that recovers is
 * used within one backoff, and one that is down gets one request per backoff. */
static void run_retry(struct loop_timer *timer)
{
    struct destination_lane *dl = CONTAINER(timer, struct destination_lane, retry);
    struct list *node = list_pop_front(&dl->waiting);
    if (node == NULL) {
        destination_lane_leave(dl);
        return;
    }
    struct shard *s = CONTAINER(node, struct shard, node);
    atomic_fetch_add_explicit(&dl->dest->retries, 1, memory_order_relaxed);
    s->state = SHARD_SENDING;
    probe_begun(dl);
    sender_send(s);
}

void destination_lane_down(struct shard *s, int64_t wait_ms)
{
    struct destination_lane *dl = s->lane;
    if (!backup_may_send(s)) { /* it was in flight when the backup ceased to send */
        destination_lane_leave(dl);
        s->state = SHARD_IDLE;
        shard_kick(s);
        return;
    }
    dl->down = true;
    queue_behind(s->disk, true);
    s->state = SHARD_WAITING;
    list_push_back(&dl->waiting, &s->node);
    probe_failed(dl, wait_ms);
}

void destination_lane_continue(struct destination_lane *dl)
{
    dl->down = false;
    loop_timer_stop(dl->loop, &dl->retry);
    for (size_t i = 0; i < dl->n; i++)
        queue_behind(dl->shards[i]->disk, shard_behind(dl->shards[i]));
    for (struct list *node; (node = list_pop_front(&dl->waiting)) != NULL;) {
        struct shard *other = CONTAINER(node, struct shard, node);
        other->state = SHARD_IDLE;
        shard_kick(other);
    }
}

void destination_lane_up(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    outage_over(dl);
    if (!dl->down)
        return;
    probe_succeeded(dl);
    destination_lane_continue(dl);
}

void destination_lane_leave(struct destination_lane *dl)
{
    dl->down = false;
    loop_timer_stop(dl->loop, &dl->retry);
    probe_left(dl);
    outage_leave(dl);
}

/* --- all lanes ----------------------------------------------------------------------------------------------------- */

struct release_job { struct loop_task task; struct destination_lane *lane; };

static void run_release(struct loop_task *task)
{
    struct release_job *j = CONTAINER(task, struct release_job, task);
    atomic_fetch_sub(&j->lane->releases, 1);
    backup_lane_gate_changed(j->lane);
    for (size_t i = 0; i < j->lane->n; i++)
        shard_kick(j->lane->shards[i]);
    mem_free(j);
}

void destination_kick_lanes(struct destination *d)
{
    for (unsigned i = 0; i < d->n_lanes; i++) {
        struct release_job *j = mem_alloc(sizeof *j);
        *j = (struct release_job){{.run = run_release}, d->per_lane[i]};
        atomic_fetch_add(&j->lane->releases, 1);
        loop_post(d->lanes[i], &j->task);
    }
}

/* --- draining generations ----------------------------------------------------------------------------------------- */

/* A generation is drained when all earlier ones are, no lane writes to it any more and all its shards are empty. Then
 * its files are deleted, and all lanes start sending the next one. */
void destination_lane_drained(struct shard *s)
{
    struct destination *d = s->dest;
    if (s->drained || s->generation_at + 1 >= s->lane->settled_generations ||
        s->generation_at != atomic_load(&d->active))
        return;
    s->drained = true;
    shard_release_memory(s);
    if (atomic_fetch_sub(&s->generation->undrained, 1) > 1)
        return;
    atomic_fetch_add(&d->active, 1);
    queue_retire(d->queue, s->generation_at);
    destination_kick_lanes(d);
}

/* --- create and free ---------------------------------------------------------------------------------------------- */

struct destination_lane *destination_lane_new(struct destination *d, unsigned index, struct loop *loop)
{
    struct destination_lane *dl = mem_zalloc(sizeof *dl);
    dl->dest = d;
    dl->index = index;
    dl->loop = loop;
    dl->retry.run = run_retry;
    drain_limit_begin(&dl->drain_limit);
    dl->outage.run = outage_timer_run;
    list_init(&dl->waiting);
    return dl;
}

void destination_lane_add(struct destination_lane *dl, struct shard *s)
{
    mem_grow(&dl->shards, &dl->_cap, dl->n + 1, sizeof *dl->shards);
    dl->shards[dl->n++] = s;
    s->lane = dl;
}

struct shard *destination_lane_shard(const struct destination_lane *dl, size_t generation, unsigned index)
{
    size_t i = dl->n;
    while (i > 0 && (dl->shards[i - 1]->index != index || dl->shards[i - 1]->generation_at != generation))
        i--;
    return i > 0 ? dl->shards[i - 1] : NULL;
}

/* Jobs posted to the lane point to it. They have run: lanes that could post more stopped before the task that frees this
 * one was posted (writer/retire.c). */
void destination_lane_free(struct destination_lane *dl)
{
    assert(atomic_load(&dl->releases) == 0);
    for (size_t i = 0; i < dl->n; i++)
        shard_free(dl->shards[i]);
    mem_free(dl->shards);
    places_end(&dl->places);
    if (dl->settings)
        dest_settings_free(dl->settings);
    destination_lane_set_next(dl, NULL);
    mem_free(dl);
}

void destination_lane_set_next(struct destination_lane *dl, struct dest_settings *next)
{
    struct dest_settings *unused = atomic_exchange(&dl->next_settings, next);
    if (unused)
        dest_settings_free(unused);
}
