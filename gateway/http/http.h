// SPDX-License-Identifier: Apache-2.0
/* The HTTP server: libmicrohttpd, used in http.c only. There is one server per loop, which runs its daemon (epoll
 * descriptor in the loop's epoll, no internal thread); a listener in another loop accepts connections and posts each to
 * the next server. This directory knows nothing of the program: routes, threads for long work and the context of
 * requests are given to it (struct listener_conf).
 *
 * A handler runs on the server's loop and must be quick, or its route says on_worker: then the connection is suspended,
 * another thread runs the handler, and the loop resumes it with the response. If the client leaves meanwhile, `canceled`
 * is set. Every request has an arena of its own, which lives until the response is sent. Bodies: forms are parsed into
 * `form` (joined to the URL's parameters; of a one-valued parameter the body's wins), others are in `body`, at most the
 * route's max_body (413 beyond).
 */
#ifndef GATEWAY_HTTP_HTTP_H
#define GATEWAY_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/budget.h"
#include "base/os/loop.h"
#include "base/text/url.h"

#include <stdatomic.h>

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8, HTTP_OPTIONS = 16, HTTP_HEAD = 32 };

struct http_server;
struct services;
struct config;
struct query_session;
struct http_request { /* also: of one loop or one worker at a time */
    enum http_method method;
    struct str path;           /* without the route prefix, still percent-encoded */
    struct str tail;           /* the part that matches * in the route's path, percent-decoded */
    struct form form;
    struct str body;
    struct arena arena;
    const struct route *route; /* NULL: the server itself responds */
    struct loop *loop;         /* the server's, in which the response is sent */
    unsigned lane;             /* the server's number */
    struct services *services; /* the program's, from listener_conf; unknown here */
    struct config *config;     /* snapshot, set by hooks.begin and released by hooks.end; unknown here */
    void *task;                /* hooks.submit's */
    struct query_session *query; /* of ROUTE_QUERY, while its handler runs; hooks.submit's, unknown here */
    int64_t started_mono;
    atomic_bool canceled;      /* the client left */
    struct buf out;            /* the reply's body: the handler appends here */
    struct buf unpacked;       /* what `out` was before it was packed: its memory is for another answer */
    int status;                /* the handler sets it; 200 before */
    const char *content_type;  /* "text/plain; charset=utf-8" before */
    struct buf headers;        /* further ones: http_header_add */
    bool packed;               /* `out` is gzip already */
    void *user;                /* for handlers that answer later */
    struct http_connection *_connection;
};
/* A header of the request. On the loop, or by a worker's handler; {NULL, 0} when absent. */
struct str http_header(struct http_request *r, const char *name);
bool http_accepts_gzip(struct http_request *r);
/* A header of the response; both texts are copied. A value that is empty or has control characters, which
 * could end the header, is not sent. http_text and http_error, which begin another response, drop what was added before. */
void http_header_add(struct http_request *r, const char *name, struct str value);
void http_retry_after(struct http_request *r, int seconds); /* Retry-After; 0: none */

typedef void http_handler(struct http_request *r);
enum route_class { /* what a request is for: limits, threads and listeners are chosen by it */
    ROUTE_QUERY,               /* reads metrics */
    ROUTE_PUSH,                /* brings samples: the body may be as large as listener_conf.max_push */
    ROUTE_ADMIN,               /* health, metrics and state of the program, life cycle */
    ROUTE_PAGE,                /* for people */
};
struct route {
    unsigned methods;          /* of enum http_method; HEAD goes with GET, OPTIONS is answered by the server */
    /* "/api/v1/label/ * /values" (without blanks): * stands for a segment, at the end for all */
    const char *path;
    http_handler *handler;
    enum route_class class;
    bool on_worker;            /* the handler may take long: it runs on a worker */
    bool finishes;             /* the handler calls http_finish itself, on the same loop, now or later */
    bool needs_ready;          /* 503 while the program starts or stops */
    bool refuses_loops;        /* 508 for a query that this process itself has sent */
    bool changes_state;        /* refused when a page of another site sends it */
    bool always;               /* also when connections or memory are exhausted, or no configuration is loaded */
    bool logged;               /* each request is logged */
    const char *auth_key;      /* flag that will hold the key for this route; reserved, not checked yet */
    size_t max_body;           /* 0 = 1 MiB (forms), or max_push */
};
/* Route with `finishes`: the response is complete. */
void http_finish(struct http_request *r);

