// SPDX-License-Identifier: Apache-2.0
/* A shard's queue of blocks in memory and on disk (positions and states: shard.h). */
#include "writer/send/destination_lane.h"

#include "base/telemetry/log.h"
#include "writer/queue/block.h"

enum { READ_BYTES = 1 << 20, READ_BYTES_FAILING = 64 << 10, READ_RETRY_MS = 1000, RECORD_MS = 1000 };

static void run_resume(struct loop_timer *timer)
{
    struct shard *s = CONTAINER(timer, struct shard, resume);
    s->state = SHARD_IDLE;
    shard_kick(s);
}

/* Unacknowledged blocks before read_seq are in memory; all of them while the shard is not behind. */
static void shard_report_held(const struct shard *s)
{
    queue_hold(s->disk, shard_behind(s) ? s->read_seq : UINT64_MAX);
}

static void shard_ack(struct shard *s, uint64_t next)
{
    if (s->drained) /* its files are deleted soon, and its place in the table of positions is another's */
        return;
    queue_ack(s->disk, next);
    s->ack_before = s->last_ack;
    s->last_ack = next;
}

static void run_recorded(struct loop_task *task) { shard_kick(CONTAINER(task, struct shard, recorded)); }

static void run_record_late(struct loop_timer *timer)
{
    struct shard *s = CONTAINER(timer, struct shard, record_late);
    s->record_is_late = true;
    shard_kick(s);
}

static bool shard_waits_for_record(struct shard *s)
{
    struct loop *loop = s->lane->loop;
    uint64_t recorded = queue_position_shared(s->disk) ? s->ack_before : s->last_ack;
    if (queue_ack_recorded(s->disk, recorded, loop, &s->recorded)) {
        loop_timer_stop(loop, &s->record_late);
        s->record_is_late = false;
    } else if (!s->record_is_late && !loop_timer_armed(&s->record_late)) {
        loop_timer_in(loop, &s->record_late, RECORD_MS);
    }
    return loop_timer_armed(&s->record_late);
}

static void run_read_retry(struct loop_timer *timer) { shard_kick(CONTAINER(timer, struct shard, read_retry)); }

struct shard *shard_new(struct destination *d, struct destination_generation *g, size_t at, unsigned index,
                        struct queue_shard *disk)
{
    struct shard *s = mem_zalloc(sizeof *s);
    struct queue_state state = queue_shard_state(disk);
    s->dest = d;
    s->generation = g;
    s->generation_at = at;
    s->index = index;
    s->disk = disk;
    s->next_seq = state.next;
    s->read_seq = state.first;
    s->joint_end = state.joint_end;
    s->joint_backlog = s->joint_end > 0;
    if (s->joint_backlog)
        atomic_fetch_add(&g->joint_backlogs, 1);
    shard_report_held(s);
    s->read_retry.run = run_read_retry;
    s->recorded.run = run_recorded;
    s->record_late.run = run_record_late;
    s->resume.run = run_resume;
    s->in_doubt = shard_behind(s); /* the last run may have ended before the response to its first block arrived */
    s->in_doubt_seq = state.first;
    return s;
}

void shard_free(struct shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        block_unref(s->entries[(s->head + i) % s->cap].block);
    mem_free(s->entries);
    backup_shard_free(&s->backup);
    mem_free(s);
}

/* --- blocks in memory --------------------------------------------------------------------------------------------- */

static struct queued_block *entry_at(struct shard *s, size_t i) { return &s->entries[(s->head + i) % s->cap]; }
struct block *shard_head(struct shard *s) { return s->n ? entry_at(s, 0)->block : NULL; }
uint64_t shard_head_seq(const struct shard *s) { return s->entries[s->head].seq; }

size_t shard_pieces(const struct shard *s)
{
    size_t n = 1;
    while (n < s->n && s->entries[(s->head + n) % s->cap].seq == shard_head_seq(s))
        n++;
    return n;
}

