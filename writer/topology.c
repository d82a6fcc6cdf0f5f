// SPDX-License-Identifier: Apache-2.0
/* Builds a topology from a configuration: destinations with equal chains, labels, shards and limits of
 * blocks share a stream. */
#include "writer/topology.h"

#include "base/hash.h"
#include "writer/recent/recent.h"
#include "writer/stages.h"

#include <stdlib.h>

struct topology *topology_ref(struct topology *p)
{
    refs_take(&p->refs);
    return p;
}

void topology_unref(struct topology *p)
{
    if (p == NULL || !refs_drop(&p->refs))
        return;
    chain_free(&p->global);
    for (size_t i = 0; i < p->n_streams; i++) {
        chain_free(&p->streams[i].chain);
        mem_free(p->streams[i].destinations);
        mem_free(p->streams[i].generations);
    }
    mem_free(p->streams);
    mem_free(p->sharding);
    for (size_t i = 0; i < p->n; i++)
        backup_pair_unref(p->pairs[i]);
    mem_free(p->pairs);
    mem_free(p->routes);
    mem_free(p->known_routes);
    mem_free(p->destinations);
    if (p->recent)
        recent_unref(p->recent);
    if (p->release)
        p->release(p->release_arg);
    mem_free(p);
}

enum { LABELS_PER_SAMPLE = 10 }; /* of a block's limits, as in vmagent */

static struct block_limits block_limits_of(const struct queue_conf *c)
{
    return (struct block_limits){.samples = (uint32_t)c->max_samples,
                                 .labels = LABELS_PER_SAMPLE * (uint32_t)c->max_samples,
                                 .bytes = (size_t)c->max_block_bytes};
}

static struct stream_contents topology_contents(const struct destination_conf *c)
{
    return (struct stream_contents){.metadata = c->send_metadata && c->metadata_config.send,
                                    .exemplars = c->send_exemplars, .histograms = c->send_native_histograms,
                                    .write_2 = c->protobuf_message == WRITE_MESSAGE_2};
}

static bool topology_same_contents(struct stream_contents a, struct stream_contents b)
{
    return a.metadata == b.metadata && a.exemplars == b.exemplars && a.histograms == b.histograms && a.write_2 == b.write_2;
}

static bool topology_same_stream(const struct stream *a, const struct stream *b)
{
    return a->slot == b->slot && a->route == b->route && a->every_route == b->every_route && stream_same(a, b) &&
           a->limits.samples == b->limits.samples && a->limits.bytes == b->limits.bytes &&
           topology_same_contents(a->contents, b->contents);
}

/* External labels that the stages of a stream add. */
static struct str_map topology_external(const struct topology *p, const struct writer_plan *from, bool raw)
{
    return p->global.n > 0 && !raw ? (struct str_map){0} : from->external_labels;
}

static bool stream_has(const struct stream *s, const struct destination *d)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->destinations[i] == d)
            return true;
    return false;
}

/* NULL: the destination is new. */
static const struct chain *topology_chain_before(const struct topology *old, const struct destination *d)
{
    for (size_t i = 0; old && i < old->n_streams; i++)
        if (stream_has(&old->streams[i], d))
            return &old->streams[i].chain;
    return NULL;
}

/* Takes the chain. slot, every: as in struct stream. */
static struct stream *stream_for(struct topology *p, const struct destination_conf *c, struct chain chain, int slot,
                                 bool raw, bool every)
{
    struct stream new = {.raw = raw, .shards = (unsigned)c->queue.shards, .limits = block_limits_of(&c->queue),
                         .slot = slot, .route = c->route, .every_route = every, .contents = topology_contents(c),
                         .chain = chain};
    for (size_t i = 0; i < p->n_streams; i++)
        if (topology_same_stream(&p->streams[i], &new)) {
            chain_free(&new.chain);
            return &p->streams[i];
        }
    new.destinations = mem_zalloc(p->_cap * sizeof *new.destinations);
    new.generations = mem_zalloc(p->_cap * sizeof *new.generations);
    struct stream *s = &p->streams[p->n_streams++];
    *s = new;
    return s;
}

