// SPDX-License-Identifier: Apache-2.0
/* Equal requests of concurrent queries to one server are sent once: a request in flight serves all queries that want
 * the same response. Panels of a dashboard that several people watch send such queries.
 *
 * The first query leads: it sends the request and decodes the response as its bytes arrive. Until the first of them has
 * arrived others may join; then the leader also collects the body, and at its end each of them decodes it on its own
 * thread. If the leader's request ends without a complete response, because its query was canceled, its time was up or
 * its decoder refused, those who joined are on their own again. None of them can end the request of another.
 *
 * The body is charged to the memory of all queries, once, not to that of one. Requests are equal if server, URL, body
 * and headers are, those of the tenant among them. Each query is on its own worker; the server's mutex guards what they
 * share.
 */
#ifndef GATEWAY_UPSTREAM_FLIGHT_H
#define GATEWAY_UPSTREAM_FLIGHT_H

#include "base/http/client.h"
#include "base/refs.h"
#include "gateway/servers/registry.h"

struct flight_request {
    struct server_health *server;
    struct str url, body;
    const char *const *headers; size_t n_headers;
};
struct flight_response { /* complete; immutable for those who joined */
    struct refs refs;
    struct buf body;
    int status;
    char content_type[128], retry_after[64];
};
struct flight;
struct flight_seat { /* of a query that joined */
    void (*landed)(struct flight_seat *seat); /* in the loop: `response` is there, NULL: send the request yourself */
    struct loop *loop;
    struct flight_response *response;         /* the receiver's reference */
    struct list _node;
    struct flight *_flight;
    struct loop_task _task;
};
/* Joins an equal request: returns NULL, `landed` follows. Otherwise the caller leads a new one: send it. */
struct flight *flight_join(const struct flight_request *request, struct flight_seat *seat) MUST_USE;
/* On the seat's thread: `landed` will not be called any more. */
void flight_leave(struct flight_seat *seat, struct server_health *server);

/* For the leader: bytes of the response, which are collected if anybody joined, up to `most` bytes. */
void flight_data(struct flight *flight, struct str piece, struct budget *memory, size_t most);
/* The end of the request; reply NULL: without a complete response. Frees the flight. */
void flight_end(struct flight *flight, const struct client_reply *reply);
void flight_response_unref(struct flight_response *r); /* NULL is allowed */

#endif
