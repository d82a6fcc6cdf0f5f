// SPDX-License-Identifier: Apache-2.0
/* Opening and closing a queue. Both run on its io thread, and main waits with a limit: the disk may be slow or hang.
 *
 * 1. Open: the io thread reads the directories. Main waits and polls `interrupted`; once that is true, the io thread
 *    stops reading.
 * 2. End: the io thread writes what the lanes have handed over. Failed writes are retried until a deadline; then the
 *    blocks are dropped, counted and logged in one line.
 * 3. Abandon: an io thread that does not return from its disk in time is detached. It frees the queue itself when the
 *    disk responds.
 */
#include "writer/queue/queue_state.h"

#include "base/telemetry/log.h"
#include "base/text/num.h"
#include "base/text/duration.h"

#include <errno.h>

enum {
    POLL_MS = 20,         /* interval at which main polls `interrupted` */
    GIVE_UP_MS = 1000,    /* time that the io thread then gets */
    CLOSE_MS = 5000,      /* longest wait in queue_close */
    RETRY_END_MS = 100
};

/* --- blocks lost at the end --------------------------------------------------------------------------------------- */

static void shard_count_undelivered(struct queue_shard *s, void *arg)
{
    struct block_sum *sum = arg;
    unwritten_ack(s);
    unwritten_add_sum(s, sum);
    if (shard_files_missing(s)) /* they were written to files that have been deleted */
        shard_files_add_undelivered(s, sum);
}

static void shard_forget_unwritten(struct queue_shard *s, void *arg UNUSED)
{
    for (struct write_job *j; (j = unwritten_first(s)) != NULL;)
        unwritten_remove(s, j);
}

static void queue_log_lost(const char *msg, const struct queue *q, const struct block_sum *lost, const char *reason)
{
    char blocks[24], samples[24];
    blocks[num_format_u64(blocks, lost->blocks)] = 0;
    samples[num_format_u64(samples, lost->samples)] = 0;
    log_error("queue", msg, "dir", q->queue_dir.dir, "lost_blocks", blocks, "lost_samples", samples, "err", reason);
}

static void queue_count_lost(struct queue *q)
{
    struct block_sum lost = {0};
    queue_dir_each(&q->queue_dir, shard_count_undelivered, &lost);
    if (lost.blocks > 0) {
        atomic_fetch_add(&q->stats.blocks_dropped, lost.blocks);
        atomic_fetch_add(&q->stats.samples_dropped, lost.samples);
        atomic_fetch_add(&q->stats.bytes_dropped, lost.bytes);
        queue_log_lost("cannot write queue blocks before the end of the queue; dropping them", q, &lost,
                 q->write_errno ? strerror(q->write_errno) : "queue files were deleted");
    }
    queue_dir_each(&q->queue_dir, shard_forget_unwritten, NULL);
}

void queue_log_abandoned(struct queue *q)
{
    struct block_sum lost = {.blocks = atomic_load(&q->unwritten_blocks),
                             .samples = atomic_load(&q->unwritten_samples)};
    intake_add_undelivered(&q->intake, &lost);
    queue_log_lost("queue disk does not respond; stopping without waiting for it, and dropping what is not written", q,
                   &lost, "no response before the deadline");
}

static void free_queue(struct queue *q)
{
    queue_dir_each(&q->queue_dir, shard_forget_unwritten, NULL);
    intake_free(&q->intake);
    queue_dir_close(&q->queue_dir);
    if (q->loop)
        loop_free(q->loop);
    mutex_free(&q->life.lock);
    cond_free(&q->life.changed);
    mem_free(q);
}

/* --- the io thread ------------------------------------------------------------------------------------------------ */

static bool queue_open_files(struct queue *q)
{
    struct err err = {0};
    bool ok = queue_dir_open(&q->queue_dir, q->life.shards, &err);
    if (ok)
        queue_start_checks(q);
    mutex_lock(&q->life.lock);
    q->life.err = err;
    q->life.open_ok = ok;
    q->life.opened = true;
    ok = ok && !q->life.abandoned;
    cond_signal(&q->life.changed);
    mutex_unlock(&q->life.lock);
    return ok;
}

static void run_queue_io(void *arg)
{
    struct queue *q = arg;
    if (queue_open_files(q))
        loop_run(q->loop);
    mutex_lock(&q->life.lock);
    bool abandoned = q->life.abandoned;
    q->life.ended = true;
    if (q->life.on_ended && !abandoned)
        loop_post(q->life.home, q->life.on_ended);
    cond_signal(&q->life.changed);
    mutex_unlock(&q->life.lock);
    if (abandoned)
        free_queue(q);
}

static void queue_try_end(struct queue *q)
{
    queue_work(q);
    if (!queue_flush(q) && clock_mono_ms() < q->life.until) {
        loop_timer_in(q->loop, &q->life.retry, RETRY_END_MS);
        return;
    }
    queue_stop_checks(q);
    queue_count_lost(q);
    loop_stop(q->loop);
}

static void run_queue_retry_end(struct loop_timer *timer) { queue_try_end(CONTAINER(timer, struct queue, life.retry)); }
static void run_queue_end(struct loop_task *task) { queue_try_end(CONTAINER(task, struct queue, life.end)); }