size_t topology_primary(const struct writer_plan *from, size_t i)
{
    for (size_t k = 0; k < from->n && from->destinations[i].backup_of.n > 0;)
        if (str_eq(from->destinations[k].name, from->destinations[i].backup_of)) {
            i = k;
            k = 0;
        } else {
            k++;
        }
    return i;
}

unsigned topology_slot(const struct writer_plan *from, size_t i)
{
    size_t primary = topology_primary(from, i);
    unsigned slot = 0;
    for (size_t k = 0; k < primary; k++)
        slot += topology_primary(from, k) == k;
    return slot;
}

/* The stream of the destination with this number. */
static struct stream *stream_for_destination(struct topology *p, const struct writer_plan *from,
                                             const struct topology *old, const struct destination *dest, size_t i)
{
    struct chain chain = {0};
    stages_of_destination(&chain, from, i, topology_external(p, from, false), topology_chain_before(old, dest));
    return stream_for(p, &from->destinations[i], chain, p->sharding ? (int)topology_slot(from, i) : -1, false, false);
}

static struct stream *stream_for_all(struct topology *p, const struct writer_plan *from)
{
    const struct destination_conf plain = {.queue = {.shards = 8, .max_samples = 10000, .max_block_bytes = 8 << 20},
                                           .send_metadata = true, .metadata_config = {.send = true},
                                           .send_exemplars = true, .send_native_histograms = true};
    struct chain chain = {0};
    bool raw = p->global.n > 0;
    stages_of_all(&chain, topology_external(p, from, raw));
    return stream_for(p, &plain, chain, -1, raw, p->n_known_routes > 0);
}

void topology_init_sharding(struct sharding *s, const struct writer_plan *from)
{
    *s = (struct sharding){.conf = from->sharding};
    for (size_t i = 0; i < from->n; i++) {
        const struct destination_conf *c = &from->destinations[i];
        if (topology_primary(from, i) != i)
            continue;
        unsigned slot = s->n++;
        char *identity = destination_identity(c);
        s->nodes[slot] = from->sharding->hash == SHARD_HASH_RENDEZVOUS ? hash_bytes(identity, strlen(identity))
                                                                       : sharding_hash_vmagent(slot, c->url);
        mem_free(identity);
    }
}

static bool attach_recent(struct topology *p, const struct writer_plan *from, const struct topology *old,
                          struct destination *const *dests, struct recent *recent, struct err *err)
{
    p->recent = recent_ref(recent);
    if (from->recent->like.n == 0) {
        stream_for_all(p, from)->recent = recent;
        return true;
    }
    for (size_t i = 0; i < from->n; i++)
        if (str_eq(from->destinations[i].name, from->recent->like)) {
            stream_for_destination(p, from, old, dests[i], i)->recent = recent;
            return true;
        }
    return err_set(err, ERR_BAD_DATA, "recent.like: there is no remote_write entry named \"%.*s\"",
                   STR_ARG(from->recent->like));
}

/* A backup gets the blocks of its primary, or sends everything. */
static bool topology_matches(const struct topology *p, const struct backup_pair *pair)
{
    for (size_t i = 0; i < p->n_streams; i++)
        if (stream_has(&p->streams[i], pair->primary) && stream_has(&p->streams[i], pair->backup))
            return true;
    return false;
}

static void topology_add_pairs(struct topology *p, struct destination *const *dests, struct backup_pair *const *pairs)
{
    size_t at = 0;
    for (size_t i = 0; at < p->n; i++)
        if (dests[i] == p->destinations[at]) {
            p->pairs[at] = pairs[i] && topology_matches(p, pairs[i]) ? backup_pair_ref(pairs[i]) : NULL;
            at++;
        }
}

const struct stream *topology_stream_before(const struct topology *old, const struct stream *s)
{
    for (size_t i = 0; old && i < old->n_streams; i++) {
        const struct stream *before = &old->streams[i];
        if (before->raw == s->raw && before->recent && s->recent)
            return before;
        for (size_t k = 0; k < s->n; k++)
            if (stream_has(before, s->destinations[k]))
                return before;
    }
    return NULL;
}

