// SPDX-License-Identifier: Apache-2.0
/* The io thread runs a loop of its own; lanes post jobs to it and it posts answers back. It never waits for a lane,
 * and no lane waits for it: a slow disk slows only this destination.
 */
#include "writer/queue.h"

#include "base/log.h"
#include "base/num.h"
#include "base/thread.h"
#include "base/times.h"
#include "writer/queue_folder.h"

#include <errno.h>

enum { SYNC_EVERY_MS = 1000, SEGMENTS_PER_SHARD = 4, LEAST_SEGMENT = 64 << 10 };

struct queue {
    struct queue_folder folder;
    atomic_ullong max_bytes;
    atomic_bool sync_writes, keep_all; /* as struct queue_limits */
    struct loop *loop;
    struct thread *thread;
    struct loop_timer sync;
    atomic_ullong bytes;
    atomic_bool failing;
    struct queue_stats stats;
};

struct write_job {
    struct loop_task task;
    struct list node; /* in the shard's list of missed blocks */
    struct queue_shard *shard;
    struct block *block;
    uint64_t seq;
    bool only;        /* there is no other copy */
    bool more;        /* the same receipts wait for a later block too */
    size_t n;
    struct receipt *receipts[];
};
struct ack_job { struct loop_task task; struct queue_shard *shard; uint64_t next; };

const struct queue_stats *queue_stats(const struct queue *q) { return &q->stats; }
struct queue_stats *queue_counters(struct queue *q) { return &q->stats; }
uint64_t queue_bytes(const struct queue *q) { return atomic_load_explicit(&q->bytes, memory_order_relaxed); }
bool queue_failing(const struct queue *q) { return atomic_load(&q->failing); }
struct queue_state queue_shard_state(const struct queue_shard *s) { return (struct queue_state){s->acked, s->next}; }

/* Whole segments go when the limit is reached: a small limit wants small ones. */
uint64_t queue_segment_bytes(const struct queue *q)
{
    uint64_t max = atomic_load(&q->max_bytes);
    uint64_t share = max / queue_folder_newest(&q->folder)->n_shards / SEGMENTS_PER_SHARD;
    if (max == 0 || share > SEGMENT_BYTES)
        return SEGMENT_BYTES;
    return share > LEAST_SEGMENT ? share : LEAST_SEGMENT;
}

size_t queue_generations(const struct queue *q, const struct queue_generation **out)
{
    *out = q->folder.generations;
    return q->folder.n;
}

static void count_bytes(struct queue *q)
{
    atomic_store_explicit(&q->bytes, queue_folder_bytes(&q->folder), memory_order_relaxed);
}

/* --- writing, on the io thread ------------------------------------------------------------------------------------ */

static void free_job(struct write_job *j)
{
    block_unref(j->block);
    mem_free(j);
}

static void count_lost(struct queue *q, const struct write_job *j)
{
    const char *dir = j->shard->dir, *why = strerror(errno);
    atomic_fetch_add(&q->stats.write_errors, 1);
    if (!j->only) {
        log_error("queue", "a block could not be written to disk; it is kept in memory only", "dir", dir, "err", why);
        return;
    }
    atomic_fetch_add(&q->stats.blocks_dropped, 1);
    atomic_fetch_add(&q->stats.samples_dropped, j->block->n_samples);
    log_error("queue", "a block could not be written to disk and is lost: memory for waiting blocks is full too",
              "dir", dir, "err", why);
}

static bool append(struct queue *q, const struct write_job *j)
{
    bool ok = shard_files_append(j->shard, j->block, j->seq);
    if (!ok && errno == ENOSPC && !atomic_load(&q->keep_all) && queue_folder_drop_oldest(&q->folder) > 0)
        ok = shard_files_append(j->shard, j->block, j->seq);
    if (ok)
        atomic_fetch_add(&q->stats.bytes_written, j->block->n);
    return ok;
}

/* What could not be written goes before what is behind it. Else the file would have a hole that a stop cannot fill
 * any more. */
static bool append_missed(struct queue *q, struct queue_shard *s)
{
    while (!list_empty(&s->missed)) {
        struct write_job *j = CONTAINER(s->missed.next, struct write_job, node);
        if (j->seq >= s->acked && !append(q, j))
            return false;
        list_remove(&j->node);
        free_job(j);
    }
    return true;
}

