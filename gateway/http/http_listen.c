// SPDX-License-Identifier: Apache-2.0
/* A listening socket in the acceptor's loop; accepted connections are posted to the servers in turn. (With SO_REUSEPORT
 * a second sluice would start on the same port without an error, and a few busy senders could share one lane.)
 */
#include "gateway/http/http.h"

#include "base/telemetry/log.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_A_TURN = 64, PAUSE_MS = 100, BUSY_MS = 2 };

struct http_listener {
    struct loop *loop;
    struct http_server *const *servers;
    unsigned n_servers, next;
    struct http_limits *limits;
    struct loop_fd watch;
    struct loop_timer resume; /* armed while accepting is paused */
    char address[320], url_host[320];
};
struct accepted {
    struct loop_task task;
    struct http_server *server;
    struct http_limits *limits;
    int fd;
    struct sockaddr_storage from;
    socklen_t n_from;
};

static void on_accepted(struct loop_task *task)
{
    struct accepted *a = CONTAINER(task, struct accepted, task);
    http_server_add(a->server, a->fd, (const struct sockaddr *)&a->from, a->n_from);
    atomic_fetch_sub(&a->limits->accepted, 1);
    mem_free(a);
}

static void hand_over(struct http_listener *l, const struct accepted *accepted)
{
    struct accepted *a = mem_dup(accepted, sizeof *a);
    a->task.run = on_accepted;
    a->server = l->servers[l->next++ % l->n_servers];
    a->limits = l->limits;
    atomic_fetch_add(&l->limits->accepted, 1);
    loop_post(http_server_loop(a->server), &a->task);
}

static void on_resume(struct loop_timer *t)
{
    struct http_listener *l = CONTAINER(t, struct http_listener, resume);
    loop_watch(l->loop, &l->watch, EPOLLIN);
}

static void pause_accepting(struct http_listener *l, int64_t ms)
{
    loop_unwatch(l->loop, &l->watch);
    loop_timer_in(l->loop, &l->resume, ms);
}

/* Pauses: without descriptors accept would fail at once as long as a client waits in the backlog. */
static void fail_accepting(struct http_listener *l)
{
    log_warn("http", "cannot accept connection; retrying every 100ms", "address", l->address, "err", strerror(errno));
    pause_accepting(l, PAUSE_MS);
}

static void on_clients(struct loop_fd *w, uint32_t events UNUSED)
{
    struct http_listener *l = CONTAINER(w, struct http_listener, watch);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct accepted a = {.n_from = sizeof a.from};
        if (atomic_load(&l->limits->accepted) >= l->limits->max_accepted) {
            pause_accepting(l, BUSY_MS);
            return;
        }
        a.fd = accept4(w->fd, (struct sockaddr *)&a.from, &a.n_from, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (a.fd >= 0)
            hand_over(l, &a);
        else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN)
                fail_accepting(l);
            return;
        }
    }
}

/* Strings for getaddrinfo. */
static bool listen_split_address(struct str address, char host[256], char port[16], struct err *err)
{
    struct str h, p;
    if (!address_split(address, &h, &p) || p.n == 0 || p.n > 15 || address.n - p.n > 255)
        return err_set(err, ERR_BAD_DATA, "cannot listen on \"%.*s\": expected host:port or :port",
                       STR_ARG(address));
    snprintf(host, 256, "%.*s", STR_ARG(h));
    snprintf(port, 16, "%.*s", STR_ARG(p));
    return true;
}

/* Without a host it accepts connections of both IP families, if the machine has both. */
static int open_socket(const struct addrinfo *a)
{
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int open_first(struct str address, const char *host, const char *port, struct err *err)
{
    struct addrinfo hints = {.ai_family = host[0] ? AF_UNSPEC : AF_INET6, .ai_socktype = SOCK_STREAM}, *found = NULL;
    hints.ai_flags = AI_PASSIVE;
    int fd = -1, rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = open_socket(a);
    int why = errno;
    if (found)
        freeaddrinfo(found);
    if (fd < 0 && !host[0] && (rc != 0 || why == EAFNOSUPPORT || why == EADDRNOTAVAIL))
        return open_first(address, "0.0.0.0", port, err);
    if (rc != 0)
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: %s", STR_ARG(address), gai_strerror(rc));
    else if (fd < 0)
        err_set(err, ERR_UNAVAILABLE, "cannot listen on %.*s: %s; choose another address with --web.listen-address",
                STR_ARG(address), strerror(why));
    return fd;
}

static void read_address(struct http_listener *l)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[256] = "", port[16] = "";
    getsockname(l->watch.fd, (struct sockaddr *)&at, &n);
    getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool any = strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0;
    const char *format = strchr(host, ':') ? "[%s]:%s" : "%s:%s";
    snprintf(l->address, sizeof l->address, format, host, port);
    snprintf(l->url_host, sizeof l->url_host, any ? "%s:%s" : format, any ? "localhost" : host, port);
}

struct http_listener *http_listen(struct str address, struct loop *loop, struct http_server *const *servers, unsigned n,
                                  struct http_limits *limits, struct err *err)
{
    char host[256], port[16];
    if (!listen_split_address(address, host, port, err))
        return NULL;
    int fd = open_first(address, host, port, err);
    if (fd < 0)
        return NULL;
    struct http_listener *l = mem_zalloc(sizeof *l);
    *l = (struct http_listener){.loop = loop, .servers = servers, .n_servers = n, .limits = limits,
                                .watch = {.run = on_clients, .fd = fd}, .resume.run = on_resume};
    read_address(l);
    loop_watch(loop, &l->watch, EPOLLIN);
    return l;
}

const char *http_listener_address(const struct http_listener *l) { return l->address; }
const char *http_listener_url_host(const struct http_listener *l) { return l->url_host; }

void http_listener_close(struct http_listener *l)
{
    loop_unwatch(l->loop, &l->watch);
    loop_timer_stop(l->loop, &l->resume);
    close(l->watch.fd);
    log_info("http", "listener closed", "address", l->address);
    mem_free(l);
}
