// SPDX-License-Identifier: Apache-2.0
/* The io thread of a queue: writing, reading and syncing its files.
 *
 * The thread runs its own loop. Lanes hand it jobs (queue_intake.c), and it posts results back. It never waits for a
 * lane, and no lane waits for it: a slow disk slows only this destination.
 *
 * 1. Writing. A job waits until it is due, and is removed if its block is delivered first. Then it is appended to its
 *    shard's last segment. If that fails, the block joins the shard's unwritten list in memory, which is retried before
 *    the shard's next block and once a second.
 * 2. Limits. Over max_memory unwritten blocks are dropped, or segments if the disk is full; over max_disk_bytes the
 *    oldest segments are dropped.
 * 3. Syncing. fdatasync once a second for shards whose destination is behind, on another thread (queue_sync.h), or
 *    before the ack with durability always.
 * 4. Checks. Once a second: the directory lock, deleted files (of idle shards in turn), unwritten blocks, stale positions,
 *    free space (every ten seconds while nothing is queued and much is free).
 */
#include "writer/queue/queue_state.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <errno.h>

enum {
    SYNC_EVERY_MS = 1000, MIN_BACKOFF_MS = 100,
    SEGMENTS_PER_SHARD = 4, MIN_SEGMENT_BYTES = 64 << 10, REUSE_BYTES = 1 << 20,
    MIN_FREE_BYTES = 4 << 20 /* with more free bytes than this, ENOSPC is not caused by a lack of space */
};

const struct queue_stats *queue_stats(const struct queue *q) { return &q->stats; }
struct queue_stats *queue_counters(struct queue *q) { return &q->stats; }
uint64_t queue_bytes(const struct queue *q) { return atomic_load_explicit(&q->bytes, memory_order_relaxed); }
uint64_t queue_unwritten_bytes(const struct queue *q)
{
    return atomic_load_explicit(&q->unwritten, memory_order_relaxed) +
           atomic_load_explicit(&q->intake.bytes, memory_order_relaxed);
}
uint64_t queue_free_bytes(const struct queue *q) { return atomic_load(&q->space.free); }
double queue_seconds_until_full(const struct queue *q) { return atomic_load(&q->space.until_full); }
bool queue_failing(const struct queue *q) { return atomic_load(&q->failing) || atomic_load(&q->intake.stalled); }
struct queue_state queue_shard_state(const struct queue_shard *s)
{
    return (struct queue_state){s->acked, s->next, s->joint_end};
}

static void shard_add_backlog(struct queue_shard *s, void *arg)
{
    struct queue_backlog *sum = arg;
    const struct queue_backlog *b = &s->backlog;
    if (b->blocks == 0)
        return;
    if (b->oldest != 0 && (sum->oldest == 0 || b->oldest < sum->oldest))
        sum->oldest = b->oldest;
    sum->blocks += b->blocks;
    sum->samples += b->samples;
    sum->bytes += b->bytes;
}

struct queue_backlog queue_backlog(const struct queue *q)
{
    struct queue_backlog sum = {0};
    queue_dir_each(&q->queue_dir, shard_add_backlog, &sum);
    return sum;
}

/* Space is freed in complete segments: little space needs small segments. */
uint64_t queue_segment_bytes(const struct queue *q)
{
    uint64_t max = atomic_load(&q->max_bytes), free = atomic_load(&q->space.free), bytes = queue_bytes(q);
    uint64_t space = free > UINT64_MAX - bytes ? UINT64_MAX : free + bytes;
    if (max > 0 && max < space)
        space = max;
    uint64_t share = space / queue_dir_newest(&q->queue_dir)->n_shards / SEGMENTS_PER_SHARD;
    if (share > SEGMENT_BYTES)
        return SEGMENT_BYTES;
    return share > MIN_SEGMENT_BYTES ? share : MIN_SEGMENT_BYTES;
}

/* Delivered blocks are kept for a while, unless space is short: the recent store is filled from them after a
 * restart. */
uint64_t queue_reuse_bytes(const struct queue *q)
{
    uint64_t segment = queue_segment_bytes(q);
    return atomic_load(&q->failing) ? 0 : segment < REUSE_BYTES ? segment : REUSE_BYTES;
}

struct quarantine *queue_quarantine(struct queue *q) { return &q->quarantine; }

size_t queue_generations(const struct queue *q, const struct queue_generation **out)
{
    *out = q->queue_dir.generations;
    return q->queue_dir.n;
}

/* --- writing, on the io thread ------------------------------------------------------------------------------------ */

