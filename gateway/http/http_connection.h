// SPDX-License-Identifier: Apache-2.0
/* Private to gateway/http/: a request from its first line until its response is sent. */
#ifndef GATEWAY_HTTP_HTTP_CONNECTION_H
#define GATEWAY_HTTP_HTTP_CONNECTION_H

#include "base/os/buf_spare.h"
#include "base/regex/regex.h"
#include "base/telemetry/stats.h"
#include "gateway/http/http.h"
#include "gateway/http/http_auth.h"
#include "gateway/http/http_hello.h"
#include "gateway/http/http_sockets.h"
#include "gateway/http/http_stream.h"

struct MHD_Connection;
struct MHD_Daemon;

struct http_daemon { /* of the library: one serves HTTP, one TLS */
    struct http_server *server;
    struct MHD_Daemon *mhd;    /* NULL: none */
    struct loop_fd epoll;
    struct loop_timer timer;
    struct loop_task again;
};

struct http_server {
    unsigned id;
    struct loop *loop;
    struct http_server_conf conf;
    struct regex *origins;
    struct http_daemon plain, tls;
    struct http_hellos hellos; /* connections that are not yet the TLS daemon's */
    struct list proxied; /* of http_proxied.node: connections before these */
    struct list working; /* of http_connection.node */
    struct http_sockets sockets;
    struct http_socket *adding; /* the connection that is being handed to the library; NULL: none, or it has it */
    struct buf_spare spare;
    bool stopping;
};

enum { HTTP_GZIP_LEVEL = 1 };
enum http_state {
    HTTP_HEADERS, /* the request line has been read */
    HTTP_LOGIN,   /* the same, suspended until its password is verified */
    HTTP_BODY,    /* routed; or refused: r.route is NULL and `r` holds the response */
    HTTP_WORKING, /* suspended, in the server's list; a worker or the handler has it */
    HTTP_DONE,    /* `r` holds the response */
};
struct http_connection {
    struct http_request r;
    struct list node;
    struct http_server *server;
    struct http_daemon *daemon;
    const struct http_server_conf *conf;
    struct http_access *access; /* of the listener when the request began; NULL: none */
    struct MHD_Connection *mhd; /* NULL: detached, the client left while a worker streams (http_stream.h) */
    struct http_stream *stream; /* NULL: the response is sent at once */
    struct http_sockets *sockets;
    struct http_socket *socket;
    enum http_state state;
    enum { BODY_KEPT, BODY_TOO_LARGE, BODY_NO_MEMORY } dropped; /* why the rest of the body is discarded */
    bool suspended;
    bool has_body;
    bool close;           /* after the response: further bytes on the connection cannot be trusted */
    struct buf body;
    bool receiving;       /* of a route with streams_body: its handler has begun, its body has not ended */
    bool body_ended;      /* likewise: the library has passed all of it */
    void (*more)(struct http_request *r); /* its handler waits for the next part; NULL: it does not */
    size_t body_progress; /* bytes since the deadline of the body began */
    char *uri;            /* as sent */
    const char *uri_end;  /* its end in the head */
};

#define HTTP_STATS(X)                                                                                              \
    X(HTTP_CONNECTIONS, "sluice_http_connections_total", STATS_COUNTER, "Accepted connections")                    \
    X(HTTP_REQUESTS, "sluice_http_requests_total", STATS_COUNTER, "Completed requests")                            \
    X(HTTP_CLIENT_ERRORS, "sluice_http_errors_total{class=\"4xx\"}", STATS_COUNTER, ERRORS_HELP)                     \
    X(HTTP_SERVER_ERRORS, "sluice_http_errors_total{class=\"5xx\"}", STATS_COUNTER, ERRORS_HELP)                     \
    X(HTTP_READ_BYTES, "vm_tcplistener_read_bytes_total", STATS_COUNTER, "Bytes received on listeners")         \
    X(HTTP_WRITTEN_BYTES, "vm_tcplistener_written_bytes_total", STATS_COUNTER, "Bytes sent on listeners")      \
    X(HTTP_ROTATED, "vm_http_conn_timeout_closed_conns_total", STATS_COUNTER,                                      \
      "Connections closed after a response because of their age (-http.connTimeout)")                              \
    X(HTTP_CANCELED, "sluice_http_canceled_total", STATS_COUNTER, "Requests canceled because the client disconnected") \
    X(HTTP_EVICTED, "sluice_http_closed_total{reason=\"evicted\"}", STATS_COUNTER, CLOSED_HELP)                      \
    X(HTTP_LATE, "sluice_http_closed_total{reason=\"timeout\"}", STATS_COUNTER, CLOSED_HELP)                         \
    X(HTTP_SLOW_READERS, "sluice_http_closed_total{reason=\"slow_reader\"}", STATS_COUNTER, CLOSED_HELP)             \
    X(HTTP_CROWDED, "sluice_http_closed_total{reason=\"per_client\"}", STATS_COUNTER, CLOSED_HELP)                    \
    X(HTTP_FULL, "sluice_http_closed_total{reason=\"full\"}", STATS_COUNTER, CLOSED_HELP)                            \
    X(HTTP_NO_PLACE, "sluice_http_refused_total{reason=\"connections\"}", STATS_COUNTER, REFUSED_HELP)               \
    X(HTTP_NO_BODY_MEMORY, "sluice_http_refused_total{reason=\"body_memory\"}", STATS_COUNTER, REFUSED_HELP)         \
    X(HTTP_NO_WORKER, "sluice_http_refused_total{reason=\"query_queue\"}", STATS_COUNTER, REFUSED_HELP)          \
    X(HTTP_NO_LOGIN, "sluice_http_refused_total{reason=\"logins\"}", STATS_COUNTER, REFUSED_HELP)                 \
    X(HTTP_RATE_LIMITED, "sluice_http_rate_limited_total", STATS_COUNTER,                                          \
      "Requests refused with 429 because of rate_limit of the web configuration")                                  \
    X(HTTP_PROXY_ERRORS, "sluice_http_proxy_protocol_errors_total", STATS_COUNTER,                                 \
      "Connections closed because they began with no valid header of the PROXY protocol")                          \
    X(HTTP_UNAUTHORIZED, "sluice_http_unauthorized_total", STATS_COUNTER,                                          \
      "Requests refused with 401: without credentials, or with wrong ones")                                        \
    X(HTTP_PASSWORDS, "sluice_http_passwords_verified_total", STATS_COUNTER,                                       \
      "Passwords verified by bcrypt; repeated ones are cached")                                                    \
    X(HTTP_TLS_UNUSED, "sluice_http_tls_unused_total", STATS_COUNTER,                                              \
      "TLS connections that ended before their first request: failed handshakes, refused client certificates")
