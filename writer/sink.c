// SPDX-License-Identifier: Apache-2.0
/* The sink of a lane: series go through each stream's chain into the pile of their shard. Shards that other lanes own
 * are staged and posted at commit; a lane's own piles are appended to in place and rolled back on abort. */
#include "writer/lane.h"

#include "base/log.h"
#include "writer/recent/recent.h"

enum { PUSH_DELAY_MS = 20 }; /* a push that waits for the disk waits at most so long for company */

static struct writer_lane *lane_of(struct sink *s) { return CONTAINER(s, struct writer_lane, sink); }

/* --- room --------------------------------------------------------------------------------------------------------- */

static bool has_room(const struct destination *d, const struct dest_settings *s, size_t bytes)
{
    if (s->on_full != FULL_PUSH_BACK)
        return true;
    uint64_t waiting = atomic_load_explicit(&d->pending_bytes, memory_order_relaxed) +
                       atomic_load_explicit(&d->reserved_bytes, memory_order_relaxed) + bytes / 4;
    if (s->durability == DURABILITY_MEMORY)
        return waiting <= s->memory;
    if (queue_failing(d->queue))
        return waiting + queue_unwritten_bytes(d->queue) <= s->memory;
    return s->disk == 0 || queue_bytes(d->queue) + bytes / 4 <= s->disk;
}

static void reserve(struct writer_lane *l, int sign)
{
    for (size_t i = 0; i < l->plan->n; i++) {
        atomic_ullong *r = &l->plan->destinations[i]->reserved_bytes;
        if (sign > 0)
            atomic_fetch_add_explicit(r, l->batch.bytes / 4, memory_order_relaxed);
        else
            atomic_fetch_sub_explicit(r, l->batch.bytes / 4, memory_order_relaxed);
    }
}

static enum sink_status begin(struct sink *sink, const struct sink_batch *b)
{
    struct writer_lane *l = lane_of(sink);
    if (l->plan == NULL)
        return SINK_BUSY;
    for (size_t i = 0; i < l->plan->n && !b->more; i++) {
        struct destination *d = l->plan->destinations[i];
        if (!has_room(d, d->per_lane[l->id]->settings, b->bytes))
            return SINK_BUSY;
    }
    l->batch = *b;
    reserve(l, 1);
    return SINK_OK;
}

/* --- series ------------------------------------------------------------------------------------------------------- */

static struct pile *batch_pile(struct lane_stream *ls, unsigned shard)
{
    struct pile *p = &ls->piles[shard];
    if (!p->touched)
        pile_mark(p);
    return p;
}

static void series(struct sink *sink, const struct series_in *in)
{
    struct writer_lane *l = lane_of(sink);
    uint64_t key = l->batch.source ? l->batch.source : labels_hash(in->labels);
    for (size_t i = 0; i < l->n_streams; i++) {
        struct lane_stream *ls = &l->streams[i];
        struct labels out;
        if (stream_labels_apply(&ls->labels, in->labels, &out))
            pile_add(batch_pile(ls, (unsigned)(key % ls->stream->shards)), out, in);
        else
            ls->dropped += in->n_samples + in->n_hists;
    }
}

static void metadata(struct sink *sink, const struct metadata *m)
{
    struct writer_lane *l = lane_of(sink);
    for (size_t i = 0; i < l->n_streams; i++) {
        struct lane_stream *ls = &l->streams[i];
        if (ls->stream->metadata)
            pile_add_metadata(batch_pile(ls, (unsigned)(l->batch.source % ls->stream->shards)), m);
    }
}

/* --- from piles to blocks ----------------------------------------------------------------------------------------- */

struct place { const struct stream *stream; unsigned shard; }; /* where a pile's bytes go */

static void push_piece(struct writer_lane *l, struct place to, struct str raw, const struct piece *c,
                       struct waiting who)
{
    struct block *packed[CODEC_DEFLATE + 1] = {NULL};
    int64_t t_min = c->n_samples ? c->t_min : 0, t_max = c->n_samples ? c->t_max : 0;
    for (size_t i = 0; i < to.stream->n; i++) {
        struct dest_lane *dl = to.stream->destinations[i]->per_lane[l->id];
        struct block **b = &packed[dl->codec];
        if (*b == NULL)
            *b = block_pack(&l->packer, dl->codec, raw, c->n_samples, t_min, t_max);
        for (size_t r = 0; r < who.n; r++)
            receipt_hold(who.receipts[r]);
        shard_push(dest_lane_shard(dl, to.stream->generations[i], to.shard), block_ref(*b), who);
    }
    for (size_t i = 0; i < LEN(packed); i++)
        block_unref(packed[i]);
}

void writer_lane_seal(struct writer_lane *l, const struct stream *stream, unsigned shard, struct pile *p)
{
    size_t begin_at = 0;
    for (size_t i = 0; i <= p->n_pieces && stream->n > 0; i++) {
        const struct piece *c = i < p->n_pieces ? &p->pieces[i] : &p->open;
        struct waiting who = {p->receipts, p->n_receipts, .more = c->end < p->raw.n};
        if (c->end > begin_at)
            push_piece(l, (struct place){stream, shard}, str_n(p->raw.p + begin_at, c->end - begin_at), c, who);
        begin_at = c->end;
    }
    for (size_t i = 0; i < p->n_receipts; i++)
        receipt_drop(p->receipts[i], true);
    p->n_receipts = 0;
    pile_clear(p);
    if (list_linked(&p->node))
        list_remove(&p->node);
}

