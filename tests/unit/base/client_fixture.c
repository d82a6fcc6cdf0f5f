// SPDX-License-Identifier: Apache-2.0
#include "client_fixture.h"

#include "base/compress.h"
#include "base/os/file_work.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server client_server, client_other;
bool client_by_libcurl;

static void gzip_response(struct server_response *r, struct str path, struct str body)
{
    struct buf compressed = {0};
    if (!compress_gzip(&compressed, body, 6, NULL, NULL))
        abort();
    bool truncated = str_eq(path, STR("/gzip/cut")), brotli = str_eq(path, STR("/gzip/br"));
    snprintf(r->headers, sizeof r->headers, "Content-Encoding: %s\r\n", brotli ? "br" : "gzip");
    buf_add_str(&r->body, str_first(buf_str(&compressed), truncated ? compressed.n - 9 : compressed.n));
    buf_free(&compressed);
}

static void redirect_response(struct server_response *r, const char *host, int port, const char *path)
{
    r->status = 302;
    buf_add_z(&r->body, "x");
    snprintf(r->headers, sizeof r->headers, "Location: http://%s:%d%s\r\n", host, port, path);
}

/* Small chunks: libcurl reads several of them at once, and delivers them one by one. */
static void chunked_response(struct server_response *r, struct str body)
{
    enum { CHUNK = 1000 };
    r->raw = true;
    buf_add_z(&r->body, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (struct str rest = body; rest.n > 0; rest = str_skip(rest, CHUNK)) {
        struct str chunk = str_first(rest, CHUNK);
        buf_printf(&r->body, "%zx\r\n", chunk.n);
        buf_add_str(&r->body, chunk);
        buf_add_z(&r->body, "\r\n");
    }
    buf_add_z(&r->body, "0\r\n\r\n");
}

static void respond_by_path(void *arg, const struct server_request *request, struct server_response *r)
{
    static const char zeros[2 << 20];
    struct str path = request->path;
    if (str_starts(path, STR("/gzip")))
        gzip_response(r, path, str_n(zeros, str_starts(path, STR("/gzip/large")) ? sizeof zeros : sizeof zeros / 2));
    else if (str_starts(path, STR("/chunks")))
        chunked_response(r, str_n(zeros, sizeof zeros / 16));
    else if (str_starts(path, STR("/big")))
        buf_add(&r->body, zeros, sizeof zeros);
    else if (str_starts(path, STR("/busy"))) {
        r->status = 429;
        snprintf(r->headers, sizeof r->headers, "Retry-After: 7\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n");
        buf_add_z(&r->body, "later");
    } else if (str_starts(path, STR("/loop")))
        redirect_response(r, "127.0.0.1", ((struct http_server *)arg)->port, "/loop");
    else if (str_starts(path, STR("/away")))
        redirect_response(r, "localhost", client_other.port, "/there");
    else if (str_starts(path, STR("/moved"))) {
        redirect_response(r, "127.0.0.1", client_other.port, "/there");
        r->status = 308;
    }
    else if (str_starts(path, STR("/cut"))) {
        buf_add_z(&r->body, "abc");
        r->cut = 97;
        r->action = SERVER_CLOSE;
    } else if (str_starts(path, STR("/drop")))
        r->action = SERVER_DROP;
    else if (str_starts(path, STR("/silent")))
        r->action = SERVER_SILENT;
    else {
        bool once = str_starts(path, STR("/once"));
        snprintf(r->headers, sizeof r->headers, "%s", once ? "Connection: close\r\n" : "Content-Type: text/plain\r\n");
        r->action = once ? SERVER_CLOSE : SERVER_KEEP;
        buf_add_z(&r->body, "hello");
    }
}

struct loop *client_loop;
struct client *client_tested;

bool client_take(void *arg, const struct client_reply *r, struct str piece, struct err *err)
{
    struct client_result *res = arg;
    assert_true(r->status != 0);
    res->pieces++;
    buf_add_str(&res->body, piece);
    if (res->call)
        client_cancel(res->call);
    return !res->refuse || err_set(err, ERR_LIMIT, "enough");
}

void client_done(void *arg, const struct client_reply *r)
{
    struct client_result *res = arg;
    res->done++;
    res->reply = *r;
    snprintf(res->content_type, sizeof res->content_type, "%.*s", STR_ARG(r->content_type));
    snprintf(res->retry_after, sizeof res->retry_after, "%.*s", STR_ARG(r->retry_after));
}

const char *client_url(const struct http_server *s, const char *path)
{
    static char text[256];
    snprintf(text, sizeof text, "http://127.0.0.1:%d%s", s->port, path);
    return text;
}

struct client_request client_get(const char *path, struct client_result *res)
{
    return (struct client_request){
        .method = "GET", .url = client_url(&client_server, path), .timeout_ms = CLIENT_SOON_MS, .data = client_take,
        .done = client_done, .arg = res};
}

struct client_call *client_start(const struct client_request *req, struct client_result *res)
{
    buf_free(&res->body);
    *res = (struct client_result){.refuse = res->refuse};
    return client_send(client_tested, req);
}

void client_perform(const struct client_request *req, struct client_result *res)
{
    client_start(req, res);
    while (!res->done)
        loop_turn(client_loop, -1);
    assert_int_equal(res->done, 1);
}

int client_set_up(void **state UNUSED)
{
    http_server_start(&client_server, respond_by_path, &client_server);
    http_server_start(&client_other, respond_by_path, &client_other);
    client_loop = loop_new();
    client_tested = client_new(client_loop, &(struct client_settings){.max_inflight = 2, .connections = 600,
                                                                      .by_libcurl = client_by_libcurl});
    return 0;
}

int client_tear_down(void **state UNUSED)
{
    client_free(client_tested);
    loop_free(client_loop);
    http_server_stop(&client_server);
    http_server_stop(&client_other);
    file_work_await_threads(CLIENT_SOON_MS); /* one that has loaded libcurl has memory of OpenSSL until it ends */
    return 0;
}

void open_full_server(struct full_server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s->fd, 0), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    for (size_t i = 0; i < LEN(s->waiting); i++) {
        s->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(s->waiting[i], (struct sockaddr *)&at, size);
    }
}

void close_full_server(struct full_server *s)
{
    for (size_t i = 0; i < LEN(s->waiting); i++)
        close(s->waiting[i]);
    close(s->fd);
}
