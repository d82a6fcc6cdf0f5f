// SPDX-License-Identifier: Apache-2.0
/* A listen address, and who may use it and how. A connection keeps a pointer to its listener from accept() to close();
 * TLS applies to connections that are accepted after it was set, users and headers to requests that begin after it.
 *
 * Unix sockets have no TLS: who may open the file may connect. Users and headers apply to them.
 *
 * The owner creates the listeners before the acceptor starts and frees them after the lanes have ended. Reloads replace
 * a listener's access, which is immutable and reference counted.
 */
#ifndef GATEWAY_HTTP_LISTENER_H
#define GATEWAY_HTTP_LISTENER_H

#include "base/err.h"
#include "base/os/loop.h"
#include "base/os/thread.h"
#include "base/refs.h"
#include "base/str.h"

struct http_tls;   /* http_tls.h */
struct http_users; /* http_auth.h */
struct access_header { char *name, *value; };
struct http_rate { /* requests of a listener, as a token bucket */
    int64_t interval;              /* ns between two requests; 0: no limit */
    int64_t burst;                 /* requests at once after a pause */
    _Atomic int64_t _full;         /* clock_mono_ns at which the bucket is full again */
};
bool http_rate_take(struct http_rate *r) MUST_USE; /* any thread; false: too many requests */
struct http_access {
    struct refs refs;
    struct http_rate rate;
    unsigned classes;              /* bits of enum route_class that are served, besides health checks; 0: all */
    struct http_tls *tls;          /* NULL: HTTP */
    struct http_users *users;      /* NULL: no authentication */
    struct access_header *headers; size_t n_headers; /* of every response; an empty value: the header is not sent */
};
/* `headers` is copied; the references to tls and users are taken over. */
struct http_access *http_access_new(struct http_tls *tls, struct http_users *users,
                                    const struct access_header *headers, size_t n_headers);
struct http_access *http_access_ref(struct http_access *a); /* NULL is fine, also below */
void http_access_unref(struct http_access *a);

enum { LISTENERS_MAX = 16 };
struct http_server;
struct sockaddr;
struct listener {
    const char *flag;              /* that has the address, for messages */
    /* Takes an accepted connection over, on the lane's thread. NULL: http_server_add. */
    void (*take)(struct http_server *s, struct listener *l, int fd, const struct sockaddr *from, unsigned n);
    const void *user;              /* of `take` */
    bool proxied;                  /* connections begin with a header of the PROXY protocol (http_proxied.h) */
    struct str address;            /* as configured: host:port, :port, unix:PATH or fd:N; ends with a NUL */
    struct mutex _lock;            /* guards what follows */
    struct http_access *_access;   /* NULL: HTTP without authentication */
};
void listener_init(struct listener *l, struct str address);
void listener_free(struct listener *l);
/* A socket of this type (SOCK_STREAM: it listens) at the listener's address; -1 with an error. `loop`, which does not run
 * yet, waits for a name server. */
int listen_open(const struct listener *l, struct loop *loop, int type, struct err *err);
/* Any thread: a reference, or NULL. */
struct http_access *listener_access(struct listener *l) MUST_USE;
/* What is wrong with an address, apart from its use by other programs and names that are not known: they are not asked
 * for. fd:N is not checked. */
bool listener_check_address(struct str address, struct err *err) MUST_USE;
void listener_set_access(struct listener *l, struct http_access *a); /* any thread; takes the reference over */

#endif
