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
    struct MHD_Connection *mhd;
    const struct route *route;
    enum http_state state;
    bool suspended;
    struct buf body;
    struct loop_fd watch; /* while suspended: tells that the client left */
    char *uri;            /* as sent */
};

#define HTTP_STATS(X)                                                                                              \
    X(HTTP_CONNECTIONS, "sluice_http_connections_total", STATS_COUNTER, "Connections accepted")                    \
    X(HTTP_REQUESTS, "sluice_http_requests_total", STATS_COUNTER, "Requests answered")                             \
    X(HTTP_CLIENT_ERRORS, "sluice_http_errors_total{class=\"4xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_SERVER_ERRORS, "sluice_http_errors_total{class=\"5xx\"}", STATS_COUNTER, "Requests answered with an error") \
    X(HTTP_CANCELED, "sluice_http_canceled_total", STATS_COUNTER, "Requests whose client left before the answer")
enum http_stat { HTTP_STATS(STATS_ID) };
extern struct stats_group http_stats;

/* The row of the table that answers this method and path; NULL when none does, and then *other tells whether another
 * method would have been right. *tail: what stood at the *, still percent-encoded. */
const struct route *http_route(const struct route *routes, size_t n, enum http_method method, struct str path,
                               struct str *tail, bool *other);
/* The path without the server's prefix; false when it is not under it. */
bool http_strip_prefix(struct str prefix, struct str *path);

/* Packs the reply when the client takes gzip and it is worth it. */
void http_pack(struct http_request *r);
/* What Access-Control-Allow-Origin says to this origin; NULL: nothing. */
const char *http_allow_origin(const struct regex *allowed, const char *origin);

#endif
