// SPDX-License-Identifier: Apache-2.0
/* Runs the stages of a chain one after the other, and what they send each other over lanes. */
#include "writer/pipeline/chain.h"

#define STAGE_KIND_NAME(id, name) name,
const char *stage_kind_name(enum stage_kind kind)
{
    static const char *const names[] = {STAGE_KINDS(STAGE_KIND_NAME)};
    return names[kind];
}

uint64_t stage_identity(enum stage_kind kind, uint64_t conf)
{
    const uint64_t both[] = {kind, conf};
    uint64_t hash = hash_bytes(both, sizeof both);
    return hash + (hash == 0);
}

/* ---- the topology's ---------------------------------------------------------------------------------------------- */

void chain_add(struct chain *c, struct stage *s)
{
    mem_grow(&c->stages, &c->_cap, c->n + 1, sizeof *c->stages);
    c->stages[c->n++] = s;
    const uint64_t all[] = {c->identity, s->identity, s->settings};
    c->identity = hash_bytes(all, sizeof all);
}

void chain_free(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++)
        c->stages[i]->ops->free(c->stages[i]);
    mem_free(c->stages);
    *c = (struct chain){0};
}

static const struct stage *chain_find(const struct chain *c, uint64_t identity)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->stages[i]->identity == identity)
            return c->stages[i];
    return NULL;
}

bool chain_has(const struct chain *c, uint64_t identity) { return chain_find(c, identity) != NULL; }

void chain_adopt(struct chain *c, const struct chain *old)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct stage *before = chain_find(old, c->stages[i]->identity);
        if (before && c->stages[i]->ops->adopt)
            c->stages[i]->ops->adopt(c->stages[i], before);
    }
}

/* ---- on a lane --------------------------------------------------------------------------------------------------- */

void chain_lane_init(struct chain_lane *l, const struct chain *c, const struct chain_host *host, void *arg,
                     struct loop *loop, unsigned lane, unsigned n_lanes)
{
    *l = (struct chain_lane){.n = c->n, .host = host, .arg = arg};
    l->stages = mem_zalloc((c->n + 1) * sizeof *l->stages);
    for (size_t i = 0; i < c->n; i++) {
        const struct stage *s = c->stages[i];
        struct stage_lane *st = mem_zalloc(s->ops->lane_size);
        *st = (struct stage_lane){.stage = s, .loop = loop, .lane = lane, .n_lanes = n_lanes, ._chain = l, ._at = i,
                                   ._release = host->release, ._apply = s->ops->apply};
        l->stages[i] = st;
        s->ops->lane_init(st);
    }
}

static void stage_lane_free(struct stage_lane *st)
{
    if (st->stage->ops->lane_free)
        st->stage->ops->lane_free(st);
    for (unsigned k = 0; st->_sent && k < st->n_lanes; k++)
        buf_free(&st->_sent[k]);
    mem_free(st->_sent);
    mem_free(st);
}

void chain_lane_free(struct chain_lane *l)
{
    for (size_t i = 0; i < l->n; i++)
        stage_lane_free(l->stages[i]);
    mem_free(l->stages);
    *l = (struct chain_lane){0};
}

static struct stage_lane *chain_lane_find(const struct chain_lane *l, uint64_t identity)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->stages[i]->stage->identity == identity)
            return l->stages[i];
    return NULL;
}

void chain_lane_adopt(struct chain_lane *l, const struct chain_lane *old)
{
    for (size_t i = 0; i < l->n; i++) {
        struct stage_lane *st = l->stages[i], *before = chain_lane_find(old, st->stage->identity);
        if (before && st->stage->ops->lane_adopt)
            st->stage->ops->lane_adopt(st, before);
        if (before && before->_wake > 0 && (st->_wake == 0 || before->_wake < st->_wake))
            stage_wake(st, before->_wake);
    }
}