static void make_room(struct queue *q)
{
    count_bytes(q);
    uint64_t max = atomic_load(&q->keep_all) ? 0 : atomic_load(&q->max_bytes);
    while (max > 0 && queue_bytes(q) > max && queue_folder_drop_oldest(&q->folder) > 0)
        count_bytes(q);
}

static void arm_sync(struct queue *q)
{
    if (!loop_timer_armed(&q->sync))
        loop_timer_in(q->loop, &q->sync, SYNC_EVERY_MS);
}

static bool sync_or_arm(struct queue *q, const struct write_job *j)
{
    if (atomic_load(&q->sync_writes) && j->n > 0 && !j->more)
        return shard_files_sync(j->shard);
    arm_sync(q);
    return true;
}

static void run_write(struct loop_task *task)
{
    struct write_job *j = CONTAINER(task, struct write_job, task);
    struct queue *q = j->shard->queue;
    int64_t begin = clock_mono_ns();
    bool written = append_missed(q, j->shard) && append(q, j);
    if (!written) {
        count_lost(q, j);
        arm_sync(q);
    }
    atomic_store(&q->failing, !written);
    bool safe = written && sync_or_arm(q, j);
    atomic_fetch_add(&q->stats.write_ns, (unsigned long long)(clock_mono_ns() - begin));
    make_room(q);
    for (size_t i = 0; i < j->n; i++)
        receipt_drop(j->receipts[i], safe);
    if (written || j->only)
        free_job(j);
    else
        list_push_back(&j->shard->missed, &j->node);
}

static void run_ack(struct loop_task *task)
{
    struct ack_job *j = CONTAINER(task, struct ack_job, task);
    shard_files_ack(j->shard, j->next);
    count_bytes(j->shard->queue);
    mem_free(j);
}

/* --- reading and syncing, on the io thread ------------------------------------------------------------------------ */

static void read_done(struct loop_task *task)
{
    struct queue_read *r = CONTAINER(task, struct queue_read, task);
    r->done(r);
}

static void run_read(struct loop_task *task)
{
    struct queue_read *r = CONTAINER(task, struct queue_read, task);
    int64_t begin = clock_mono_ns();
    shard_files_read(r->shard, r);
    atomic_fetch_add(&r->shard->queue->stats.read_ns, (unsigned long long)(clock_mono_ns() - begin));
    r->task.run = read_done;
    loop_post(r->home, &r->task);
}

/* What waits on a shard that keeps up will have its answer sooner than a sync helps; it is looked at again, since the
 * destination may stop answering. */
static void sync_shard(struct queue_shard *s, void *look_again)
{
    if (!s->dirty || s->acked >= s->next)
        return;
    if (!atomic_load(&s->behind)) {
        *(bool *)look_again = true;
        return;
    }
    atomic_fetch_add(&queue_counters(s->queue)->syncs, 1);
    if (!shard_files_sync(s))
        log_error("queue", "fdatasync failed", "dir", s->dir, "err", strerror(errno));
}

static void write_missed(struct queue_shard *s, void *failing)
{
    if (!append_missed(s->queue, s))
        *(bool *)failing = true;
}

/* Who writes to a queue that keeps all is refused when it fails and memory is full: then no write comes that would
 * find room again. */
static bool still_failing(struct queue *q)
{
    if (atomic_load(&q->failing) && atomic_load(&q->keep_all)) {
        bool failing = false;
        queue_folder_each(&q->folder, write_missed, &failing);
        atomic_store(&q->failing, failing);
        count_bytes(q);
    }
    return atomic_load(&q->failing);
}

static void run_sync(struct loop_timer *timer)
{
    struct queue *q = CONTAINER(timer, struct queue, sync);
    bool look_again = still_failing(q);
    queue_folder_each(&q->folder, sync_shard, &look_again);
    if (look_again)
        arm_sync(q);
}

/* --- posting ------------------------------------------------------------------------------------------------------ */

static void post_write(struct queue_shard *s, struct block *b, uint64_t seq, bool only, struct waiting who)
{
    struct write_job *j = mem_alloc(sizeof *j + who.n * sizeof j->receipts[0]);
    *j = (struct write_job){.task = {.run = run_write}, .shard = s, .block = b, .seq = seq, .only = only,
                            .more = who.more, .n = who.n};
    if (who.n > 0)
        memcpy(j->receipts, who.receipts, who.n * sizeof j->receipts[0]);
    loop_post(s->queue->loop, &j->task);
}

