// SPDX-License-Identifier: Apache-2.0
/* The members of a cluster, and which of them scrape a target at a time: a view. Members that have the same view agree
 * without talking to each other.
 *
 * Rendezvous hashing: a member's score for a target is a hash of both, and the members with the highest scores own the
 * target (https://en.wikipedia.org/wiki/Rendezvous_hashing). When a member joins N others, one of N + 1 targets moves,
 * to it; when one leaves, only its targets move, evenly to the others. With weights w the score is -w / ln(hash), so
 * that a member owns targets in proportion to its weight. Of several owners each is in another zone, as far as there
 * are zones, and members of zones of different sizes own as much (zone_factors.h): when these sizes change, some owners
 * after the first move between other members, too.
 *
 * Time. A member takes part in scrapes of the times from <= t < until. A member that joins or leaves as planned says
 * when in advance, so that each time has one owner, whoever hears of the change first: no gap and no duplicate. One
 * that crashed stays in the view for a while, until the time up to which its scrapes were sent: members that have kept
 * later ones send them. With zones the owner that follows it is in another zone, while a member of its own zone may
 * come next in the order of scores, which has kept nothing: it waits for place_until, which is the same for all
 * members.
 *
 * Immutable and reference counted; any thread.
 */
#ifndef MODEL_CLUSTER_CLUSTER_VIEW_H
#define MODEL_CLUSTER_CLUSTER_VIEW_H

#include "base/arena.h"
#include "base/refs.h"

enum { CLUSTER_MEMBERS_MAX = 10000, CLUSTER_REPLICAS_MAX = 3 };
struct cluster_member {
    struct str id;        /* unique */
    struct str address;   /* of its HTTP API: http://host:port */
    struct str zone;      /* empty: none */
    double weight;        /* > 0 */
    int64_t from, until;  /* Unix ms; INT64_MAX: not known yet, and not planned */
    bool gone;            /* not registered any more: its scrapes before `until` were sent, */
    int64_t place_until;  /* and until then, or until another member joins, those of its zone do not take its place */
};
struct cluster_view {
    struct refs refs;
    struct arena arena;
    uint64_t revision;                    /* of the store that the members were read from */
    const struct cluster_member *members; /* sorted by id */
    size_t n;
    size_t self;                          /* index of this process; n: it is none of them */
    const uint64_t *_seeds;               /* of the members' ids */
    const int64_t *_times; size_t _n_times; /* at which members begin or end to take part; sorted */
    bool _weighted, _zoned, _ghosts;      /* weights differ; there are zones; members that are gone keep their places */
    const uint32_t *_zones; size_t _n_zones; /* of the members: numbers of zones */
    const struct zone_epoch *_epochs; size_t _n_epochs; /* ascending; none: zones are not corrected */
};

/* Copies the members. One id occurs once, and once more with `gone`, of a member that registered again. One
 * reference. */
struct cluster_view *cluster_view_new(const struct cluster_member *members, size_t n, struct str self, uint64_t revision);
struct cluster_view *cluster_view_ref(struct cluster_view *v);
void cluster_view_unref(struct cluster_view *v); /* NULL is fine */

/* The owners of a target at a time, the first first; `target`: a hash of its labels. Returns their number, at most `most`
 * and CLUSTER_REPLICAS_MAX; 0 if no member takes part. out: indices of members. */
size_t cluster_view_owners(const struct cluster_view *v, uint64_t target, int64_t time, size_t most, size_t *out);
/* The rank of this process among the owners: 0 is the first. `replicas`: it is none of them. */
unsigned cluster_view_rank(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas);

/* Why a target has its owners: the members by their scores for it, the highest first. */
struct cluster_choice {
    size_t member;                        /* its index */
    uint64_t hash;                        /* of target and member, which the score is made from */
    double score;                         /* those that take part: the highest is the first owner */
    double later_score;                   /* with zones, for the next owners: the highest of another zone. 0: without zones */
    unsigned owner;                       /* 1: the first; 0: none */
};
/* out: v->n of them. */
void cluster_view_explain(const struct cluster_view *v, uint64_t target, int64_t time, size_t most,
                          struct cluster_choice *out);

/* When, after `time`, a member begins or ends to take part; INT64_MAX: never. */
int64_t cluster_view_next_change(const struct cluster_view *v, int64_t time);

/* The times of which this process scrapes a target: none if from == until. */
struct cluster_span { int64_t from, until; };
static inline bool cluster_span_equal(struct cluster_span a, struct cluster_span b)
{
    return a.from == b.from && a.until == b.until;
}
/* The times at which this process is the first owner: the span that contains `time`, or the first one after it. Spans
 * that began before `since` begin at INT64_MIN. replicas: as configured. */
struct cluster_span cluster_view_lead(const struct cluster_view *v, uint64_t target, int64_t time, int64_t since,
                                      unsigned replicas);
/* The span that contains `time`, or the first one after it. */
struct cluster_span cluster_view_span(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas);

/* A planned change of the first owner: at `time` it is `to`, before that it was `from`, which is not gone. False: there is
 * none. */
struct cluster_move { size_t from, to; };
bool cluster_view_move(const struct cluster_view *v, uint64_t target, int64_t time, unsigned replicas,
                       struct cluster_move *out) MUST_USE;

size_t cluster_view_registered(const struct cluster_view *v); /* its members that are not gone */

#endif
