// SPDX-License-Identifier: Apache-2.0
/* A chain of stages (stage.h): struct chain is the topology's, struct chain_lane runs it on one lane. The lane that hosts it
 * (writer/flow.c) opens the batches, and takes what the chain leaves. */
#ifndef WRITER_PIPELINE_CHAIN_H
#define WRITER_PIPELINE_CHAIN_H

#include "writer/pipeline/stage.h"

/* Main makes it; immutable afterwards. Zeroed: no stages. */
struct chain {
    struct stage **stages; size_t n, _cap;
    uint64_t identity; /* of all stages in their order; 0 = there are none */
};
void chain_add(struct chain *c, struct stage *s); /* takes it */
void chain_free(struct chain *c);
bool chain_has(const struct chain *c, uint64_t identity); /* a stage of that identity */
/* Passes the shared state of stages with the same identity on. */
void chain_adopt(struct chain *c, const struct chain *old);

struct chain_host {
    void (*deliver)(void *arg, struct pipeline_series *s); /* what is left of an emitted series behind the last stage */
    void (*count)(void *arg, enum stage_kind kind, enum stage_result result, uint64_t n); /* samples of a batch */
    void (*send)(void *arg, const struct stage_lane *from, unsigned lane, struct buf *bytes); /* takes the bytes */
    void (*wake)(void *arg, int64_t at);
    void *(*hold)(void *arg);      /* a reference to what the stages point to */
    void (*release)(void *held);
};
struct chain_lane {
    struct stage_lane **stages; size_t n;
    const struct chain_host *host; void *arg;
};
void chain_lane_init(struct chain_lane *l, const struct chain *c, const struct chain_host *host, void *arg,
                     struct loop *loop, unsigned lane, unsigned n_lanes);
void chain_lane_free(struct chain_lane *l);
void chain_lane_adopt(struct chain_lane *l, const struct chain_lane *old); /* moves states; old is freed afterwards */
/* Within a batch: a series that enters the chain. True: *s is what the stages from `from` on left of it. */
static inline bool chain_lane_run(struct chain_lane *l, size_t from, struct pipeline_series *s)
{
    for (size_t i = from; i < l->n; i++) {
        struct stage_lane *st = l->stages[i];
        st->_touched = true;
        size_t n = s->in.n_samples + s->in.n_hists;
        enum stage_result result = st->_apply(st, s);
        if (result != STAGE_PASSED) {
            st->_counts[result] += n;
            return false;
        }
        size_t left = s->in.n_samples + s->in.n_hists;
        st->_counts[STAGE_PASSED] += left;
        st->_counts[STAGE_ABSORBED] += n - left;
    }
    return true;
}
void chain_lane_commit(struct chain_lane *l); /* may deliver; before the batch of what it is delivered to ends */
void chain_lane_abort(struct chain_lane *l);
/* Within a batch: bytes of another lane for the stage of this identity. False: there is none. */
bool chain_lane_receive(struct chain_lane *l, uint64_t identity, struct str bytes);
/* Within a batch: stages whose time has come. True: call it again in the next turn. */
bool chain_lane_tick(struct chain_lane *l, int64_t now);
int64_t chain_lane_wake(const struct chain_lane *l); /* the earliest; INT64_MAX = never */
void chain_lane_settle(struct chain_lane *l); /* all lanes have switched */
/* Within a batch: ends the stages that `next` does not have; NULL: all. True: call it again. */
bool chain_lane_end(struct chain_lane *l, const struct chain *next, bool stopping);

#endif