void queue_write(struct queue_shard *s, struct block *b, uint64_t seq, struct waiting who)
{
    post_write(s, b, seq, false, who);
}

void queue_spill(struct queue_shard *s, struct block *b, uint64_t seq, struct waiting who)
{
    post_write(s, b, seq, true, who);
}

void queue_ack(struct queue_shard *s, uint64_t next)
{
    struct ack_job *j = mem_alloc(sizeof *j);
    *j = (struct ack_job){.task = {.run = run_ack}, .shard = s, .next = next};
    loop_post(s->queue->loop, &j->task);
}

void queue_read(struct queue_shard *s, struct queue_read *r)
{
    r->task = (struct loop_task){.run = run_read};
    r->shard = s;
    loop_post(s->queue->loop, &r->task);
}

void queue_behind(struct queue_shard *s, bool behind) { atomic_store(&s->behind, behind); }

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static void run_io(void *arg) { loop_run(((struct queue *)arg)->loop); }

/* A lane that goes hands over once more what it has in memory, so a block may be there twice. */
static void lose_missed(struct queue_shard *s, void *arg UNUSED)
{
    uint64_t blocks = 0, next = s->acked;
    for (struct list *n; (n = list_pop_front(&s->missed)) != NULL;) {
        struct write_job *j = CONTAINER(n, struct write_job, node);
        if (j->seq >= next) {
            blocks++;
            next = j->seq + 1;
        }
        free_job(j);
    }
    char text[24];
    text[num_format_u64(text, blocks)] = 0;
    if (blocks > 0)
        log_error("queue", "the queue is closed, and blocks that could not be written to disk are lost", "dir", s->dir,
                  "blocks", text);
}

static void free_queue(struct queue *q)
{
    queue_folder_each(&q->folder, lose_missed, NULL);
    queue_folder_close(&q->folder);
    if (q->loop)
        loop_free(q->loop);
    mem_free(q);
}

struct queue *queue_open(const struct queue_options *o, struct err *err)
{
    struct queue *q = mem_zalloc(sizeof *q);
    q->folder.queue = q;
    q->folder.dir = mem_strdup(o->dir);
    queue_limit(q, &o->limits);
    q->sync.run = run_sync;
    if (!queue_folder_open(&q->folder, o->shards, err)) {
        free_queue(q);
        return NULL;
    }
    count_bytes(q);
    q->loop = loop_new();
    q->thread = thread_start("queue-io", run_io, q);
    return q;
}

void queue_walk(struct queue *q, uint64_t max_bytes, queue_visit *visit, void *arg)
{
    const struct queue_generation *g = queue_folder_newest(&q->folder);
    for (unsigned i = 0; i < g->n_shards; i++)
        shard_files_walk(g->shards[i], max_bytes / g->n_shards, visit, arg, i);
}

void queue_limit(struct queue *q, const struct queue_limits *limits)
{
    atomic_store(&q->max_bytes, limits->max_bytes);
    atomic_store(&q->sync_writes, limits->sync_writes);
    atomic_store(&q->keep_all, limits->keep_all);
}

static void sync_dirty(struct queue_shard *s, void *arg UNUSED)
{
    if (s->dirty && !shard_files_sync(s))
        log_error("queue", "fdatasync failed", "dir", s->dir, "err", strerror(errno));
}

struct stop_job { struct loop_task task; struct queue *queue; };

static void run_stop(struct loop_task *task)
{
    struct queue *q = CONTAINER(task, struct stop_job, task)->queue;
    loop_timer_stop(q->loop, &q->sync);
    queue_folder_each(&q->folder, sync_dirty, NULL);
    loop_stop(q->loop);
}

void queue_close(struct queue *q)
{
    struct stop_job stop = {{.run = run_stop}, q}; /* behind everything that the lanes posted */
    loop_post(q->loop, &stop.task);
    thread_join(q->thread);
    free_queue(q);
}

/* --- another number of shards ------------------------------------------------------------------------------------- */

const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err)
{
    return queue_folder_ask_add(&q->folder, q->loop, shards, err) ? queue_folder_newest(&q->folder) : NULL;
}

void queue_shrink(struct queue *q) { queue_folder_ask_remove(&q->folder, q->loop); }
void queue_retire(struct queue *q, size_t at) { queue_folder_ask_retire(&q->folder, q->loop, at); }
