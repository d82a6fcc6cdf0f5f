// SPDX-License-Identifier: Apache-2.0
#include "writer/send/destination_lane.h"

#include "base/text/duration.h"

/* --- a destination that takes nothing just now -------------------------------------------------------------------- */

/* One shard at a time tries again; when it is through, all go on. So a destination that comes back is used within one
 * backoff, and one that is down gets one request per lane and backoff, not one per shard. */
static void run_retry(struct loop_timer *timer)
{
    struct destination_lane *dl = CONTAINER(timer, struct destination_lane, retry);
    struct list *node = list_pop_front(&dl->waiting);
    if (node == NULL) {
        dl->down = false;
        outage_forget(dl);
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
    return dl->backoff + clock_mono_ns() / 1000 % (dl->backoff / 10 + 1); /* up to a tenth more, so that lanes spread */
}

void shard_refused(struct shard *s, int64_t wait_ms)
{
    struct destination_lane *dl = s->lane;
    dl->down = true;
    queue_behind(s->disk, true);
    s->state = SHARD_WAITING;
    list_push_back(&dl->waiting, &s->node);
    if (loop_timer_armed(&dl->retry)) /* of requests that fail together only the first makes the delay longer */
        return;
    int64_t wait = next_backoff(dl);
    if (wait_ms > 0)
        wait = wait_ms > dl->settings->max_backoff ? dl->settings->max_backoff : wait_ms;
    loop_timer_in(dl->loop, &dl->retry, wait);
}

void shard_accepted(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    dl->backoff = 0;
    outage_over(dl);
    if (!dl->down)
        return;
    dl->down = false;
    loop_timer_stop(dl->loop, &dl->retry);
    for (size_t i = 0; i < dl->n; i++)
        queue_behind(dl->shards[i]->disk, dl->shards[i]->behind);
    for (struct list *node; (node = list_pop_front(&dl->waiting)) != NULL;) {
        struct shard *other = CONTAINER(node, struct shard, node);
        other->state = SHARD_IDLE;
        shard_kick(other);
    }
}

/* --- from one generation to the next ------------------------------------------------------------------------------ */

/* A generation is through when those before it are, no lane writes to it any more and all its shards are empty: then
 * its files go, and the next one may send, on every lane. */
struct release_job { struct loop_task task; struct destination_lane *lane; };

static void run_release(struct loop_task *task)
{
    struct release_job *j = CONTAINER(task, struct release_job, task);
    for (size_t i = 0; i < j->lane->n; i++)
        shard_kick(j->lane->shards[i]);
    mem_free(j);
}

void destination_lane_drained(struct shard *s)
{
    struct destination *d = s->dest;
    if (s->drained_told || s->generation_at + 1 >= s->lane->settled || s->generation_at != atomic_load(&d->active))
        return;
    s->drained_told = true;
    if (atomic_fetch_sub(&s->generation->undrained, 1) > 1)
        return;
    atomic_fetch_add(&d->active, 1);
    queue_retire(d->queue, s->generation_at);
    for (unsigned i = 0; i < d->n_lanes; i++) {
        struct release_job *j = mem_alloc(sizeof *j);
        *j = (struct release_job){{.run = run_release}, d->per_lane[i]};
        loop_post(d->lanes[i], &j->task);
    }
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

struct destination_lane *destination_lane_new(struct destination *d, struct loop *loop)
{
    struct destination_lane *dl = mem_zalloc(sizeof *dl);
    dl->dest = d;
    dl->loop = loop;
    dl->retry.run = run_retry;
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

void destination_lane_free(struct destination_lane *dl)
{
    for (size_t i = 0; i < dl->n; i++)
        shard_free(dl->shards[i]);
    mem_free(dl->shards);
    if (dl->settings)
        dest_settings_free(dl->settings);
    destination_lane_push(dl, NULL);
    mem_free(dl);
}

void destination_lane_push(struct destination_lane *dl, struct dest_settings *next)
{
    struct dest_settings *unused = atomic_exchange(&dl->next_settings, next);
    if (unused)
        dest_settings_free(unused);
}
