// SPDX-License-Identifier: Apache-2.0
/* A listening socket in the acceptor's loop; accepted connections are posted to the servers in turn. (With SO_REUSEPORT
 * a second sluice would start on the same port without an error, and a few busy senders could share one lane.)
 */
#include "gateway/http/http.h"

#include "gateway/http/http_connection.h"
#include "gateway/http/http_listen.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, PAUSE_MS = 100, BUSY_MS = 2 };

struct http_listener {
    struct listener *listener;
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
    struct listener *listener;
    struct http_limits *limits;
    int fd;
    struct sockaddr_storage from;
    socklen_t n_from;
};

struct loop *http_server_loop(const struct http_server *s) { return s->loop; }
struct services *http_server_services(const struct http_server *s) { return s->conf.services; }
unsigned http_server_id(const struct http_server *s) { return s->id; }

static void on_accepted(struct loop_task *task)
{
    struct accepted *a = CONTAINER(task, struct accepted, task);
    (a->listener->take ? a->listener->take : http_server_add)(a->server, a->listener, a->fd,
                                                              (const struct sockaddr *)&a->from, a->n_from);
    atomic_fetch_sub(&a->limits->accepted, 1);
    mem_free(a);
}

static void hand_over(struct http_listener *l, const struct accepted *accepted)
{
    struct accepted *a = mem_dup(accepted, sizeof *a);
    a->task.run = on_accepted;
    a->server = l->servers[l->next++ % l->n_servers];
    a->listener = l->listener;
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

static void read_address(struct http_listener *l)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[256] = "", port[16] = "";
    getsockname(l->watch.fd, (struct sockaddr *)&at, &n);
    if (at.ss_family == AF_UNIX) {
        snprintf(l->address, sizeof l->address, "%.*s", STR_ARG(l->listener->address));
        return;
    }
    getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    bool any = strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0;
    const char *format = strchr(host, ':') ? "[%s]:%s" : "%s:%s";
    snprintf(l->address, sizeof l->address, format, host, port);
    snprintf(l->url_host, sizeof l->url_host, any ? "%s:%s" : format, any ? "localhost" : host, port);
}

struct http_listener *http_listen(struct listener *listener, struct loop *loop, struct http_server *const *servers, unsigned n,
                                  struct http_limits *limits, struct err *err)
{
    int fd = listen_open(listener, loop, SOCK_STREAM, err);
    if (fd < 0)
        return NULL;
    struct http_listener *l = mem_zalloc(sizeof *l);
    *l = (struct http_listener){.listener = listener, .loop = loop, .servers = servers, .n_servers = n, .limits = limits,
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
    if (listen_is_unix(l->listener->address))
        unlink(l->listener->address.p + 5);
    log_info("http", "listener closed", "address", l->address);
    mem_free(l);
}
