// SPDX-License-Identifier: Apache-2.0
/* The sink of a lane. Series flow through the stages (flow.c); what they leave is appended to the pending block of its
 * shard. Bytes for shards of other lanes are staged and posted to their owner at commit; the lane's own pending blocks
 * are appended to in place and rolled back on abort. */
#include "writer/flow.h"
#include "writer/joint.h"

#include "base/telemetry/log.h"
#include "writer/recent/recent.h"
#include "writer/send/form.h"

enum {
    PUSH_DELAY_MS = 20, /* delay within which pushes that wait for the disk are batched */
    WRITE_AFTER_MS = 60 /* delay of writing after the flush tick; blocks that are delivered by then are not written */
};

static struct writer_lane *lane_of(struct sink *s) { return CONTAINER(s, struct writer_lane, sink); }

/* --- capacity ----------------------------------------------------------------------------------------------------- */

enum { EXPECTED_RATIO = 4 }; /* of compression, at least: what a batch or pending bytes count for before */

static bool has_capacity(const struct destination *d, const struct dest_settings *s, size_t bytes)
{
    if (s->on_full != FULL_PUSH_BACK)
        return true;
    uint64_t waiting = atomic_load_explicit(&d->pending_bytes, memory_order_relaxed) +
                       atomic_load_explicit(&d->reserved_bytes, memory_order_relaxed) + bytes / EXPECTED_RATIO;
    if (s->durability == DURABILITY_MEMORY)
        return waiting <= s->max_memory_bytes;
    if (queue_failing(d->queue))
        return waiting + queue_unwritten_bytes(d->queue) <= s->max_memory_bytes;
    return s->max_disk_bytes == 0 || queue_bytes(d->queue) + bytes / EXPECTED_RATIO <= s->max_disk_bytes;
}

void stream_charge_pending(const struct stream *s, struct pending *p)
{
    size_t before = p->charged;
    p->charged = p->raw.n / EXPECTED_RATIO;
    for (size_t i = 0; i < s->n && p->charged != before; i++) /* wraps around where it is less */
        atomic_fetch_add_explicit(&s->destinations[i]->reserved_bytes, (unsigned long long)p->charged - before,
                                  memory_order_relaxed);
}

static void sink_reserve_memory(struct writer_lane *l, int sign)
{
    for (size_t i = 0; i < l->topology->n; i++) {
        if (l->topology->routes[i] != l->batch.route)
            continue;
        atomic_ullong *r = &l->topology->destinations[i]->reserved_bytes;
        if (sign > 0)
            atomic_fetch_add_explicit(r, l->batch.bytes / EXPECTED_RATIO, memory_order_relaxed);
        else
            atomic_fetch_sub_explicit(r, l->batch.bytes / EXPECTED_RATIO, memory_order_relaxed);
    }
}

static enum sink_status sink_begin_batch(struct sink *sink, const struct sink_batch *b)
{
    struct writer_lane *l = lane_of(sink);
    if (l->topology == NULL || !flow_choose(l, b->route))
        return SINK_BUSY;
    for (size_t i = 0; i < l->topology->n && !b->more; i++) {
        struct destination *d = l->topology->destinations[i];
        if (l->topology->routes[i] == b->route && !has_capacity(d, d->per_lane[l->id]->settings, b->bytes))
            return SINK_BUSY;
    }
    l->batch = *b;
    sink_reserve_memory(l, 1);
    return SINK_OK;
}

/* --- metadata ----------------------------------------------------------------------------------------------------- */

static void sink_add_metadata_to(struct stream_lane *ls, unsigned shard, const struct metadata *m)
{
    if (!pending_add_metadata(stream_lane_pending(ls, shard), &ls->stream->limits, m))
        log_warn("remote_write", "metadata is larger than max_block_bytes; dropped", LOG_STR("metric", m->family));
}

/* Pushed series go to the shards of all lanes. Each lane gives metadata to its series of remote write 2.0 itself, so that
 * of a push goes to one shard of each. */
static void sink_add_metadata(struct sink *sink, const struct metadata *m)
{
    struct writer_lane *l = lane_of(sink);
    for (size_t i = 0; i < l->n_receivers; i++) {
        struct stream_lane *ls = l->receivers[i];
        bool all = ls->stream->contents.write_2 && l->batch.source == 0;
        unsigned shard = (unsigned)(l->batch.source % ls->stream->shards);
        unsigned n = all ? l->n_lanes < ls->stream->shards ? l->n_lanes : ls->stream->shards : 1;
        for (unsigned k = 0; k < n && ls->stream->contents.metadata; k++)
            sink_add_metadata_to(ls, shard + k, m);
    }
}