static void free_delivered(struct queue_shard *s, void *arg UNUSED) { shard_files_free_delivered(s, 0); }
static bool disk_is_full(int reason) { return reason == ENOSPC || reason == EDQUOT; }

struct queue_lock *queue_lock_of(struct queue *q) { return atomic_load(&q->lock); }

bool queue_dir_usable(struct queue *q)
{
    struct queue_lock *lock = atomic_load(&q->lock);
    q->locked_out = lock && !queue_lock_hold(lock);
    return !q->locked_out;
}

bool queue_locked_out(const struct queue *q) { return q->locked_out; }

/* A full disk first frees its delivered blocks. */
static bool queue_append_job(struct queue *q, const struct write_job *j)
{
    errno = EBUSY;
    bool ok = !q->locked_out && shard_files_append(j->shard, j->block, j->seq);
    if (!ok && disk_is_full(errno)) {
        queue_dir_each(&q->queue_dir, free_delivered, NULL);
        ok = shard_files_append(j->shard, j->block, j->seq);
    }
    if (ok)
        atomic_fetch_add(&q->stats.bytes_written, j->block->n);
    else
        q->write_errno = errno;
    return ok;
}

/* Unwritten blocks are written before the blocks that follow them: otherwise the file would have a gap, which can no
 * longer be filled when the process stops. */
static bool append_unwritten(struct queue *q, struct queue_shard *s)
{
    unwritten_ack(s);
    for (struct write_job *j; (j = unwritten_first(s)) != NULL;) {
        if (!queue_append_job(q, j))
            return false;
        unwritten_remove(s, j);
    }
    return true;
}

static void arm_sync(struct queue *q)
{
    if (!loop_timer_armed(&q->sync))
        loop_timer_in(q->loop, &q->sync, SYNC_EVERY_MS);
}

static void queue_write_succeeded(struct queue *q)
{
    q->backoff = 0;
    if (!atomic_exchange(&q->failing, false))
        return;
    log_info("queue", "queue disk accepts writes again", "dir", q->queue_dir.dir);
}

static void queue_write_failed(struct queue *q, const struct queue_shard *s)
{
    int64_t now = clock_mono_ms();
    q->backoff = q->backoff ? q->backoff * 2 : MIN_BACKOFF_MS;
    if (q->backoff > QUEUE_RETRY_MS)
        q->backoff = QUEUE_RETRY_MS;
    q->retry_at = now + q->backoff;
    if (disk_is_full(q->write_errno))
        q->space.full_at = now;
    atomic_fetch_add(&q->stats.write_errors, 1);
    if (!atomic_exchange(&q->failing, true))
        log_error("queue", "cannot write queue block; keeping blocks in memory and retrying at least every 1s", "dir",
                  s->dir, "err", strerror(q->write_errno));
}

static void retry_unwritten(struct queue_shard *s, void *arg UNUSED)
{
    struct queue *q = s->queue;
    if (list_empty(&s->unwritten.jobs))
        return;
    if (!append_unwritten(q, s))
        queue_write_failed(q, s);
    else
        queue_write_succeeded(q);
    arm_sync(q);
}

/* --- memory and disk are full, on the io thread ------------------------------------------------------------------- */

static void add_exclusive_bytes(struct queue_shard *s, void *total)
{
    *(uint64_t *)total += unwritten_exclusive_bytes(s);
}

static void add_unwritten_sum(struct queue_shard *s, void *sum) { unwritten_add_sum(s, sum); }

void queue_count_bytes(struct queue *q)
{
    struct block_sum sum = {0};
    queue_dir_each(&q->queue_dir, add_unwritten_sum, &sum);
    atomic_store_explicit(&q->unwritten, sum.bytes, memory_order_relaxed);
    atomic_store_explicit(&q->unwritten_blocks, sum.blocks, memory_order_relaxed);
    atomic_store_explicit(&q->unwritten_samples, sum.samples, memory_order_relaxed);
    atomic_store_explicit(&q->bytes, queue_dir_bytes(&q->queue_dir), memory_order_relaxed);
}

static void find_oldest_exclusive(struct queue_shard *s, void *arg)
{
    struct write_job **oldest = arg, *j = unwritten_first_exclusive(s);
    if (j && (*oldest == NULL || j->block->t_max < (*oldest)->block->t_max))
        *oldest = j;
}

/* Blocks on disk that are older than those in memory are dropped first, but only when the write failed for lack of
 * space. */
static bool drop_from_full_disk(struct queue *q, int64_t older_than)
{
    struct queue_shard *s = queue_dir_oldest(&q->queue_dir);
    queue_space_measure(&q->space, q->queue_dir.dir);
    if (!disk_is_full(q->write_errno) || s == NULL ||
        (q->write_errno == ENOSPC && atomic_load(&q->space.free) > MIN_FREE_BYTES) ||
        s->segments[0].t_max > older_than)
        return false;
    shard_files_drop_oldest(s);
    queue_dir_each(&q->queue_dir, retry_unwritten, NULL);
    return true;
}