void shard_set_head_in_doubt(struct shard *s)
{
    s->in_doubt = true;
    s->in_doubt_seq = shard_head_seq(s);
}

bool shard_head_in_doubt(const struct shard *s) { return s->in_doubt && s->in_doubt_seq == shard_head_seq(s); }

static void reserve_entries(struct shard *s, size_t more)
{
    if (s->n + more <= s->cap)
        return;
    size_t cap = s->cap ? s->cap * 2 : 16;
    while (cap < s->n + more)
        cap *= 2;
    struct queued_block *entries = mem_alloc(cap * sizeof *entries);
    for (size_t i = 0; i < s->n; i++)
        entries[i] = *entry_at(s, i);
    mem_free(s->entries);
    s->entries = entries;
    s->cap = cap;
    s->head = 0;
}

void shard_release_memory(struct shard *s)
{
    mem_free(s->entries);
    s->entries = NULL;
    s->cap = s->head = 0;
}

static void count_in(struct shard *s, const struct block *b)
{
    s->memory += b->n;
    atomic_fetch_add_explicit(&s->dest->pending_bytes, b->n, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->dest->pending_blocks, 1, memory_order_relaxed);
}

static void count_out(struct shard *s, const struct block *b)
{
    s->memory -= b->n;
    atomic_fetch_sub_explicit(&s->dest->pending_bytes, b->n, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->dest->pending_blocks, 1, memory_order_relaxed);
}

/* While the next blocks are read from disk, the age is that of the last one before them. */
static void note_head(struct shard *s)
{
    if (s->n > 0 || !shard_behind(s))
        atomic_store_explicit(&s->since, s->n ? entry_at(s, 0)->queued_at : 0, memory_order_relaxed);
}

static void append_entry(struct shard *s, struct block *b, uint64_t seq, int64_t queued_at)
{
    reserve_entries(s, 1);
    s->n++;
    *entry_at(s, s->n - 1) = (struct queued_block){b, seq, queued_at};
    count_in(s, b);
    note_head(s);
}

/* Removes an entry; those before it move up. */
static struct queued_block shard_take_queued_block(struct shard *s, size_t i)
{
    struct queued_block e = *entry_at(s, i);
    for (; i > 0; i--)
        *entry_at(s, i) = *entry_at(s, i - 1);
    s->head = (s->head + 1) % s->cap;
    s->n--;
    count_out(s, e.block);
    note_head(s);
    return e;
}

/* Bytes of blocks that this shard may keep in memory. */
static size_t shard_memory_limit(const struct shard *s)
{
    size_t share = s->lane->settings->max_memory_bytes / s->generation->n_shards;
    return share > SHARD_MIN_MEMORY ? share : SHARD_MIN_MEMORY;
}

/* Durability memory: there is no copy on disk. Drops the oldest blocks, except the one in flight. */
static void drop_oldest(struct shard *s)
{
    bool sending = s->state == SHARD_SENDING;
    size_t before = s->n;
    uint64_t samples = 0;
    while (s->memory > shard_memory_limit(s) && s->n > 1) {
        struct queued_block e = shard_take_queued_block(s, sending ? 1 : 0);
        destination_count_dropped(s->dest, e.block, DROPPED_NO_SPACE);
        samples += e.block->n_samples;
        block_unref(e.block);
        s->resent = sending ? s->resent : NOT_RESENT;
    }
    if (s->n < before)
        log_warn("remote_write", "max_memory_bytes is used up and durability is memory; dropping the oldest blocks",
                 "name", s->dest->name, LOG_U64("blocks", before - s->n), LOG_U64("samples", samples));
    if (s->n < before && !sending)
        shard_ack(s, entry_at(s, 0)->seq);
}

/* --- disk --------------------------------------------------------------------------------------------------------- */

static void shard_report_behind(struct shard *s) { queue_behind(s->disk, shard_behind(s) || s->lane->down); }

