// SPDX-License-Identifier: Apache-2.0
/* Jobs between the lanes and the io thread.
 *
 * A delivered block needs no disk: the acknowledgement removes its job, and acknowledges pushes that wait for it. While a
 * destination keeps up nothing is written. The position on disk moves only past blocks that are there.
 *
 * A disk that responds takes a job within microseconds once it is due. While it does not respond:
 *
 * 1. Once a job is overdue by STALLED_MS, the disk counts as stalled.
 * 2. All other jobs count against max_memory_bytes, together with blocks whose write failed. Over it the oldest block
 *    that is in no lane's memory is dropped and counted. With on_full: push_back nothing is dropped, the sink refuses
 *    batches.
 * 3. A shard whose blocks are all here reads them from here: a destination that responds gets what is in memory.
 *
 * The job that the io thread is writing (`busy`) remains in the lists until it is done, so that it can still be read.
 */
#include "writer/queue/queue_intake.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

enum { STALLED_MS = 2000 };

static struct write_job *job_in_shard(const struct list *node) { return CONTAINER(node, struct write_job, node); }
static struct write_job *job_in_order(const struct list *node) { return CONTAINER(node, struct write_job, order); }

void intake_init(struct intake *in, struct loop *loop, void (*work)(struct loop_task *task))
{
    mutex_init(&in->lock, RANK_QUEUE_INTAKE);
    list_init(&in->jobs);
    list_init(&in->acked);
    in->loop = loop;
    in->work.run = work;
    in->next_work = INT64_MAX;
}

void intake_free(struct intake *in)
{
    while (!list_empty(&in->jobs)) {
        struct write_job *j = job_in_order(in->jobs.next);
        list_remove(&j->order);
        write_job_end(j, false);
        write_job_free(j);
    }
    mutex_free(&in->lock);
}

void intake_shard_init(struct intake_shard *s, uint64_t next)
{
    list_init(&s->jobs);
    s->done_until = next;
}

/* --- under the lock ----------------------------------------------------------------------------------------------- */

static void intake_unlink(struct intake *in, struct write_job *j)
{
    list_remove(&j->order);
    list_remove(&j->node);
    in->n_jobs--;
    atomic_fetch_sub_explicit(&in->bytes, write_job_bytes(j), memory_order_relaxed);
}

static bool intake_overdue(const struct intake *in)
{
    int64_t now = clock_mono_ms();
    for (const struct list *n = in->jobs.next; n != &in->jobs; n = n->next)
        if (now - job_in_order(n)->write_by > STALLED_MS)
            return true;
    return false;
}

/* Moves the delivered blocks of a shard to `removed`, linked by `order`. */
static void intake_remove_delivered(struct intake *in, struct queue_shard *s, struct list *removed)
{
    for (struct list *n = s->intake.jobs.next, *next; n != &s->intake.jobs; n = next) {
        struct write_job *j = job_in_shard(n);
        next = n->next;
        if (j->seq >= s->intake.acked)
            return;
        if (j->busy)
            continue;
        intake_unlink(in, j);
        list_push_back(removed, &j->order);
    }
}

/* A delivered block that is not removed is just being written. */
static bool intake_writes_delivered(const struct intake_shard *s)
{
    return !list_empty(&s->jobs) && job_in_shard(s->jobs.next)->seq < s->acked;
}

/* Earlier blocks of the shard are due with this one. True: the io thread must be woken for it. */
static bool intake_schedule(struct intake *in, const struct write_job *j)
{
    for (struct list *n = j->shard->intake.jobs.prev; n != &j->shard->intake.jobs; n = n->prev) {
        if (job_in_shard(n)->write_by < j->write_by)
            break;
        job_in_shard(n)->write_by = j->write_by;
    }
    if (j->write_by >= in->next_work)
        return false;
    in->next_work = j->write_by;
    return true;
}

/* Blocks before `held` are skipped: they are in the lane's memory too, dropping them here would free none. */
static void intake_remove_over_limit(struct intake *in, uint64_t limit, struct list *removed)
{
    for (struct list *n = in->jobs.next, *next; n != &in->jobs && atomic_load(&in->bytes) > limit; n = next) {
        struct write_job *j = job_in_order(n);
        next = n->next;
        if (j->busy || j->seq < atomic_load(&j->shard->held) || j->seq < j->shard->intake.acked)
            continue;
        intake_unlink(in, j);
        list_push_back(removed, &j->order);
    }
}

