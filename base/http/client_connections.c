// SPDX-License-Identifier: Apache-2.0
#include "base/http/client_connections.h"

#include "base/telemetry/stats.h"
#include "base/text/num.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { SERVER_KEY_MAX = SERVER_HOST_MAX + 1 + NUM_MAX };

/* ---- servers ---- */

static struct client_server *server_add(struct client_connections *pool, struct str key, struct str host, uint16_t port)
{
    struct client_server *s = mem_zalloc(sizeof *s + key.n + host.n + 2);
    memcpy(s->text, key.p, key.n);
    memcpy(s->text + key.n + 1, host.p, host.n);
    s->key = str_n(s->text, key.n);
    s->host = str_n(s->text + key.n + 1, host.n);
    s->port = port;
    list_init(&s->idle);
    map_set(&pool->servers, s->key, s);
    return s;
}

/* In `text`, of SERVER_KEY_MAX bytes. */
static struct str plain_server_key(char *text, struct str host, uint16_t port)
{
    memcpy(text, host.p, host.n);
    text[host.n] = ':';
    return str_n(text, host.n + 1 + num_format_u64(text + host.n + 1, port));
}

struct client_server *server_of(struct client_connections *pool, struct str host, uint16_t port)
{
    char text[SERVER_KEY_MAX];
    struct str key = plain_server_key(text, host, port);
    struct client_server *s = map_get(&pool->servers, key);
    if (s == NULL)
        s = server_add(pool, key, host, port);
    s->users++;
    return s;
}

void server_release(struct client_connections *pool, struct client_server *s)
{
    if (--s->users > 0)
        return;
    map_remove(&pool->servers, s->key);
    mem_free(s);
}

/* ---- idle connections ---- */

static void connection_leave_idle(struct client_connection *c)
{
    list_remove(&c->of_server);
    list_remove(&c->by_age);
    c->pool->n_idle--;
}

static bool connections_close_oldest(struct client_connections *pool)
{
    if (list_empty(&pool->idle))
        return false;
    connection_close(CONTAINER(pool->idle.next, struct client_connection, by_age));
    return true;
}

void server_close_idle(struct client_connections *pool, struct str host, uint16_t port)
{
    char text[SERVER_KEY_MAX];
    struct client_server *s = map_get(&pool->servers, plain_server_key(text, host, port));
    if (s && !list_empty(&s->idle))
        connection_close(CONTAINER(s->idle.prev, struct client_connection, of_server));
}

static void connections_reap(struct loop_timer *t)
{
    struct client_connections *pool = CONTAINER(t, struct client_connections, reaper);
    int64_t now = loop_mono(pool->loop);
    while (!list_empty(&pool->idle)) {
        struct client_connection *c = CONTAINER(pool->idle.next, struct client_connection, by_age);
        if (now - c->idle_since < pool->idle_ms) {
            loop_timer_at(pool->loop, t, c->idle_since + pool->idle_ms);
            return;
        }
        connection_close(c);
    }
}

struct client_connection *connection_take(struct client_server *s, struct client_call *call)
{
    if (list_empty(&s->idle))
        return NULL;
    struct client_connection *c = CONTAINER(s->idle.next, struct client_connection, of_server);
    connection_leave_idle(c);
    c->call = call;
    c->reused = true;
    return c;
}

void connection_keep(struct client_connection *c)
{
    struct client_connections *pool = c->pool;
    c->call = NULL;
    c->idle_since = loop_mono(pool->loop);
    list_push_front(&c->server->idle, &c->of_server);
    list_push_back(&pool->idle, &c->by_age);
    pool->n_idle++;
    if (!connection_watch(c, EPOLLIN))
        connection_close(c);
    else if (pool->n_idle > pool->most_idle)
        connections_close_oldest(pool);
    if (pool->n_idle > 0 && !loop_timer_armed(&pool->reaper))
        loop_timer_in(pool->loop, &pool->reaper, pool->idle_ms);
}

/* ---- sockets ---- */

/* What an idle connection receives belongs to no request: most often it is the end. */
static void connection_on_event(struct loop_fd *watch, uint32_t events)
{
    struct client_connection *c = CONTAINER(watch, struct client_connection, watch);
    if (c->call)
        c->pool->ready(c->call, events);
    else
        connection_close(c);
}

static int connections_socket(struct client_connections *pool, int family)
{
    for (;;) {
        int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || !connections_close_oldest(pool))
            return fd;
    }
}

struct client_connection *connection_open(struct client_connections *pool, struct client_server *s,
                                          struct client_call *call, const union socket_address *address)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    bool is_local = s->port == SERVER_SOCKET;
    const struct sockaddr *to = is_local ? (const struct sockaddr *)&local : &address->any;
    socklen_t size = is_local ? sizeof local : to->sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
    int fd = connections_socket(pool, to->sa_family), on = 1;
    if (is_local)
        memcpy(local.sun_path, s->host.p, s->host.n);
    if (fd < 0)
        return NULL;
    if (!is_local) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    struct client_connection *c = mem_zalloc(sizeof *c);
    *c = (struct client_connection){.watch = {.run = connection_on_event, .fd = fd}, .server = s, .pool = pool,
                                    .call = call};
    s->users++;
    if (pool->stats)
        stats_add(pool->stats, pool->stats_row, 1);
    if ((connect(fd, to, size) == 0 || errno == EINPROGRESS) && connection_watch(c, EPOLLIN | EPOLLOUT))
        return c;
    int why = errno;
    connection_close(c);
    errno = why;
    return NULL;
}

bool connection_watch(struct client_connection *c, uint32_t events)
{
    return loop_watch(c->pool->loop, &c->watch, events);
}

void connection_close(struct client_connection *c)
{
    struct client_connections *pool = c->pool;
    if (list_linked(&c->of_server))
        connection_leave_idle(c);
    loop_unwatch(pool->loop, &c->watch);
    close(c->watch.fd);
    if (pool->stats)
        stats_add(pool->stats, pool->stats_row, -1);
    server_release(pool, c->server);
    mem_free(c);
}

/* ---- lifetime ---- */

void connections_init(struct client_connections *pool, struct loop *loop, int64_t idle_ms, size_t most_idle)
{
    *pool = (struct client_connections){.loop = loop, .idle_ms = idle_ms, .most_idle = most_idle,
                                        .reaper.run = connections_reap};
    list_init(&pool->idle);
}

void connections_free(struct client_connections *pool)
{
    while (connections_close_oldest(pool))
        ;
    loop_timer_stop(pool->loop, &pool->reaper);
    map_free(&pool->servers);
}
