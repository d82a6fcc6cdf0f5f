// SPDX-License-Identifier: Apache-2.0
/* The responses of a group's replicas to one selector, merged series by series (merge.h).
 *
 * 1. Series are found by labels: a row for each, with a column for each replica.
 * 2. Over all rows the timestamps of each pair of replicas are compared by job (copies.h).
 * 3. Rows are merged. Samples before the selector's window, which were fetched to see intervals and gaps at its
 *    beginning, are removed.
 */
#ifndef GATEWAY_UPSTREAM_REPLICAS_H
#define GATEWAY_UPSTREAM_REPLICAS_H

#include "gateway/upstream/decode/response.h"
#include "gateway/upstream/fetch.h"

struct replicas {
    struct request_batch *batch;
    const struct group *group;
    const struct select *sel;      /* its window remains */
    int64_t from;                  /* fetched since */
    const struct response **responses; /* by server, then the recent store; NULL: none */
    size_t n;
};
bool replicas_merge(struct replicas *r, struct response *out, struct err *err) MUST_USE;
/* Compares series of the group's servers, without merging them, for later merges: the n[i] of server i. */
void replicas_learn(const struct group *g, struct arena *a, const struct series *const *series, const size_t *n);
/* The samples of a response that lie in the selector's window. */
void replicas_trim(struct response *a, int64_t from);

#endif
