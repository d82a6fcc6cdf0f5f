// SPDX-License-Identifier: Apache-2.0
/* An expression at one server group: evaluated by the first server that responds, according to the group's read mode,
 * or by a chosen server, or another that is known to be complete, too, if that one is late or fails. */
#ifndef GATEWAY_UPSTREAM_PUSH_QUERY_H
#define GATEWAY_UPSTREAM_PUSH_QUERY_H

#include "gateway/upstream/group_request.h"
#include "promql/plan.h"

struct push_attempt {
    struct attempt attempt;
    struct response response;   /* SUCCEEDED */
    bool rejected;              /* FAILED: the server says that the expression is invalid */
    struct fetch **_fetches; unsigned _n_fetches, _left;
    struct err _err;
};
struct push_query {
    struct group_request request;
    const struct label_view *view; /* how the response shows labels: not always all that the group shows */
    struct str text;
    struct grid steps;
    int64_t lookback;
    size_t server;              /* of the group, where it merges its replicas */
    uint64_t others;            /* likewise; bits */
    struct notes notes;         /* of the responses */
    struct push_attempt *attempts;
};
void push_query_start(struct push_query *query, struct request_batch *batch, const struct group *group,
                      const struct label_view *view);
/* NULL: no server responded; err says why. */
struct response *push_query_response(struct push_query *query, struct err *err);

#endif
