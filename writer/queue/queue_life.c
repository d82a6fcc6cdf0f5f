// SPDX-License-Identifier: Apache-2.0
/* Opening and closing a queue. Both run on its io thread, and main waits with a limit: the disk may be slow or hang.
 *
 * 1. Open: the io thread reads the directories. Main waits while it makes progress, and polls `interrupted`; once that
 *    is true, the io thread stops reading. If the disk hangs, main continues without the queue, and is notified later.
 * 2. Walk: the io thread reads the blocks again for the visitor (queue_walk), before any lane uses the queue.
 * 3. End: the io thread writes what the lanes have handed over. Failed writes are retried until a deadline; then the
 *    blocks are dropped, counted and logged in one line.
 * 4. Abandon: an io thread that does not return from its disk in time frees the queue itself when the disk responds.
 */
#include "writer/queue/queue_state.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <errno.h>

enum {
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
    log_error("queue", msg, "dir", q->queue_dir.dir, LOG_U64("lost_blocks", lost->blocks),
              LOG_U64("lost_samples", lost->samples), "err", reason);
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

struct queue_walk_job {
    struct loop_task task;
    struct queue *queue;
    uint64_t max_bytes;
    struct mutex lock;  /* held during a visit */
    queue_visit *visit; /* NULL: the walk has ended; under the lock */
    void *arg;
    bool complete;      /* the io thread's until FILE_WALKED */
};

static void queue_walk_free(struct queue_walk_job *j)
{
    if (j)
        mutex_free(&j->lock);
    mem_free(j);
}

static void free_queue(struct queue *q)
{
    queue_walk_free(q->life.walk);
    queue_syncer_free(q->syncer);
    mem_free((char *)(uintptr_t)q->life.vmagent.dir);
    queue_dir_each(&q->queue_dir, shard_forget_unwritten, NULL);
    intake_free(&q->intake);
    quarantine_free(&q->quarantine);
    queue_dir_close(&q->queue_dir);
    if (q->loop)
        loop_free(q->loop);
    mem_free(q);
}

/* --- the io thread ------------------------------------------------------------------------------------------------ */

static void run_queue_io(void *arg, struct file_thread *self)
{
    struct queue *q = arg;
    q->life.self = self;
    const char *slash = strrchr(q->queue_dir.dir, '/'), *name = slash ? slash + 1 : q->queue_dir.dir;
    queue_lock_add_queue(atomic_load(&q->lock), name);
    q->life.open_ok = queue_dir_open(&q->queue_dir, q->life.shards, &q->life.vmagent, &q->life.err);
    if (q->life.open_ok) {
        quarantine_open(&q->quarantine);
        queue_start_checks(q);
    }
    bool ok = q->life.open_ok; /* main's from here on */
    file_thread_reach(self, FILE_OPENED);
    if (ok && !file_thread_abandoned(self))
        loop_run(q->loop);
    queue_lock_remove_queue(atomic_load(&q->lock), name);
}

static void queue_release(void *arg)
{
    struct queue *q = arg;
    queue_stop_checks(q);
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

bool queue_interrupted(struct queue *q) { return !file_thread_goes_on(q->life.self); }

/* --- main: opening ------------------------------------------------------------------------------------------------ */

/* False with errno. */
static bool queue_start_thread(struct queue *q)
{
    q->loop = loop_new();
    intake_init(&q->intake, q->loop, queue_run_work);
    quarantine_init(&q->quarantine, q->queue_dir.dir, q->loop);
    struct file_thread_conf c = {.name = "queue-io", .run = run_queue_io, .release = queue_release, .arg = q};
    q->thread = q->loop ? file_thread_start(&c) : NULL;
    return q->thread != NULL;
}

static struct queue *queue_not_started(struct queue *q, struct err *err)
{
    err_set(err, ERR_UNAVAILABLE, "%s: cannot start the io thread of the queue: %s; raise the limit of %s",
            q->queue_dir.dir, strerror(errno), q->loop ? "threads (ulimit -u, pids cgroup)" : "open files (ulimit -n)");
    free_queue(q);
    return NULL;
}

struct queue *queue_open_begin(const struct queue_options *o, struct err *err)
{
    struct queue *q = mem_zalloc(sizeof *q);
    q->queue_dir.queue = q;
    q->queue_dir.dir = mem_strdup(o->dir);
    atomic_store(&q->lock, o->lock);
    queue_limit(q, &o->limits);
    queue_space_init(&q->space);
    q->syncer = queue_syncer_new();
    q->life.shards = o->shards;
    q->life.vmagent = o->vmagent;
    q->life.vmagent.dir = o->vmagent.dir ? mem_strdup(o->vmagent.dir) : NULL;
    q->life.end.run = run_queue_end;
    q->life.retry.run = run_queue_retry_end;
    return queue_start_thread(q) ? q : queue_not_started(q, err);
}

/* False: it is abandoned. */
static bool queue_join(struct queue *q, int64_t until)
{
    if (!file_thread_end(q->thread, until))
        return false;
    free_queue(q);
    return true;
}

enum queue_opened queue_open_end(struct queue *q, int64_t hang_ms, bool (*interrupted)(void), struct err *err)
{
    switch (file_thread_wait(q->thread, FILE_OPENED, hang_ms, interrupted)) {
    case FILE_HANGS: return QUEUE_HANGS;
    case FILE_INTERRUPTED:
        err_set(err, ERR_CANCELED, "%s: interrupted while reading the queue directory; its disk does not respond",
                q->queue_dir.dir);
        queue_open_cancel(q);
        return QUEUE_FAILED;
    case FILE_REACHED: break;
    }
    if (q->life.open_ok)
        return QUEUE_OPEN;
    *err = q->life.err;
    (void)!queue_join(q, INT64_MAX);
    return QUEUE_FAILED;
}

void queue_open_notify(struct queue *q, struct loop *home, struct loop_task *task)
{
    file_thread_notify(q->thread, FILE_OPENED, home, task);
}

bool queue_open_hangs(struct queue *q) { return !file_thread_at(q->thread, FILE_OPENED); }

void queue_open_cancel(struct queue *q)
{
    if (queue_open_hangs(q)) {
        atomic_store(&q->lock, NULL); /* which may be freed before the disk responds */
        (void)!queue_join(q, 0);
    } else if (q->life.open_ok) {
        queue_close(q);
    } else {
        (void)!queue_join(q, INT64_MAX);
    }
}

/* --- main: walking ------------------------------------------------------------------------------------------------ */

static bool walk_visit(void *arg, unsigned shard, const struct block *b, uint64_t seq)
{
    struct queue_walk_job *j = arg;
    mutex_lock(&j->lock);
    bool wanted = file_thread_goes_on(j->queue->life.self) && j->visit && j->visit(j->arg, shard, b, seq);
    mutex_unlock(&j->lock);
    return wanted;
}

static void run_queue_walk(struct loop_task *task)
{
    struct queue_walk_job *j = CONTAINER(task, struct queue_walk_job, task);
    const struct queue_generation *g = queue_dir_newest(&j->queue->queue_dir);
    bool ok = true;
    for (unsigned i = 0; i < g->n_shards && ok; i++)
        ok = shard_files_walk(g->shards[i], j->max_bytes / g->n_shards, walk_visit, j, i);
    j->complete = ok; /* main's from here on */
    file_thread_reach(j->queue->life.self, FILE_WALKED);
}

bool queue_walk(struct queue *q, uint64_t max_bytes, bool (*interrupted)(void), queue_visit *visit, void *arg)
{
    struct queue_walk_job *j = q->life.walk = mem_zalloc(sizeof *j);
    *j = (struct queue_walk_job){.task.run = run_queue_walk, .queue = q, .max_bytes = max_bytes, .visit = visit,
                                 .arg = arg};
    mutex_init(&j->lock, RANK_QUEUE_WALK);
    file_thread_set_active(q->thread);
    loop_post(q->loop, &j->task);
    bool ended = file_thread_wait(q->thread, FILE_WALKED, QUEUE_HANG_MS, interrupted) == FILE_REACHED;
    mutex_lock(&j->lock);
    j->visit = NULL;
    mutex_unlock(&j->lock);
    return ended && j->complete;
}

/* --- main: in use, and the end ------------------------------------------------------------------------------------ */

void queue_limit(struct queue *q, const struct queue_limits *limits)
{
    atomic_store(&q->max_bytes, limits->max_bytes);
    atomic_store(&q->max_memory, limits->max_memory);
    atomic_store(&q->sync_writes, limits->sync_writes);
    atomic_store(&q->keep_all, limits->keep_all);
    atomic_store(&q->quarantine.max_bytes, limits->max_quarantine);
}

void queue_end(struct queue *q, int64_t retry_ms, struct loop *home, struct loop_task *on_ended)
{
    q->life.until = clock_mono_ms() + retry_ms;
    if (on_ended)
        file_thread_notify(q->thread, FILE_ENDED, home, on_ended);
    loop_post(q->loop, &q->life.end); /* after everything that the lanes have posted */
}

bool queue_ended(struct queue *q) { return file_thread_at(q->thread, FILE_ENDED); }

void queue_close(struct queue *q)
{
    int64_t limit = clock_mono_ms() + CLOSE_MS;
    if (q->life.until == 0)
        queue_end(q, 0, NULL, NULL);
    file_thread_set_active(q->thread);
    if (file_thread_wait(q->thread, FILE_ENDED, CLOSE_MS, NULL) != FILE_REACHED) {
        queue_log_abandoned(q);
        atomic_store(&q->lock, NULL);
    }
    (void)!queue_join(q, limit);
}

/* --- changing the number of shards -------------------------------------------------------------------------------- */

const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err)
{
    return queue_dir_request_add(&q->queue_dir, q->loop, shards, err) ? queue_dir_newest(&q->queue_dir) : NULL;
}

void queue_shrink(struct queue *q) { queue_dir_request_remove(&q->queue_dir, q->loop); }
void queue_retire(struct queue *q, size_t at) { queue_dir_request_retire(&q->queue_dir, q->loop, at); }