/* The time of sealing is not on disk: most blocks are as old as their newest sample. */
static int64_t block_pending_since(const struct shard *s, const struct block *b)
{
    int64_t now = loop_now(s->lane->loop);
    return b->t_max > 0 && b->t_max < now ? b->t_max : now;
}

/* Blocks may have been skipped since the read began. */
static void shard_append_read(struct shard *s, const struct queue_read *r)
{
    uint64_t next = r->next < s->next_seq ? r->next : s->next_seq;
    for (unsigned i = 0; i < r->n; i++)
        if (r->items[i].seq >= s->read_seq)
            append_entry(s, r->items[i].block, r->items[i].seq, block_pending_since(s, r->items[i].block));
        else
            block_unref(r->items[i].block);
    if (next > s->read_seq)
        s->read_seq = next;
}

static void shard_apply_read(struct shard *s)
{
    const struct queue_read *r = &s->read;
    shard_append_read(s, r);
    if (r->failed && r->n == 0) {
        loop_timer_in(s->lane->loop, &s->read_retry, READ_RETRY_MS);
        return;
    }
    /* The io thread has executed every write before this read: blocks that it did not return are lost, and counted
     * there. Later writes may still be missing. */
    if (r->n == 0 && s->read_seq < s->read_until)
        s->read_seq = s->read_until;
    note_head(s);
    shard_report_behind(s);
    shard_report_held(s);
    if (shard_empty(s))
        shard_ack(s, s->next_seq);
}

static void shard_read_done(struct queue_read *r)
{
    struct shard *s = CONTAINER(r, struct shard, read);
    s->reading = false;
    if (s->state == SHARD_STOPPED) {
        for (unsigned i = 0; i < r->n; i++)
            block_unref(r->items[i].block);
        queue_hold(s->disk, 0); /* the read has moved it */
        return;
    }
    shard_apply_read(s);
    shard_kick(s);
}

/* While the disk fails, memory is needed for the blocks that are not on disk. */
static size_t read_window(const struct shard *s)
{
    return queue_failing(s->dest->queue) ? READ_BYTES_FAILING : READ_BYTES;
}

/* Frees blocks that the queue has, except the head, which may be in flight. They are read back later. */
static void release_memory(struct shard *s)
{
    uint64_t head = entry_at(s, 0)->seq;
    while (s->n > 1 && entry_at(s, s->n - 1)->seq != head) {
        struct queued_block *last = entry_at(s, s->n - 1);
        s->read_seq = last->seq;
        count_out(s, last->block);
        block_unref(last->block);
        s->n--;
    }
    queue_hold(s->disk, s->read_seq);
}

static void read_more(struct shard *s)
{
    size_t window = read_window(s);
    if (!shard_behind(s) || s->reading || s->memory > window / 2 || loop_timer_armed(&s->read_retry))
        return;
    s->read_until = s->next_seq;
    s->read.from = s->read_seq;
    s->read.max_bytes = window;
    s->read.home = s->lane->loop;
    s->read.done = shard_read_done;
    if (queue_read_memory(s->disk, &s->read)) {
        shard_apply_read(s);
        return;
    }
    s->reading = true;
    queue_read(s->disk, &s->read);
}

/* --- joint blocks -------------------------------------------------------------------------------------------------- */

uint64_t shard_position(const struct shard *s) { return s->n > 0 ? shard_head_seq(s) : s->read_seq; }

/* Once the joint blocks of a shard are delivered, others continue. */
static void shard_check_joint(struct shard *s)
{
    if (s->joint_end == 0 || shard_position(s) < s->joint_end)
        return;
    s->joint_end = 0;
    if (s->joint_backlog) {
        s->joint_backlog = false;
        if (atomic_fetch_sub(&s->generation->joint_backlogs, 1) == 1)
            destination_kick_lanes(s->dest);
        return;
    }
    for (unsigned i = s->index % s->dest->n_lanes; i < s->generation->n_shards; i += s->dest->n_lanes)
        if (i != s->index)
            shard_kick(s->generation->shards[i]);
}

