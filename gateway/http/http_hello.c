// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http_hello.h"

#include "gateway/http/http_connection.h"
#include "gateway/http/http_tls.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A record's head and the head of the message in it (RFC 8446, 5.1 and 4). */
enum { RECORD_HEAD = 5, RECORD_HANDSHAKE = 0x16, RECORD_MAX = 16384, MESSAGE_HEAD = 4, MESSAGE_CLIENT_HELLO = 1,
       HELLO_HEAD = RECORD_HEAD + MESSAGE_HEAD };
enum { WAKES_MAX = 100 /* without enough bytes: the kernel is short of memory */ };

static void hello_close(struct http_hello *h)
{
    struct http_server *s = h->server;
    int fd = h->socket->fd;
    loop_unwatch(s->loop, &h->watch);
    list_remove(&h->node);
    http_traffic_count(&h->socket->traffic, fd);
    http_socket_close(&s->sockets, h->socket);
    close(fd);
    mem_free(h);
}

/* The kernel reports the socket when it has `bytes`, or when the client leaves. */
static void hello_await(struct http_hello *h, int bytes)
{
    setsockopt(h->socket->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    if (!loop_watch(h->server->loop, &h->watch, EPOLLIN | EPOLLRDHUP))
        hello_close(h);
}

static void hello_refuse_http(struct http_hello *h)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                               "Content-Length: 47\r\nConnection: close\r\n\r\n"
                               "this listener expects TLS: use https in the URL";
    char request[4096]; /* bytes left unread would reset the connection before the client reads the response */
    (void)!recv(h->socket->fd, request, sizeof request, MSG_DONTWAIT);
    (void)!send(h->socket->fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    hello_close(h);
}

static void hello_complete(struct http_hello *h)
{
    int one = 1;
    struct http_server *s = h->server;
    setsockopt(h->socket->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    loop_unwatch(s->loop, &h->watch);
    list_remove(&h->node);
    list_push_back(&s->hellos.complete, &h->node);
    loop_post(s->loop, &s->hellos.greet);
}

/* Bytes of the first record; 0: it is not a ClientHello in one record, as all clients send it. */
static int hello_bytes(const unsigned char head[HELLO_HEAD])
{
    int record = head[3] << 8 | head[4], message = head[6] << 16 | head[7] << 8 | head[8];
    bool hello = head[0] == RECORD_HANDSHAKE && head[5] == MESSAGE_CLIENT_HELLO && record <= RECORD_MAX &&
                 message + MESSAGE_HEAD <= record;
    return hello ? RECORD_HEAD + record : 0;
}

static void on_hello_readable(struct loop_fd *w, uint32_t events)
{
    struct http_hello *h = CONTAINER(w, struct http_hello, watch);
    unsigned char head[HELLO_HEAD];
    ssize_t n = recv(h->socket->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    int arrived = 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        return;
    if (n > 0 && head[0] != RECORD_HANDSHAKE) {
        hello_refuse_http(h);
        return;
    }
    int bytes = n == HELLO_HEAD ? hello_bytes(head) : 0;
    if (bytes == 0 || ioctl(h->socket->fd, FIONREAD, &arrived) != 0)
        hello_close(h);
    else if (arrived >= bytes)
        hello_complete(h);
    else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) || ++h->wakes == WAKES_MAX)
        hello_close(h);
    else
        hello_await(h, bytes);
}

static void hello_greet(struct loop_task *t)
{
    struct http_server *s = CONTAINER(t, struct http_server, hellos.greet);
    struct list *node = list_pop_front(&s->hellos.complete);
    if (node == NULL)
        return;
    struct http_hello *h = CONTAINER(node, struct http_hello, node);
    http_server_greet(s, h->socket, (const struct sockaddr *)&h->from, h->n_from);
    mem_free(h);
    if (!list_empty(&s->hellos.complete))
        loop_post(s->loop, &s->hellos.greet);
}

void http_hellos_init(struct http_hellos *h)
{
    list_init(&h->waiting);
    list_init(&h->complete);
    h->greet.run = hello_greet;
}

void http_hellos_free(struct http_server *s)
{
    loop_unpost(s->loop, &s->hellos.greet);
    struct list *lists[] = {&s->hellos.waiting, &s->hellos.complete};
    for (size_t i = 0; i < LEN(lists); i++)
        while (!list_empty(lists[i]))
            hello_close(CONTAINER(lists[i]->next, struct http_hello, node));
}

void http_hello_add(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n)
{
    struct http_hello *h = mem_zalloc(sizeof *h);
    h->server = s;
    h->socket = k;
    if (from && n <= sizeof h->from) {
        memcpy(&h->from, from, n);
        h->n_from = n;
    }
    h->watch = (struct loop_fd){.run = on_hello_readable, .fd = k->fd};
    list_push_back(&s->hellos.waiting, &h->node);
    hello_await(h, HELLO_HEAD);
}