/* --- sealing ------------------------------------------------------------------------------------------------------ */

struct pending_place { const struct stream *stream; unsigned shard; bool joint; }; /* destination of pending bytes */

static struct shard *sink_shard(const struct writer_lane *l, struct pending_place to, size_t i)
{
    return destination_lane_shard(to.stream->destinations[i]->per_lane[l->id], to.stream->generations[i], to.shard);
}

/* The block just pushed is the newest of all. */
static void sink_match_backups(const struct writer_lane *l, struct pending_place to)
{
    for (size_t i = 0; i < to.stream->n; i++) {
        const struct backup_pair *pair = to.stream->destinations[i]->per_lane[l->id]->pair;
        for (size_t k = 0; pair && k < to.stream->n; k++)
            if (to.stream->destinations[k] == pair->primary)
                backup_match_newest(sink_shard(l, to, i), sink_shard(l, to, k));
    }
}

static void sink_push_block(struct writer_lane *l, struct pending_place to, struct str raw,
                            const struct pending_block *c, struct write_terms terms)
{
    struct block *packed[2][CODEC_DEFLATE + 1] = {{NULL}}; /* by message and codec */
    struct err err;
    int64_t t_min = c->n_samples ? c->t_min : 0, t_max = c->n_samples ? c->t_max : 0;
    if (to.stream->contents.write_2 && c->n_samples == 0) { /* no block: the packer remembers the metadata */
        block_unref(block_compress(&l->packer, (struct block_form){MESSAGE_WRITE_2, CODEC_SNAPPY}, raw, 0, 0, 0, &err));
        return;
    }
    for (size_t i = 0; i < to.stream->n; i++) {
        struct destination_lane *dl = to.stream->destinations[i]->per_lane[l->id];
        struct block_form form = form_of_requests(dl);
        struct block **b = &packed[form.message == MESSAGE_WRITE_2][form.codec];
        if (*b == NULL) {
            *b = block_compress(&l->packer, form, raw, c->n_samples, t_min, t_max, &err);
            if (*b == NULL) { /* cannot happen: a canonical body with samples */
                log_error("remote_write", "cannot make a block; dropped", LOG_U64("samples", c->n_samples), "err", err.text);
                continue;
            }
            (*b)->joint_lanes = (uint16_t)(to.joint ? l->n_lanes : 0);
        }
        for (size_t r = 0; r < terms.n; r++)
            ack_ref(terms.acks[r]);
        shard_push(sink_shard(l, to, i), block_ref(*b), terms);
    }
    sink_match_backups(l, to);
    for (size_t i = 0; i < 2 * LEN(packed[0]); i++)
        block_unref(packed[i / LEN(packed[0])][i % LEN(packed[0])]);
}

/* The end of the current interval: all lanes flush at the same time. */
static int64_t flush_due(const struct writer_lane *l, const struct ack *r)
{
    int64_t interval = r && l->flush_ms > PUSH_DELAY_MS ? PUSH_DELAY_MS : l->flush_ms;
    return (loop_mono(l->loop) / interval + 1) * interval;
}

static int64_t write_due(const struct writer_lane *l, const struct pending *p)
{
    int64_t tick = p->due > 0 ? p->due : flush_due(l, NULL), now = loop_mono(l->loop);
    return (tick > now ? tick : now) + WRITE_AFTER_MS;
}

static void seal_blocks(struct writer_lane *l, struct pending_place to, const struct pending *p, size_t n)
{
    size_t begin = 0;
    for (size_t i = 0; i < n && to.stream->n > 0; i++) {
        const struct pending_block *c = i < p->n_blocks ? &p->blocks[i] : &p->open;
        bool more = c->end < p->raw.n && !to.stream->contents.write_2; /* there a later one may be metadata, and no block */
        struct write_terms terms = {p->acks, p->n_acks, .more = more,
                                    .write_by = write_due(l, p)};
        if (c->end > begin)
            sink_push_block(l, to, str_n(p->raw.p + begin, c->end - begin), c, terms);
        begin = c->end;
    }
}

static void sink_release_acks(struct pending *p)
{
    for (size_t i = 0; i < p->n_acks; i++)
        ack_release(p->acks[i], true);
    p->n_acks = 0;
}

static void writer_lane_seal(struct writer_lane *l, struct pending_place to, struct pending *p)
{
    seal_blocks(l, to, p, p->n_blocks + 1);
    sink_release_acks(p);
    pending_clear(p);
    stream_charge_pending(to.stream, p);
    if (list_linked(&p->node))
        list_remove(&p->node);
}

