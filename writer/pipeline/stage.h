// SPDX-License-Identifier: Apache-2.0
/* Stages of the pipeline between a lane's sink and its streams. What happens to a series is a chain of stages:
 *
 *   sink -> global chain -> placement (sharding.h) -> for each stream: its chain -> pending bytes of a shard
 *
 * The order is that of vmagent: relabeling, limits, deduplication and aggregation of all samples; placement; the same of each
 * destination; labels; rounding (topology.c builds the chains). A stream that takes samples as they came (the recent store
 * without `like`) skips the global chain.
 *
 * Two objects for each stage
 * - struct stage: the settings, made by main for one topology, immutable, used by all lanes. It may point into the
 *   configuration, which lives as long as the topology. State that lanes share (a filter, elected replicas) belongs to an
 *   object of its own with a reference count and atomics or a lock that is not taken for each sample.
 * - struct stage_lane: the state of one lane; only its thread uses it, without locks. It points into the configuration
 *   only while it holds the topology (stage_hold): a reload passes the state on to a stage of the next one.
 * A kind embeds each of them as the first member of its own struct and implements struct stage_ops, where every function
 * but `free`, `lane_init` and `apply` may be NULL.
 *
 * Samples. apply() gets one series, with one or more samples, within a batch, and says what becomes of it. It may replace
 * the labels (sorted, canonical: model/labels.h) and samples that it gets by others that live until its next call.
 * Nothing is allocated or locked per sample: what depends on the labels only is found once and remembered under
 * pipeline_series_hash() (relabel_cache.h).
 *
 * Emitting. stage_emit() sends a series of the stage's own to the stages behind it. It may be called in apply, commit,
 * receive, tick and end: each of them runs within a batch. The writer opens one where no sample came; no queue refuses it.
 *
 * Batches are stored completely or not at all. A stage that remembers more than verdicts keeps what it got aside until
 * commit(), and forgets it in abort(); stage_send does that for its bytes. Both are called for each batch in which the stage
 * took part.
 *
 * Lanes. Samples of a series arrive on any lane. A stage that needs all of them in one place chooses a lane by a hash
 * and sends bytes there (stage_send): they arrive with receive() in the order in which they were sent, those for the same
 * lane at the end of the batch, others by the loop. All bytes of one batch for a lane arrive together.
 *
 * Time. stage_wake() asks for tick() at a wall clock time (Unix ms); tick returns true while it has more to do, and is
 * called again in the next turn. A call should end by loop_slice_end(), or after some hundred series.
 *
 * Reload. A stage is known by `identity`, a hash of its kind and of everything in its configuration that its state
 * depends on; the identities of a chain differ. If the new topology has one of the same identity in the same place (the
 * global chain, or that of a stream which has a destination in common), then adopt() on main passes the shared state on
 * before any lane uses the new stage, and on each lane lane_adopt() moves the state after lane_init(). Otherwise end()
 * is called on each lane before it switches, and also when the program stops; then the state is freed. While lanes
 * switch one after the other, bytes that are under way reach the stage of the same identity, and are dropped if there
 * is none. A stage that must not lose any therefore has an identity that does not depend on its settings (these are
 * `settings` then), and when they are removed it remains for one more topology, without any (aggregate_stage.h).
 * settled() is called on each lane when all have switched: what lanes sent under the topology before has arrived.
 *
 * Counters. The chain counts samples by what apply returns and by stage_emit; a stage counts nothing itself.
 */
#ifndef WRITER_PIPELINE_STAGE_H
#define WRITER_PIPELINE_STAGE_H

#include "base/hash.h"
#include "base/os/loop.h"
#include "model/sink.h"

#include <stdatomic.h>

/* Kinds, with their names in metrics and on pages. Several of a kind in a chain have different settings: two set
 * labels, one before the limits and one at the end. */
#define STAGE_KINDS(X) \
    X(STAGE_HA, "ha_dedup") \
    X(STAGE_RELABEL, "relabel") /* rules and labels (label_stage.h) */ \
    X(STAGE_LABEL_LIMITS, "label_limits") \
    X(STAGE_SERIES_LIMITS, "series_limits") \
    X(STAGE_AGGREGATE, "stream_aggregation") /* and deduplication (aggregate_stage.h) */ \
    X(STAGE_ROUNDING, "rounding")
