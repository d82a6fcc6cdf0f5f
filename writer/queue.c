/* A destination's folder on disk:
 *
 *   DIR/gNNNN-sSS/        one generation: its number and its number of shards. Changing the number of shards begins a new one,
 *                         which is sent when the older ones are drained: no series may overtake itself.
 *   DIR/gNNNN-sSS/KK/     one shard (queue_shard.c)
 *
 * The io thread runs a loop of its own; lanes post jobs to it and it posts answers back. It never waits for a lane, and no
 * lane waits for it: a slow disk slows only this destination.
 */
#include "writer/queue.h"

#include "base/log.h"
#include "base/thread.h"
#include "base/times.h"
#include "writer/queue_shard.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYNC_EVERY_MS = 1000, SEGMENTS_PER_SHARD = 4, LEAST_SEGMENT = 64 << 10 };

struct queue {
    char *dir;
    atomic_ullong max_bytes;
    atomic_bool sync_writes, keep_all; /* as struct queue_limits */
    struct queue_generation *generations; size_t n, _cap;
    struct loop *loop;
    struct thread *thread;
    struct loop_timer sync;
    atomic_ullong bytes;
    atomic_bool failing;
    struct queue_stats stats;
};

struct write_job {
    struct loop_task task;
    struct queue_shard *shard;
    struct block *block;
    uint64_t seq;
    bool only;        /* there is no other copy */
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
    uint64_t max = atomic_load(&q->max_bytes), share = max / q->generations[q->n - 1].n_shards / SEGMENTS_PER_SHARD;
    if (max == 0 || share > SEGMENT_BYTES)
        return SEGMENT_BYTES;
    return share > LEAST_SEGMENT ? share : LEAST_SEGMENT;
}

size_t queue_generations(const struct queue *q, const struct queue_generation **out)
{
    *out = q->generations;
    return q->n;
}

static void count_bytes(struct queue *q)
{
    uint64_t bytes = 0;
    for (size_t g = 0; g < q->n; g++)
        for (unsigned i = 0; i < q->generations[g].n_shards; i++)
            bytes += shard_files_bytes(q->generations[g].shards[i]);
    atomic_store_explicit(&q->bytes, bytes, memory_order_relaxed);
}

/* --- jobs on the io thread ------------------------------------------------------------------------------------------ */

static uint64_t drop_oldest(struct queue *q)
{
    for (size_t g = 0; g < q->n; g++) {
        struct queue_shard *largest = NULL;
        for (unsigned i = 0; i < q->generations[g].n_shards; i++) {
            struct queue_shard *s = q->generations[g].shards[i];
            if (s->n > 1 && (largest == NULL || s->n > largest->n))
                largest = s;
        }
        if (largest)
            return shard_files_drop_oldest(largest);
    }
    return 0;
}

static void count_lost(struct queue *q, const struct write_job *j)
{
    atomic_fetch_add(&q->stats.write_errors, 1);
    if (!j->only) {
        log_error("queue", "a block could not be written to disk; it is kept in memory only", "dir", j->shard->dir, "err", strerror(errno));
        return;
    }
    atomic_fetch_add(&q->stats.blocks_dropped, 1);
    atomic_fetch_add(&q->stats.samples_dropped, j->block->n_samples);
    log_error("queue", "a block could not be written to disk and is lost: memory for waiting blocks is full too", "dir", j->shard->dir,
              "err", strerror(errno));
}

static bool append(struct queue *q, const struct write_job *j)
{
    bool ok = shard_files_append(j->shard, j->block, j->seq);
    if (!ok && errno == ENOSPC && !atomic_load(&q->keep_all) && drop_oldest(q) > 0)
        ok = shard_files_append(j->shard, j->block, j->seq);
    if (!ok)
        count_lost(q, j);
    else
        atomic_fetch_add(&q->stats.bytes_written, j->block->n);
    atomic_store(&q->failing, !ok);
    return ok;
}

static void make_room(struct queue *q)
{
    count_bytes(q);
    uint64_t max = atomic_load(&q->keep_all) ? 0 : atomic_load(&q->max_bytes);
    while (max > 0 && queue_bytes(q) > max && drop_oldest(q) > 0)
        count_bytes(q);
}

static void run_write(struct loop_task *task)
{
    struct write_job *j = CONTAINER(task, struct write_job, task);
    struct queue *q = j->shard->queue;
    int64_t begin = clock_mono_ns();
    bool ok = append(q, j);
    if (ok && atomic_load(&q->sync_writes) && j->n > 0)
        ok = shard_files_sync(j->shard);
    else if (!loop_timer_armed(&q->sync))
        loop_timer_in(q->loop, &q->sync, SYNC_EVERY_MS);
    atomic_fetch_add(&q->stats.write_ns, (unsigned long long)(clock_mono_ns() - begin));
    make_room(q);
    for (size_t i = 0; i < j->n; i++)
        receipt_drop(j->receipts[i], ok);
    block_unref(j->block);
    mem_free(j);
}

