// SPDX-License-Identifier: Apache-2.0
/* Determines whether a server that is late works or hangs.
 *
 * A late response alone is no evidence: the query may be large, and canceling a request to a working replica would lose
 * samples that only it has. So the server is sent two other, trivial requests, each on another connection: vector(1),
 * which every server answers at once (SERVER_ITSELF), and one of the same kind as the late request, for nothing: a server
 * may hang for one kind of requests only, for instance remote_read. Any complete response within CHECK_MIN_MS to
 * CHECK_MAX_MS, by its fastest request so far, shows that it works. Without one the breaker of the server, or of this
 * kind of requests, opens, and requests of the batch to it, or of this kind, end if the result is available without them
 * (group_request.h).
 *
 * One check of each kind per server and batch at a time: a query with many selectors pays once. A batch does not wait
 * for its checks: those in flight at its end leave a suspicion, and are repeated in the background
 * (gateway/background/breaker_checks.h).
 *
 * On the worker's thread, within the batch.
 */
#ifndef GATEWAY_UPSTREAM_SERVER_CHECK_H
#define GATEWAY_UPSTREAM_SERVER_CHECK_H

#include "gateway/upstream/fetch.h"

enum { CHECK_MIN_MS = 500, CHECK_MAX_MS = 2000, CHECK_UNKNOWN_MS = 1000, CHECK_MAX_BODY = 64 << 10, CHECK_KIND_MS = 20 };

/* calls: bits by enum latency_call, of the late request. waited: ms since it, for the error. Calls batch->checked for
 * each check when it has ended. */
void server_check_begin(struct request_batch *r, struct server *s, unsigned calls, int64_t waited);
void server_check_cancel_all(struct request_batch *r);

/* The trivial request of a kind, or SERVER_ITSELF. via: a header of it, or NULL. path: what `url` has after the server's.
 * False: this kind has none. */
struct server_check_request {
    const char *method;
    struct str path, query;
    struct buf url, body;
    const char *headers[5]; size_t n_headers;
};
bool server_check_request(const struct server *s, unsigned call, const char *via, struct server_check_request *out);
void server_check_request_free(struct server_check_request *request);
/* The server works: it has responded, and it is not a proxy's report that it cannot reach the server. A long response to
 * another request than vector(1) is a response. */
static inline bool server_check_passed(const struct client_reply *reply, unsigned call)
{
    bool is_long = call != SERVER_ITSELF && reply->err.kind == ERR_TOO_LARGE;
    return is_long || (reply->status != 0 && reply->status != 502 && reply->status != 504);
}

#endif
