// SPDX-License-Identifier: Apache-2.0
/* The HTTP server: libmicrohttpd, used in http.c and http_response.c only. There is one server per loop, which runs the
 * library's daemon (its epoll descriptor in the loop's epoll, no internal thread); a listener in another loop accepts
 * connections and posts them to the servers in turn. This directory is independent of the rest of the program: struct
 * http_server_conf has the routes, threads for long work, and the context of requests.
 *
 * A handler runs on the server's loop and must be fast, unless its route has on_worker: then the connection is
 * suspended, another thread runs the handler, and the loop resumes the connection with the response. If the client
 * disconnects meanwhile, `canceled` is set. Each request has an arena, which lives until the response is sent. Forms
 * are parsed into `form`, together with the URL's parameters (the body's value of a single-valued parameter takes
 * precedence); other bodies are in `body`. A body over the route's max_body is refused with 413.
 */
#ifndef GATEWAY_HTTP_HTTP_H
#define GATEWAY_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/budget.h"
#include "base/os/loop.h"
#include "base/text/url.h"
#include "gateway/http/listener.h"

#include <stdatomic.h>

enum http_method { HTTP_GET = 1, HTTP_POST = 2, HTTP_PUT = 4, HTTP_DELETE = 8, HTTP_OPTIONS = 16, HTTP_HEAD = 32 };
void http_methods_print(struct buf *out, unsigned methods); /* "GET, POST" */
struct str http_method_name(enum http_method method);       /* "GET"; empty: one that is not served */

struct http_server;
struct services;
struct config;
struct query_session;
struct http_request { /* used by one thread at a time, the loop or a worker */
    enum http_method method;
    struct str uri;            /* as sent */
    bool http_1_0;
    struct str path;           /* without the route prefix, still percent-encoded */
    struct str tail;           /* the part that matches * in the route's path, percent-decoded */
    struct form form;
    struct str body;           /* of routes with streams_body: the part that has arrived, see http_body_more */
    enum { HTTP_BODY_OPEN, HTTP_BODY_COMPLETE, HTTP_BODY_CUT /* no memory: to be refused */ } body_state; /* of these */
    /* Set by their handlers: the client left before the body was complete; `r` is freed when this returns. */
    void (*left)(struct http_request *r);
    struct arena arena;
    const struct route *route; /* NULL: the server itself responds */
    struct loop *loop;         /* the server's, in which the response is sent */
    unsigned lane;             /* id of the server */
    struct services *services; /* from http_server_conf; opaque here */
    struct config *config;     /* snapshot, set by hooks.begin and released by hooks.end; opaque here */
    void *task;                /* for hooks.submit */
    struct query_session *query; /* of ROUTE_QUERY, while its handler runs; for hooks.submit, opaque here */
    int64_t started_mono;
    int64_t deadline_mono;     /* clock_mono_ms; 0 = none: the response is sent without compression beyond it */
    atomic_bool canceled;      /* the client disconnected */
    struct buf out;            /* body of the response: the handler appends to it */
    struct buf uncompressed;   /* `out` before compression, kept to reuse its memory */
    int status;                /* 200 unless the handler sets it */
    const char *content_type;  /* "text/plain; charset=utf-8" unless the handler sets it */
    struct buf headers;        /* further headers, see http_header_add */
    bool compressed;           /* `out` is gzip */
    bool streaming, stream_failed; /* see http_stream_send */
    bool identity;             /* set by the handler: `out` is sent as it is */
    void *user;                /* for handlers that finish later */
    char client[56];           /* see http_client */
    struct str login;          /* name of the user whose password was right; empty: the listener has no users */
    char query_id[17];         /* of a query: for logs, and a header of the response; empty: none */
    struct http_connection *_connection;
};
/* On the loop, for routes with streams_body: discards `used` bytes of r->body. True: r->body or body_state has something
 * new; false: `more` is called on the loop when that is so, and must not finish the request. */