static void run_ack(struct loop_task *task)
{
    struct ack_job *j = CONTAINER(task, struct ack_job, task);
    shard_files_ack(j->shard, j->next);
    count_bytes(j->shard->queue);
    mem_free(j);
}

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

/* What waits on a shard that keeps up will have its answer sooner than a sync helps; it is looked at again, since the destination
 * may stop answering. True: there is something to look at. */
static bool sync_shard(struct queue *q, struct queue_shard *s)
{
    if (!s->dirty || s->acked >= s->next)
        return false;
    if (!atomic_load(&s->behind))
        return true;
    atomic_fetch_add(&q->stats.syncs, 1);
    if (!shard_files_sync(s))
        log_error("queue", "fdatasync failed", "dir", s->dir, "err", strerror(errno));
    return false;
}

static void run_sync(struct loop_timer *timer)
{
    struct queue *q = CONTAINER(timer, struct queue, sync);
    bool more = false;
    for (size_t g = 0; g < q->n; g++)
        for (unsigned i = 0; i < q->generations[g].n_shards; i++)
            more |= sync_shard(q, q->generations[g].shards[i]);
    if (more)
        loop_timer_in(q->loop, &q->sync, SYNC_EVERY_MS);
}

/* --- posting -------------------------------------------------------------------------------------------------------- */

static void post_write(struct queue_shard *s, struct block *b, uint64_t seq, bool only, struct receipt *const *receipts, size_t n)
{
    struct write_job *j = mem_alloc(sizeof *j + n * sizeof j->receipts[0]);
    *j = (struct write_job){.task = {.run = run_write}, .shard = s, .block = b, .seq = seq, .only = only, .n = n};
    if (n > 0)
        memcpy(j->receipts, receipts, n * sizeof j->receipts[0]);
    loop_post(s->queue->loop, &j->task);
}

void queue_write(struct queue_shard *s, struct block *b, uint64_t seq, struct receipt *const *receipts, size_t n)
{
    post_write(s, b, seq, false, receipts, n);
}

void queue_spill(struct queue_shard *s, struct block *b, uint64_t seq, struct receipt *const *receipts, size_t n)
{
    post_write(s, b, seq, true, receipts, n);
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

/* --- opening and closing -------------------------------------------------------------------------------------------- */

static bool open_generation(struct queue *q, uint32_t number, unsigned n_shards, struct err *err)
{
    mem_grow(&q->generations, &q->_cap, q->n + 1, sizeof *q->generations);
    struct queue_generation *g = &q->generations[q->n++];
    *g = (struct queue_generation){.number = number, .n_shards = n_shards, .shards = mem_zalloc(n_shards * sizeof *g->shards)};
    struct buf path = {0};
    buf_printf(&path, "%s/g%04u-s%02u", q->dir, number, n_shards);
    bool ok = mkdir(buf_z(&path), 0750) == 0 || errno == EEXIST;
    if (!ok)
        err_set(err, ERR_INTERNAL, "%s: cannot be made: %s", buf_z(&path), strerror(errno));
    size_t stem = path.n;
    for (unsigned i = 0; i < n_shards; i++) {
        struct queue_shard *s = g->shards[i] = mem_zalloc(sizeof *s);
        path.n = stem;
        buf_printf(&path, "/%02u", i);
        s->queue = q;
        s->dir = mem_strdup(buf_z(&path));
        s->fd = s->position.fd = s->read_fd = -1;
        ok = ok && shard_files_open(s, err);
    }
    buf_free(&path);
    return ok;
}

static bool generation_empty(const struct queue_generation *g)
{
    for (unsigned i = 0; i < g->n_shards; i++)
        if (g->shards[i]->acked < g->shards[i]->next)
            return false;
    return true;
}

static void forget_shard(struct queue_shard *s)
{
    shard_files_close(s);
    mem_free(s->dir);
    mem_free(s);
}

static void remove_generation(struct queue *q, size_t at)
{
    struct queue_generation *g = &q->generations[at];
    char path[4096];
    snprintf(path, sizeof path, "%s/g%04u-s%02u", q->dir, g->number, g->n_shards);
    for (unsigned i = 0; i < g->n_shards; i++) {
        shard_files_remove(g->shards[i]);
        forget_shard(g->shards[i]);
    }
    rmdir(path);
    mem_free(g->shards);
    memmove(g, g + 1, (q->n - at - 1) * sizeof *g);
    q->n--;
}

struct found { uint32_t number; unsigned shards; };

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct found *)a)->number, y = ((const struct found *)b)->number;
    return x < y ? -1 : x > y;
}