static void drop_from_memory(struct queue *q, struct write_job *oldest)
{
    shard_count_lost(oldest->shard, 1, oldest->block->n_samples, oldest->block->n);
    log_error("queue", "cannot write queue block and max_memory_bytes is used up; dropping the oldest block", "dir",
              oldest->shard->dir, LOG_U64("samples", oldest->block->n_samples), "err", strerror(q->write_errno));
    unwritten_remove(oldest->shard, oldest);
}

static void enforce_memory_limit(struct queue *q)
{
    uint64_t max = atomic_load(&q->max_memory), only = 0;
    if (max == 0 || atomic_load(&q->keep_all) || !atomic_load(&q->failing))
        return;
    for (queue_dir_each(&q->queue_dir, add_exclusive_bytes, &only); only > max;) {
        struct write_job *oldest = NULL;
        queue_dir_each(&q->queue_dir, find_oldest_exclusive, &oldest);
        if (!drop_from_full_disk(q, oldest->block->t_max))
            drop_from_memory(q, oldest);
        only = 0;
        queue_dir_each(&q->queue_dir, add_exclusive_bytes, &only);
    }
}

static void enforce_disk_limit(struct queue *q)
{
    queue_count_bytes(q);
    uint64_t max = atomic_load(&q->keep_all) ? 0 : atomic_load(&q->max_bytes);
    for (struct queue_shard *s; max > 0 && queue_bytes(q) > max && (s = queue_dir_oldest(&q->queue_dir)) != NULL;) {
        shard_files_drop_oldest(s);
        q->space.full_at = clock_mono_ms();
        queue_count_bytes(q);
    }
}

static bool sync_or_arm(struct queue *q, const struct write_job *j)
{
    if (atomic_load(&q->sync_writes) && j->n > 0 && !j->more)
        return shard_files_sync(j->shard);
    arm_sync(q);
    return true;
}

/* A block with acks is tried at once, others after the backoff. */
static bool write_job_try(struct queue *q, const struct write_job *j)
{
    if (j->n == 0 && atomic_load(&q->failing) && clock_mono_ms() < q->retry_at)
        return false;
    bool ok = append_unwritten(q, j->shard) && queue_append_job(q, j);
    if (ok)
        queue_write_succeeded(q);
    else
        queue_write_failed(q, j->shard);
    return ok;
}

/* True for a duplicate: a retiring lane hands over again what it has in memory. Also for a block whose segment was
 * dropped. */
static bool write_job_is_duplicate(struct write_job *j)
{
    if (unwritten_has(j->shard, j->seq))
        return true;
    if (!shard_files_lost(j->shard, j->seq))
        return false;
    shard_count_lost(j->shard, 1, j->block->n_samples, j->block->n); /* its segment was dropped or deleted */
    return true;
}

/* Also before each write: a joint block is written after what it follows is recorded as delivered (send/shard.h). */
static void queue_take_acks(struct queue *q)
{
    uint64_t next;
    struct queue_shard *s = intake_take_ack(&q->intake, &next);
    if (s == NULL)
        return;
    for (; s != NULL; s = intake_take_ack(&q->intake, &next)) {
        shard_files_ack(s, next);
        unwritten_ack(s);
        intake_recorded(&q->intake, s, next);
    }
    queue_count_bytes(q);
}

/* A block that was delivered since its job was begun is not written: the position on disk would not cover it, and it would
 * be sent again after a restart. */
static void queue_write_job(struct queue *q, struct write_job *j)
{
    queue_take_acks(q);
    int64_t begin = clock_mono_ns();
    bool delivered = j->seq < j->shard->acked, needless = delivered || write_job_is_duplicate(j);
    bool written = !needless && write_job_try(q, j);
    bool safe = delivered || (written && sync_or_arm(q, j));
    atomic_fetch_add(&q->stats.write_ns, (unsigned long long)(clock_mono_ns() - begin));
    intake_done(&q->intake, j);
    write_job_end(j, safe);
    if (needless || written)
        write_job_free(j);
    else
        unwritten_add(j->shard, j);
    enforce_memory_limit(q);
    enforce_disk_limit(q);
}

/* Executes only the jobs that are queued now, so that a slow disk does not starve the loop's timers. */
static void queue_execute_jobs(struct queue *q, int64_t until)
{
    struct write_job *j;
    for (size_t n = intake_jobs(&q->intake); n > 0 && (j = intake_begin(&q->intake, until)) != NULL; n--)
        queue_write_job(q, j);
    queue_take_acks(q);
}

