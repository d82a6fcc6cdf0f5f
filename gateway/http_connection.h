// SPDX-License-Identifier: Apache-2.0
/* Inside gateway/http*.c only: one request as the server sees it, from its first line until its reply is sent.
 */
#ifndef GATEWAY_HTTP_CONNECTION_H
#define GATEWAY_HTTP_CONNECTION_H

#include "base/regex.h"
#include "base/stats.h"
#include "gateway/http.h"

struct MHD_Connection;

enum http_state {
    HTTP_HEADERS, /* the request line is there */
    HTTP_BODY,    /* routed, or refused: `route` is NULL and `r` holds the reply */
    HTTP_WORKING, /* suspended, in the server's list; a worker or the handler has it */
    HTTP_DONE,    /* `r` holds the reply */
};
struct http_connection {
    struct http_request r;
    struct list node;
    struct http_server *server;
    const struct http_conf_server *conf;
    struct MHD_Connection *mhd;
    const struct route *route;
    enum http_state state;
    bool suspended;
    bool close;           /* after the reply: what follows on the connection cannot be trusted */
    struct buf body;
    struct loop_fd watch; /* while suspended: tells that the client left */
    char *uri;            /* as sent */
};

#define HTTP_STATS(X)                                                                                              \
    X(HTTP_CONNECTIONS, "sluice_http_connections_total", STATS_COUNTER, "Connections accepted")                    \
    X(HTTP_REQUESTS, "sluice_http_requests_total", STATS_COUNTER, "Requests answered")                             \
    X(HTTP_CLIENT_ERRORS, "sluice_http_errors_total{class=\"4xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_SERVER_ERRORS, "sluice_http_errors_total{class=\"5xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_READ_BYTES, "vm_tcplistener_read_bytes_total", STATS_COUNTER, "Bytes received by the listeners")         \
    X(HTTP_WRITTEN_BYTES, "vm_tcplistener_written_bytes_total", STATS_COUNTER, "Bytes sent by the listeners")      \
    X(HTTP_CANCELED, "sluice_http_canceled_total", STATS_COUNTER, "Requests whose client left before the answer")
enum http_stat { HTTP_STATS(STATS_ID) };
extern struct stats_group http_stats;

/* ---- http_traffic.c ---- */

struct http_traffic { uint64_t read, written; }; /* what has been counted of a connection */
void http_traffic_count(struct http_traffic *t, int fd); /* counts what came since; nothing for NULL */

/* ---- http_request.c ---- */

/* The request line: `route`, or a reply in `r`. */
void http_request_start(struct http_connection *c, const char *method);
/* The headers: refuses what leaves open where the body ends, and what is too large. True when a body follows. */
struct http_framing { /* how many of these headers; whether a name has a blank or a value a carriage return */
    unsigned lengths, codings, hosts;
    bool odd_name;
};
bool http_request_check(struct http_connection *c, const struct http_framing *f);
void http_request_take(struct http_connection *c, const char *p, size_t n); /* a piece of the body */
bool http_request_read(struct http_connection *c); /* the whole body is there; false: a reply is in `r` */
void http_refuse(struct http_connection *c, int status, const char *text);

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
