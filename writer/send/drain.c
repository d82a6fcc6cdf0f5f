// SPDX-License-Identifier: Apache-2.0
#include "writer/send/drain.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "writer/send/destination_lane.h"

bool drain_newest_first(const struct destination_lane *dl)
{
    enum drain_order order = dl->settings->drain;
    if (dl->pair) /* a backup begins with a backlog each time */
        return false;
    return order == DRAIN_NEWEST_FIRST ||
           (order == DRAIN_AUTO && atomic_load_explicit(&dl->dest->drain.recognized, memory_order_relaxed));
}

/* --- new generations ---------------------------------------------------------------------------------------------- */

static void run_drain_request(struct loop_task *task)
{
    struct drain_state *d = CONTAINER(task, struct drain_state, request);
    if (drain_requested(d)) /* otherwise a reload has made the generation */
        d->env->apply_again(d->env->apply_again_arg);
}

void drain_begin(struct drain_state *d, const struct writer_env *env)
{
    d->request.run = run_drain_request;
    d->env = env;
}

void drain_end(struct drain_state *d) { loop_unpost(d->env->main, &d->request); }
bool drain_requested(struct drain_state *d) { return atomic_load(&d->requested); }
void drain_end_request(struct drain_state *d) { atomic_store(&d->requested, false); }

static bool generations_left(const struct shard *s)
{
    struct destination *d = s->dest;
    size_t n = atomic_load(&d->published);
    return n < DRAIN_MAX_GENERATIONS && n - atomic_load(&d->active) <= DRAIN_MAX_BACKLOGS;
}

static bool pending_for_long(const struct shard *s)
{
    return loop_now(s->lane->loop) - s->entries[s->head].queued_at > DRAIN_AGE_MS;
}

/* Only the newest generation is divided: its first blocks are a backlog, those to come are not. */
static void request_generation(struct shard *s)
{
    struct drain_state *d = &s->dest->drain;
    bool more = s->n > 1 || shard_behind(s);
    if (!more || s->generation_at + 1 < atomic_load(&s->dest->published) || !pending_for_long(s) ||
        d->env->apply_again == NULL || !generations_left(s) || atomic_exchange(&d->requested, true))
        return;
    log_info("remote_write", "destination is behind; sending new samples first and the backlog beside them", "name",
             s->dest->name, LOG_U64("pending_bytes", queue_bytes(s->dest->queue)));
    loop_post(d->env->main, &d->request);
}

void drain_note_accepted(struct shard *s, bool vm)
{
    struct drain_state *d = &s->dest->drain;
    if (atomic_load_explicit(&d->recognized, memory_order_relaxed) != vm) {
        atomic_store(&d->recognized, vm);
        drain_settings_changed(s->lane);
        if (vm && s->lane->settings->drain == DRAIN_AUTO) /* the newest generation may be sent */
            destination_kick_lanes(s->dest);
    }
    if (drain_newest_first(s->lane))
        request_generation(s);
}

void drain_settings_changed(struct destination_lane *dl)
{
    atomic_store_explicit(&dl->dest->drain.newest_first, drain_newest_first(dl), memory_order_relaxed);
}

bool drain_may_send(const struct shard *s)
{
    if (atomic_load(&s->dest->active) >= s->generation_at)
        return true;
    return s->generation_at + 1 == s->lane->generations && drain_newest_first(s->lane);
}

/* --- the rate of the backlog -------------------------------------------------------------------------------------- */

static void run_drain_limit(struct loop_timer *timer)
{
    struct destination_lane *dl = CONTAINER(timer, struct destination_lane, drain_limit.timer);
    size_t first = dl->drain_limit.next++;
    for (size_t i = 0; i < dl->n; i++)
        shard_kick(dl->shards[(first + i) % dl->n]);
}

void drain_limit_begin(struct drain_limit *l) { l->timer.run = run_drain_limit; }

/* Refills for the time since the last call, up to what is sent in a second. */
static void drain_refill(struct drain_rate *r, int64_t now, int64_t per_second)
{
    int64_t ms = now - r->at;
    if (ms <= 0)
        return;
    r->bytes = ms >= 1000 ? r->bytes + per_second * (ms / 1000 < 3600 ? ms / 1000 : 3600) : r->bytes;
    r->bytes += per_second * (ms % 1000) / 1000;
    if (r->bytes > per_second)
        r->bytes = per_second;
    r->at = now;
}

/* ms until a block may be sent; 0: now. The lanes share the rate. */
static int64_t drain_wait(struct destination_lane *dl, struct drain_rate *r, uint64_t rate)
{
    int64_t per_second = (int64_t)(rate / dl->dest->n_lanes) + 1;
    if (rate == 0)
        return 0;
    drain_refill(r, loop_mono(dl->loop), per_second);
    return r->bytes > 0 ? 0 : (1 - r->bytes) * 1000 / per_second + 1;
}

bool drain_take_budget(struct shard *s)
{
    struct destination_lane *dl = s->lane;
    struct drain_limit *l = &dl->drain_limit;
    bool backlog = s->generation_at + 1 < dl->generations || pending_for_long(s);
    int64_t all = drain_wait(dl, &l->all, dl->settings->rate_limit);
    int64_t old = backlog ? drain_wait(dl, &l->backlog, dl->settings->drain_rate) : 0, wait = all > old ? all : old;
    if (wait == 0) {
        l->all.bytes -= (int64_t)shard_head(s)->n;
        l->backlog.bytes -= backlog ? (int64_t)shard_head(s)->n : 0;
        return true;
    }
    if (!loop_timer_armed(&l->timer))
        loop_timer_in(dl->loop, &l->timer, wait);
    return false;
}