void queue_work(struct queue *q) { queue_execute_jobs(q, INT64_MAX); }

static void queue_work_due(struct queue *q)
{
    queue_execute_jobs(q, clock_mono_ms());
    int64_t next = intake_due(&q->intake);
    if (next != INT64_MAX)
        loop_timer_at(q->loop, &q->write, next);
}

void queue_run_work(struct loop_task *task) { queue_work_due(CONTAINER(task, struct queue, intake.work)); }

/* --- reading and syncing, on the io thread ------------------------------------------------------------------------ */

static void queue_read_done(struct loop_task *task)
{
    struct queue_read *r = CONTAINER(task, struct queue_read, task);
    r->done(r);
}

static void run_read(struct loop_task *task)
{
    struct queue_read *r = CONTAINER(task, struct queue_read, task);
    queue_work(r->shard->queue); /* what waits to be written is read, too */
    int64_t begin = clock_mono_ns();
    if (shard_files_read(r->shard, r)) {
        unwritten_read(r->shard, r);
        r->shard->read_next = r->next;
    }
    if (r->n > 0)
        atomic_store(&r->shard->held, r->next);
    atomic_fetch_add(&r->shard->queue->stats.read_ns, (unsigned long long)(clock_mono_ns() - begin));
    r->task.run = queue_read_done;
    loop_post(r->home, &r->task);
}

/* A destination that keeps up acknowledges its blocks before a sync would help; they are checked again a second later,
 * since it may stop responding. */
static void sync_shard(struct queue_shard *s, void *check_again)
{
    if (!s->dirty || s->acked >= s->next)
        return;
    if (!atomic_load(&s->behind)) {
        *(bool *)check_again = true;
        return;
    }
    if (s->fd < 0 || queue_syncer_add(s->queue->syncer, s->fd, s->dir, shard_new_names(s)))
        s->dirty = s->new_file = s->new_dir = false;
    else
        *(bool *)check_again = true;
}

static void queue_count_syncs(struct queue *q)
{
    uint64_t syncs, ns;
    queue_syncer_take_counts(q->syncer, &syncs, &ns);
    atomic_fetch_add(&q->stats.syncs, syncs);
    atomic_fetch_add(&q->stats.sync_ns, ns);
}

static void run_sync(struct loop_timer *timer)
{
    struct queue *q = CONTAINER(timer, struct queue, sync);
    bool check_again = queue_syncer_busy(q->syncer);
    if (!check_again) {
        queue_dir_each(&q->queue_dir, sync_shard, &check_again);
        queue_syncer_start(q->syncer);
    }
    if (check_again)
        arm_sync(q);
}

/* --- once a second, on the io thread ------------------------------------------------------------------------------ */

/* A shard that has nothing undelivered on disk loses nothing with its files: such shards are checked in turn, one at a time,
 * until files are found missing. What is written to deleted files meanwhile is restored by the next check. */
struct files_check { struct restored restored; size_t at, due; bool all; };

static void check_files(struct queue_shard *s, void *arg)
{
    struct files_check *check = arg;
    struct restored *r = &check->restored;
    if (check->at++ != check->due && !check->all && s->acked >= s->next)
        return;
    if (s->queue->locked_out || !shard_files_missing(s) || shard_files_restore(s, r))
        return;
    r->failed = true;
    if (!s->queue->locked_out)
        log_error("queue", "queue directory was deleted and cannot be created again; retrying every 1s, and a crash "
                  "would lose what is queued", "dir", s->dir, "err", strerror(errno));
}

static void retry_position(struct queue_shard *s, void *arg UNUSED) { (void)!shard_files_write_position(s); }

static bool queue_check_files(struct queue *q, bool all)
{
    struct files_check check = {.due = q->next_check++, .all = all};
    queue_dir_each(&q->queue_dir, check_files, &check);
    if (q->next_check >= check.at)
        q->next_check = 0;
    const struct restored *r = &check.restored;
    if (!all && (r->shards > 0 || r->failed || r->kept_bytes > 0 || r->lost_blocks > 0)) {
        check.all = true;
        queue_dir_each(&q->queue_dir, check_files, &check);
    }
    shard_log_restored(q->queue_dir.dir, r);
    return !r->failed;
}

