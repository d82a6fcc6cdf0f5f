// SPDX-License-Identifier: Apache-2.0
/* When a lane's shards share a block, and when they do not. */
#include "writer/joint.h"

static const struct destination_generation *stream_generation(const struct stream *s, size_t i)
{
    return destination_generation(s->destinations[i], s->generations[i]);
}

/* All shards of the lane are empty, and no joint block of an earlier run is left anywhere. */
static bool destination_keeps_up(const struct writer_lane *l, const struct destination_generation *g)
{
    if (atomic_load(&g->joint_backlogs) > 0)
        return false;
    for (unsigned shard = l->id; shard < g->n_shards; shard += l->n_lanes)
        if (!shard_empty(g->shards[shard]))
            return false;
    return true;
}

bool stream_lane_lags(const struct writer_lane *l, const struct stream_lane *ls)
{
    for (size_t i = 0; i < ls->stream->n; i++)
        if (shard_lags(stream_generation(ls->stream, i)->shards[l->id]))
            return true;
    return false;
}

static bool pending_fits_in_block(const struct writer_lane *l, const struct stream_lane *ls)
{
    struct pending_block sum = {0};
    for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes) {
        const struct pending_block *c = &ls->pending[shard].open;
        sum.end += ls->pending[shard].raw.n;
        sum.n_samples += c->n_samples;
        sum.n_labels += c->n_labels;
        sum.n_metadata += c->n_metadata;
    }
    const struct block_limits *most = &ls->stream->limits;
    return sum.end <= most->bytes && sum.n_samples <= most->samples && sum.n_labels <= most->labels &&
           sum.n_metadata <= most->samples;
}

static void set_targets(const struct writer_lane *l, struct stream_lane *ls)
{
    for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes)
        ls->target[shard] = ls->joint ? &ls->joint_pending : &ls->pending[shard];
}

/* Moves the bytes of a shard, and the acks that wait for them, to the joint block. */
static void join_pending(struct writer_lane *l, struct stream_lane *ls, struct pending *from)
{
    struct pending *to = &ls->joint_pending;
    if (pending_empty(from))
        return;
    pending_join(to, &ls->stream->limits, from);
    for (size_t i = 0; i < from->n_acks; i++)
        pending_add_ack(to, from->acks[i]);
    from->n_acks = 0;
    if (to->due == 0 || from->due < to->due)
        to->due = from->due;
    pending_clear(from);
    stream_charge_pending(ls->stream, from);
    stream_charge_pending(ls->stream, to);
    if (list_linked(&from->node))
        list_remove(&from->node);
    if (!list_linked(&to->node))
        list_push_back(&l->open, &to->node);
}

void stream_lane_try_join(struct writer_lane *l, struct stream_lane *ls)
{
    if (ls->joint || ls->stream->n == 0 || l->id + l->n_lanes >= ls->stream->shards /* at most one shard here */ ||
        loop_mono(l->loop) < ls->joint_again)
        return;
    for (size_t i = 0; i < ls->stream->n; i++)
        if (!destination_keeps_up(l, stream_generation(ls->stream, i)))
            return;
    if (!pending_fits_in_block(l, ls))
        return;
    ls->joint = true;
    set_targets(l, ls);
    for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes)
        join_pending(l, ls, &ls->pending[shard]);
}

void stream_lane_part(struct writer_lane *l, struct stream_lane *ls, int64_t again_ms)
{
    ls->joint = false;
    ls->joint_again = loop_mono(l->loop) + again_ms;
    set_targets(l, ls);
}
