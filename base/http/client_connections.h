// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: the connections of a client that client_plain.c uses, by server. A connection carries one
 * call at a time; between calls it is idle, stays watched, and is closed when the server closes it, when it has been
 * idle for too long, when too many are idle, or when the process has no descriptor left for another one.
 *
 * A server's addresses are not kept here, unless its host is an address: base/http/resolver.h has a cache.
 */
#ifndef BASE_HTTP_CLIENT_CONNECTIONS_H
#define BASE_HTTP_CLIENT_CONNECTIONS_H

#include "base/map.h"
#include "base/os/loop.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct client_call;
struct stats_group;
union socket_address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

struct client_server {
    struct str key;       /* host:port */
    struct str host;      /* without brackets; NUL-terminated; of SERVER_SOCKET the path of a Unix socket */
    uint16_t port;
    struct list idle;     /* struct client_connection.of_server, the last used first */
    unsigned users;       /* connections, and calls in progress */
    char text[];
};

struct client_connection {
    struct loop_fd watch;
    struct client_server *server;
    struct client_connections *pool;
    struct list of_server, by_age; /* while idle */
    int64_t idle_since;
    struct client_call *call;      /* NULL: idle */
    bool reused;                   /* it has carried a call before */
};

struct client_connections {
    struct loop *loop;
    struct map servers;      /* key to struct client_server */
    struct list idle;        /* struct client_connection.by_age, the longest idle first */
    size_t n_idle, most_idle;
    int64_t idle_ms;
    struct loop_timer reaper;
    const struct stats_group *stats; /* gauge of open connections; NULL = not counted */
    unsigned stats_row;
    void (*ready)(struct client_call *call, uint32_t events); /* EPOLL* bits for the connection's call */
};

void connections_init(struct client_connections *pool, struct loop *loop, int64_t idle_ms, size_t most_idle);
void connections_free(struct client_connections *pool); /* its calls must have ended */

/* Closes the server's longest idle connection, if there is one. */
void server_close_idle(struct client_connections *pool, struct str host, uint16_t port);

/* Finds the server or adds it, and counts the call as a user; server_release undoes that. host: at most SERVER_HOST_MAX
 * bytes. */
enum { SERVER_HOST_MAX = 253, SERVER_SOCKET = 0 /* as port */, SERVER_SOCKET_MAX = sizeof ((struct sockaddr_un *)0)->sun_path - 1 };
struct client_server *server_of(struct client_connections *pool, struct str host, uint16_t port);
void server_release(struct client_connections *pool, struct client_server *s);

/* An idle connection to the server, now the call's; NULL: there is none. */
struct client_connection *connection_take(struct client_server *s, struct client_call *call);
/* Begins to connect: writable when connected or failed. address: not used for a Unix socket. NULL with errno. */
struct client_connection *connection_open(struct client_connections *pool, struct client_server *s,
                                          struct client_call *call, const union socket_address *address);
bool connection_watch(struct client_connection *c, uint32_t events) MUST_USE; /* false with errno */
void connection_keep(struct client_connection *c);  /* idle from now on */
void connection_close(struct client_connection *c);

#endif
