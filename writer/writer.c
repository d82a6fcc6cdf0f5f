// SPDX-License-Identifier: Apache-2.0
/* Start and stop of the writer, and its status for other threads. Configurations are applied in reload.c; the lanes do
 * the work. */
#include "writer/failover.h"
#include "writer/flow.h"
#include "writer/writer_internal.h"
#include "writer/stats.h"

#include "base/text/duration.h"

/* --- create and free ---------------------------------------------------------------------------------------------- */

struct writer *writer_new(const struct writer_env *env)
{
    struct writer *w = mem_zalloc(sizeof *w);
    int64_t flush_ms = env->flush_interval ? env->flush_interval : 1000;
    w->env = *env;
    w->dir = str_dup(env->queue_dir);
    w->env.queue_dir = str_of(w->dir);
    mutex_init(&w->lock, RANK_WRITER);
    list_init(&w->retiring);
    late_init(w);
    w->lanes = mem_zalloc(env->n_lanes * sizeof *w->lanes);
    for (unsigned i = 0; i < env->n_lanes; i++)
        writer_lane_init(&w->lanes[i], i, env->n_lanes, env->lanes[i], w->lanes, flush_ms,
                         &w->stages);
    writer_stats_start(w);
    return w;
}

void writer_free(struct writer *w)
{
    writer_stats_stop(w);
    orphans_stop(w);
    late_free(w);
    for (unsigned i = 0; i < w->env.n_lanes; i++)
        writer_lane_free(&w->lanes[i]);
    mem_free(w->lanes);
    mem_free(w->destinations);
    mem_free(w->awaiting);
    topology_unref(w->topology);
    series_limits_unref(w->limits);
    ha_elections_unref(w->elections);
    writer_stats_show_aggregation(w, NULL);
    if (w->recent)
        recent_unref(w->recent);
    queue_lock_free(w->queue_lock);
    mutex_free(&w->lock);
    mem_free(w->dir);
    mem_free(w);
}

struct sink *writer_sink(struct writer *w, unsigned lane) { return &w->lanes[lane].sink; }

/* --- stop --------------------------------------------------------------------------------------------------------- */

enum { QUEUES_MS = 4000 }; /* longest wait for the disks; queues retry failed writes for 3 s of it */

struct writer_stop_job {
    struct loop_task task;
    struct loop_timer poll;
    struct writer *writer;
    struct writer_lane *lane;
    int64_t until;
};

static void run_lane_stopped(struct loop_task *task)
{
    struct writer_stop_job *j = CONTAINER(task, struct writer_stop_job, task);
    struct writer *w = j->writer;
    mem_free(j);
    if (--w->lanes_stopping > 0)
        return;
    topology_unref(w->topology);
    w->topology = NULL;
    writer_retire_unused(w, NULL);
    loop_timer_in(w->env.main, &w->stop_timeout, QUEUES_MS);
    writer_stop_if_retired(w);
}

void writer_stop_if_retired(struct writer *w)
{
    if (w->stopped == NULL || w->lanes_stopping > 0 || !list_empty(&w->retiring) || w->abandoned)
        return;
    loop_timer_stop(w->env.main, &w->stop_timeout);
    w->stopped(w->stopped_arg);
}

/* A disk does not respond: memory used by the threads that wait for it must not be freed. */
static void run_stop_timeout(struct loop_timer *timer)
{
    struct writer *w = CONTAINER(timer, struct writer, stop_timeout);
    w->abandoned = true;
    retire_abandon(w);
    w->stopped(w->stopped_arg);
}

bool writer_abandoned(const struct writer *w) { return w->abandoned; }

/* Waits for the last responses, within the grace period. */
static void poll_stop(struct loop_timer *timer)
{
    struct writer_stop_job *j = CONTAINER(timer, struct writer_stop_job, poll);
    struct writer_lane *l = j->lane;
    if (!writer_lane_idle(l) && loop_mono(l->loop) < j->until) {
        loop_timer_in(l->loop, &j->poll, 10);
        return;
    }
    writer_lane_stop(l);
    j->task.run = run_lane_stopped;
    loop_post(j->writer->env.main, &j->task);
}

/* Topologies that the lane adopts were committed before: it uses nothing of them once it has stopped. */
static void writer_run_stop(struct loop_task *task)
{
    struct writer_stop_job *j = CONTAINER(task, struct writer_stop_job, task);
    if (!list_empty(&j->lane->adoptions) || !writer_lane_seal_some(j->lane)) {
        loop_post(j->lane->loop, task);
        return;
    }
    j->until = loop_mono(j->lane->loop) + j->writer->grace;
    j->poll.run = poll_stop;
    poll_stop(&j->poll);
}

static void writer_post_to_lanes(struct writer *w, void (*run)(struct loop_task *task))
{
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        struct writer_stop_job *j = mem_zalloc(sizeof *j);
        j->task.run = run;
        j->writer = w;
        j->lane = &w->lanes[i];
        loop_post(w->env.lanes[i], &j->task);
    }
}

static void run_lane_ended(struct loop_task *task)
{
    struct writer_stop_job *j = CONTAINER(task, struct writer_stop_job, task);
    struct writer *w = j->writer;
    mem_free(j);
    if (--w->lanes_ending == 0)
        writer_post_to_lanes(w, writer_run_stop);
}

/* First, since what stages emit at their end may belong to shards of other lanes. */
static void writer_run_end(struct loop_task *task)
{
    struct writer_stop_job *j = CONTAINER(task, struct writer_stop_job, task);
    if (flow_end_some(j->lane)) {
        loop_post(j->lane->loop, task);
        return;
    }
    j->task.run = run_lane_ended;
    loop_post(j->writer->env.main, task);
}