#define STAGE_KIND_ID(id, name) id,
enum stage_kind { STAGE_KINDS(STAGE_KIND_ID) STAGE_KINDS_N };
const char *stage_kind_name(enum stage_kind kind);

/* What became of samples. EMITTED: sent by stage_emit. */
enum stage_result { STAGE_PASSED, STAGE_DROPPED, STAGE_ABSORBED, STAGE_EMITTED, STAGE_RESULTS };
/* Samples and histograms by kind and result; relaxed, updated once a batch. */
struct stage_counts { atomic_ullong n[STAGE_KINDS_N][STAGE_RESULTS]; };

struct pipeline_series {
    struct series_in in;
    uint64_t key;  /* chooses the shard: hash of the target, or of the labels as they were pushed or emitted */
    uint64_t hash; /* pipeline_series_hash; 0: not computed. A stage that changes the labels sets it to 0 */
    bool routed;   /* in the global chain: its batch has a route (model/sink.h), which what stages emit has not */
};
/* Of the labels, keyed (hash_keyed): the only key of tables by series. Never 0. */
static inline uint64_t pipeline_series_hash(struct pipeline_series *s)
{
    if (s->hash == 0) {
        s->hash = hash_keyed(s->in.labels.p, s->in.labels.n);
        s->hash += s->hash == 0;
    }
    return s->hash;
}

struct stage_ops;
struct stage {
    const struct stage_ops *ops;
    enum stage_kind kind;
    uint64_t identity;
    uint64_t settings; /* hash of what else decides what the stage makes of series; 0 = nothing */
};
struct chain_lane;
struct stage_lane {
    const struct stage *stage; /* the current one: a reload replaces it */
    struct loop *loop;
    unsigned lane, n_lanes;
    /* chain.c: */
    struct chain_lane *_chain; size_t _at;
    void (*_release)(void *held);    /* of the host; also when the chain has been replaced */
    enum stage_result (*_apply)(struct stage_lane *l, struct pipeline_series *s); /* of stage->ops */
    uint64_t _counts[STAGE_RESULTS]; /* of the batch */
    bool _touched;                   /* in the batch */
    int64_t _wake;                   /* Unix ms; 0 = never */
    struct buf *_sent;               /* [n_lanes], of the batch; NULL: nothing was ever sent */
};
struct stage_ops {
    size_t lane_size; /* of the kind's struct with struct stage_lane first; zeroed before lane_init */
    void (*free)(struct stage *s);                              /* any thread */
    void (*adopt)(struct stage *s, const struct stage *old);    /* main; the old one remains in use by lanes */
    /* All others on the lane's thread. */
    void (*lane_init)(struct stage_lane *l);
    void (*lane_free)(struct stage_lane *l);
    void (*lane_adopt)(struct stage_lane *l, struct stage_lane *old); /* takes its state; lane_free(old) follows */
    /* The samples PASSED (perhaps changed), or they are DROPPED, or ABSORBED: kept in another form. */
    enum stage_result (*apply)(struct stage_lane *l, struct pipeline_series *s);
    void (*commit)(struct stage_lane *l);
    void (*abort)(struct stage_lane *l);
    void (*receive)(struct stage_lane *l, struct str bytes);
    bool (*tick)(struct stage_lane *l, int64_t now);
    void (*settled)(struct stage_lane *l);
    /* Emits what it has; true: it has more, and is called again. stopping: the program stops, and the state may be kept on
     * disk instead. apply and receive may still be called afterwards, in another batch. */
    bool (*end)(struct stage_lane *l, bool stopping);
};

/* Identity of a kind with a configuration that hashes to `conf`. */
uint64_t stage_identity(enum stage_kind kind, uint64_t conf);
/* The rest, on the lane's thread. */
/* Labels and samples are borrowed for the call. */
void stage_emit(struct stage_lane *l, const struct series_in *in);
/* Sends bytes to the stage on another lane, or this one. */
void stage_send(struct stage_lane *l, unsigned lane, struct str bytes);
void stage_wake(struct stage_lane *l, int64_t at); /* replaces the time set before; 0 = never */
/* In lane_init: keeps what `stage` points to until stage_release(), which may be called for a later stage of this
 * lane. */
void *stage_hold(struct stage_lane *l);
void stage_release(struct stage_lane *l, void *held); /* NULL is fine */

#endif