bool http_body_more(struct http_request *r, size_t used, void (*more)(struct http_request *r)) MUST_USE;
/* A header of the request; {NULL, 0} if absent. Call from the loop or from a handler on a worker, before it streams. */
struct str http_header(struct http_request *r, const char *name);
bool http_accepts_gzip(struct http_request *r);
/* The client as "host:port", and its host alone (IPv6: without brackets), for as long as the request lives. Empty: not
 * known. Call where http_header may be, or later if it was called there. */
struct str http_client(struct http_request *r);
struct str http_client_host(struct http_request *r);
/* Adds a header to the response; both texts are copied. A value with control characters, which could end the header, is
 * not sent. http_text and the errors start a new response and remove headers added before. */
void http_header_add(struct http_request *r, const char *name, struct str value);
void http_retry_after(struct http_request *r, int seconds); /* adds Retry-After unless 0 */

typedef void http_handler(struct http_request *r);
enum route_class { /* decides limits, threads and listeners */
    ROUTE_QUERY,               /* reads samples */
    ROUTE_PUSH,                /* writes samples: the limit of the body is http_server_conf.max_push */
    ROUTE_ADMIN,               /* metrics and state of the program, lifecycle */
    ROUTE_PAGE,                /* web pages */
    ROUTE_HEALTH,              /* health checks: on every listener */
    ROUTE_CLASSES,
};
struct route {
    unsigned methods;          /* of enum http_method; GET implies HEAD, the server responds to OPTIONS */
    /* "/api/v1/label/ * /values" (without blanks): * matches a segment, at the end any number of segments */
    const char *path;
    http_handler *handler;
    enum route_class class;
    bool slash;                /* the path may end in a slash too */
    bool on_worker;            /* the handler may be slow: it runs on a worker */
    bool streams_body;         /* with `finishes`: the handler begins when the first part of the body has arrived, of any size */
    bool finishes;             /* the handler calls http_finish, on the loop, at once or later */
    bool needs_ready;          /* 503 while the program starts or stops */
    bool refuses_loops;        /* 508 for a query that this process itself has sent */
    bool changes_state;        /* refused if a page of another site sends it */
    bool always;               /* served even if connections or memory are exhausted, or no configuration is loaded */
    bool logged;               /* requests are logged */
    unsigned char auth_key;    /* key that hooks.begin requires; 0 = none */
    bool no_form;              /* the body is not a form, whatever its Content-Type */
    bool open;                 /* needs no user of a listener whose users spare such routes, see http_hooks.open */
    size_t max_body;           /* bytes; 0 = 1 MiB, or max_push for ROUTE_PUSH */
};
/* On a worker, in a handler: sends `out` and empties it; the rest follows with further calls and when the handler
 * returns. Status and headers are sent with the first part; from then on parts are compressed if the client accepts it,
 * unless `identity` is set. Waits while the client has not read about 1 MiB. False: the
 * client left, or the deadline (clock_mono_ms; 0 = none) has passed: the handler is to return. A handler that fails
 * after its first part sets stream_failed: the response is cut, which its client notices. */
bool http_stream_send(struct http_request *r, int64_t deadline) MUST_USE;
/* Bytes of the response's body, for hooks.sent; of a response in parts those that were sent. */
size_t http_response_bytes(const struct http_request *r);
/* For routes with `finishes`: the response is complete. */
void http_finish(struct http_request *r);

/* Limits of all lanes together; one instance per process. 0 means no limit unless stated otherwise. */
struct stats_group;
extern struct stats_group http_stats;
enum { HTTP_ADDRESSES = 4096, HTTP_CONNECTION_MEMORY = 36 << 10, /* of one that had a request, until it closes */
       HTTP_TLS_MEMORY = 12 << 10 /* of its TLS session, besides */ };