/* The pending bytes of a shard, or the joint ones; complete blocks only, unless `all`. */
static void stream_lane_seal_pending(struct writer_lane *l, struct stream_lane *ls, unsigned shard, struct pending *p,
                                     bool all)
{
    bool joint = p == &ls->joint_pending, part = joint && stream_lane_lags(l, ls);
    struct pending_place to = {ls->stream, joint ? l->id : shard, joint};
    if (all || part || pending_only_complete(p) || ls->stream->n == 0) {
        writer_lane_seal(l, to, p);
    } else {
        seal_blocks(l, to, p, p->n_blocks);
        pending_drop_complete(p);
    }
    if (part)
        stream_lane_part(l, ls, JOINT_AGAIN_MS);
}

void stream_lane_seal(struct writer_lane *l, struct stream_lane *ls, unsigned shard, struct pending *p)
{
    stream_lane_seal_pending(l, ls, shard, p, true);
}

static void arm_flush(struct writer_lane *l, int64_t due)
{
    if (!loop_timer_armed(&l->flush) || l->flush.due > due)
        loop_timer_at(l->loop, &l->flush, due);
}

void writer_lane_pending_changed(struct writer_lane *l, struct stream_lane *ls, unsigned shard, int64_t due)
{
    struct pending *p = ls->target[shard];
    p->touched = false;
    if (pending_full(p) || ls->stream->n == 0)
        stream_lane_seal_pending(l, ls, shard, p, false);
    stream_charge_pending(ls->stream, p);
    if (!loop_timer_armed(&l->release))
        loop_timer_in(l->loop, &l->release, LANE_RELEASE_MS);
    if (pending_empty(p)) { /* all of the batch was too large for a block */
        sink_release_acks(p);
        return;
    }
    if (p->due == 0 || due < p->due)
        p->due = due;
    if (!list_linked(&p->node))
        list_push_back(&l->open, &p->node);
    int64_t unsealed = atomic_load_explicit(&l->unsealed, memory_order_relaxed);
    if (unsealed == 0 || p->due - l->flush_ms < unsealed)
        atomic_store_explicit(&l->unsealed, p->due - l->flush_ms, memory_order_relaxed);
    arm_flush(l, p->due);
}

/* --- shards of other lanes ---------------------------------------------------------------------------------------- */

/* A batch's bytes of a stream for all shards of another lane. */
struct handoff_job {
    struct loop_task task;
    struct writer_lane *to;
    struct topology *topology; /* a reference: `stream` indexes its streams */
    size_t stream;
    struct ack *ack; /* a reference, or NULL */
    struct pending staged;
};

static void handoff_add_ack(const struct handoff_job *j, struct pending *p)
{
    if (j->ack)
        pending_add_ack(p, ack_ref(j->ack));
}

/* Shards that share a block get all of their bytes at once. */
static void handoff_join(struct writer_lane *l, const struct handoff_job *j)
{
    struct stream_lane *ls = &l->streams[j->stream];
    for (size_t i = 0, end; i <= j->staged.n_blocks; i = end) {
        struct pending *p = ls->target[pending_block_at(&j->staged, i)->shard];
        for (end = i + 1; end <= j->staged.n_blocks && ls->target[pending_block_at(&j->staged, end)->shard] == p;)
            end++;
        pending_join_some(p, &ls->stream->limits, &j->staged, i, end);
        p->touched = true;
    }
    for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes) {
        if (!ls->target[shard]->touched)
            continue;
        handoff_add_ack(j, ls->target[shard]);
        writer_lane_pending_changed(l, ls, shard, flush_due(l, j->ack));
    }
}

/* One of the two lanes has switched its topology, the other has not: earlier bytes go first. */
static void handoff_seal(struct writer_lane *l, const struct handoff_job *j, const struct stream *stream)
{
    struct pending *parts = mem_zalloc(stream->shards * sizeof *parts);
    for (size_t i = 0; i <= j->staged.n_blocks; i++)
        pending_join_some(&parts[pending_block_at(&j->staged, i)->shard], &stream->limits, &j->staged, i, i + 1);
    writer_lane_seal_all(l);
    for (unsigned shard = 0; shard < stream->shards; shard++) {
        if (!pending_empty(&parts[shard])) {
            handoff_add_ack(j, &parts[shard]);
            writer_lane_seal(l, (struct pending_place){.stream = stream, .shard = shard}, &parts[shard]);
        }
        pending_free(&parts[shard]);
    }
    mem_free(parts);
    for (size_t i = 0; i < l->n_streams; i++) /* the shard may be one that must be empty for a joint block */
        if (l->streams[i].joint)
            stream_lane_part(l, &l->streams[i], 0);
}

