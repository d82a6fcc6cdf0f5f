// SPDX-License-Identifier: Apache-2.0
/* The series of one selector over all groups as a series set. Only labels are in it: the samples of a series are
 * unpacked and merged when it is read, in memory that the next one reuses. So a query needs the packed samples of all
 * replicas, and the plain samples of one series at a time: a rate over 5,000 series of 260 samples of two replicas that
 * had to be merged took 99 MB with plain samples in every response, and takes 26 so (of which 11 when idle).
 */
#ifndef GATEWAY_UPSTREAM_SELECTED_H
#define GATEWAY_UPSTREAM_SELECTED_H

#include "gateway/upstream/group_query.h"
#include "gateway/upstream/union.h"

/* parts[i]: of the i-th union_add. Everything stays in the query's arena. */
bool selected_make(struct request_batch *batch, const struct group_union *all, struct group_query *const *parts,
                   struct series_set *out, struct err *err) MUST_USE;
/* The same series as another set, which may be read at the same time. */
bool selected_share(struct request_batch *batch, const struct series_set *of, struct series_set *out,
                    struct err *err) MUST_USE;

#endif