static void arm_flush(struct writer_lane *l, int64_t due)
{
    if (!loop_timer_armed(&l->flush) || l->flush.due > due)
        loop_timer_at(l->loop, &l->flush, due);
}

void writer_lane_pile_changed(struct writer_lane *l, struct lane_stream *ls, unsigned shard, int64_t due)
{
    struct pile *p = &ls->piles[shard];
    p->touched = false;
    if (pile_full(p) || ls->stream->n == 0) {
        writer_lane_seal(l, ls->stream, shard, p);
        return;
    }
    if (p->due == 0 || due < p->due)
        p->due = due;
    if (!list_linked(&p->node))
        list_push_back(&l->open, &p->node);
    arm_flush(l, p->due);
}

static void hold(struct pile *p, struct receipt *r)
{
    mem_grow(&p->receipts, &p->_cap_receipts, p->n_receipts + 1, sizeof *p->receipts);
    p->receipts[p->n_receipts++] = receipt_hold(r);
}

static int64_t due_of(const struct writer_lane *l, const struct receipt *r)
{
    return loop_mono(l->loop) + (r && l->flush_ms > PUSH_DELAY_MS ? PUSH_DELAY_MS : l->flush_ms);
}

/* --- to other lanes ----------------------------------------------------------------------------------------------- */

struct away_job {
    struct loop_task task;
    struct writer_lane *to;
    struct plan *plan;    /* a reference: `stream` is one of its */
    size_t stream;
    unsigned shard;
    struct receipt *receipt; /* a hold, or NULL */
    struct pile pile;
};

static void run_away(struct loop_task *task)
{
    struct away_job *j = CONTAINER(task, struct away_job, task);
    struct writer_lane *l = j->to;
    const struct stream *stream = &j->plan->streams[j->stream];
    if (stream->recent)
        recent_take(stream->recent, l->id, buf_str(&j->pile.raw), loop_now(l->loop));
    if (j->plan == l->plan) {
        struct lane_stream *ls = &l->streams[j->stream];
        pile_join(&ls->piles[j->shard], &j->pile);
        if (j->receipt)
            hold(&ls->piles[j->shard], j->receipt);
        writer_lane_pile_changed(l, ls, j->shard, due_of(l, j->receipt));
    } else { /* one of the two lanes has changed its plan already, the other has not: what came before goes first */
        writer_lane_seal_all(l);
        if (j->receipt)
            hold(&j->pile, j->receipt);
        writer_lane_seal(l, stream, j->shard, &j->pile);
    }
    if (j->receipt)
        receipt_drop(j->receipt, true);
    pile_free(&j->pile);
    plan_unref(j->plan);
    mem_free(j);
}

static void send_away(struct writer_lane *l, size_t stream, unsigned shard, struct receipt *r)
{
    struct pile *p = &l->streams[stream].piles[shard];
    struct away_job *j = mem_zalloc(sizeof *j);
    j->task.run = run_away;
    j->to = &l->all[shard % l->n_lanes];
    j->plan = plan_ref(l->plan);
    j->stream = stream;
    j->shard = shard;
    j->receipt = r ? receipt_hold(r) : NULL;
    j->pile = *p;
    memset(p, 0, sizeof *p);
    loop_post(j->to->loop, &j->task);
}

/* --- the end of a batch ------------------------------------------------------------------------------------------- */

static void commit_pile(struct writer_lane *l, size_t i, unsigned shard, struct receipt *r)
{
    struct lane_stream *ls = &l->streams[i];
    struct pile *p = &ls->piles[shard];
    if (!writer_lane_owns(l, shard)) {
        send_away(l, i, shard, r);
        return;
    }
    if (ls->stream->recent)
        recent_take(ls->stream->recent, l->id, str_n(p->raw.p + p->mark_n, p->raw.n - p->mark_n), loop_now(l->loop));
    if (r)
        hold(p, r);
    writer_lane_pile_changed(l, ls, shard, due_of(l, r));
}

static void count_relabel_dropped(struct lane_stream *ls)
{
    for (size_t i = 0; ls->dropped > 0 && i < ls->stream->n; i++)
        atomic_fetch_add_explicit(&ls->stream->destinations[i]->relabel_dropped, ls->dropped, memory_order_relaxed);
    ls->dropped = 0;
}

static void commit(struct sink *sink, void (*done)(void *arg, bool ok), void *arg)
{
    struct writer_lane *l = lane_of(sink);
    struct receipt *r = done ? receipt_new(l->loop, done, arg) : NULL;
    for (size_t i = 0; i < l->n_streams; i++) {
        count_relabel_dropped(&l->streams[i]);
        for (unsigned shard = 0; shard < l->streams[i].stream->shards; shard++)
            if (l->streams[i].piles[shard].touched)
                commit_pile(l, i, shard, r);
    }
    if (r)
        receipt_drop(r, true);
    reserve(l, -1);
}

static void abort_batch(struct sink *sink)
{
    struct writer_lane *l = lane_of(sink);
    for (size_t i = 0; i < l->n_streams; i++) {
        l->streams[i].dropped = 0;
        for (unsigned shard = 0; shard < l->streams[i].stream->shards; shard++)
            if (l->streams[i].piles[shard].touched)
                pile_rollback(&l->streams[i].piles[shard]);
    }
    reserve(l, -1);
}

const struct sink_ops writer_lane_sink_ops = {begin, series, metadata, commit, abort_batch};