static bool shard_waits_for_joint(const struct shard *s)
{
    const struct shard *first = s->generation->shards[s->index % s->dest->n_lanes];
    if (s->joint_end > 0) /* what it has is a joint block, or older than one */
        return false;
    return atomic_load(&s->generation->joint_backlogs) > 0 || first->joint_end > 0;
}

bool shard_lags(const struct shard *s)
{
    enum { LAG_MS = 200 };
    return shard_behind(s) ||
           (s->n > 1 && loop_now(s->lane->loop) - s->entries[s->head].queued_at > LAG_MS);
}

/* --- append and remove -------------------------------------------------------------------------------------------- */

void shard_push(struct shard *s, struct block *b, struct write_terms terms)
{
    bool behind = shard_behind(s);
    uint64_t seq = s->next_seq++;
    if (b->joint_lanes > 0)
        s->joint_end = s->next_seq;
    /* Durability memory also writes when the shard is behind (earlier blocks are on disk) and when it is stopped. */
    bool write = s->lane->settings->durability != DURABILITY_MEMORY || behind || s->state == SHARD_STOPPED;
    if (!behind && write && s->memory + b->n > shard_memory_limit(s)) {
        behind = true;
        s->read_seq = seq;
        shard_report_behind(s);
        shard_report_held(s);
    }
    if (behind) {
        terms.write_by = 0; /* it is only there */
        if (!s->reading && s->memory > READ_BYTES_FAILING && queue_failing(s->dest->queue))
            release_memory(s);
        queue_write(s->disk, b, seq, terms);
    } else {
        s->read_seq = s->next_seq;
        if (write)
            queue_write(s->disk, block_ref(b), seq, terms);
        for (size_t i = 0; i < terms.n && !write; i++)
            ack_release(terms.acks[i], true);
        append_entry(s, b, seq, loop_now(s->lane->loop));
        if (!write && s->lane->settings->on_full == FULL_DROP_OLDEST)
            drop_oldest(s);
    }
    shard_kick(s);
}

static bool too_old(const struct shard *s, const struct block *b)
{
    int64_t limit = s->lane->settings->age_limit;
    return limit > 0 && b->n_samples > 0 && b->t_max < loop_now(s->lane->loop) - limit; /* metadata has no timestamps */
}

void shard_finish_head(struct shard *s)
{
    struct queued_block e = shard_take_queued_block(s, 0);
    block_unref(e.block);
    s->resent = NOT_RESENT;
    if (s->n > 0 && entry_at(s, 0)->seq == e.seq) /* a piece is left */
        return;
    shard_ack(s, shard_position(s));
    backup_primary_moved(s);
}

/* Removes blocks that need not be sent, unless one is in flight. */
static void shard_skip_until(struct shard *s, uint64_t next)
{
    if (next <= shard_position(s))
        return;
    while (s->n > 0 && shard_head_seq(s) < next)
        block_unref(shard_take_queued_block(s, 0).block);
    if (s->n == 0 && s->read_seq < next)
        s->read_seq = next < s->next_seq ? next : s->next_seq;
    s->resent = NOT_RESENT;
    note_head(s);
    shard_report_behind(s);
    if (!s->reading)
        shard_report_held(s);
    shard_ack(s, shard_position(s));
    backup_primary_moved(s);
}

static void drop_old(struct shard *s)
{
    while (s->n > 0 && too_old(s, shard_head(s))) {
        destination_count_dropped(s->dest, shard_head(s), DROPPED_TOO_OLD);
        shard_finish_head(s);
    }
}

