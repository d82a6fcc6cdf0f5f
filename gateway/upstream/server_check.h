// SPDX-License-Identifier: Apache-2.0
/* Determines whether a server that is late works or hangs.
 *
 * A late response alone is no evidence: the query may be large, and canceling a request to a working replica would lose
 * samples that only it has. So the server is sent another, trivial query (vector(1)), on another connection. Any
 * complete response within CHECK_MIN_MS to CHECK_MAX_MS, by its fastest request so far, shows that it works. Without
 * one its breaker opens, and requests of the batch to it end if the result is available without it (group_request.h).
 *
 * One check per server and batch at a time: a query with many selectors pays once. A batch does not wait for its
 * checks: the servers of those in flight at its end are suspected, and checked in the background
 * (gateway/background/breaker_checks.h).
 *
 * On the worker's thread, within the batch.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_CHECK_H
#define GATEWAY_UPSTREAM_SERVER_CHECK_H

#include "gateway/upstream/fetch.h"

enum { CHECK_MIN_MS = 500, CHECK_MAX_MS = 2000, CHECK_UNKNOWN_MS = 1000, CHECK_MAX_BODY = 64 << 10 };
#define CHECK_PATH  "/api/v1/query"
#define CHECK_QUERY "vector(1)"

/* `waited`: ms since the late request, for the error. Calls batch->checked when it is known. */
void server_check_begin(struct request_batch *r, struct server *s, int64_t waited);
void server_check_cancel_all(struct request_batch *r);
/* Appends the URL of the trivial query. */
void server_check_url(const struct server *s, struct buf *out);
/* The server works: it has responded, and it is not a proxy's report that it cannot reach the server. */
static inline bool server_check_passed(const struct client_reply *reply)
{
    return reply->status != 0 && reply->status != 502 && reply->status != 504;
}

#endif
