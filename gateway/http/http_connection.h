// SPDX-License-Identifier: Apache-2.0
/* Inside gateway/http*.c only: one request as the server sees it, from its first line until its reply is sent.
 */
#ifndef GATEWAY_HTTP_HTTP_CONNECTION_H
#define GATEWAY_HTTP_HTTP_CONNECTION_H

#include "base/regex/regex.h"
#include "base/telemetry/stats.h"
#include "gateway/http/http.h"
#include "gateway/http/http_sockets.h"

struct MHD_Connection;

enum http_state {
    HTTP_HEADERS, /* the request line is there */
    HTTP_BODY,    /* routed, or refused: r.route is NULL and `r` holds the reply */
    HTTP_WORKING, /* suspended, in the server's list; a worker or the handler has it */
    HTTP_DONE,    /* `r` holds the reply */
};
struct http_connection {
    struct http_request r;
    struct list node;
    struct http_server *server;
    const struct listener_conf *conf;
    struct MHD_Connection *mhd;
    struct http_sockets *sockets;
    struct http_socket *socket;
    enum http_state state;
    enum { BODY_KEPT, BODY_TOO_LARGE, BODY_NO_MEMORY } dropped; /* why the rest of the body is not kept */
    bool suspended;
    bool close;           /* after the reply: what follows on the connection cannot be trusted */
    struct buf body;
    struct loop_fd watch; /* while suspended: tells that the client left */
    char *uri;            /* as sent */
    const char *uri_end;  /* behind it in the head */
};

#define HTTP_STATS(X)                                                                                              \
    X(HTTP_CONNECTIONS, "sluice_http_connections_total", STATS_COUNTER, "Connections accepted")                    \
    X(HTTP_REQUESTS, "sluice_http_requests_total", STATS_COUNTER, "Requests answered")                             \
    X(HTTP_CLIENT_ERRORS, "sluice_http_errors_total{class=\"4xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_SERVER_ERRORS, "sluice_http_errors_total{class=\"5xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_READ_BYTES, "vm_tcplistener_read_bytes_total", STATS_COUNTER, "Bytes received by the listeners")         \
    X(HTTP_WRITTEN_BYTES, "vm_tcplistener_written_bytes_total", STATS_COUNTER, "Bytes sent by the listeners")      \
    X(HTTP_CANCELED, "sluice_http_canceled_total", STATS_COUNTER, "Requests whose client left before the answer") \
    X(HTTP_EVICTED, "sluice_http_closed_total{reason=\"evicted\"}", STATS_COUNTER, CLOSED_HELP)                      \
    X(HTTP_LATE, "sluice_http_closed_total{reason=\"timeout\"}", STATS_COUNTER, CLOSED_HELP)                         \
    X(HTTP_SLOW_READERS, "sluice_http_closed_total{reason=\"slow_reader\"}", STATS_COUNTER, CLOSED_HELP)             \
    X(HTTP_FULL, "sluice_http_closed_total{reason=\"full\"}", STATS_COUNTER, CLOSED_HELP)                            \
    X(HTTP_NO_PLACE, "sluice_http_refused_total{reason=\"connections\"}", STATS_COUNTER, REFUSED_HELP)               \
    X(HTTP_NO_BODY_MEMORY, "sluice_http_refused_total{reason=\"body_memory\"}", STATS_COUNTER, REFUSED_HELP)         \
    X(HTTP_NO_WORKER, "sluice_http_refused_total{reason=\"query_queue\"}", STATS_COUNTER, REFUSED_HELP)
#define CLOSED_HELP  "Connections closed by the server before their request or response was complete, and idle ones"
#define REFUSED_HELP "Requests answered 503 because a limit of the process was reached"
enum http_stat { HTTP_STATS(STATS_ID) };

/* ---- http_traffic.c ---- */

void http_traffic_count(struct http_traffic *t, int fd); /* counts what came since */

/* ---- http_request.c ---- */

/* The request line: r.route, or a reply in `r`. */
void http_request_start(struct http_connection *c, const char *method);
/* The headers: refuses what leaves open where the body ends, and what is too large. True when a body follows. */
struct http_head;
bool http_request_check(struct http_connection *c, const struct http_head *h);
void http_request_read_body(struct http_connection *c, const char *p, size_t n); /* a piece of the body */
bool http_request_read(struct http_connection *c); /* the whole body is there; false: a reply is in `r` */
void http_refuse(struct http_connection *c, int status, const char *text);
/* 503 with Retry-After, counted. */
void http_refuse_for_now(struct http_connection *c, enum http_stat reason, const char *text);
void http_request_drop_body(struct http_connection *c);

/* ---- http_head.c ---- */

struct http_head {
    const char *next, *end;           /* where the next name must begin; behind the empty line */
    unsigned lengths, codings, hosts; /* how many of these headers */
    bool http_1_1, exact, odd;
};
/* exact: names, values and `method`, which begins the head of so many bytes, point into the head as it was received. */
void http_head_begin(struct http_head *h, const char *method, const char *version, size_t bytes, bool exact);
void http_head_header(struct http_head *h, const char *name, const char *value); /* in their order */
const char *http_head_fault(const struct http_head *h); /* what is ambiguous, as a line of text; NULL: nothing */

/* ---- http_route.c ---- */

/* The row of the table that answers this method and path; NULL when none does, and then *other tells whether another
 * method would have been right. *tail: what stood at the *, still percent-encoded. */
const struct route *http_route(const struct route *routes, size_t n, enum http_method method, struct str path,
                               struct str *tail, bool *other);
/* The path without the server's prefix; false when it is not under it. */
bool http_strip_prefix(struct str prefix, struct str *path);

/* ---- http_reply.c ---- */

/* Packs the reply when the client takes gzip and it is worth it. */
void http_pack(struct http_request *r);
/* What Access-Control-Allow-Origin says to this origin; NULL: nothing. */
const char *http_allow_origin(const struct regex *allowed, const char *origin);

#endif
