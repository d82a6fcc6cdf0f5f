// SPDX-License-Identifier: Apache-2.0
/* The accepted connections of a lane: their number, their deadlines, and which ones are evicted.
 *
 * A connection either waits for its client (for a request, for the rest of a head or body, or until the client has read
 * the response) or its request is being processed. While it waits it has a deadline:
 *
 *     first request, head     10 s
 *     next request            -http.idleConnTimeout
 *     body                    --web.read-timeout
 *     reading the response    30 s and a second for each 64 KiB
 *
 * A client that leaves before its request is complete has its connection closed within 100 ms: the library may have read
 * the last bytes without noticing the end of the stream behind them. While its request is at work, the owner is told.
 *
 * Each lane has a share of the process' connections. If it, or the process' descriptors, are used up, a new connection
 * evicts waiting ones, idle ones first: those of the address with the most connections that have waited longest. A
 * client that opens too many connections thus closes its own. If all are being processed, a few spare places remain, in
 * which routes with `always` (health) are served and others get 503.
 *
 * Bytes of bodies and of unread responses are counted per process (struct http_limits) and per address: an address may
 * use half of the bytes of bodies; unread responses of the address with the most bytes are dropped first. Addresses
 * share counters by hash; IPv6 addresses count by their /64.
 *
 * On the lane's thread only, except http_limits.
 */
#ifndef GATEWAY_HTTP_HTTP_SOCKETS_H
#define GATEWAY_HTTP_HTTP_SOCKETS_H

#include "gateway/http/http.h"


struct sockaddr;

enum http_wait { HTTP_WAIT_FIRST, HTTP_WAIT_NEXT, HTTP_WAIT_HEAD, HTTP_WAIT_BODY, HTTP_WAIT_READER, HTTP_AT_WORK,
                 HTTP_CLOSING, HTTP_WAITS };

struct http_address { /* counters of the addresses with one hash */
    atomic_uint connections, logins; /* logins: passwords that wait for their verification */
    atomic_size_t body_bytes, unread_bytes;
};

struct http_traffic { uint64_t read, written; }; /* bytes of a connection that are counted already */
struct http_socket {
    struct list node;            /* in the list of its state, ordered by how long they have waited */
    enum http_wait wait;
    int fd;
    struct listener *listener;   /* that accepted it */
    struct http_tls *tls;        /* NULL: HTTP */
    bool used;                   /* a request has begun */
    struct http_address *from;
    int64_t deadline;            /* monotonic ms */
    int64_t rotate_at;           /* monotonic ms: the next response closes the connection; INT64_MAX: never */
    size_t body_bytes, unread_bytes;
    struct http_traffic traffic;
    struct loop_fd watch;        /* until the client leaves, or has sent all that it will send */
    bool left;                   /* it has */
    unsigned left_checks; int left_bytes; /* checks that found the same number of bytes to read */
    struct list left_node;       /* in http_sockets.left while it is checked */
    void (*on_left)(void *owner); void *owner; /* told when the client leaves; NULL: nobody */
    struct http_sockets *sockets;
    bool spare;                  /* beyond the lane's share: health routes only */
};

struct http_sockets {
    struct loop *loop;
    struct http_limits *limits;
    struct loop_timer sweep;
    void (*on_sweep)(struct http_sockets *s); /* once a second while there are connections */
    struct list waiting[HTTP_WAITS];
    struct list left;            /* whose client left while it was waited for; of http_socket.left_node */
    struct loop_timer check_left;
    unsigned n, n_spare, n_closing, n_next;   /* all; in spare places; closing; idle */
};

void http_sockets_init(struct http_sockets *s, struct loop *loop, struct http_limits *limits);
void http_sockets_free(struct http_sockets *s); /* after all connections are closed */

/* Makes a place for an accepted connection. *spare: it is a spare place. False: none is available. */
bool http_sockets_admit(struct http_sockets *s, int fd, bool *spare) MUST_USE;
struct http_socket *http_socket_open(struct http_sockets *s, struct listener *l, int fd, const struct sockaddr *from,
                                     bool spare);
/* False: its address has too many connections, and none that waits for the client could be closed instead. */
bool http_socket_has_place(struct http_sockets *s, struct http_socket *k) MUST_USE;
/* From now on it is noticed when the client leaves. */
void http_socket_watch(struct http_socket *k);
/* The client's address is another one than that of the connection. */
void http_socket_set_from(struct http_sockets *s, struct http_socket *k, const struct sockaddr *from);
void http_socket_close(struct http_sockets *s, struct http_socket *k);
void http_socket_wait(struct http_sockets *s, struct http_socket *k, enum http_wait wait);

/* Counts n more bytes of the request's body; false: the address exceeds its share. */
bool http_socket_add_body(struct http_sockets *s, struct http_socket *k, size_t n) MUST_USE;
bool http_socket_may_add_body(const struct http_sockets *s, const struct http_socket *k, size_t n);
void http_socket_drop_body(struct http_socket *k);
/* A response of n bytes is about to be sent: sets the deadline for reading it. */
void http_socket_send(struct http_sockets *s, struct http_socket *k, size_t n);
/* Closes connections with unread responses until n bytes of them are freed or none is left. */
void http_sockets_drop_unread(struct http_sockets *s, size_t n);

#endif
