// SPDX-License-Identifier: Apache-2.0
#include "writer/send/destination_lane.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "writer/queue/block.h"

enum { READ_BYTES = 1 << 20, READ_BYTES_FAILING = 64 << 10, READ_AGAIN_MS = 1000 };

static void run_resume(struct loop_timer *timer)
{
    struct shard *s = CONTAINER(timer, struct shard, resume);
    s->state = SHARD_IDLE;
    shard_kick(s);
}

static void run_read_again(struct loop_timer *timer) { shard_kick(CONTAINER(timer, struct shard, read_again)); }

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
    s->behind = state.first < state.next;
    queue_hold(disk, s->behind ? s->read_seq : UINT64_MAX);
    s->read_again.run = run_read_again;
    s->resume.run = run_resume;
    s->doubted = s->behind; /* the last run may have stopped before the response to its first block */
    s->doubt_seq = state.first;
    return s;
}

void shard_free(struct shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        block_unref(s->entries[(s->head + i) % s->cap].block);
    mem_free(s->entries);
    mem_free(s);
}

/* --- what waits in memory ----------------------------------------------------------------------------------------- */

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

void shard_doubt_head(struct shard *s)
{
    s->doubted = true;
    s->doubt_seq = shard_head_seq(s);
}

bool shard_head_doubted(const struct shard *s) { return s->doubted && s->doubt_seq == shard_head_seq(s); }

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