void shard_kick(struct shard *s)
{
    if (s->state != SHARD_IDLE || s->lane == NULL)
        return;
    drop_old(s);
    shard_skip_until(s, backup_needless_until(s));
    read_more(s);
    shard_check_joint(s);
    if (shard_empty(s)) {
        destination_lane_drained(s);
        return;
    }
    if (s->n == 0 || !backup_may_send(s) || !drain_may_send(s) || shard_waits_for_joint(s))
        return;
    if (s->lane->down) {
        s->state = SHARD_WAITING;
        list_push_back(&s->lane->waiting, &s->node);
        return;
    }
    if (shard_waits_for_record(s) || !drain_take_budget(s))
        return;
    s->state = SHARD_SENDING;
    sender_send(s);
}

void shard_delivered(struct shard *s)
{
    shard_finish_head(s);
    s->state = SHARD_IDLE;
    shard_kick(s);
}

void shard_pause(struct shard *s, int64_t ms)
{
    s->state = SHARD_PAUSED;
    loop_timer_in(s->lane->loop, &s->resume, ms);
}

void shard_replace_head(struct shard *s, struct block *const *blocks, size_t n)
{
    struct queued_block e = shard_take_queued_block(s, 0);
    block_unref(e.block);
    reserve_entries(s, n);
    for (size_t i = n; i-- > 0;) {
        s->head = (s->head + s->cap - 1) % s->cap;
        s->n++;
        *entry_at(s, 0) = (struct queued_block){blocks[i], e.seq, e.queued_at};
        count_in(s, blocks[i]);
    }
    note_head(s);
}

void shard_rotate_head(struct shard *s)
{
    size_t n = shard_pieces(s);
    struct queued_block first = *entry_at(s, 0);
    for (size_t i = 1; i < n; i++)
        *entry_at(s, i - 1) = *entry_at(s, i);
    *entry_at(s, n - 1) = first;
    note_head(s);
}

/* --- stop and start ----------------------------------------------------------------------------------------------- */

/* Rejoins the pieces of an entry's block, which have one number and one record on disk. next: the entry after them. */
static struct block *shard_rejoin_block(struct shard *s, size_t at, size_t *next)
{
    struct queued_block *first = entry_at(s, at);
    struct block *block = block_ref(first->block);
    for (*next = at + 1; *next < s->n && entry_at(s, *next)->seq == first->seq; ++*next) {
        struct err err;
        const struct block *part = entry_at(s, *next)->block;
        struct block *joined = block_join(s->lane->packer, block, part, &err);
        if (joined == NULL) {
            destination_count_dropped(s->dest, part, DROPPED_REJECTED);
            log_error("remote_write", "cannot rejoin a split block for the disk queue; dropping a part of it", "name",
                      s->dest->name, LOG_U64("samples", part->n_samples), "err", err.text);
            continue;
        }
        block_unref(block);
        block = joined;
    }
    return block;
}

void shard_save(struct shard *s)
{
    for (size_t i = 0, next; i < s->n; i = next) {
        struct block *b = shard_rejoin_block(s, i, &next);
        queue_write(s->disk, b, entry_at(s, i)->seq, (struct write_terms){0});
    }
}

void shard_stop(struct shard *s)
{
    if (s->call) {
        client_cancel(s->call);
        sender_leave_place(s, true);
        shard_set_head_in_doubt(s);
    }
    s->call = NULL;
    if (s->state == SHARD_WAITING)
        list_remove(&s->node);
    s->state = SHARD_STOPPED;
    loop_timer_stop(s->lane->loop, &s->read_retry);
    loop_timer_stop(s->lane->loop, &s->resume);
    loop_timer_stop(s->lane->loop, &s->record_late);
    queue_cancel_wait(s->disk);
    loop_unpost(s->lane->loop, &s->recorded);
    shard_save(s);
    queue_hold(s->disk, 0); /* nothing is sent from memory any more: blocks that the disk loses are lost */
}

void shard_start(struct shard *s)
{
    if (s->state != SHARD_STOPPED)
        return;
    s->state = SHARD_IDLE;
    shard_report_held(s);
}