static void run_handoff(struct loop_task *task)
{
    struct handoff_job *j = CONTAINER(task, struct handoff_job, task);
    struct writer_lane *l = j->to;
    const struct stream *stream = &j->topology->streams[j->stream];
    if (stream->recent)
        recent_take(stream->recent, l->id, buf_str(&j->staged.raw), loop_now(l->loop));
    if (j->topology == l->topology)
        handoff_join(l, j);
    else
        handoff_seal(l, j, stream);
    if (j->ack)
        ack_release(j->ack, true);
    pending_free(&j->staged);
    topology_unref(j->topology);
    mem_free(j);
}

static void post_to_owner(struct writer_lane *l, size_t stream, unsigned owner, struct ack *r)
{
    struct pending *staged = &l->streams[stream].staged[owner];
    struct handoff_job *j = mem_alloc(sizeof *j);
    *j = (struct handoff_job){.task.run = run_handoff, .to = &l->all[owner], .topology = topology_ref(l->topology),
                              .stream = stream, .ack = r ? ack_ref(r) : NULL, .staged = *staged};
    *staged = (struct pending){.divided = true};
    loop_post(j->to->loop, &j->task);
}

/* --- commit and abort --------------------------------------------------------------------------------------------- */

static void sink_commit_own(struct writer_lane *l, struct stream_lane *ls, unsigned shard, struct ack *r)
{
    struct pending *p = ls->target[shard];
    if (ls->stream->recent)
        recent_take(ls->stream->recent, l->id, str_n(p->raw.p + p->mark_n, p->raw.n - p->mark_n), loop_now(l->loop));
    if (r)
        pending_add_ack(p, ack_ref(r));
    writer_lane_pending_changed(l, ls, shard, flush_due(l, r));
}

static void sink_commit_stream(struct writer_lane *l, size_t i, struct ack *r)
{
    struct stream_lane *ls = &l->streams[i];
    for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes)
        if (ls->target[shard]->touched)
            sink_commit_own(l, ls, shard, r);
    for (unsigned owner = 0; owner < l->n_lanes; owner++)
        if (ls->staged[owner].touched)
            post_to_owner(l, i, owner, r);
}

static void count_too_large(struct stream_lane *ls)
{
    for (size_t i = 0; ls->too_large > 0 && i < ls->stream->n; i++) {
        struct destination *d = ls->stream->destinations[i];
        atomic_fetch_add_explicit(&d->dropped_samples[DROPPED_TOO_LARGE], ls->too_large, memory_order_relaxed);
        log_error("remote_write", "samples are larger than max_block_bytes; dropped", "name", d->name,
                  LOG_U64("samples", ls->too_large), LOG_U64("max_block_bytes", ls->stream->limits.bytes));
    }
    ls->too_large = 0;
}

/* A batch that came through other sluices added to this stream. */
static void sink_note_origins(const struct writer_lane *l, const struct stream *stream)
{
    for (size_t i = 0; i < stream->n; i++)
        destination_note_origins(stream->destinations[i], l->batch.via, loop_mono(l->loop));
}

static void commit(struct sink *sink, void (*done)(void *arg, bool ok), void *arg)
{
    struct writer_lane *l = lane_of(sink);
    struct ack *r = done ? ack_new(l->loop, done, arg) : NULL;
    flow_commit(l);
    for (size_t i = 0; i < l->n_streams; i++) {
        if (!l->streams[i].touched)
            continue;
        l->streams[i].touched = false;
        count_too_large(&l->streams[i]);
        sink_commit_stream(l, i, r);
        stream_lane_try_join(l, &l->streams[i]);
        if (l->batch.via.n > 0)
            sink_note_origins(l, l->streams[i].stream);
    }
    if (r)
        ack_release(r, true);
    sink_reserve_memory(l, -1);
}

static void abort_batch(struct sink *sink)
{
    struct writer_lane *l = lane_of(sink);
    flow_abort(l);
    for (size_t i = 0; i < l->n_streams; i++) {
        if (!l->streams[i].touched)
            continue;
        l->streams[i].touched = false;
        l->streams[i].too_large = 0;
        for (unsigned shard = 0; shard < l->streams[i].stream->shards; shard++)
            if (l->streams[i].target[shard]->touched)
                pending_rollback(l->streams[i].target[shard]);
    }
    sink_reserve_memory(l, -1);
}

const struct sink_ops writer_lane_sink_ops = {sink_begin_batch, flow_series, sink_add_metadata, commit,
                                              abort_batch};
