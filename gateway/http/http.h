// SPDX-License-Identifier: Apache-2.0
/* The HTTP server: libmicrohttpd, spoken to in http.c only. Main accepts and hands every descriptor to a lane; a lane
 * runs its daemon inside its loop (epoll descriptor in the loop's epoll, no internal thread).
 *
 * A handler runs on a lane and must be quick, or it is marked ROUTE_WORKER: then the connection is suspended, a query
 * worker runs the handler, and the lane resumes it with the reply; ROUTE_ASIDE likewise, on a thread of its own. If the client leaves meanwhile, `canceled` is set.
 * Every request has an arena of its own, which lives until the reply is sent. Bodies: forms are parsed into `form`
 * (joined to the URL's parameters; of a one-valued parameter the body's wins), others are in `body`, at most the
 * route's max_body (413 beyond).
 */
#ifndef GATEWAY_HTTP_HTTP_H
#define GATEWAY_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/budget.h"
#include "base/os/loop.h"
#include "base/text/url.h"
#include "model/sink.h"

#include <stdatomic.h>

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8, HTTP_OPTIONS = 16, HTTP_HEAD = 32 };

struct http_server;
struct lane;
struct http_request { /* also: of one lane or one worker at a time */
    enum http_method method;
    struct str path;           /* without the route prefix, still percent-encoded */
    struct str tail;           /* what stands at the * of the route's path, percent-decoded */
    struct form form;
    struct str body;
    struct arena arena;
    struct lane *lane;
    int64_t started_mono;
    atomic_bool canceled;      /* the client left */
    struct buf out;            /* the reply's body: the handler appends here */
    struct buf unpacked;       /* what `out` was before it was packed: its memory is for another answer */
    int status;                /* the handler sets it; 200 before */
    const char *content_type;  /* "text/plain; charset=utf-8" before */
    int retry_after;           /* seconds, 0 = no header */
    const char *location;      /* for 3xx */
    bool packed;               /* `out` is gzip already */
    void *user;                /* for handlers that answer later */
    struct http_connection *_connection;
};
/* On the lane, or by a worker's handler; {NULL, 0} when absent. */
struct str http_header(struct http_request *r, const char *name);
bool http_accepts_gzip(struct http_request *r);

typedef void http_handler(struct http_request *r);
enum route_flags {
    ROUTE_WORKER = 1,
    ROUTE_ON_WORKER = 2,       /* the handler calls http_finish itself, on the same lane */
    ROUTE_PUSH = 4,            /* the body may be as large as max_push says */
    ROUTE_CHANGES = 8,         /* changes state: refused when a page of another site sends it */
    ROUTE_ASIDE = 32,          /* runs on the thread of http_aside.h */
    ROUTE_ALWAYS = 16,         /* health and metrics: also answered when connections or memory are exhausted */
};
struct route {
    unsigned methods;          /* of enum http_method; HEAD goes with GET, OPTIONS is answered by the server */
    /* "/api/v1/label/ * /values" (without blanks): * stands for a segment, at the end for all */
    const char *path;
    http_handler *handler;
    unsigned flags;
    size_t max_body;           /* 0 = 1 MiB (forms) */
};
/* ROUTE_ON_WORKER: the reply is complete. */
void http_finish(struct http_request *r);

/* What all lanes together may hold; one a process. 0 means no limit, where nothing else is said. */
enum { HTTP_ADDRESSES = 4096, HTTP_CONNECTION_MEMORY = 36 << 10 /* of one that had a request, until it closes */ };
struct http_limits {
    unsigned places;           /* connections of one lane; at least 1 */
    unsigned least_places;     /* of them, whatever else needs descriptors */
    unsigned spare_places;     /* beyond them, for health checks */
    int max_fd;                /* descriptors that connections may use up */
    unsigned idle;             /* connections of one lane that may wait for another request */
    int64_t idle_timeout, read_timeout, queue_timeout; /* ms: for the next request, a body, a free worker */
    struct budget bodies;      /* bodies and parameters of requests under way */
    size_t body_share;         /* bytes of it that one client address may have */
    struct budget responses;   /* responses until their clients have read them */
    atomic_uint connections;   /* now, with a lane */
    atomic_uint accepted;      /* on their way to a lane */
    unsigned max_accepted;     /* main accepts no more meanwhile */
    struct http_address *addresses; /* HTTP_ADDRESSES */
    uint64_t seed;             /* of their hash */
};
void http_limits_init(struct http_limits *l); /* all but limits and times, which the caller has set */
void http_limits_free(struct http_limits *l);

struct listener_conf {
    const struct route *routes; size_t n_routes; /* borrowed, as the texts below */
    const char *prefix;        /* -http.pathPrefix, --web.route-prefix; "" = none */
    const char *cors_origin;   /* regex, ".*" = any; NULL = no CORS headers */
    size_t max_push;           /* bytes of a pushed body, as it is sent */
    struct http_limits *limits;
};
/* The daemon of one lane. */
struct http_server *http_server_new(struct lane *lane, struct loop *loop, const struct listener_conf *conf);
struct sockaddr;
void http_server_add(struct http_server *s, int fd, const struct sockaddr *from, unsigned n); /* on the lane's thread */
/* On the lane's thread: every request under way is canceled, and new ones are answered 503. Then the workers are
 * stopped (worker.h), and then: */
void http_server_cancel(struct http_server *s);
void http_server_free(struct http_server *s);          /* on the lane's thread; nobody works for it any more */

/* Listening: main. Distributes accepted descriptors round robin by posting to the lanes' loops. `address` is
 * host:port, :port. */
struct http_listener;
struct http_listener *http_listen(struct str address, struct loop *main, struct lane *const *lanes, unsigned n,
                                  struct http_limits *limits, struct err *err) MUST_USE;
const char *http_listener_address(const struct http_listener *l); /* the bound address and port */
/* An address that a browser on this machine can open: localhost for all interfaces. */
const char *http_listener_url_host(const struct http_listener *l);
void http_listener_close(struct http_listener *l);

/* The usual replies. */
void http_text(struct http_request *r, int status, const char *text);
void http_error(struct http_request *r, const struct err *e); /* the Prometheus API's error object, and its status */

#endif
