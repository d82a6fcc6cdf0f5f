#include "writer/shard.h"

#include "base/log.h"
#include "base/times.h"
#include "writer/block.h"

enum { READ_BYTES = 1 << 20, MIN_MEMORY = 256 << 10, READ_AGAIN_MS = 1000 };

static void run_read_again(struct loop_timer *timer) { shard_kick(CONTAINER(timer, struct shard, read_again)); }

struct shard *shard_new(struct destination *d, struct destination_generation *g, size_t at, unsigned index, struct queue_shard *disk)
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
    s->read_again.run = run_read_again;
    return s;
}

void shard_free(struct shard *s)
{
    for (size_t i = 0; i < s->n; i++)
        block_unref(s->entries[(s->head + i) % s->cap].block);
    mem_free(s->entries);
    mem_free(s);
}

/* --- what waits in memory ------------------------------------------------------------------------------------------- */

static struct entry *entry_at(struct shard *s, size_t i) { return &s->entries[(s->head + i) % s->cap]; }
struct block *shard_head(struct shard *s) { return s->n ? entry_at(s, 0)->block : NULL; }

static void reserve_entries(struct shard *s, size_t more)
{
    if (s->n + more <= s->cap)
        return;
    size_t cap = s->cap ? s->cap * 2 : 16;
    while (cap < s->n + more)
        cap *= 2;
    struct entry *entries = mem_alloc(cap * sizeof *entries);
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
    *entry_at(s, s->n - 1) = (struct entry){b, seq, queued_at};
    count_in(s, b);
    note_head(s);
}

/* Those before it move up. */
static struct entry take_entry(struct shard *s, size_t i)
{
    struct entry e = *entry_at(s, i);
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
    return share > MIN_MEMORY ? share : MIN_MEMORY;
}

static void count_dropped(struct shard *s, const struct block *b)
{
    atomic_fetch_add_explicit(&s->dest->dropped_blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->dest->dropped_samples, b->n_samples, memory_order_relaxed);
}

/* Memory is all there is (no disk, or a disk that fails): the oldest goes, but for the one in flight. */
static void drop_oldest(struct shard *s)
{
    bool sending = s->state == SHARD_SENDING;
    while (s->memory > allowance(s) && s->n > 1) {
        struct entry e = take_entry(s, sending ? 1 : 0);
        count_dropped(s, e.block);
        block_unref(e.block);
        s->resent_as_snappy = s->resent_as_snappy && sending;
        log_warn("remote_write", "memory for waiting blocks is full and there is no disk to put them: the oldest are dropped",
                 "name", s->dest->name);
    }
}

/* --- disk ----------------------------------------------------------------------------------------------------------- */

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

static void read_done(struct queue_read *r)
{
    struct shard *s = CONTAINER(r, struct shard, read);
    s->reading = false;
    if (s->state == SHARD_STOPPED) {
        for (unsigned i = 0; i < r->n; i++)
            block_unref(r->items[i].block);
        return;
    }
    for (unsigned i = 0; i < r->n; i++)
        append_entry(s, r->items[i].block, r->items[i].seq, waits_since(s, r->items[i].block));
    s->read_seq = r->next;
    if (r->failed && r->n == 0) {
        loop_timer_in(s->lane->loop, &s->read_again, READ_AGAIN_MS);
        return;
    }
    if (r->n == 0) /* the io thread has seen every write before this read: what is not there is lost, and counted there */
        s->read_seq = s->next_seq;
    if (s->read_seq >= s->next_seq)
        set_behind(s, false);
    if (s->n == 0 && !s->behind)
        queue_ack(s->disk, s->next_seq);
    shard_kick(s);
}

static void read_more(struct shard *s)
{
    if (!s->behind || s->reading || s->memory > READ_BYTES / 2 || loop_timer_armed(&s->read_again))
        return;
    s->reading = true;
    s->read.from = s->read_seq;
    s->read.max_bytes = READ_BYTES;
    s->read.home = s->lane->loop;
    s->read.done = read_done;
    queue_read(s->disk, &s->read);
}

/* --- in and out ----------------------------------------------------------------------------------------------------- */

