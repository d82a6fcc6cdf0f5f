// SPDX-License-Identifier: Apache-2.0
#include "receiver.h"

#include "base/compress.h"
#include "base/text/num.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection { struct receiver *r; int fd; };

static bool read_request(int fd, struct buf *in, size_t *head, size_t *body)
{
    for (;;) {
        size_t at = str_find_str(buf_str(in), STR("\r\n\r\n"));
        if (at < in->n) {
            struct str text = str_first(buf_str(in), at);
            size_t length_at = str_find_str(text, STR("Content-Length: "));
            *head = at + 4;
            *body = length_at < text.n ? strtoul(text.p + length_at + 16, NULL, 10) : 0;
            if (in->n >= *head + *body)
                return true;
        }
        if (!buf_reserve(in, 65536))
            return false;
        ssize_t n = recv(fd, in->p + in->n, 65536, 0);
        if (n <= 0)
            return false;
        in->n += (size_t)n;
    }
}

/* Stores the samples of a request, or none of them. */
static int keep(struct receiver *r, struct str raw, int status)
{
    struct rw_walk w;
    rw_walk_init(&w);
    rw_walk_start(&w, raw);
    mutex_lock(&r->lock);
    size_t before = r->n;
    for (enum rw_item item; (item = rw_walk_next(&w)) != RW_END && item != RW_ERROR;)
        for (size_t i = 0; item == RW_SERIES && i < w.n_samples; i++) {
            mem_grow(&r->samples, &r->_cap, r->n + 1, sizeof *r->samples);
            r->samples[r->n++] = (struct received){labels_hash(w.labels), w.samples[i]};
        }
    receiver_check *check = atomic_load(&r->check);
    int rejected = check ? check(r, r->samples + before, r->n - before) : 0;
    if (rejected)
        r->n = before;
    mutex_unlock(&r->lock);
    rw_walk_free(&w);
    return rejected ? rejected : status;
}

static int judge(struct receiver *r, struct str head, struct str body, struct zstd *z)
{
    bool zstd = str_find_str(head, STR("Content-Encoding: zstd")) < head.n;
    struct buf raw = {0};
    struct err err;
    int status = atomic_load(&r->status);
    size_t most = atomic_load(&r->too_large);
    if (most && body.n > most)
        return 413;
    if (status / 100 != 2)
        return status;
    if (zstd && atomic_load(&r->no_zstd))
        return 415;
    if (!decompress(zstd ? CODEC_ZSTD : CODEC_SNAPPY, z, body, 64 << 20, &raw, &err))
        status = 400;
    else
        status = keep(r, buf_str(&raw), status);
    buf_free(&raw);
    return status;
}

/* False: the connection is to be closed. */
static bool respond(struct receiver *r, int fd, int status)
{
    static char filler[1 << 20];
    const char *text = atomic_load(&r->text);
    size_t size = atomic_load(&r->body_size);
    struct buf out = {0};
    struct str body = status == 204 ? STR_NONE : size ? str_n(filler, size) : str_of(text ? text : "no");
    if (atomic_load(&r->lost) > 0 && atomic_fetch_sub(&r->lost, 1) > 0)
        return false;
    buf_printf(&out, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n", status,
               status / 100 == 3 ? "Location: /login\r\n" : "", body.n);
    buf_add_str(&out, body);
    bool ok = send(fd, out.p, out.n, MSG_NOSIGNAL) == (ssize_t)out.n;
    buf_free(&out);
    return ok;
}

static void serve(void *arg)
{
    struct connection *c = arg;
    struct zstd *z = zstd_new();
    struct buf in = {0};
    size_t head, body;
    while (read_request(c->fd, &in, &head, &body)) {
        atomic_fetch_add(&c->r->requests, 1);
        if (!respond(c->r, c->fd, judge(c->r, str_n(in.p, head), str_n(in.p + head, body), z))) {
            shutdown(c->fd, SHUT_RDWR);
            break;
        }
        buf_drop_front(&in, head + body);
    }
    buf_free(&in);
    zstd_free(z);
    atomic_fetch_sub(&c->r->serving, 1);
    mem_free(c);
}

static void accept_all(void *arg)
{
    struct receiver *r = arg;
    for (int fd; (fd = accept(r->listen_fd, NULL, NULL)) >= 0;) {
        unsigned i = atomic_load(&r->n_connections);
        if (i == LEN(r->connections)) {
            close(fd);
            continue;
        }
        struct connection *c = mem_alloc(sizeof *c);
        *c = (struct connection){r, fd};
        r->fds[i] = fd;
        atomic_fetch_add(&r->serving, 1);
        r->connections[i] = thread_start("receiver", serve, c);
        atomic_store(&r->n_connections, i + 1);
    }
}

void receiver_start(struct receiver *r)
{
    memset(r, 0, sizeof *r);
    mutex_init(&r->lock);
    atomic_init(&r->status, 204);
    r->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    if (bind(r->listen_fd, (struct sockaddr *)&a, n) != 0 || listen(r->listen_fd, 128) != 0 ||
        getsockname(r->listen_fd, (struct sockaddr *)&a, &n) != 0)
        abort();
    r->port = ntohs(a.sin_port);
    r->accepting = thread_start("accept", accept_all, r);
}

void receiver_stop(struct receiver *r)
{
    shutdown(r->listen_fd, SHUT_RDWR);
    thread_join(r->accepting);
    close(r->listen_fd);
    for (unsigned i = 0; i < r->n_connections; i++) {
        shutdown(r->fds[i], SHUT_RDWR);
        thread_join(r->connections[i]);
        close(r->fds[i]);
    }
    mem_free(r->samples);
    mutex_free(&r->lock);
}

void receiver_settle(struct receiver *r)
{
    for (int ms = 0; ms < 2000 && (ms == 0 || atomic_load(&r->serving) > 0); ms++)
        usleep(1000);
}

size_t receiver_count(struct receiver *r)
{
    mutex_lock(&r->lock);
    size_t n = r->n;
    mutex_unlock(&r->lock);
    return n;
}