/* --- main --------------------------------------------------------------------------------------------------------- */

static void queue_abandon(struct queue *q) /* with life.lock held */
{
    q->life.abandoned = true;
    thread_detach(q->thread);
    atomic_store(&q->lock, NULL);
}

/* False: interrupted, and the io thread has not returned. */
static bool queue_wait_opened(struct queue *q, bool (*interrupted)(void))
{
    int64_t give_up_at = INT64_MAX;
    mutex_lock(&q->life.lock);
    while (!q->life.opened && clock_mono_ms() < give_up_at) {
        if (give_up_at == INT64_MAX && interrupted && interrupted()) {
            atomic_store(&q->life.interrupted, true);
            give_up_at = clock_mono_ms() + GIVE_UP_MS;
        }
        cond_wait_ms(&q->life.changed, &q->life.lock, POLL_MS);
    }
    bool opened = q->life.opened;
    if (!opened)
        queue_abandon(q);
    mutex_unlock(&q->life.lock);
    return opened;
}

bool queue_interrupted(const struct queue *q)
{
    return atomic_load_explicit(&q->life.interrupted, memory_order_relaxed);
}

/* False with errno. */
static bool queue_start_thread(struct queue *q)
{
    q->loop = loop_new();
    intake_init(&q->intake, q->loop, queue_run_work);
    q->thread = q->loop ? thread_start("queue-io", run_queue_io, q) : NULL;
    return q->thread != NULL;
}

static struct queue *queue_not_started(struct queue *q, struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "%s: cannot start the io thread of the queue: %s; raise the limit of %s",
            q->queue_dir.dir, strerror(errno), q->loop ? "threads (ulimit -u, pids cgroup)" : "open files (ulimit -n)");
    free_queue(q);
    return NULL;
}

struct queue *queue_open(const struct queue_options *o, struct err *err)
{
    struct queue *q = mem_zalloc(sizeof *q);
    q->queue_dir.queue = q;
    q->queue_dir.dir = mem_strdup(o->dir);
    atomic_store(&q->lock, o->lock);
    queue_limit(q, &o->limits);
    queue_space_init(&q->space);
    mutex_init(&q->life.lock, RANK_QUEUE_LIFE);
    cond_init(&q->life.changed);
    q->life.shards = o->shards;
    q->life.end.run = run_queue_end;
    q->life.retry.run = run_queue_retry_end;
    if (!queue_start_thread(q))
        return queue_not_started(q, err);
    if (!queue_wait_opened(q, o->interrupted)) {
        err_set(err, ERR_CANCELED, "%s: interrupted while reading the queue directory; its disk does not respond",
                o->dir);
        return NULL;
    }
    if (q->life.open_ok)
        return q;
    *err = q->life.err;
    thread_join(q->thread);
    free_queue(q);
    return NULL;
}

void queue_walk(struct queue *q, uint64_t max_bytes, queue_visit *visit, void *arg)
{
    const struct queue_generation *g = queue_dir_newest(&q->queue_dir);
    for (unsigned i = 0; i < g->n_shards; i++)
        shard_files_walk(g->shards[i], max_bytes / g->n_shards, visit, arg, i);
}

void queue_limit(struct queue *q, const struct queue_limits *limits)
{
    atomic_store(&q->max_bytes, limits->max_bytes);
    atomic_store(&q->max_memory, limits->max_memory);
    atomic_store(&q->sync_writes, limits->sync_writes);
    atomic_store(&q->keep_all, limits->keep_all);
}

void queue_end(struct queue *q, int64_t retry_ms, struct loop *home, struct loop_task *on_ended)
{
    mutex_lock(&q->life.lock);
    q->life.until = clock_mono_ms() + retry_ms;
    q->life.home = home;
    q->life.on_ended = on_ended;
    mutex_unlock(&q->life.lock);
    loop_post(q->loop, &q->life.end); /* after everything that the lanes have posted */
}

bool queue_ended(struct queue *q)
{
    mutex_lock(&q->life.lock);
    bool ended = q->life.ended;
    mutex_unlock(&q->life.lock);
    return ended;
}

void queue_close(struct queue *q)
{
    int64_t limit = clock_mono_ms() + CLOSE_MS;
    if (q->life.until == 0)
        queue_end(q, 0, NULL, NULL);
    mutex_lock(&q->life.lock);
    while (!q->life.ended && clock_mono_ms() < limit)
        cond_wait_ms(&q->life.changed, &q->life.lock, limit - clock_mono_ms());
    bool ended = q->life.ended;
    if (!ended)
        queue_abandon(q);
    mutex_unlock(&q->life.lock);
    if (!ended) {
        queue_log_abandoned(q);
        return;
    }
    thread_join(q->thread);
    free_queue(q);
}

/* --- changing the number of shards -------------------------------------------------------------------------------- */

const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err)
{
    return queue_dir_request_add(&q->queue_dir, q->loop, shards, err) ? queue_dir_newest(&q->queue_dir) : NULL;
}

void queue_shrink(struct queue *q) { queue_dir_request_remove(&q->queue_dir, q->loop); }
void queue_retire(struct queue *q, size_t at) { queue_dir_request_retire(&q->queue_dir, q->loop, at); }
