// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_proxied.h"

#include "base/text/num.h"
#include "gateway/http/http_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the header ---- */

enum { LINE_MAX_BYTES = 107, FIXED = 16, ADDRESSES4 = 12, ADDRESSES6 = 36 };
static const char proxy_signature[] = "\r\n\r\n\0\r\nQUIT\n"; /* 12 bytes */

/* "192.0.2.1 192.0.2.9 40000 443" */
static bool proxy_read_text(struct str rest, int family, struct sockaddr_storage *from)
{
    struct str source, target, port, target_port;
    char text[INET6_ADDRSTRLEN];
    uint64_t n, m;
    unsigned char ignored[16];
    struct sockaddr_in *v4 = (void *)from;
    struct sockaddr_in6 *v6 = (void *)from;
    str_cut(&rest, ' ', &source);
    str_cut(&rest, ' ', &target);
    str_cut(&rest, ' ', &port);
    target_port = rest;
    if (str_find(source, 0) < source.n || str_find(target, 0) < target.n ||
        source.n == 0 || source.n >= sizeof text || target.n == 0 || target.n >= sizeof text ||
        !num_parse_u64(port, &n) || n > 65535 || !num_parse_u64(target_port, &m) || m > 65535)
        return false;
    memcpy(text, target.p, target.n);
    text[target.n] = 0;
    if (inet_pton(family, text, ignored) != 1)
        return false;
    memcpy(text, source.p, source.n);
    text[source.n] = 0;
    *from = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
    if (family == AF_INET)
        v4->sin_port = htons((uint16_t)n);
    else
        v6->sin6_port = htons((uint16_t)n);
    return inet_pton(family, text, family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr) == 1;
}

static enum proxy_header proxy_parse_line(struct str s, size_t *bytes, struct sockaddr_storage *from)
{
    struct str line = str_first(s, s.n < LINE_MAX_BYTES ? s.n : LINE_MAX_BYTES);
    size_t end = str_find_str(line, STR("\r\n"));
    if (end == line.n)
        return s.n < LINE_MAX_BYTES ? PROXY_PART : PROXY_WRONG;
    *bytes = end + 2;
    line = str_skip(str_first(line, end), 6);
    bool ok = str_is(line, "UNKNOWN") || str_starts(line, STR("UNKNOWN ")) ||
              (str_starts(line, STR("TCP4 ")) && proxy_read_text(str_skip(line, 5), AF_INET, from)) ||
              (str_starts(line, STR("TCP6 ")) && proxy_read_text(str_skip(line, 5), AF_INET6, from));
    return ok ? PROXY_OK : PROXY_WRONG;
}

static enum proxy_header proxy_parse_binary(struct str s, size_t *bytes, struct sockaddr_storage *from)
{
    const unsigned char *p = (const unsigned char *)s.p;
    struct sockaddr_in *v4 = (void *)from;
    struct sockaddr_in6 *v6 = (void *)from;
    if (s.n < FIXED)
        return PROXY_PART;
    size_t length = (size_t)p[14] << 8 | p[15];
    unsigned command = p[12] & 15, family = p[13] >> 4, protocol = p[13] & 15;
    if (p[12] >> 4 != 2 || command > 1 || family > 3 || protocol > 2 || FIXED + length > PROXY_HEADER_MAX)
        return PROXY_WRONG;
    if (s.n < FIXED + length)
        return PROXY_PART;
    *bytes = FIXED + length;
    if (command == 0 || family == 0 || family == 3)
        return PROXY_OK;
    if (length < (family == 1 ? ADDRESSES4 : ADDRESSES6))
        return PROXY_WRONG;
    *from = (struct sockaddr_storage){.ss_family = family == 1 ? AF_INET : AF_INET6};
    if (family == 1) {
        memcpy(&v4->sin_addr, p + FIXED, 4);
        memcpy(&v4->sin_port, p + FIXED + 8, 2);
    } else {
        memcpy(&v6->sin6_addr, p + FIXED, 16);
        memcpy(&v6->sin6_port, p + FIXED + 32, 2);
    }
    return PROXY_OK;
}