struct http_limits {
    unsigned places;           /* connections per server; at least 1 */
    unsigned per_client;       /* connections of one address; 0: no limit */
    unsigned min_places;       /* places that remain however few descriptors are left */
    unsigned spare_places;     /* additional ones per server, for health checks */
    int max_fd;                /* highest descriptor that connections may use */
    unsigned idle;             /* idle connections per server */
    int64_t idle_timeout, read_timeout, queue_timeout; /* ms: for the next request, a body, a free worker */
    int64_t max_age;           /* ms; a response after it closes the connection, up to 10 % later; 0: none */
    struct budget bodies;      /* bodies and parameters of requests in flight */
    size_t body_share;         /* bytes of `bodies` that one client address may use */
    struct budget responses;   /* responses until clients have read them */
    atomic_uint connections;   /* open ones, of all servers */
    atomic_uint working;       /* requests that handlers or workers have */
    atomic_uint accepted;      /* accepted, but not yet handed to their server */
    unsigned max_accepted;     /* listeners pause at this number */
    struct http_address *addresses; /* HTTP_ADDRESSES counters */
    uint64_t seed;             /* of the hash of addresses */
};
void http_limits_init(struct http_limits *l); /* the caller sets limits and times */
void http_limits_free(struct http_limits *l);

struct http_hooks { /* each may be NULL */
    /* On the loop, before the handler or submit: sets the request's context. False: refused, `r` holds the response. */
    bool (*begin)(struct http_request *r);
    /* On the loop: the route needs no user of a listener whose users spare such routes (http_users_new). */
    bool (*open)(const struct http_request *r);
    /* On the loop, after the handler; called once for each successful begin. */
    void (*end)(struct http_request *r);
    /* Routes with on_worker: runs `run` on another thread, then `done` on r->loop. False: too many requests wait
     * (503). */
    bool (*submit)(struct http_request *r, http_handler *run, http_handler *done);
    /* On the loop, once, when the response is sent, or the client of a request has left before. */
    void (*sent)(struct http_request *r);
    /* Takes the request back; false if `run` has started or submit was never called. */
    bool (*withdraw)(struct http_request *r);
};
struct http_server_conf {
    struct services *services; /* http_request.services */
    struct http_hooks hooks;
    const struct route *routes; size_t n_routes; /* borrowed, as are the strings below */
    const char *prefix;        /* --web.route-prefix; "" = none */
    const char *cors_origin;   /* regex, ".*" = any; NULL = no CORS headers */
    bool no_keep_alive;        /* each response closes its connection */
    bool no_compression;       /* of responses */
    size_t max_push;           /* limit of the body of ROUTE_PUSH, compressed */
    struct http_limits *limits;
    struct http_auth *auth;    /* of all servers; NULL: no listener has users */
};
/* A server in `loop`. id: http_request.lane of its requests. */
struct http_server *http_server_new(unsigned id, struct loop *loop, const struct http_server_conf *conf);
struct sockaddr;
struct loop *http_server_loop(const struct http_server *s);
struct services *http_server_services(const struct http_server *s);
unsigned http_server_id(const struct http_server *s);
/* On the loop's thread: serves a connection that `l` has accepted. */
void http_server_add(struct http_server *s, struct listener *l, int fd, const struct sockaddr *from, unsigned n);
/* On the loop's thread: cancels all requests in flight; new ones get 503. Stop the workers next, then free. */
void http_server_cancel(struct http_server *s);
void http_server_free(struct http_server *s);          /* on the loop's thread, after the workers have stopped */

/* Accepts connections and posts them to the servers in turn. Call on the thread of `loop` or before it runs. Listener
 * and servers are borrowed. */
struct http_listener;
struct http_listener *http_listen(struct listener *listener, struct loop *loop, struct http_server *const *servers, unsigned n,
                                  struct http_limits *limits, struct err *err) MUST_USE;
const char *http_listener_address(const struct http_listener *l); /* the bound address and port */
/* host:port for URLs opened on this machine: localhost if bound to all interfaces; empty: a Unix socket. */
const char *http_listener_url_host(const struct http_listener *l);
void http_listener_close(struct http_listener *l); /* threads as http_listen */

/* Common responses. */
void http_text(struct http_request *r, int status, const char *text);
void http_error(struct http_request *r, const struct err *e); /* error object and status of the Prometheus API */
void http_error_text(struct http_request *r, const struct err *e); /* the same as a line of text */

#endif