/* What all lanes together may hold; one a process. 0 means no limit, where nothing else is said. */
struct stats_group;
extern struct stats_group http_stats;
enum { HTTP_ADDRESSES = 4096, HTTP_CONNECTION_MEMORY = 36 << 10 /* of one that had a request, until it closes */ };
struct http_limits {
    unsigned places;           /* connections of one server; at least 1 */
    unsigned least_places;     /* of them, whatever else needs descriptors */
    unsigned spare_places;     /* beyond them, for health checks */
    int max_fd;                /* descriptors that connections may use up */
    unsigned idle;             /* connections of one server that may wait for another request */
    int64_t idle_timeout, read_timeout, queue_timeout; /* ms: for the next request, a body, a free worker */
    struct budget bodies;      /* bodies and parameters of requests under way */
    size_t body_share;         /* bytes of it that one client address may have */
    struct budget responses;   /* responses until their clients have read them */
    atomic_uint connections;   /* now, with a server */
    atomic_uint accepted;      /* on their way to a server */
    unsigned max_accepted;     /* listeners accept no more meanwhile */
    struct http_address *addresses; /* HTTP_ADDRESSES */
    uint64_t seed;             /* of their hash */
};
void http_limits_init(struct http_limits *l); /* all but limits and times, which the caller has set */
void http_limits_free(struct http_limits *l);

struct http_hooks { /* the program's part in a request; each may be NULL */
    /* On the loop, before the handler or submit: sets the request's context. False: `r` holds the response. */
    bool (*begin)(struct http_request *r);
    /* On the loop, when the handler is done; follows each begin that was true. */
    void (*end)(struct http_request *r);
    /* Routes with on_worker. Runs `run` on another thread, then `done` on r->loop. False: no thread has time (503). */
    bool (*submit)(struct http_request *r, http_handler *run, http_handler *done);
    /* Takes it back; false when `run` has begun, or submit was never called. */
    bool (*withdraw)(struct http_request *r);
};
struct listener_conf {
    struct services *services; /* http_request.services */
    struct http_hooks hooks;
    const struct route *routes; size_t n_routes; /* borrowed, as the texts below */
    const char *prefix;        /* -http.pathPrefix, --web.route-prefix; "" = none */
    const char *cors_origin;   /* regex, ".*" = any; NULL = no CORS headers */
    size_t max_push;           /* bytes of a pushed body, as it is sent */
    struct http_limits *limits;
};
/* The server in one loop. id: http_request.lane of its requests. */
struct http_server *http_server_new(unsigned id, struct loop *loop, const struct listener_conf *conf);
struct sockaddr;
struct loop *http_server_loop(const struct http_server *s);
void http_server_add(struct http_server *s, int fd, const struct sockaddr *from, unsigned n); /* on the loop's thread */
/* On the loop's thread: every request under way is canceled, and new ones are answered 503. Then the workers are
 * stopped, and then: */
void http_server_cancel(struct http_server *s);
void http_server_free(struct http_server *s);          /* on the loop's thread; nobody works for it any more */

/* Listens, on the thread of `loop` or before it runs: accepts connections and posts them to the servers in turn.
 * `servers` is borrowed. `address` is host:port, :port. */
struct http_listener;
struct http_listener *http_listen(struct str address, struct loop *loop, struct http_server *const *servers, unsigned n,
                                  struct http_limits *limits, struct err *err) MUST_USE;
const char *http_listener_address(const struct http_listener *l); /* the bound address and port */
/* An address that a browser on this machine can open: localhost for all interfaces. */
const char *http_listener_url_host(const struct http_listener *l);
void http_listener_close(struct http_listener *l); /* as http_listen */

/* The usual replies. */
void http_text(struct http_request *r, int status, const char *text);
void http_error(struct http_request *r, const struct err *e); /* the Prometheus API's error object, and its status */

#endif