/* Checks the lock first: files that another process uses are not touched. */
static bool queue_flush_checked(struct queue *q, bool all)
{
    bool usable = queue_dir_usable(q), complete = queue_check_files(q, all);
    queue_dir_each(&q->queue_dir, retry_unwritten, NULL);
    queue_dir_each(&q->queue_dir, retry_position, NULL);
    queue_count_bytes(q);
    return usable && complete && atomic_load(&q->unwritten_blocks) == 0;
}

bool queue_flush(struct queue *q) { return queue_flush_checked(q, true); }

static void run_check(struct loop_timer *timer)
{
    struct queue *q = CONTAINER(timer, struct queue, check);
    q->checked_at = loop_mono(q->loop);
    (void)!queue_flush_checked(q, false);
    queue_count_syncs(q);
    quarantine_check(&q->quarantine);
    struct queue_space_use use = {q->queue_dir.dir, queue_bytes(q), atomic_load(&q->max_bytes),
                                  atomic_load(&q->keep_all)};
    queue_space_update(&q->space, &use, clock_mono_ms());
    if (atomic_load(&q->space.free) < MIN_FREE_BYTES) /* other programs and queues may need it */
        queue_dir_each(&q->queue_dir, free_delivered, NULL);
    loop_timer_in(q->loop, &q->check, QUEUE_RETRY_MS);
}

/* Jobs are due once per flush tick. The check of each second is moved there: one wake-up for both. */
static void run_write(struct loop_timer *timer)
{
    enum { EARLY_MS = 100 };
    struct queue *q = CONTAINER(timer, struct queue, write);
    queue_work_due(q);
    if (loop_mono(q->loop) - q->checked_at >= QUEUE_RETRY_MS - EARLY_MS)
        run_check(&q->check);
    else
        loop_timer_in(q->loop, &q->check, QUEUE_RETRY_MS);
}

void queue_start_checks(struct queue *q)
{
    q->write.run = run_write;
    q->sync.run = run_sync;
    q->check.run = run_check;
    queue_space_measure(&q->space, q->queue_dir.dir);
    queue_count_bytes(q);
    loop_timer_in(q->loop, &q->check, QUEUE_RETRY_MS);
}

static void sync_dirty(struct queue_shard *s, void *arg UNUSED)
{
    if (s->dirty && !shard_files_sync(s))
        log_error("queue", "cannot sync queue segment; a power loss may lose its blocks", "dir", s->dir, "err",
                  strerror(errno));
}

void queue_stop_checks(struct queue *q)
{
    loop_timer_stop(q->loop, &q->write);
    loop_timer_stop(q->loop, &q->check);
    loop_timer_stop(q->loop, &q->sync);
    queue_dir_each(&q->queue_dir, sync_dirty, NULL);
}

/* --- posting ------------------------------------------------------------------------------------------------------ */

void queue_write(struct queue_shard *s, struct block *b, uint64_t seq, struct write_terms terms)
{
    struct queue *q = s->queue;
    uint64_t max = atomic_load(&q->max_memory), unwritten = atomic_load_explicit(&q->unwritten, memory_order_relaxed);
    if (max == 0 || atomic_load(&q->keep_all))
        max = UINT64_MAX;
    struct write_job *j = mem_alloc(sizeof *j + terms.n * sizeof j->acks[0]);
    *j = (struct write_job){.shard = s, .block = b, .seq = seq, .more = terms.more, .n = terms.n,
                            .write_by = terms.n > 0 || terms.write_by == 0 ? clock_mono_ms() : terms.write_by};
    if (terms.n > 0)
        memcpy(j->acks, terms.acks, terms.n * sizeof j->acks[0]);
    intake_put(&q->intake, j, unwritten < max ? max - unwritten : 0);
}

void queue_ack(struct queue_shard *s, uint64_t next)
{
    shared_position_set(&s->shared, next);
    intake_ack(&s->queue->intake, s, next);
}

bool queue_position_shared(const struct queue_shard *s) { return s->shared.slot != NULL; }

bool queue_ack_recorded(struct queue_shard *s, uint64_t next, struct loop *home, struct loop_task *recorded)
{
    return intake_ack_recorded(&s->queue->intake, s, next, home, recorded);
}

void queue_cancel_wait(struct queue_shard *s) { intake_cancel_wait(&s->queue->intake, s); }

void queue_read(struct queue_shard *s, struct queue_read *r)
{
    r->task = (struct loop_task){.run = run_read};
    r->shard = s;
    loop_post(s->queue->loop, &r->task);
}

bool queue_read_memory(struct queue_shard *s, struct queue_read *r) { return intake_read(&s->queue->intake, s, r); }
void queue_hold(struct queue_shard *s, uint64_t until) { atomic_store(&s->held, until); }
void queue_behind(struct queue_shard *s, bool behind) { atomic_store(&s->behind, behind); }