static bool find_generations(struct queue *q, struct err *err)
{
    DIR *d = opendir(q->dir);
    if (d == NULL)
        return err_set(err, ERR_INTERNAL, "%s: cannot be read: %s", q->dir, strerror(errno));
    struct found *found = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct found f;
        if (sscanf(e->d_name, "g%u-s%u", &f.number, &f.shards) != 2 || f.shards == 0 || f.shards > 1024)
            continue;
        mem_grow(&found, &cap, n + 1, sizeof *found);
        found[n++] = f;
    }
    closedir(d);
    if (n > 1)
        qsort(found, n, sizeof *found, by_number);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = open_generation(q, found[i].number, found[i].shards, err);
    mem_free(found);
    return ok;
}

static bool open_files(struct queue *q, unsigned shards, struct err *err)
{
    if (mkdir(q->dir, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_INTERNAL, "%s: cannot be made: %s", q->dir, strerror(errno));
    if (!find_generations(q, err))
        return false;
    uint32_t newest = q->n ? q->generations[q->n - 1].number : 0;
    if (q->n == 0 || q->generations[q->n - 1].n_shards != shards)
        if (!open_generation(q, newest + 1, shards, err))
            return false;
    for (size_t g = q->n - 1; g-- > 0;)
        if (generation_empty(&q->generations[g]))
            remove_generation(q, g);
    return true;
}

static void free_queue(struct queue *q)
{
    for (size_t g = 0; g < q->n; g++) {
        for (unsigned i = 0; i < q->generations[g].n_shards; i++)
            if (q->generations[g].shards[i])
                forget_shard(q->generations[g].shards[i]);
        mem_free(q->generations[g].shards);
    }
    mem_free(q->generations);
    mem_free(q->dir);
    if (q->loop)
        loop_free(q->loop);
    mem_free(q);
}

static void run_io(void *arg) { loop_run(((struct queue *)arg)->loop); }

struct queue *queue_open(const struct queue_options *o, struct err *err)
{
    struct queue *q = mem_zalloc(sizeof *q);
    q->dir = mem_strdup(o->dir);
    queue_limit(q, &o->limits);
    q->sync.run = run_sync;
    if (!open_files(q, o->shards, err)) {
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
    const struct queue_generation *g = &q->generations[q->n - 1];
    for (unsigned i = 0; i < g->n_shards; i++)
        shard_files_walk(g->shards[i], max_bytes / g->n_shards, visit, arg, i);
}

void queue_limit(struct queue *q, const struct queue_limits *limits)
{
    atomic_store(&q->max_bytes, limits->max_bytes);
    atomic_store(&q->sync_writes, limits->sync_writes);
    atomic_store(&q->keep_all, limits->keep_all);
}

struct grow_job {
    struct loop_task task;
    struct queue *queue;
    unsigned shards;
    struct err *err;
    bool ok, done;
    struct mutex lock;
    struct cond finished;
};

static void run_grow(struct loop_task *task)
{
    struct grow_job *j = CONTAINER(task, struct grow_job, task);
    struct queue *q = j->queue;
    bool ok = open_generation(q, q->generations[q->n - 1].number + 1, j->shards, j->err);
    mutex_lock(&j->lock);
    j->ok = ok;
    j->done = true;
    cond_signal(&j->finished);
    mutex_unlock(&j->lock);
}

const struct queue_generation *queue_grow(struct queue *q, unsigned shards, struct err *err)
{
    struct grow_job j = {.task = {.run = run_grow}, .queue = q, .shards = shards, .err = err};
    mutex_init(&j.lock);
    cond_init(&j.finished);
    mutex_lock(&j.lock);
    loop_post(q->loop, &j.task);
    while (!j.done)
        cond_wait(&j.finished, &j.lock);
    mutex_unlock(&j.lock);
    cond_free(&j.finished);
    mutex_free(&j.lock);
    return j.ok ? &q->generations[q->n - 1] : NULL;
}

struct stop_job { struct loop_task task; struct queue *queue; };

static void run_stop(struct loop_task *task)
{
    struct queue *q = CONTAINER(task, struct stop_job, task)->queue;
    loop_timer_stop(q->loop, &q->sync);
    for (size_t g = 0; g < q->n; g++)
        for (unsigned i = 0; i < q->generations[g].n_shards; i++)
            if (q->generations[g].shards[i]->dirty)
                shard_files_sync(q->generations[g].shards[i]);
    loop_stop(q->loop);
}

void queue_close(struct queue *q)
{
    struct stop_job stop = {{.run = run_stop}, q}; /* behind everything that the lanes posted */
    loop_post(q->loop, &stop.task);
    thread_join(q->thread);
    free_queue(q);
}
