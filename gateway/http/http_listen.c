// SPDX-License-Identifier: Apache-2.0
/* A listening socket in the acceptor's loop; accepted connections are posted to the servers in turn. (With SO_REUSEPORT
 * a second sluice would start on the same port without an error, and a few busy senders could share one lane.)
 */
#include "gateway/http/http.h"

#include "gateway/http/http_listen.h"

#include "base/http/resolver.h"
#include "base/telemetry/log.h"
#include "base/text/num.h"
#include "base/text/duration.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_A_TURN = 64, PAUSE_MS = 100, BUSY_MS = 2, LOOKUP_MS = 5000 };

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

static void on_accepted(struct loop_task *task)
{
    struct accepted *a = CONTAINER(task, struct accepted, task);
    http_server_add(a->server, a->listener, a->fd, (const struct sockaddr *)&a->from, a->n_from);
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

/* getaddrinfo takes 65536 for 0. Go's names of ports ("http") are known to it, too. */
static bool listen_check_port(struct str address, const char *port, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    uint64_t number;
    if (num_parse_u64(str_of(port), &number))
        return number <= 65535 || err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: the port is above 65535", STR_ARG(address));
    bool ok = getaddrinfo(NULL, port, &hints, &found) == 0;
    if (found)
        freeaddrinfo(found);
    return ok || err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: unknown port \"%s\"", STR_ARG(address), port);
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
    return listen_check_port(address, port, err);
}

bool listener_check_address(struct str address, struct err *err)
{
    char host[256], port[16];
    return listen_is_fd(address) ||
           (listen_is_unix(address) ? listen_check_unix(address, err) : listen_split_address(address, host, port, err));
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

struct listen_failure { int error, gai; }; /* errno, or an error of getaddrinfo */

static void listen_fail(struct err *err, struct str address, struct listen_failure why)
{
    if (why.gai)
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: %s", STR_ARG(address), gai_strerror(why.gai));
    else
        err_set(err, ERR_UNAVAILABLE, "cannot listen on %.*s: %s; choose another address with --web.listen-address",
                STR_ARG(address), strerror(why.error));
}

/* The first address that can be opened; -1 with *why. */
static int open_numeric(const char *address, const char *port, int family, struct listen_failure *why)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int fd = -1;
    *why = (struct listen_failure){.gai = getaddrinfo(address, port, &hints, &found)};
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = open_socket(a);
        why->error = errno;
    }
    if (found)
        freeaddrinfo(found);
    return fd;
}

/* ---- names: a name server that does not respond must not hold the start ---- */

struct listen_lookup { struct resolver_request request; bool done; };

static void on_listen_lookup(struct resolver_request *r) { CONTAINER(r, struct listen_lookup, request)->done = true; }

/* "192.0.2.1,[2001:db8::1]" (mem_free); NULL: no address, or no response in time. The loop does not run yet. */
static char *lookup_listen_host(struct loop *loop, const char *host, const char **why)
{
    struct listen_lookup l = {.request = {.loop = loop, .done = on_listen_lookup}};
    int64_t until = clock_mono_ms() + LOOKUP_MS;
    resolver_retain();
    l.done = resolver_ask(&l.request, host);
    for (int64_t now; !l.done && (now = clock_mono_ms()) < until;)
        loop_turn(loop, until - now);
    *why = l.done ? l.request.why : "no name server responded; use an address instead of a name";
    if (!l.done)
        resolver_cancel(&l.request);
    resolver_release();
    return l.done ? l.request.addresses : NULL;
}

/* As Prometheus does, a name that has addresses of both families is listened on with IPv4. */
static int open_named(struct str addresses, const char *port, struct listen_failure *why)
{
    char address[64];
    int fd = -1;
    *why = (struct listen_failure){.error = EADDRNOTAVAIL};
    for (int ipv6 = 0; ipv6 < 2 && fd < 0; ipv6++)
        for (struct str rest = addresses, item; rest.n > 0 && fd < 0;) {
            str_cut(&rest, ',', &item);
            if ((item.p[0] == '[') != ipv6 || item.n >= sizeof address)
                continue;
            snprintf(address, sizeof address, "%.*s", (int)item.n - 2 * ipv6, item.p + ipv6);
            fd = open_numeric(address, port, AF_UNSPEC, why);
        }
    return fd;
}

static int open_host(struct loop *loop, struct str address, const char *host, const char *port, struct err *err)
{
    struct listen_failure why;
    const char *no_address = NULL;
    int fd = open_numeric(host, port, AF_UNSPEC, &why);
    if (fd < 0 && why.gai == EAI_NONAME) { /* not an address */
        char *addresses = lookup_listen_host(loop, host, &no_address);
        if (addresses)
            fd = open_named(str_of(addresses), port, &why);
        mem_free(addresses);
    }
    if (no_address)
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: %s", STR_ARG(address), no_address);
    else if (fd < 0)
        listen_fail(err, address, why);
    return fd;
}

/* Without a host, of both IP families if the machine has both. */
static int open_any(struct str address, const char *port, struct err *err)
{
    struct listen_failure why;
    int fd = open_numeric(NULL, port, AF_INET6, &why);
    if (fd < 0 && (why.gai || why.error == EAFNOSUPPORT || why.error == EADDRNOTAVAIL))
        fd = open_numeric("0.0.0.0", port, AF_INET, &why);
    if (fd < 0)
        listen_fail(err, address, why);
    return fd;
}

static int open_address(struct loop *loop, struct str address, struct err *err)
{
    char host[256], port[16];
    if (!listen_split_address(address, host, port, err))
        return -1;
    return host[0] ? open_host(loop, address, host, port, err) : open_any(address, port, err);
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
    struct str address = listener->address;
    int fd = listen_is_unix(address) ? listen_open_unix(address, err)
             : listen_is_fd(address) ? listen_take_fd(address, err) : open_address(loop, address, err);
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
