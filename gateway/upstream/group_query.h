// SPDX-License-Identifier: Apache-2.0
/* One selector at one group: queries the replicas according to the read mode and merges their responses.
 *
 * A group returns a complete result, or an error that names it and its servers. Samples that only the recent store has,
 * because they are still queued, are added. If no server responds, the recent store replaces them if it covers every
 * requested point; if the lookback of the first points is cut, a warning names the time since when it has samples.
 * Earlier points are an error, unless the group is allowed to fail (group_failure).
 */
#ifndef GATEWAY_UPSTREAM_GROUP_QUERY_H
#define GATEWAY_UPSTREAM_GROUP_QUERY_H

#include "gateway/upstream/group_request.h"
#include "gateway/upstream/replicas.h"
#include "gateway/upstream/server_query.h"

struct recent_link { struct source *source; int64_t from; }; /* source NULL: disabled */
struct group_query {
    struct group_request request;
    const struct group *group;
    const struct select *sel;         /* after group_query_start: within the time range of the group. Until group_query_collect */
    bool shares;                      /* its samples are united with those of other groups */
    bool cut;                         /* sel is a part of what was selected */
    struct select sight;              /* the selector over the fetched window, which may begin earlier */
    int64_t t_min;                    /* of sel */
    struct recent_link recent;
    struct server_query *queries;     /* one per server, in the group's order */
    struct response recent_response;
    /* After group_query_collect: one response, or several that are merged. */
    struct response *only;
    struct replicas *merged;
    uint32_t *kept;                   /* of their series; NULL: all */
    size_t n_series;
};
/* False: no series of the group can match; nothing is sent. */
bool group_query_start(struct group_query *l, struct request_batch *batch);
void group_query_stop(struct group_query *l); /* after batch_wait */
/* After batch_wait. False with an error that names the group; the caller decides what to do with it. */
bool group_query_collect(struct group_query *l, struct err *err) MUST_USE;

/* ---- then, until the query ends: n_series series, each label set once ---- */

struct labels group_query_labels(const struct group_query *l, size_t i);
/* Samples in `scratch`, or where they stay; there may be none in the selector's window. */
bool group_query_series(struct group_query *l, size_t i, struct arena *scratch, struct series *out,
                        struct err *err) MUST_USE;

#endif