void stage_emit(struct stage_lane *l, const struct series_in *in)
{
    struct pipeline_series s = {.in = *in, .key = labels_hash(in->labels)};
    l->_touched = true;
    l->_counts[STAGE_EMITTED] += in->n_samples + in->n_hists;
    if (chain_lane_run(l->_chain, l->_at + 1, &s))
        l->_chain->host->deliver(l->_chain->arg, &s);
}

void stage_send(struct stage_lane *l, unsigned lane, struct str bytes)
{
    if (l->_sent == NULL)
        l->_sent = mem_zalloc(l->n_lanes * sizeof *l->_sent);
    l->_touched = true;
    buf_add_str(&l->_sent[lane], bytes);
}

void stage_wake(struct stage_lane *l, int64_t at)
{
    l->_wake = at;
    if (at > 0)
        l->_chain->host->wake(l->_chain->arg, at);
}

void *stage_hold(struct stage_lane *l) { return l->_chain->host->hold(l->_chain->arg); }
void stage_release(struct stage_lane *l, void *held)
{
    if (held)
        l->_release(held);
}

static void stage_lane_deliver_sent(struct stage_lane *st)
{
    for (unsigned k = 0; st->_sent && k < st->n_lanes; k++) {
        struct buf *sent = &st->_sent[k];
        if (sent->n > 0 && k == st->lane) {
            st->stage->ops->receive(st, buf_str(sent));
            buf_clear(sent);
        } else if (sent->n > 0) {
            st->_chain->host->send(st->_chain->arg, st, k, sent);
        }
    }
}

void chain_lane_commit(struct chain_lane *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct stage_lane *st = l->stages[i];
        if (!st->_touched)
            continue;
        if (st->stage->ops->commit)
            st->stage->ops->commit(st);
        stage_lane_deliver_sent(st);
        st->_touched = false;
        for (int result = 0; result < STAGE_RESULTS; result++)
            if (st->_counts[result] > 0)
                l->host->count(l->arg, st->stage->kind, (enum stage_result)result, st->_counts[result]);
        memset(st->_counts, 0, sizeof st->_counts);
    }
}

void chain_lane_abort(struct chain_lane *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct stage_lane *st = l->stages[i];
        if (!st->_touched)
            continue;
        if (st->stage->ops->abort)
            st->stage->ops->abort(st);
        for (unsigned k = 0; st->_sent && k < st->n_lanes; k++)
            buf_clear(&st->_sent[k]);
        st->_touched = false;
        memset(st->_counts, 0, sizeof st->_counts);
    }
}

bool chain_lane_receive(struct chain_lane *l, uint64_t identity, struct str bytes)
{
    struct stage_lane *st = chain_lane_find(l, identity);
    if (st)
        st->stage->ops->receive(st, bytes);
    return st != NULL;
}

bool chain_lane_tick(struct chain_lane *l, int64_t now)
{
    bool more = false;
    for (size_t i = 0; i < l->n; i++) {
        struct stage_lane *st = l->stages[i];
        if (st->_wake == 0 || st->_wake > now)
            continue;
        int64_t due = st->_wake;
        st->_wake = 0;
        if (st->stage->ops->tick(st, now)) {
            st->_wake = due;
            more = true;
        }
    }
    return more;
}

int64_t chain_lane_wake(const struct chain_lane *l)
{
    int64_t at = INT64_MAX;
    for (size_t i = 0; i < l->n; i++)
        if (l->stages[i]->_wake > 0 && l->stages[i]->_wake < at)
            at = l->stages[i]->_wake;
    return at;
}

void chain_lane_settle(struct chain_lane *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->stages[i]->stage->ops->settled)
            l->stages[i]->stage->ops->settled(l->stages[i]);
}

bool chain_lane_end(struct chain_lane *l, const struct chain *next, bool stopping)
{
    bool more = false;
    for (size_t i = 0; i < l->n; i++) {
        struct stage_lane *st = l->stages[i];
        bool stays = next && chain_has(next, st->stage->identity);
        if (!stays && st->stage->ops->end)
            more |= st->stage->ops->end(st, stopping);
    }
    return more;
}