#define ERRORS_HELP  "Requests that failed, by class of the status"
#define CLOSED_HELP  "Connections closed by the server: idle ones, and others before request or response was complete"
#define REFUSED_HELP "Requests refused with 503 because a limit of the process was reached"
enum http_stat { HTTP_STATS(STATS_ID) };

/* ---- http.c ---- */

void http_connection_suspend(struct http_connection *c); /* canceled if its client disconnects */
void http_connection_resume(struct http_connection *c);
/* A connection begins: TLS or HTTP, as its listener has it now. */
void http_server_admit(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n, bool local);
/* Hands a connection of a TLS listener to the library, which answers its ClientHello. */
void http_server_greet(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n);

/* ---- http_access.c ---- */

/* The head is read: refuses the request (c->r.route NULL) or not; false: its password is being verified, and the
 * connection is suspended until then. */
bool http_access_check(struct http_connection *c);

/* ---- http_response.c: results are of enum MHD_Result ---- */

int http_response_send(struct http_connection *c);
int http_response_stream(struct http_connection *c); /* c->stream */
/* On the worker: compresses `out` as a part of the stream, the last one or another. False: the response is to be
 * cut. */
bool http_stream_compress(struct http_request *r, bool last);

/* ---- http_traffic.c ---- */

void http_traffic_count(struct http_traffic *t, int fd); /* counts the bytes since the last call */

/* ---- http_request.c ---- */

/* Routes by the request line: sets r.route, or a response in `r`. */
void http_request_start(struct http_connection *c, const char *method);
/* Checks the headers: refuses a body whose end is ambiguous or that is too large. True if a body follows. */
struct http_head;
bool http_request_check(struct http_connection *c, const struct http_head *h);
void http_request_read_body(struct http_connection *c, const char *p, size_t n); /* the next part of the body */
bool http_request_read(struct http_connection *c); /* the body is complete; false: `r` holds a response */
void http_refuse(struct http_connection *c, int status, const char *text);
/* 503 with Retry-After; counts it under `reason`. */
void http_refuse_for_now(struct http_connection *c, enum http_stat reason, const char *text);
void http_request_drop_body(struct http_connection *c);
bool http_request_reserve_body(struct http_connection *c, size_t n); /* n more bytes; false: out of memory */

/* ---- http_body.c ---- */

void http_body_start(struct http_connection *c); /* after request_begin_work, before the handler */
/* Takes at most n bytes and returns their number; if it is not n the connection is suspended. */
size_t http_body_receive(struct http_connection *c, const char *p, size_t n);
void http_body_end(struct http_connection *c);

/* ---- http_head.c ---- */

struct http_head {
    const char *next, *end;           /* where the next name must begin; after the empty line */
    unsigned lengths, codings, hosts; /* numbers of these headers */
    bool http_1_1, exact, odd;
};
/* exact: `method`, names and values point into the head of `bytes` bytes as received, which begins at `method`. */
void http_head_begin(struct http_head *h, const char *method, const char *version, size_t bytes, bool exact);
void http_head_header(struct http_head *h, const char *name, const char *value); /* in order */
bool http_is_token(const char *name); /* of RFC 9110, 5.6.2 */
/* Of the request line; uri_end: behind the blank that follows the URI as received. */
bool http_line_is_odd(const struct http_head *h, const char *method, struct str uri, const char *uri_end, const char *version);
const char *http_head_fault(const struct http_head *h); /* what is ambiguous, a line of text; NULL: nothing */

/* ---- http_route.c ---- */

/* The route of this method and path. NULL if there is none; *other is then whether the path exists with another method.
 * *tail: the part that matches *, still percent-encoded. */
const struct route *http_route(const struct route *routes, size_t n, enum http_method method, struct str path,
                               struct str *tail, bool *other);
/* Removes the server's prefix from the path; false if the path does not begin with it. */
bool http_strip_prefix(struct str prefix, struct str *path);

/* ---- http_reply.c ---- */

/* Compresses the response if the client accepts gzip and it is large enough. */
void http_compress(struct http_request *r);
/* The value of Access-Control-Allow-Origin for this origin; NULL: none. */
const char *http_allow_origin(const struct regex *allowed, const char *origin);

#endif
