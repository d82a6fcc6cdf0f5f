// SPDX-License-Identifier: Apache-2.0
/* Refilling, and the time from which the store is complete again. What a shard has sent is in its own file and, as joint
 * blocks, in that of its lane's first shard. Blocks that were delivered soon are in no file, which shows as a gap of the
 * sequence numbers; so of the first records after the last gap of each file the latest counts. A shard that was used and
 * has no undelivered block makes the store complete from now on only. A stripe has the series of one lane, so joint
 * blocks of another number of lanes are skipped. */
#include "writer/refill.h"

#include "base/telemetry/log.h"

struct refill {
    struct recent *store;
    struct packer packer;
    unsigned n_lanes;
    int64_t now;
    struct refill_shard { int64_t begin; uint64_t next; } *shards; /* begin: t_max of the first record after a gap */
    int64_t skipped; /* t_max of the blocks that were skipped, INT64_MIN = none */
    uint64_t samples;
};

static bool refill_block(void *arg, unsigned shard, const struct block *b, uint64_t seq)
{
    struct refill *f = arg;
    struct err err;
    if (b->joint_lanes > 0 && b->joint_lanes != f->n_lanes) {
        f->skipped = b->t_max > f->skipped ? b->t_max : f->skipped;
        return true;
    }
    struct str raw;
    if (!block_contents(&f->packer, b, &raw, &err))
        return true;
    recent_take(f->store, shard % f->n_lanes, raw, f->now);
    if (seq != f->shards[shard].next)
        f->shards[shard].begin = b->t_max;
    f->shards[shard].next = seq + 1;
    f->samples += b->n_samples;
    return true;
}

void refill_recent(struct recent *r, const struct recent_conf *c, struct destination *d, int64_t now,
                   bool (*interrupted)(void))
{
    const struct queue_generation *g;
    size_t n = queue_generations(d->queue, &g);
    unsigned shards = g[n - 1].n_shards;
    struct refill f = {.store = r, .n_lanes = d->n_lanes, .now = now, .skipped = INT64_MIN,
                       .shards = mem_zalloc(shards * sizeof *f.shards)};
    packer_init(&f.packer);
    for (unsigned i = 0; i < shards; i++)
        f.shards[i].next = UINT64_MAX;
    int64_t from = queue_walk(d->queue, (uint64_t)c->budget / 2, interrupted, refill_block, &f) ? INT64_MIN : now;
    for (unsigned i = 0; i < shards; i++) {
        struct queue_state state = queue_shard_state(g[n - 1].shards[i]);
        int64_t begin = state.next == 0 ? INT64_MIN : state.first == state.next ? now : f.shards[i].begin;
        from = begin > from ? begin : from;
    }
    if (f.skipped >= from)
        from = f.skipped + 1;
    if (f.samples > 0 && n == 1)
        recent_set_from(r, from);
    if (f.samples > 0)
        log_info("recent", "refilled from the queue on disk", "name", d->name, LOG_U64("samples", f.samples));
    packer_free(&f.packer);
    mem_free(f.shards);
}
