// SPDX-License-Identifier: Apache-2.0
/* The accepted connections of a lane: how many there may be, whose turn it is, and who has to go.
 *
 * A connection either waits for its client (for a request, for the rest of a head or a body, or until the client has
 * read its response) or the program works for it. While it waits it has a deadline:
 *
 *     first request, head     10 s
 *     next request            the idle timeout
 *     body                    --web.read-timeout
 *     reading the response    30 s and a second for each 64 KiB
 *
 * Every lane has its share of the process' connections. When they, or the process' descriptors, are taken, a new
 * connection replaces some that wait, first the idle ones: of all addresses the one that has the most connections loses
 * those that have waited longest. So a client that opens too many closes its own. When all are at work, a few spare
 * places remain: a connection there is answered only on health routes (ROUTE_ALWAYS), and 503 on others.
 *
 * Bytes of bodies and of unread responses are counted for the process (struct http_limits) and for each address: one
 * address may have half of the bytes of bodies, and of the unread responses those of the address that has the most are
 * dropped first. Addresses share counters by hash; IPv6 addresses count by their /64. On the lane's thread only, but
 * for http_limits.
 */
#ifndef GATEWAY_HTTP_HTTP_SOCKETS_H
#define GATEWAY_HTTP_HTTP_SOCKETS_H

#include "gateway/http/http.h"

struct sockaddr;

enum http_wait { HTTP_WAIT_FIRST, HTTP_WAIT_NEXT, HTTP_WAIT_HEAD, HTTP_WAIT_BODY, HTTP_WAIT_READER, HTTP_AT_WORK,
                 HTTP_CLOSING, HTTP_WAITS };

struct http_address { /* counters of the addresses with one hash */
    atomic_uint connections;
    atomic_size_t body_bytes, unread_bytes;
};

struct http_traffic { uint64_t read, written; }; /* bytes that have been counted of a connection */
struct http_socket {
    struct list node;            /* of its state's list, the one that has waited longest first */
    enum http_wait wait;
    int fd;
    struct http_address *from;
    int64_t deadline;            /* monotonic ms */
    size_t body_bytes, unread_bytes;
    struct http_traffic traffic;
    bool spare;                  /* beyond the lane's share: health routes only */
};

struct http_sockets {
    struct loop *loop;
    struct http_limits *limits;
    struct loop_timer sweep;
    void (*on_sweep)(struct http_sockets *s); /* once a second while there are connections */
    struct list waiting[HTTP_WAITS];
    unsigned n, n_spare, n_closing, n_next;   /* all; in spare places; on their way out; waiting for a next request */
};

void http_sockets_init(struct http_sockets *s, struct loop *loop, struct http_limits *limits);
void http_sockets_free(struct http_sockets *s); /* no connection is left */

/* May the accepted connection come in? *spare: only to a spare place. False: there is no place at all. */
bool http_sockets_admit(struct http_sockets *s, int fd, bool *spare) MUST_USE;
struct http_socket *http_socket_open(struct http_sockets *s, int fd, const struct sockaddr *from, bool spare);
void http_socket_close(struct http_sockets *s, struct http_socket *k);
void http_socket_wait(struct http_sockets *s, struct http_socket *k, enum http_wait wait);

/* The request's body has grown by so many bytes; false: the address has more than its share. */
bool http_socket_add_body(struct http_sockets *s, struct http_socket *k, size_t n) MUST_USE;
bool http_socket_may_add_body(const struct http_sockets *s, const struct http_socket *k, size_t n);
void http_socket_drop_body(struct http_socket *k);
/* A response of so many bytes is about to be sent: the time that its client has to read it. */
void http_socket_send(struct http_sockets *s, struct http_socket *k, size_t n);
/* Closes connections whose clients have not read their responses, until `n` bytes of them are free or none is left. */
void http_sockets_drop_unread(struct http_sockets *s, size_t n);

#endif