void writer_stop(struct writer *w, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    w->stopped = done;
    w->stopped_arg = arg;
    w->grace = grace_ms;
    w->lanes_ending = w->lanes_stopping = w->env.n_lanes;
    w->stop_timeout.run = run_stop_timeout;
    writer_run_awaiting(w);
    failover_use(w, NULL, NULL);
    loop_timer_stop(w->env.main, &w->orphans_timer);
    writer_post_to_lanes(w, writer_run_end);
}

/* --- status; any thread ------------------------------------------------------------------------------------------- */

bool writer_ready(struct writer *w) { return atomic_load(&w->ready); }
unsigned writer_late(struct writer *w) { return atomic_load(&w->n_late); }
unsigned writer_without_rules(struct writer *w) { return atomic_load(&w->n_without_rules); }
bool writer_unclean(struct writer *w) { return atomic_load(&w->unclean); }
bool writer_has_streams(struct writer *w) { return atomic_load(&w->has_streams); }

struct source *writer_recent(struct writer *w)
{
    mutex_lock(&w->lock);
    struct recent *r = w->recent ? recent_ref(w->recent) : NULL;
    mutex_unlock(&w->lock);
    return r ? recent_source(r) : NULL;
}

void writer_recent_unref(struct source *recent) { recent_unref(recent_of(recent)); }
int64_t writer_recent_from(struct source *recent) { return recent_from(recent_of(recent)); }

void writer_each_destination(struct writer *w, void (*visit)(struct destination *d, void *arg), void *arg)
{
    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++)
        if (!w->destinations[i]->leaving)
            visit(w->destinations[i], arg);
    mutex_unlock(&w->lock);
}

static uint64_t read_counter(atomic_ullong *c) { return atomic_load_explicit(c, memory_order_relaxed); }

static void copy_status(struct destination *d, struct arena *a, struct destination_status *s)
{
    const struct queue_stats *q = queue_stats(d->queue);
    *s = (struct destination_status){
        .name = arena_str(a, str_of(d->name)), .url = arena_str(a, str_of(d->shown_url)),
        .shards = destination_newest(d)->n_shards,
        .pending_bytes = queue_bytes(d->queue), .pending_blocks = read_counter(&d->pending_blocks),
        .dropped_blocks = read_counter(&d->dropped_blocks) + q->blocks_dropped,
        .dropped_samples = destination_dropped(d),
        .sent_samples = read_counter(&d->sent_samples), .sent_bytes = read_counter(&d->sent_bytes),
        .retries = read_counter(&d->retries),
        .free_bytes = queue_free_bytes(d->queue), .seconds_until_full = queue_seconds_until_full(d->queue),
        .newest_first = atomic_load(&d->drain.newest_first),
        .last_ok_at = atomic_load(&d->last_ok), .zstd = atomic_load(&d->zstd)};
    int64_t since = destination_oldest_pending(d), now = clock_wall_ms();
    s->oldest_ms = since > 0 && since < now ? now - since : 0;
    if (s->pending_blocks > 0 && read_counter(&d->pending_bytes) > s->pending_bytes)
        s->pending_bytes = read_counter(&d->pending_bytes);
    if (d->failover) {
        struct failover_status f;
        failover_status(d->failover, now, &f);
        s->backup_of = arena_str(a, str_of(f.primary));
        s->backup_sends = f.sends;
        s->backup_since = f.since;
        s->backup_windows = f.windows;
        s->backup_window_ms = f.window_ms;
    }
    char text[LAST_ERROR_MAX];
    s->last_error_at = last_error_get(&d->last_error, text);
    s->last_error = arena_str(a, str_of(text));
}

void writer_status(struct writer *w, struct arena *a, struct destination_status **out, size_t *n)
{
    struct arena_limits saved = arena_suspend_limit(a);
    mutex_lock(&w->lock);
    *n = 0;
    *out = ARENA_ARRAY(a, struct destination_status, w->n);
    for (size_t i = 0; i < w->n; i++)
        if (!w->destinations[i]->leaving)
            copy_status(w->destinations[i], a, &(*out)[(*n)++]);
    mutex_unlock(&w->lock);
    arena_restore_limit(a, saved);
}

/* Blocks that are pending are sealed at most a flush interval after their first sample, and a turn of the lane. What a
 * lane has not sealed yet is read first: it moves from there to the shards. */
int64_t writer_delivered(struct writer *w)
{
    enum { TURN_MS = 200 };
    int64_t now = clock_wall_ms(), mono = clock_mono_ms(), delivered = now;
    int64_t flush = w->lanes[0].flush_most;
    for (unsigned i = 0; i < w->env.n_lanes; i++) {
        int64_t since = atomic_load_explicit(&w->lanes[i].unsealed, memory_order_acquire);
        if (since > 0 && now - (mono - since) < delivered)
            delivered = now - (mono - since);
    }
    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++) {
        int64_t since = w->destinations[i]->leaving || w->destinations[i]->failover ? 0
                        : destination_oldest_pending(w->destinations[i]);
        if (since > 0 && since - flush - TURN_MS < delivered)
            delivered = since - flush - TURN_MS;
    }
    mutex_unlock(&w->lock);
    return delivered;
}

struct written writer_written(struct writer *w, struct str name, int64_t from, int64_t to)
{
    struct written found = {0};
    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++) {
        const struct destination *d = w->destinations[i];
        if (!d->leaving && d->failover && str_is(name, d->name))
            found = failover_written(d->failover, from, to);
    }
    mutex_unlock(&w->lock);
    return found;
}
