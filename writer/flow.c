// SPDX-License-Identifier: Apache-2.0
/* A lane as the host of its chains: it distributes what the global chain leaves over the streams, carries bytes of stages to
 * other lanes, and opens the batches in which stages emit without a sample that came. */
#include "writer/flow.h"

#include "base/os/loop.h"

/* ---- routes ------------------------------------------------------------------------------------------------------ */

static void flow_find_receivers(struct writer_lane *l, uint64_t route)
{
    l->route = route;
    l->n_receivers = 0;
    for (size_t i = 0; i < l->n_streams; i++)
        if (l->streams[i].stream->route == route || l->streams[i].stream->every_route)
            l->receivers[l->n_receivers++] = &l->streams[i];
}

bool flow_choose(struct writer_lane *l, uint64_t route)
{
    if (l->route == route)
        return true;
    if (!topology_knows(l->topology, route))
        return false;
    flow_find_receivers(l, route);
    return true;
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

/* What the stream sends of a series; NULL: nothing. */
static const struct series_in *flow_take_contents(const struct stream *s, const struct series_in *in, struct series_in *rest)
{
    *rest = *in;
    if (!s->contents.histograms)
        rest->n_hists = 0;
    if (!s->contents.exemplars)
        rest->n_exemplars = 0;
    if (!s->contents.write_2)
        rest->starts = NULL;
    return rest->n_samples + rest->n_hists + rest->n_exemplars > 0 ? rest : NULL;
}

/* hash: pipeline_series_hash, or 0. */
static inline void flow_to_stream(struct stream_lane *ls, const struct series_in *in, uint64_t key, uint64_t hash)
{
    struct series_in rest;
    if ((in->n_hists > 0 || in->n_exemplars > 0 || in->starts) && (in = flow_take_contents(ls->stream, in, &rest)) == NULL)
        return;
    if (ls->chain.n == 0) {
        stream_lane_append(ls, key, in);
        return;
    }
    struct pipeline_series own = {.in = *in, .key = key, .hash = hash};
    if (chain_lane_run(&ls->chain, 0, &own))
        stream_lane_append(ls, key, &own.in);
}

static void flow_append(void *arg, struct pipeline_series *s) { stream_lane_append(arg, s->key, &s->in); }

static inline void flow_to_streams(struct writer_lane *l, const struct series_in *in, uint64_t key, uint64_t hash)
{
    const struct sharding *sharding = l->topology->sharding;
    uint64_t to = sharding ? sharding_destinations(sharding, &l->sharding_key, in->labels) : UINT64_MAX;
    for (size_t i = 0; i < l->n_receivers; i++) {
        struct stream_lane *ls = l->receivers[i];
        if (!ls->stream->raw && (ls->stream->slot < 0 || (to >> ls->stream->slot & 1)))
            flow_to_stream(ls, in, key, hash);
    }
}

static void flow_distribute(void *arg, struct pipeline_series *s) { flow_to_streams(arg, &s->in, s->key, s->hash); }

void flow_series(struct sink *sink, const struct series_in *in)
{
    struct writer_lane *l = CONTAINER(sink, struct writer_lane, sink);
    uint64_t key = l->batch.source ? l->batch.source : labels_group_hash(in->labels);
    if (l->global.n == 0) {
        flow_to_streams(l, in, key, 0);
        return;
    }
    for (size_t i = 0; i < l->n_receivers; i++)
        if (l->receivers[i]->stream->raw)
            flow_to_stream(l->receivers[i], in, key, 0);
    struct pipeline_series s = {.in = *in, .key = key, .routed = l->route != 0};
    if (chain_lane_run(&l->global, 0, &s))
        flow_to_streams(l, &s.in, key, s.hash);
}

void flow_commit(struct writer_lane *l)
{
    chain_lane_commit(&l->global);
    for (size_t i = 0; i < l->n_streams; i++)
        chain_lane_commit(&l->streams[i].chain);
}

void flow_abort(struct writer_lane *l)
{
    chain_lane_abort(&l->global);
    for (size_t i = 0; i < l->n_streams; i++)
        chain_lane_abort(&l->streams[i].chain);
}

/* A batch of what stages emit: no queue refuses it. What the global chain emits has no route. */
static void flow_begin_batch(struct writer_lane *l)
{
    l->batch = (struct sink_batch){.more = true};
    (void)!flow_choose(l, 0);
}
static void flow_end_batch(struct writer_lane *l) { sink_commit(&l->sink, NULL, NULL); }

/* ---- counters ---------------------------------------------------------------------------------------------------- */

static void flow_count(struct stage_counts *c, enum stage_kind kind, enum stage_result result, uint64_t n)
{
    atomic_fetch_add_explicit(&c->n[kind][result], n, memory_order_relaxed);
}

static void flow_count_global(void *arg, enum stage_kind kind, enum stage_result result, uint64_t n)
{
    struct writer_lane *l = arg;
    flow_count(l->counts, kind, result, n);
    if (kind == STAGE_HA && result == STAGE_DROPPED)
        l->sink.deduplicated += n;
}

static void flow_count_stream(void *arg, enum stage_kind kind, enum stage_result result, uint64_t n)
{
    const struct stream *s = ((struct stream_lane *)arg)->stream;
    for (size_t i = 0; i < s->n; i++)
        flow_count(&s->destinations[i]->stages, kind, result, n);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

enum { FLOW_LONGEST_MS = 1000 }; /* the wall clock may jump meanwhile */

static void flow_arm(struct writer_lane *l, int64_t at)
{
    int64_t wait = at - loop_now(l->loop);
    wait = wait < 0 ? 0 : wait < FLOW_LONGEST_MS ? wait : FLOW_LONGEST_MS;
    int64_t due = loop_mono(l->loop) + wait;
    if (!loop_timer_armed(&l->stages) || l->stages.due > due)
        loop_timer_at(l->loop, &l->stages, due);
}

static void flow_wake_global(void *arg, int64_t at) { flow_arm(arg, at); }
static void flow_wake_stream(void *arg, int64_t at) { flow_arm(((struct stream_lane *)arg)->lane, at); }

static int64_t flow_next(const struct writer_lane *l)
{
    int64_t at = chain_lane_wake(&l->global);
    for (size_t i = 0; i < l->n_streams; i++) {
        int64_t own = chain_lane_wake(&l->streams[i].chain);
        at = own < at ? own : at;
    }
    return at;
}

static void run_stages(struct loop_timer *timer)
{
    struct writer_lane *l = CONTAINER(timer, struct writer_lane, stages);
    int64_t now = loop_now(l->loop);
    if (flow_next(l) <= now) {
        flow_begin_batch(l);
        bool more = chain_lane_tick(&l->global, now);
        for (size_t i = 0; i < l->n_streams && !more; i++)
            more = chain_lane_tick(&l->streams[i].chain, now);
        flow_end_batch(l);
    }
    int64_t next = flow_next(l);
    if (next != INT64_MAX)
        flow_arm(l, next);
}

/* ---- bytes for other lanes --------------------------------------------------------------------------------------- */

struct flow_message {
    struct loop_task task;
    struct list node;          /* in the lane's `early` until it has the topology */
    struct writer_lane *to;
    struct topology *topology; /* a reference */
    const struct stream *stream; /* of the topology; NULL: the global chain */
    uint64_t identity;
    struct buf bytes;
};

static void flow_message_free(struct flow_message *m)
{
    topology_unref(m->topology);
    buf_free(&m->bytes);
    mem_free(m);
}

/* NULL: the lane has a topology without this stream. */
static struct chain_lane *flow_message_chain(struct writer_lane *l, const struct flow_message *m)
{
    if (m->stream == NULL)
        return &l->global;
    if (m->topology == l->topology)
        return &l->streams[m->stream - m->topology->streams].chain;
    for (size_t i = 0; i < l->n_streams; i++)
        if (topology_stream_before(m->topology, l->streams[i].stream) == m->stream)
            return &l->streams[i].chain;
    return NULL;
}

static void flow_receive(struct writer_lane *l, struct flow_message *m)
{
    struct chain_lane *chain = flow_message_chain(l, m);
    if (chain) {
        flow_begin_batch(l);
        chain_lane_receive(chain, m->identity, buf_str(&m->bytes));
        flow_end_batch(l);
    }
    flow_message_free(m);
}

static void run_message(struct loop_task *task)
{
    struct flow_message *m = CONTAINER(task, struct flow_message, task);
    struct writer_lane *l = m->to;
    if (l->topology && m->topology->number > l->topology->number)
        list_push_back(&l->early, &m->node);
    else if (l->topology)
        flow_receive(l, m);
    else
        flow_message_free(m);
}

static void flow_post(struct writer_lane *l, const struct stream *stream, const struct stage_lane *from, unsigned lane,
                      struct buf *bytes)
{
    struct flow_message *m = mem_zalloc(sizeof *m);
    *m = (struct flow_message){.task.run = run_message, .to = &l->all[lane], .topology = topology_ref(l->topology),
                               .stream = stream, .identity = from->stage->identity, .bytes = *bytes};
    *bytes = (struct buf){0};
    loop_post(m->to->loop, &m->task);
}

static void flow_send_global(void *arg, const struct stage_lane *from, unsigned lane, struct buf *bytes)
{
    flow_post(arg, NULL, from, lane, bytes);
}

static void flow_send_stream(void *arg, const struct stage_lane *from, unsigned lane, struct buf *bytes)
{
    struct stream_lane *ls = arg;
    flow_post(ls->lane, ls->stream, from, lane, bytes);
}

static void flow_take_early(struct writer_lane *l, bool drop)
{
    struct list later;
    list_init(&later);
    while (!list_empty(&l->early)) {
        struct flow_message *m = CONTAINER(l->early.next, struct flow_message, node);
        list_remove(&m->node);
        if (drop)
            flow_message_free(m);
        else if (m->topology->number > l->topology->number)
            list_push_back(&later, &m->node);
        else
            flow_receive(l, m);
    }
    while (!list_empty(&later)) {
        struct list *n = later.next;
        list_remove(n);
        list_push_back(&l->early, n);
    }
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static void *flow_hold_global(void *arg) { return topology_ref(((struct writer_lane *)arg)->topology); }
static void *flow_hold_stream(void *arg) { return topology_ref(((struct stream_lane *)arg)->lane->topology); }
static void flow_release(void *topology) { topology_unref(topology); }

static const struct chain_host flow_global_host = {flow_distribute, flow_count_global, flow_send_global,
                                                   flow_wake_global, flow_hold_global, flow_release};
static const struct chain_host flow_stream_host = {flow_append, flow_count_stream, flow_send_stream, flow_wake_stream,
                                                   flow_hold_stream, flow_release};

void flow_init(struct writer_lane *l)
{
    l->stages.run = run_stages;
    list_init(&l->early);
    chain_lane_init(&l->global, &(struct chain){0}, &flow_global_host, l, l->loop, l->id, l->n_lanes);
}

void flow_create(struct writer_lane *l, const struct topology *old, struct chain_lane *global,
                 const struct stream_lane *streams)
{
    chain_lane_init(&l->global, &l->topology->global, &flow_global_host, l, l->loop, l->id, l->n_lanes);
    chain_lane_adopt(&l->global, global);
    mem_free(l->receivers);
    l->receivers = mem_zalloc((l->n_streams + 1) * sizeof *l->receivers);
    flow_find_receivers(l, 0);
    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream_lane *ls = &l->streams[i];
        chain_lane_init(&ls->chain, &ls->stream->chain, &flow_stream_host, ls, l->loop, l->id, l->n_lanes);
        const struct stream *before = topology_stream_before(old, ls->stream);
        if (before)
            chain_lane_adopt(&ls->chain, &streams[before - old->streams].chain);
    }
    flow_take_early(l, false);
}

static const struct chain *flow_chain_after(const struct stream *s, const struct topology *now, const struct topology *next)
{
    for (size_t i = 0; i < next->n_streams; i++)
        if (topology_stream_before(now, &next->streams[i]) == s)
            return &next->streams[i].chain;
    return NULL;
}

void flow_end_removed(struct writer_lane *l, const struct topology *next)
{
    bool more = l->topology != NULL;
    while (more) {
        flow_begin_batch(l);
        more = chain_lane_end(&l->global, &next->global, false);
        for (size_t i = 0; i < l->n_streams; i++)
            more |= chain_lane_end(&l->streams[i].chain, flow_chain_after(l->streams[i].stream, l->topology, next), false);
        flow_end_batch(l);
    }
}

void flow_settle(struct writer_lane *l)
{
    chain_lane_settle(&l->global);
    for (size_t i = 0; i < l->n_streams; i++)
        chain_lane_settle(&l->streams[i].chain);
}

bool flow_end_some(struct writer_lane *l)
{
    bool more = false;
    if (l->topology == NULL)
        return false;
    flow_begin_batch(l);
    more = chain_lane_end(&l->global, NULL, true);
    for (size_t i = 0; i < l->n_streams && !more; i++)
        more = chain_lane_end(&l->streams[i].chain, NULL, true);
    flow_end_batch(l);
    return more;
}

void flow_stop(struct writer_lane *l)
{
    loop_timer_stop(l->loop, &l->stages);
    flow_take_early(l, true);
    chain_lane_free(&l->global);
    mem_free(l->receivers);
    buf_free(&l->sharding_key);
}