enum proxy_header proxy_header_parse(const char *p, size_t n, size_t *bytes, struct sockaddr_storage *from)
{
    size_t signed_bytes = n < sizeof proxy_signature - 1 ? n : sizeof proxy_signature - 1, lettered = n < 6 ? n : 6;
    if (n > 0 && memcmp(p, "PROXY ", lettered) == 0)
        return n < 6 ? PROXY_PART : proxy_parse_line(str_n(p, n), bytes, from);
    if (memcmp(p, proxy_signature, signed_bytes) == 0)
        return proxy_parse_binary(str_n(p, n), bytes, from);
    return PROXY_WRONG;
}

/* ---- connections ---- */

struct http_proxied {
    struct list node;
    struct loop_fd watch;
    struct http_server *server;
    struct http_socket *socket;
    struct sockaddr_storage from; unsigned n_from;
    bool local; /* from a Unix socket, which has no TLS */
};

static void proxied_free(struct http_proxied *x)
{
    loop_unwatch(x->server->loop, &x->watch);
    list_remove(&x->node);
    mem_free(x);
}

static void proxied_close(struct http_proxied *x)
{
    struct http_server *s = x->server;
    struct http_socket *k = x->socket;
    int fd = k->fd;
    proxied_free(x);
    http_traffic_count(&k->traffic, fd);
    http_socket_close(&s->sockets, k);
    close(fd);
}

/* The kernel reports the socket when it has more bytes than before, or when the client leaves. */
static void proxied_await(struct http_proxied *x, int bytes)
{
    setsockopt(x->socket->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    if (!loop_watch(x->server->loop, &x->watch, EPOLLIN | EPOLLRDHUP))
        proxied_close(x);
}

static void proxied_complete(struct http_proxied *x, const struct sockaddr_storage *from)
{
    struct http_server *s = x->server;
    struct http_proxied was = *x;
    int one = 1;
    setsockopt(was.socket->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    proxied_free(x);
    if (from->ss_family != AF_UNSPEC) {
        was.from = *from;
        was.n_from = from->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        http_socket_set_from(&s->sockets, was.socket, (const struct sockaddr *)from);
    }
    http_server_admit(s, was.socket, (const struct sockaddr *)&was.from, was.n_from, was.local);
}

static void on_proxied_readable(struct loop_fd *w, uint32_t events)
{
    struct http_proxied *x = CONTAINER(w, struct http_proxied, watch);
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    char bytes[PROXY_HEADER_MAX];
    size_t header = 0;
    ssize_t n = recv(x->socket->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    bool left = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !left)
        return;
    enum proxy_header result = n > 0 ? proxy_header_parse(bytes, (size_t)n, &header, &from) : PROXY_PART;
    if (result == PROXY_OK && recv(x->socket->fd, bytes, header, MSG_DONTWAIT) == (ssize_t)header) {
        proxied_complete(x, &from);
    } else if (result == PROXY_PART && n > 0 && n < PROXY_HEADER_MAX && !left) {
        proxied_await(x, (int)n + 1);
    } else {
        stats_add(&http_stats, HTTP_PROXY_ERRORS, 1);
        proxied_close(x);
    }
}

void http_proxieds_free(struct http_server *s)
{
    while (!list_empty(&s->proxied))
        proxied_close(CONTAINER(s->proxied.next, struct http_proxied, node));
}

void http_proxied_add(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n)
{
    struct http_proxied *x = mem_zalloc(sizeof *x);
    *x = (struct http_proxied){.server = s, .socket = k, .local = from->sa_family == AF_UNIX,
                               .watch = {.run = on_proxied_readable, .fd = k->fd}};
    if (n <= sizeof x->from) {
        memcpy(&x->from, from, n);
        x->n_from = n;
    }
    list_push_back(&s->proxied, &x->node);
    proxied_await(x, 1);
}
