// SPDX-License-Identifier: Apache-2.0
/* One lane's part of the writer: flushing pending blocks on a timer, and switching from one topology to the next. */
#include "writer/lane.h"

#include "base/text/duration.h"
#include "writer/flow.h"
#include "writer/joint.h"
#include "writer/send/form.h"
#include "writer/stats.h"

/* --- flushing ----------------------------------------------------------------------------------------------------- */

static bool pending_is_due(const struct pending *p, int64_t until) { return list_linked(&p->node) && p->due <= until; }

/* Until clock_mono_ns() reaches end_ns; false: some are left. */
static bool seal_due(struct writer_lane *l, int64_t until, int64_t end_ns)
{
    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream_lane *ls = &l->streams[i];
        if (pending_is_due(&ls->joint_pending, until))
            stream_lane_seal(l, ls, l->id, &ls->joint_pending);
        for (unsigned shard = l->id; shard < ls->stream->shards; shard += l->n_lanes) {
            if (!pending_is_due(&ls->pending[shard], until))
                continue;
            stream_lane_seal(l, ls, shard, &ls->pending[shard]);
            if (clock_mono_ns() >= end_ns)
                return false;
        }
    }
    return true;
}

static void run_flush(struct loop_timer *timer)
{
    struct writer_lane *l = CONTAINER(timer, struct writer_lane, flush);
    for (size_t i = 0; i < l->n_streams; i++)
        stream_lane_try_join(l, &l->streams[i]);
    seal_due(l, loop_mono(l->loop), loop_slice_end(l->loop)); /* what is left is due in the next turn */
    int64_t next = INT64_MAX;
    for (struct list *n = l->open.next; n != &l->open; n = n->next) {
        int64_t due = CONTAINER(n, struct pending, node)->due;
        next = due < next ? due : next;
    }
    atomic_store_explicit(&l->unsealed, next == INT64_MAX ? 0 : next - l->flush_ms, memory_order_release);
    if (next != INT64_MAX)
        loop_timer_at(l->loop, &l->flush, next);
}

/* Memory that was not used for LANE_RELEASE_MS is freed: a lane's shards seldom fill separate blocks, and a large push may
 * be the last one. */
static void run_release_pending(struct loop_timer *timer)
{
    struct writer_lane *l = CONTAINER(timer, struct writer_lane, release);
    bool held = false;
    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream_lane *ls = &l->streams[i];
        held |= pending_release_idle(&ls->joint_pending);
        for (unsigned shard = 0; shard < ls->stream->shards; shard++)
            held |= pending_release_idle(&ls->pending[shard]);
        for (unsigned lane = 0; lane < l->n_lanes; lane++)
            held |= pending_release_idle(&ls->staged[lane]);
    }
    if (held)
        loop_timer_in(l->loop, timer, LANE_RELEASE_MS);
}

void writer_lane_seal_all(struct writer_lane *l) { seal_due(l, INT64_MAX, INT64_MAX); }
bool writer_lane_seal_some(struct writer_lane *l) { return seal_due(l, INT64_MAX, loop_slice_end(l->loop)); }

/* --- topologies --------------------------------------------------------------------------------------------------- */

void writer_lane_init(struct writer_lane *l, unsigned id, unsigned n_lanes, struct loop *loop, struct writer_lane *all,
                      int64_t flush_ms, struct stage_counts *counts)
{
    memset(l, 0, sizeof *l);
    l->sink.ops = &writer_lane_sink_ops;
    l->id = id;
    l->n_lanes = n_lanes;
    l->loop = loop;
    l->all = all;
    l->flush_ms = l->flush_most = flush_ms;
    l->flush.run = run_flush;
    l->release.run = run_release_pending;
    list_init(&l->open);
    list_init(&l->adoptions);
    packer_init(&l->packer);
    l->counts = counts;
    flow_init(l);
}

static void free_streams(struct stream_lane *streams, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct stream_lane *ls = &streams[i];
        for (unsigned shard = 0; shard < ls->stream->shards; shard++)
            pending_free(&ls->pending[shard]);
        for (unsigned lane = 0; lane < ls->lane->n_lanes; lane++)
            pending_free(&ls->staged[lane]);
        pending_free(&ls->joint_pending);
        mem_free(ls->pending);
        mem_free(ls->staged);
        mem_free(ls->target);
        chain_lane_free(&ls->chain);
    }
    mem_free(streams);
}

static void create_streams(struct writer_lane *l, const struct topology *p)
{
    l->streams = mem_zalloc(p->n_streams * sizeof *l->streams);
    l->n_streams = p->n_streams;
    for (size_t i = 0; i < p->n_streams; i++) {
        struct stream_lane *ls = &l->streams[i];
        ls->stream = &p->streams[i];
        ls->lane = l;
        ls->pending = mem_zalloc(ls->stream->shards * sizeof *ls->pending);
        ls->staged = mem_zalloc(l->n_lanes * sizeof *ls->staged);
        for (unsigned lane = 0; lane < l->n_lanes; lane++)
            ls->staged[lane].divided = true;
        ls->target = mem_alloc(ls->stream->shards * sizeof *ls->target);
        for (unsigned shard = 0; shard < ls->stream->shards; shard++)
            ls->target[shard] = shard % l->n_lanes == l->id ? &ls->pending[shard] : &ls->staged[shard % l->n_lanes];
    }
}

