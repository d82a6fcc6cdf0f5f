// SPDX-License-Identifier: Apache-2.0
/* The responses of a group's replicas to one selector, merged series by series (merge.h).
 *
 * 1. Series are found by labels: a row for each, with a column for each replica.
 * 2. Over all rows the timestamps of each pair of replicas are compared by job (copies.h).
 * 3. A row is merged when it is read, in memory that the next one may reuse: the samples of all replicas stay packed.
 *    Samples before the selector's window, which were fetched to see intervals and gaps at its beginning, are removed.
 */
#ifndef GATEWAY_UPSTREAM_REPLICAS_H
#define GATEWAY_UPSTREAM_REPLICAS_H

#include "gateway/upstream/decode/response.h"
#include "gateway/upstream/fetch.h"

struct job_pairs;
struct replicas {
    const struct group *group;
    const struct select *sel;      /* during replicas_merge; its window remains */
    int64_t from;                  /* fetched since */
    const struct response **responses; /* by server, then the recent store; NULL: none */
    size_t n;
    bool alone;                    /* earlier fetches may be of other data (--proxy-headers): tells nothing of copies */
    /* After replicas_merge. In the query's arena. */
    size_t n_series;
    struct query_work work;        /* of reading them */
    int64_t t_min, to;             /* of the selector's window; until when samples are expected */
    uint32_t *cells; size_t _cap;  /* n_series * n: position in the response, plus one; 0: the replica has none */
    struct job_pairs **jobs; size_t _jobs_cap; /* of each series */
    uint8_t *counted;              /* what its merge filled is counted: a series may be read several times */
    struct arena _scratch;         /* during replicas_merge */
};
/* Finds the series, and which replicas hold copies. */
bool replicas_merge(struct replicas *r, struct request_batch *batch, struct err *err) MUST_USE;
struct labels replicas_labels(const struct replicas *r, size_t i);
/* The merged series, in `scratch`. */
bool replicas_series(struct replicas *r, size_t i, struct arena *scratch, struct series *out, struct err *err) MUST_USE;
/* Removes samples before `from`. */
void series_trim(struct series *s, int64_t from);
/* Compares series of the group's servers, without merging them, for later merges: the n[i] of server i. */
void replicas_learn(const struct group *g, struct arena *a, const struct series *const *series, const size_t *n);

#endif