static void topology_adopt_stages(struct topology *p, const struct topology *old)
{
    if (old)
        chain_adopt(&p->global, &old->global);
    for (size_t i = 0; i < p->n_streams; i++) {
        const struct stream *before = topology_stream_before(old, &p->streams[i]);
        if (before)
            chain_adopt(&p->streams[i].chain, &before->chain);
    }
}

static int route_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void topology_note_routes(struct topology *p, const struct writer_plan *from)
{
    p->known_routes = mem_zalloc((from->n + 1) * sizeof *p->known_routes);
    for (size_t i = 0; i < from->n; i++)
        if (from->destinations[i].route != 0)
            p->known_routes[p->n_known_routes++] = from->destinations[i].route;
    qsort(p->known_routes, p->n_known_routes, sizeof *p->known_routes, route_order);
}

struct topology *topology_new(const struct writer_plan *from, const struct topology *old,
                              struct destination *const *dests, struct backup_pair *const *pairs, struct recent *recent,
                              struct err *err)
{
    struct topology *p = mem_zalloc(sizeof *p);
    refs_init(&p->refs);
    p->_cap = from->n + 1;
    p->destinations = mem_zalloc(p->_cap * sizeof *p->destinations);
    p->pairs = mem_zalloc(p->_cap * sizeof *p->pairs);
    p->routes = mem_zalloc(p->_cap * sizeof *p->routes);
    p->streams = mem_zalloc(p->_cap * sizeof *p->streams);
    if (from->sharding && from->n > SHARDING_MAX) {
        topology_unref(p);
        err_set(err, ERR_BAD_DATA, "shard: %zu destinations; at most %d", from->n, SHARDING_MAX);
        return NULL;
    }
    if (from->sharding && from->n > 0) {
        p->sharding = mem_zalloc(sizeof *p->sharding);
        topology_init_sharding(p->sharding, from);
    }
    topology_note_routes(p, from);
    stages_global(&p->global, from, old ? &old->global : NULL);
    for (size_t i = 0; i < from->n; i++) {
        if (dests[i] == NULL)
            continue;
        p->routes[p->n] = from->destinations[i].route;
        p->destinations[p->n++] = dests[i];
        int64_t deadline = from->destinations[i].queue.batch_send_deadline;
        if (deadline > 0 && (p->flush_ms == 0 || deadline < p->flush_ms))
            p->flush_ms = deadline;
        if (from->destinations[i].unread_rules.n > 0) /* it only sends what its queue has */
            continue;
        struct stream *s = stream_for_destination(p, from, old, dests[i], i);
        s->destinations[s->n++] = dests[i];
    }
    topology_add_pairs(p, dests, pairs);
    if (recent && !attach_recent(p, from, old, dests, recent, err)) {
        topology_unref(p);
        return NULL;
    }
    topology_adopt_stages(p, old);
    return p;
}

void topology_choose_generations(struct topology *p)
{
    for (size_t i = 0; i < p->n_streams; i++)
        for (size_t k = 0; k < p->streams[i].n; k++)
            p->streams[i].generations[k] = p->streams[i].destinations[k]->n_generations - 1;
}

struct backup_pair *topology_pair(const struct topology *p, const struct destination *backup)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (p->destinations[i] == backup)
            return p->pairs[i];
    return NULL;
}

bool topology_knows(const struct topology *p, uint64_t route)
{
    return route == 0 || bsearch(&route, p->known_routes, p->n_known_routes, sizeof route, route_order) != NULL;
}

bool topology_has(const struct topology *p, const struct destination *d)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (p->destinations[i] == d)
            return true;
    return false;
}

const struct stream *topology_recent(const struct topology *p)
{
    for (size_t i = 0; p && i < p->n_streams; i++)
        if (p->streams[i].recent)
            return &p->streams[i];
    return NULL;
}