static struct destination_lane *lane_destination(struct writer_lane *l, struct destination *d)
{
    if (l->client == NULL)
        l->client = client_new(l->loop, &(struct client_settings){.max_inflight = 1024, .connections = 64,
                                                                 .stats = &writer_stats,
                                                                 .connections_row = WRITER_CONNECTIONS});
    struct destination_lane *dl = d->per_lane[l->id];
    dl->client = l->client;
    dl->packer = &l->packer;
    return dl;
}

static void change_settings(struct destination_lane *dl, struct dest_settings *next)
{
    struct dest_settings *old = dl->settings;
    dl->settings = next;
    if (old == NULL || old->protocol != next->protocol || old->message != next->message)
        form_settings_changed(dl, next);
    if (old == NULL || old->lookup != next->lookup || strcmp(old->url, next->url) != 0)
        places_begin(&dl->places, dl->loop, next->lookup, next->url, dl->index);
    drain_settings_changed(dl);
    if (old && old->durability == DURABILITY_MEMORY && next->durability != DURABILITY_MEMORY)
        for (size_t i = 0; i < dl->n; i++) /* after a later block has been written, this one would count as written */
            shard_save(dl->shards[i]);
    if (old)
        dest_settings_free(old);
}

/* Adopts the new shards and settings that main has prepared for this lane. */
static void lane_adopt_destination(struct writer_lane *l, struct destination *d)
{
    struct destination_lane *dl = lane_destination(l, d);
    struct dest_settings *next = atomic_exchange(&dl->next_settings, NULL);
    if (next)
        change_settings(dl, next);
    for (size_t g = dl->generations; g < atomic_load(&d->published); g++) {
        const struct destination_generation *newest = destination_generation(d, g);
        for (unsigned i = l->id; i < newest->n_shards; i += l->n_lanes)
            destination_lane_add(dl, newest->shards[i]);
        dl->generations = g + 1;
    }
}

void writer_lane_adopt(struct writer_lane *l, const struct topology *next)
{
    for (size_t i = 0; i < next->n; i++)
        lane_adopt_destination(l, next->destinations[i]);
}

static void lane_leave_destination(struct writer_lane *l, struct destination *d)
{
    struct destination_lane *dl = d->per_lane[l->id];
    loop_timer_stop(l->loop, &dl->drain_limit.timer);
    for (size_t i = 0; i < dl->n; i++)
        shard_stop(dl->shards[i]);
    destination_lane_leave(dl);
    places_end(&dl->places);
}

static void kick_all(struct writer_lane *l)
{
    for (size_t i = 0; i < l->topology->n; i++) {
        struct destination_lane *dl = l->topology->destinations[i]->per_lane[l->id];
        for (size_t k = 0; k < dl->n; k++) {
            shard_start(dl->shards[k]);
            shard_kick(dl->shards[k]);
        }
    }
}

/* Also those that are left: their pairs end with the topology. */
static void lane_pair_destinations(struct writer_lane *l, const struct topology *old, const struct topology *next)
{
    for (size_t i = 0; old && i < old->n; i++) {
        struct destination_lane *dl = old->destinations[i]->per_lane[l->id];
        dl->backup = NULL;
        if (!topology_has(next, old->destinations[i]))
            backup_lane_use(dl, NULL);
    }
    for (size_t i = 0; next && i < next->n; i++)
        backup_lane_use(next->destinations[i]->per_lane[l->id], next->pairs[i]);
}

void writer_lane_switch(struct writer_lane *l, struct topology *next)
{
    if (next)
        flow_end_removed(l, next);
    writer_lane_seal_all(l);
    struct topology *old = l->topology;
    struct stream_lane *streams = l->streams;
    struct chain_lane global = l->global;
    size_t n_streams = l->n_streams;
    l->global = (struct chain_lane){0};
    l->streams = NULL;
    l->n_streams = 0;
    lane_pair_destinations(l, old, next);
    for (size_t i = 0; old && i < old->n; i++)
        if (!topology_has(next, old->destinations[i]))
            lane_leave_destination(l, old->destinations[i]);
    l->topology = next;
    if (next) {
        l->flush_ms = next->flush_ms > 0 && next->flush_ms < l->flush_most ? next->flush_ms : l->flush_most;
        create_streams(l, next);
        flow_create(l, old, &global, streams);
        kick_all(l);
    }
    chain_lane_free(&global);
    free_streams(streams, n_streams);
    topology_unref(old);
}

/* Ignored when the lane has already switched to a newer topology, which has its own call. */
void writer_lane_settle(struct writer_lane *l, const struct topology *p)
{
    if (l->topology != p)
        return;
    for (size_t i = 0; i < p->n_streams; i++)
        for (size_t k = 0; k < p->streams[i].n; k++)
            p->streams[i].destinations[k]->per_lane[l->id]->settled_generations = p->streams[i].generations[k] + 1;
    flow_settle(l);
    kick_all(l);
}

bool writer_lane_idle(const struct writer_lane *l)
{
    for (size_t i = 0; l->topology && i < l->topology->n; i++) {
        const struct destination_lane *dl = l->topology->destinations[i]->per_lane[l->id];
        for (size_t k = 0; k < dl->n; k++)
            if (!shard_empty(dl->shards[k]))
                return false;
    }
    return true;
}

void writer_lane_stop(struct writer_lane *l)
{
    loop_timer_stop(l->loop, &l->flush);
    writer_lane_switch(l, NULL);
    flow_stop(l);
    loop_timer_stop(l->loop, &l->flush);
    loop_timer_stop(l->loop, &l->release);
    if (l->client)
        client_free(l->client);
    l->client = NULL;
}

void writer_lane_free(struct writer_lane *l)
{
    chain_lane_free(&l->global); /* of a lane that never ran */
    packer_free(&l->packer);
}
