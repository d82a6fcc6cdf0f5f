// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: a call over a connection of our own, without libcurl; client_head.h says which calls can be
 * made that way.
 *
 * libcurl costs 200 ns of CPU per sample of a page of 1,000 series, and ten times as much at 100: it duplicates
 * descriptors, changes the epoll set several times per request, and walks its idle connections once a second. Here a
 * request on a connection that was kept is one send, one wake-up and as many receives as the response has buffers.
 *
 * A call: take an idle connection to the server, or resolve its name and connect to one address after the other; send
 * the head and the body; read the response; keep the connection if the server allows it. A kept connection may have
 * been closed by the server just before the request: a request that gets no byte of a response on it is repeated once
 * on a new one.
 */
#ifndef BASE_HTTP_CLIENT_PLAIN_H
#define BASE_HTTP_CLIENT_PLAIN_H

#include "base/http/client_call.h"
#include "base/http/client_connections.h"

enum plain_outcome {
    PLAIN_ENDED,     /* the reply is complete; also for a canceled call */
    PLAIN_REDIRECTED /* the response is a redirect that is to be followed: begin again with libcurl */
};
struct client_plain { /* of one client */
    struct client_connections connections;
    char *received;  /* of PLAIN_RECEIVE bytes; NULL until needed */
    void (*settled)(struct client_call *call, enum plain_outcome outcome); /* not within plain_start */
};

void plain_init(struct client_plain *plain, struct loop *loop, int64_t idle_ms, size_t most_idle);
void plain_free(struct client_plain *plain); /* its calls must have ended */

/* False: reply.err has the reason, and `settled` is not called. */
bool plain_start(struct client_plain *plain, struct client_call *call) MUST_USE;
void plain_pause(struct client_call *call, bool pause);
void plain_stop(struct client_call *call); /* `settled` is not called; no effect when not started or settled */

#endif
