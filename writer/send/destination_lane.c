// SPDX-License-Identifier: Apache-2.0
/* Retries of a failing destination on one lane, and the draining of older generations. */
#include "writer/send/destination_lane.h"

#include "base/text/duration.h"

#include <assert.h>

/* --- retries ------------------------------------------------------------------------------------------------------ */

/* One shard retries at a time; when it succeeds, all continue. So a destination that recovers is used within one
 * backoff, and one that is down gets one request per lane and backoff, not one per shard. */
static void run_retry(struct loop_timer *timer)
{
    struct destination_lane *dl = CONTAINER(timer, struct destination_lane, retry);
    struct list *node = list_pop_front(&dl->waiting);
    if (node == NULL) {
        dl->down = false;
        outage_leave(dl);
        return;
    }
    struct shard *s = CONTAINER(node, struct shard, node);
    atomic_fetch_add_explicit(&dl->dest->retries, 1, memory_order_relaxed);
    s->state = SHARD_SENDING;
    sender_send(s);
}

static int64_t next_backoff(struct destination_lane *dl)
{
    int64_t least = dl->settings->min_backoff, most = dl->settings->max_backoff;
    dl->backoff = dl->backoff ? dl->backoff * 2 : least;
    if (dl->backoff > most)
        dl->backoff = most;
    /* plus up to 10% jitter, so that lanes do not retry in step */
    return dl->backoff + clock_mono_ns() / 1000 % (dl->backoff / 10 + 1);
}

void destination_lane_down(struct shard *s, int64_t wait_ms)
{
    struct destination_lane *dl = s->lane;
    dl->down = true;
    queue_behind(s->disk, true);
    s->state = SHARD_WAITING;
    list_push_back(&dl->waiting, &s->node);
    if (loop_timer_armed(&dl->retry)) /* of requests that fail together only the first increases the delay */
        return;
    int64_t wait = next_backoff(dl);
    if (wait_ms > 0)
        wait = wait_ms > dl->settings->max_backoff ? dl->settings->max_backoff : wait_ms;
    loop_timer_in(dl->loop, &dl->retry, wait);
}

void destination_lane_up(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    dl->backoff = 0;
    outage_over(dl);
    if (!dl->down)
        return;
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

/* --- all lanes ----------------------------------------------------------------------------------------------------- */

struct release_job { struct loop_task task; struct destination_lane *lane; };

static void run_release(struct loop_task *task)
{
    struct release_job *j = CONTAINER(task, struct release_job, task);
    atomic_fetch_sub(&j->lane->releases, 1);
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
    if (atomic_fetch_sub(&s->generation->undrained, 1) > 1)
        return;
    atomic_fetch_add(&d->active, 1);
    queue_retire(d->queue, s->generation_at);
    destination_kick_lanes(d);
}

/* --- create and free ---------------------------------------------------------------------------------------------- */

struct destination_lane *destination_lane_new(struct destination *d, struct loop *loop)
{
    struct destination_lane *dl = mem_zalloc(sizeof *dl);
    dl->dest = d;
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