void shard_push(struct shard *s, struct block *b, struct receipt *const *receipts, size_t n)
{
    uint64_t seq = s->next_seq++;
    /* Durability memory writes too where order or a stop asks for it: behind what an earlier run left on disk. */
    bool write = s->lane->settings->durability != DURABILITY_MEMORY || s->behind || s->state == SHARD_STOPPED;
    bool disk_works = write && !queue_failing(s->dest->queue);
    if (!s->behind && disk_works && s->memory + b->n > allowance(s)) {
        s->read_seq = seq;
        set_behind(s, true);
    }
    if (s->behind) {
        queue_spill(s->disk, b, seq, receipts, n);
    } else {
        if (write)
            queue_write(s->disk, block_ref(b), seq, receipts, n);
        for (size_t i = 0; i < n && !write; i++)
            receipt_drop(receipts[i], true);
        append_entry(s, b, seq, loop_now(s->lane->loop));
        if (!disk_works && s->lane->settings->on_full == FULL_DROP_OLDEST)
            drop_oldest(s);
    }
    shard_kick(s);
}

/* A generation is through when those before it are, no lane writes to it any more and all its shards are empty: then the next one
 * may send, on every lane. */
struct release_job { struct loop_task task; struct dest_lane *lane; };

static void run_release(struct loop_task *task)
{
    struct release_job *j = CONTAINER(task, struct release_job, task);
    for (size_t i = 0; i < j->lane->n; i++)
        shard_kick(j->lane->shards[i]);
    mem_free(j);
}

static void tell_drained(struct shard *s)
{
    struct destination *d = s->dest;
    if (s->drained_told || s->generation_at + 1 >= s->lane->settled || s->generation_at != atomic_load(&d->active))
        return;
    s->drained_told = true;
    if (atomic_fetch_sub(&s->generation->undrained, 1) > 1)
        return;
    atomic_fetch_add(&d->active, 1);
    for (unsigned i = 0; i < d->n_lanes; i++) {
        struct release_job *j = mem_alloc(sizeof *j);
        *j = (struct release_job){{.run = run_release}, d->per_lane[i]};
        loop_post(d->lanes[i], &j->task);
    }
}

static bool too_old(const struct shard *s, const struct block *b)
{
    int64_t limit = s->lane->settings->age_limit;
    return limit > 0 && b->n_samples > 0 && b->t_max < loop_now(s->lane->loop) - limit; /* metadata alone has no age */
}

static void finish_head(struct shard *s)
{
    struct entry e = take_entry(s, 0);
    block_unref(e.block);
    s->resent_as_snappy = false;
    if (s->n == 0 || entry_at(s, 0)->seq != e.seq) /* the last piece of it */
        queue_ack(s->disk, s->n ? entry_at(s, 0)->seq : s->behind ? s->read_seq : s->next_seq);
}

static void drop_old(struct shard *s)
{
    while (s->n > 0 && too_old(s, shard_head(s))) {
        count_dropped(s, shard_head(s));
        finish_head(s);
    }
}

