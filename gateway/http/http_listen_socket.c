// SPDX-License-Identifier: Apache-2.0
/* Opens sockets by address: host:port, where the host may be a name, and :port. */
#include "gateway/http/http_listen.h"

#include "base/http/resolver.h"
#include "base/text/duration.h"
#include "base/text/num.h"
#include "base/text/url.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, LOOKUP_MS = 5000 };

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
static int open_socket(const struct addrinfo *a, int type)
{
    int on = 1, off = 0;
    int fd = socket(a->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && (type == SOCK_DGRAM || listen(fd, BACKLOG) == 0))
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

struct listen_failure { int error, gai; }; /* errno, or an error of getaddrinfo */

static void listen_fail(struct err *err, const struct listener *l, struct listen_failure why)
{
    if (why.gai)
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: %s", STR_ARG(l->address), gai_strerror(why.gai));
    else
        err_set(err, ERR_UNAVAILABLE, "cannot listen on %.*s: %s; choose another address with %s",
                STR_ARG(l->address), strerror(why.error), l->flag);
}

/* The first address that can be opened; -1 with *why. */
static int open_numeric(const char *address, const char *port, int family, int type, struct listen_failure *why)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = type, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int fd = -1;
    *why = (struct listen_failure){.gai = getaddrinfo(address, port, &hints, &found)};
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = open_socket(a, type);
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
static int open_named(struct str addresses, const char *port, int type, struct listen_failure *why)
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
            fd = open_numeric(address, port, AF_UNSPEC, type, why);
        }
    return fd;
}

static int open_host(struct loop *loop, const struct listener *l, int type, const char *host, const char *port, struct err *err)
{
    struct listen_failure why;
    const char *no_address = NULL;
    int fd = open_numeric(host, port, AF_UNSPEC, type, &why);
    if (fd < 0 && why.gai == EAI_NONAME) { /* not an address */
        char *addresses = lookup_listen_host(loop, host, &no_address);
        if (addresses)
            fd = open_named(str_of(addresses), port, type, &why);
        mem_free(addresses);
    }
    if (no_address)
        err_set(err, ERR_BAD_DATA, "cannot listen on %.*s: %s", STR_ARG(l->address), no_address);
    else if (fd < 0)
        listen_fail(err, l, why);
    return fd;
}

/* Without a host, of both IP families if the machine has both. */
static int open_any(const struct listener *l, int type, const char *port, struct err *err)
{
    struct listen_failure why;
    int fd = open_numeric(NULL, port, AF_INET6, type, &why);
    if (fd < 0 && (why.gai || why.error == EAFNOSUPPORT || why.error == EADDRNOTAVAIL))
        fd = open_numeric("0.0.0.0", port, AF_INET, type, &why);
    if (fd < 0)
        listen_fail(err, l, why);
    return fd;
}

int listen_open(const struct listener *l, struct loop *loop, int type, struct err *err)
{
    char host[256], port[16];
    if (type == SOCK_STREAM && listen_is_unix(l->address))
        return listen_open_unix(l->address, err);
    if (type == SOCK_STREAM && listen_is_fd(l->address))
        return listen_take_fd(l->address, err);
    if (!listen_split_address(l->address, host, port, err))
        return -1;
    return host[0] ? open_host(loop, l, type, host, port, err) : open_any(l, type, port, err);
}