/* True once per stall: to be logged. */
static bool intake_note_stall(struct intake *in)
{
    bool stalled = intake_overdue(in), first = stalled && !in->logged;
    atomic_store_explicit(&in->stalled, stalled, memory_order_relaxed);
    in->logged = in->logged || stalled;
    return first;
}

/* --- without the lock --------------------------------------------------------------------------------------------- */

static void intake_log_stall(const struct queue_shard *s)
{
    log_error("queue", "queue disk does not respond; keeping blocks in memory, and dropping the oldest when "
              "max_memory_bytes is used up", "dir", s->dir);
}

static void intake_free_delivered(struct list *removed)
{
    for (struct list *n; (n = list_pop_front(removed)) != NULL;) {
        write_job_end(job_in_order(n), true);
        write_job_free(job_in_order(n));
    }
}

static void intake_drop_jobs(struct list *removed)
{
    for (struct list *n; (n = list_pop_front(removed)) != NULL;) {
        struct write_job *j = job_in_order(n);
        shard_count_lost(j->shard, 1, j->block->n_samples, j->block->n);
        log_error("queue", "queue disk does not respond and max_memory_bytes is used up; dropping the oldest block",
                  "dir", j->shard->dir, LOG_U64("samples", j->block->n_samples));
        write_job_end(j, false);
        write_job_free(j);
    }
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

/* True for a duplicate: a retiring lane hands over again what it has in memory. */
static bool intake_has(const struct intake_shard *s, uint64_t seq)
{
    return !list_empty(&s->jobs) && job_in_shard(s->jobs.prev)->seq >= seq;
}

void intake_put(struct intake *in, struct write_job *j, uint64_t limit)
{
    struct queue_shard *s = j->shard;
    struct list removed;
    list_init(&removed);
    mutex_lock(&in->lock);
    bool queued = intake_has(&s->intake, j->seq);
    if (!queued) {
        list_push_back(&in->jobs, &j->order);
        list_push_back(&s->intake.jobs, &j->node);
        in->n_jobs++;
        atomic_fetch_add_explicit(&in->bytes, write_job_bytes(j), memory_order_relaxed);
    }
    bool wake = intake_schedule(in, j), log = intake_note_stall(in);
    if (atomic_load_explicit(&in->stalled, memory_order_relaxed)) /* otherwise the io thread takes them when due */
        intake_remove_over_limit(in, limit, &removed);
    mutex_unlock(&in->lock);
    if (wake)
        loop_post(in->loop, &in->work);
    if (queued) {
        write_job_end(j, true);
        write_job_free(j);
    }
    if (log)
        intake_log_stall(s);
    intake_drop_jobs(&removed);
}

void intake_ack(struct intake *in, struct queue_shard *s, uint64_t next)
{
    struct list removed;
    list_init(&removed);
    mutex_lock(&in->lock);
    /* the first one, too: the position tells that the shard was used (writer/refill.c) */
    bool moves = s->intake.acked < s->intake.done_until || s->intake.acked == 0;
    bool recorded = s->intake.recorded >= s->intake.acked;
    if (next > s->intake.acked)
        s->intake.acked = next;
    if (!list_linked(&s->intake.ack_node))
        list_push_back(&in->acked, &s->intake.ack_node);
    intake_remove_delivered(in, s, &removed);
    if (recorded && !moves && !intake_writes_delivered(&s->intake)) /* they were never on disk */
        s->intake.recorded = s->intake.acked;
    bool log = intake_note_stall(in);
    mutex_unlock(&in->lock);
    if (moves)
        loop_post(in->loop, &in->work);
    if (log)
        intake_log_stall(s);
    intake_free_delivered(&removed);
}

bool intake_ack_recorded(struct intake *in, struct queue_shard *s, uint64_t next, struct loop *home,
                         struct loop_task *recorded)
{
    mutex_lock(&in->lock);
    bool done = s->intake.recorded >= next;
    s->intake.waiting_loop = home;
    s->intake.waiting_for = next;
    s->intake.waiting = done ? NULL : recorded;
    mutex_unlock(&in->lock);
    return done;
}

void intake_cancel_wait(struct intake *in, struct queue_shard *s)
{
    mutex_lock(&in->lock);
    s->intake.waiting = NULL;
    mutex_unlock(&in->lock);
}

bool intake_read(struct intake *in, struct queue_shard *s, struct queue_read *r)
{
    size_t bytes = 0;
    mutex_lock(&in->lock);
    bool all = r->from >= s->intake.done_until;
    r->n = 0;
    r->next = r->from;
    r->failed = false;
    for (const struct list *n = s->intake.jobs.next;
         all && n != &s->intake.jobs && r->n < LEN(r->items) && bytes < r->max_bytes; n = n->next) {
        const struct write_job *j = job_in_shard(n);
        if (j->seq < r->from)
            continue;
        r->items[r->n].block = block_ref(j->block);
        r->items[r->n++].seq = j->seq;
        r->next = j->seq + 1;
        bytes += j->block->n;
    }
    if (r->n > 0)
        atomic_store(&s->held, r->next);
    mutex_unlock(&in->lock);
    return all;
}

/* --- the io thread ------------------------------------------------------------------------------------------------ */

size_t intake_jobs(struct intake *in)
{
    mutex_lock(&in->lock);
    size_t n = in->n_jobs;
    mutex_unlock(&in->lock);
    return n;
}

int64_t intake_due(struct intake *in)
{
    int64_t due = INT64_MAX;
    mutex_lock(&in->lock);
    for (const struct list *n = in->jobs.next; n != &in->jobs; n = n->next)
        if (job_in_order(n)->write_by < due)
            due = job_in_order(n)->write_by;
    in->next_work = due;
    mutex_unlock(&in->lock);
    return due;
}

struct write_job *intake_begin(struct intake *in, int64_t until)
{
    struct write_job *found = NULL;
    mutex_lock(&in->lock);
    for (const struct list *n = in->jobs.next; n != &in->jobs && found == NULL; n = n->next)
        if (job_in_order(n)->write_by <= until)
            found = job_in_order(n);
    if (found)
        found->busy = true;
    mutex_unlock(&in->lock);
    return found;
}

void intake_done(struct intake *in, struct write_job *j)
{
    mutex_lock(&in->lock);
    intake_unlink(in, j);
    if (j->seq >= j->shard->intake.done_until)
        j->shard->intake.done_until = j->seq + 1;
    bool stalled = intake_overdue(in), over = in->logged && !stalled;
    atomic_store_explicit(&in->stalled, stalled, memory_order_relaxed);
    in->logged = stalled;
    mutex_unlock(&in->lock);
    if (over)
        log_info("queue", "queue disk responds again", "dir", j->shard->dir);
}

struct queue_shard *intake_take_ack(struct intake *in, uint64_t *next)
{
    mutex_lock(&in->lock);
    struct list *node = list_pop_front(&in->acked);
    struct queue_shard *s = node ? CONTAINER(node, struct queue_shard, intake.ack_node) : NULL;
    *next = s ? s->intake.acked : 0;
    mutex_unlock(&in->lock);
    return s;
}

void intake_recorded(struct intake *in, struct queue_shard *s, uint64_t next)
{
    mutex_lock(&in->lock);
    if (next > s->intake.recorded)
        s->intake.recorded = next;
    if (s->intake.waiting && s->intake.recorded >= s->intake.waiting_for) {
        loop_post(s->intake.waiting_loop, s->intake.waiting);
        s->intake.waiting = NULL;
    }
    mutex_unlock(&in->lock);
}

void intake_add_undelivered(struct intake *in, struct block_sum *sum)
{
    mutex_lock(&in->lock);
    for (const struct list *n = in->jobs.next; n != &in->jobs; n = n->next) {
        const struct write_job *j = job_in_order(n);
        if (j->seq < j->shard->intake.acked)
            continue;
        sum->blocks++;
        sum->samples += j->block->n_samples;
        sum->bytes += j->block->n;
    }
    mutex_unlock(&in->lock);
}