void shard_kick(struct shard *s)
{
    if (s->state != SHARD_IDLE || s->lane == NULL)
        return;
    drop_old(s);
    read_more(s);
    if (shard_empty(s)) {
        tell_drained(s);
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
    finish_head(s);
    s->state = SHARD_IDLE;
    shard_kick(s);
}

void shard_replace_head(struct shard *s, struct block *const *blocks, size_t n)
{
    struct entry e = take_entry(s, 0);
    block_unref(e.block);
    reserve_entries(s, n);
    for (size_t i = n; i-- > 0;) {
        s->head = (s->head + s->cap - 1) % s->cap;
        s->n++;
        *entry_at(s, 0) = (struct entry){blocks[i], e.seq, e.queued_at};
        count_in(s, blocks[i]);
    }
    note_head(s);
}

/* --- waiting for the destination ------------------------------------------------------------------------------------ */

/* One shard at a time tries again; when it is through, all go on. So a destination that comes back is used within one
 * backoff, and one that is down gets one request per lane and backoff, not one per shard. */
static void run_retry(struct loop_timer *timer)
{
    struct dest_lane *dl = CONTAINER(timer, struct dest_lane, retry);
    struct list *node = list_pop_front(&dl->waiting);
    if (node == NULL) {
        dl->down = false;
        return;
    }
    struct shard *s = CONTAINER(node, struct shard, node);
    atomic_fetch_add_explicit(&dl->dest->retries, 1, memory_order_relaxed);
    s->state = SHARD_SENDING;
    sender_send(s);
}

static int64_t next_backoff(struct dest_lane *dl)
{
    int64_t least = dl->settings->min_backoff, most = dl->settings->max_backoff;
    dl->backoff = dl->backoff ? dl->backoff * 2 : least;
    if (dl->backoff > most)
        dl->backoff = most;
    return dl->backoff + clock_mono_ns() / 1000 % (dl->backoff / 10 + 1); /* up to a tenth more, so that lanes spread */
}

void shard_refused(struct shard *s, int64_t wait_ms)
{
    struct dest_lane *dl = s->lane;
    dl->down = true;
    queue_behind(s->disk, true);
    s->state = SHARD_WAITING;
    list_push_back(&dl->waiting, &s->node);
    if (loop_timer_armed(&dl->retry)) /* of requests that fail together only the first makes the delay longer */
        return;
    int64_t wait = next_backoff(dl);
    if (wait_ms > 0)
        wait = wait_ms > dl->settings->max_backoff ? dl->settings->max_backoff : wait_ms;
    loop_timer_in(dl->loop, &dl->retry, wait);
}

void shard_accepted(struct shard *s)
{
    struct dest_lane *dl = s->lane;
    dl->backoff = 0;
    if (!dl->down)
        return;
    dl->down = false;
    loop_timer_stop(dl->loop, &dl->retry);
    for (size_t i = 0; i < dl->n; i++)
        queue_behind(dl->shards[i]->disk, dl->shards[i]->behind);
    for (struct list *node; (node = list_pop_front(&dl->waiting)) != NULL;) {
        struct shard *other = CONTAINER(node, struct shard, node);
        other->state = SHARD_IDLE;
        shard_kick(other);
    }
}

/* --- lanes come and go ---------------------------------------------------------------------------------------------- */

struct dest_lane *dest_lane_new(struct destination *d, struct loop *loop)
{
    struct dest_lane *dl = mem_zalloc(sizeof *dl);
    dl->dest = d;
    dl->loop = loop;
    dl->retry.run = run_retry;
    list_init(&dl->waiting);
    return dl;
}

void dest_lane_add(struct dest_lane *dl, struct shard *s)
{
    mem_grow(&dl->shards, &dl->_cap, dl->n + 1, sizeof *dl->shards);
    dl->shards[dl->n++] = s;
    s->lane = dl;
}

struct shard *dest_lane_shard(const struct dest_lane *dl, size_t generation, unsigned index)
{
    size_t i = dl->n;
    while (i > 0 && (dl->shards[i - 1]->index != index || dl->shards[i - 1]->generation_at != generation))
        i--;
    return i > 0 ? dl->shards[i - 1] : NULL;
}

void dest_lane_free(struct dest_lane *dl)
{
    for (size_t i = 0; i < dl->n; i++)
        shard_free(dl->shards[i]);
    mem_free(dl->shards);
    if (dl->settings)
        dest_settings_free(dl->settings);
    struct dest_settings *next = atomic_exchange(&dl->next_settings, NULL);
    if (next)
        dest_settings_free(next);
    mem_free(dl);
}

void shard_stop(struct shard *s)
{
    if (s->call)
        client_cancel(s->call);
    s->call = NULL;
    if (s->state == SHARD_WAITING)
        list_remove(&s->node);
    s->state = SHARD_STOPPED;
    loop_timer_stop(s->lane->loop, &s->read_again);
    for (size_t i = 0; i < s->n; i++) /* what is on disk already stays as it is */
        queue_write(s->disk, block_ref(entry_at(s, i)->block), entry_at(s, i)->seq, NULL, 0);
}

void shard_start(struct shard *s)
{
    if (s->state == SHARD_STOPPED)
        s->state = SHARD_IDLE;
}
