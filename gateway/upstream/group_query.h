// SPDX-License-Identifier: Apache-2.0
/* One selector at one group: its replicas are asked, as the read mode says, and their answers made into one.
 *
 * A group gives one complete response or an error that names it and its servers. What the recent store has and the
 * servers lack, because it is still in the queue, is added. When no server answers it stands in for them where it is
 * whole at every point asked for; where the look back from the first of them is cut, with a warning that says since
 * when. Points before its time are an error, unless the group may be left out (ignore_error, downgrade_error).
 */
#ifndef GATEWAY_UPSTREAM_GROUP_QUERY_H
#define GATEWAY_UPSTREAM_GROUP_QUERY_H

#include "gateway/upstream/group_request.h"
#include "gateway/upstream/server_query.h"

struct recent_link { struct source *source; int64_t from; }; /* source NULL: off */
struct group_query {
    struct group_request request;
    const struct group *group;
    const struct select *sel;
    struct select sight;              /* the same over the window that is fetched, which may begin earlier */
    struct recent_link recent;
    struct server_query *queries;     /* one a server, in the group's order */
    struct response response;         /* after group_query_collect */
};
/* False: no series of the group can match; nothing is sent. */
bool group_query_start(struct group_query *l, struct request_batch *batch);
void group_query_stop(struct group_query *l); /* after batch_wait */
/* After batch_wait. False with an error that names the group: what to do with it is the caller's decision. */
bool group_query_collect(struct group_query *l, struct err *err) MUST_USE;

#endif