static void note_head(struct shard *s)
{
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

/* Those before it move up. */
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

/* How many bytes of this shard may wait in memory. */
static size_t allowance(const struct shard *s)
{
    size_t share = s->lane->settings->memory / s->generation->n_shards;
    return share > SHARD_MIN_MEMORY ? share : SHARD_MIN_MEMORY;
}

/* Memory is all there is, by durability: the oldest goes, but for the one in flight. */
static void drop_oldest(struct shard *s)
{
    bool sending = s->state == SHARD_SENDING;
    size_t before = s->n;
    while (s->memory > allowance(s) && s->n > 1) {
        struct queued_block e = shard_take_queued_block(s, sending ? 1 : 0);
        destination_count_dropped(s->dest, e.block, DROPPED_NO_SPACE);
        block_unref(e.block);
        s->resent_as_snappy = s->resent_as_snappy && sending;
        log_warn("remote_write", "max_memory_bytes is used up and durability is memory; dropping the oldest blocks",
                 "name", s->dest->name);
    }
    if (s->n < before && !sending)
        queue_ack(s->disk, entry_at(s, 0)->seq);
}

/* --- disk --------------------------------------------------------------------------------------------------------- */

static void set_behind(struct shard *s, bool behind)
{
    s->behind = behind;
    queue_behind(s->disk, behind || s->lane->down);
}

/* The disk does not know when a block was sealed: most are as old as their newest sample. */
static int64_t waits_since(const struct shard *s, const struct block *b)
{
    int64_t now = loop_now(s->lane->loop);
    return b->t_max > 0 && b->t_max < now ? b->t_max : now;
}

static void shard_apply_read(struct shard *s)
{
    const struct queue_read *r = &s->read;
    for (unsigned i = 0; i < r->n; i++)
        append_entry(s, r->items[i].block, r->items[i].seq, waits_since(s, r->items[i].block));
    s->read_seq = r->next;
    if (r->failed && r->n == 0) {
        loop_timer_in(s->lane->loop, &s->read_again, READ_AGAIN_MS);
        return;
    }
    /* The io thread has seen every write before this read: what is not there is lost, and counted there. Those after
     * it are not. */
    if (r->n == 0 && s->read_seq < s->read_until)
        s->read_seq = s->read_until;
    if (s->read_seq >= s->next_seq)
        set_behind(s, false);
    queue_hold(s->disk, s->behind ? s->read_seq : UINT64_MAX);
    if (s->n == 0 && !s->behind)
        queue_ack(s->disk, s->next_seq);
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

/* While the disk fails, memory belongs to the blocks that it has not. */
static size_t read_window(const struct shard *s)
{
    return queue_failing(s->dest->queue) ? READ_BYTES_FAILING : READ_BYTES;
}

/* Lets go of blocks that the queue has, but for the head, whose request may be in flight. They are read back later. */
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
    if (!s->behind || s->reading || s->memory > window / 2 || loop_timer_armed(&s->read_again))
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

/* --- in and out --------------------------------------------------------------------------------------------------- */

void shard_push(struct shard *s, struct block *b, struct pending_acks acks)
{
    uint64_t seq = s->next_seq++;
    /* Durability memory writes too where order or a stop asks for it: behind what an earlier run left on disk. */
    bool write = s->lane->settings->durability != DURABILITY_MEMORY || s->behind || s->state == SHARD_STOPPED;
    if (!s->behind && write && s->memory + b->n > allowance(s)) {
        s->read_seq = seq;
        set_behind(s, true);
        queue_hold(s->disk, seq);
    }
    if (s->behind) {
        if (!s->reading && s->memory > READ_BYTES_FAILING && queue_failing(s->dest->queue))
            release_memory(s);
        queue_write(s->disk, b, seq, acks);
    } else {
        if (write)
            queue_write(s->disk, block_ref(b), seq, acks);
        for (size_t i = 0; i < acks.n && !write; i++)
            ack_release(acks.acks[i], true);
        append_entry(s, b, seq, loop_now(s->lane->loop));
        if (!write && s->lane->settings->on_full == FULL_DROP_OLDEST)
            drop_oldest(s);
    }
    shard_kick(s);
}

static bool too_old(const struct shard *s, const struct block *b)
{
    int64_t limit = s->lane->settings->age_limit;
    return limit > 0 && b->n_samples > 0 && b->t_max < loop_now(s->lane->loop) - limit; /* metadata alone has no age */
}

void shard_finish_head(struct shard *s)
{
    struct queued_block e = shard_take_queued_block(s, 0);
    block_unref(e.block);
    s->resent_as_snappy = false;
    if (s->n == 0 || entry_at(s, 0)->seq != e.seq) /* the last piece of it */
        queue_ack(s->disk, s->n ? entry_at(s, 0)->seq : s->behind ? s->read_seq : s->next_seq);
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
    read_more(s);
    if (shard_empty(s)) {
        destination_lane_drained(s);
        return;
    }
    if (s->n == 0 || atomic_load(&s->dest->active) < s->generation_at)
        return;
    if (s->lane->down) {
        s->state = SHARD_WAITING;
        list_push_back(&s->lane->waiting, &s->node);
        return;
    }
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

/* --- the lane leaves, and comes back ------------------------------------------------------------------------------ */

/* The block of an entry, as it was before it was cut: its pieces have one number, and one place on disk. next: the
 * entry behind it. */
static struct block *whole_block(struct shard *s, size_t at, size_t *next)
{
    struct queued_block *first = entry_at(s, at);
    struct block *whole = block_ref(first->block);
    for (*next = at + 1; *next < s->n && entry_at(s, *next)->seq == first->seq; ++*next) {
        struct err err;
        struct block *joined = block_join(s->lane->packer, whole, entry_at(s, *next)->block, &err);
        if (joined == NULL) {
            destination_count_dropped(s->dest, entry_at(s, *next)->block, DROPPED_REJECTED);
            log_error("remote_write", "a part of a block is lost", "name", s->dest->name, "err", err.text);
            continue;
        }
        block_unref(whole);
        whole = joined;
    }
    return whole;
}

void shard_save(struct shard *s)
{
    for (size_t i = 0, next; i < s->n; i = next) {
        struct block *b = whole_block(s, i, &next);
        queue_write(s->disk, b, entry_at(s, i)->seq, (struct pending_acks){0});
    }
}

void shard_stop(struct shard *s)
{
    if (s->call) {
        client_cancel(s->call);
        shard_doubt_head(s);
    }
    s->call = NULL;
    if (s->state == SHARD_WAITING)
        list_remove(&s->node);
    s->state = SHARD_STOPPED;
    loop_timer_stop(s->lane->loop, &s->read_again);
    loop_timer_stop(s->lane->loop, &s->resume);
    shard_save(s);
    queue_hold(s->disk, 0); /* nothing is sent from memory any more: what the disk drops is lost */
}

void shard_start(struct shard *s)
{
    if (s->state != SHARD_STOPPED)
        return;
    s->state = SHARD_IDLE;
    queue_hold(s->disk, s->behind ? s->read_seq : UINT64_MAX);
}
