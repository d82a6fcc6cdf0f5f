// SPDX-License-Identifier: Apache-2.0
/* Responses by libmicrohttpd: headers, complete bodies, and bodies in parts (http_stream.h). */
#include "gateway/http/http_connection.h"

#include "base/telemetry/log.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <string.h>

/* ---- the library's own responses ---- */

typedef enum MHD_Result queue_response_fn(struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response);

/* The library's function, which the one of the same name below hides. */
static queue_response_fn *library_queue_response(void)
{
    static _Atomic(queue_response_fn *) found; /* the same for all lanes */
    queue_response_fn *f = atomic_load(&found);
    if (f == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "MHD_queue_response");
        memcpy(&f, &symbol, sizeof f);
        atomic_store(&found, f);
    }
    return f;
}

/* The library calls this one for its own responses, too: symbols of a program precede those of its shared libraries. It
 * refuses a version such as HTTP/2.0 before it calls us for the first time, with 505. That counts as a failure of the
 * server in alerts and in proxies, which may repeat the request elsewhere, although only the client can mend it. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
    return library_queue_response()(mhd, status == MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED ? MHD_HTTP_BAD_REQUEST : status, response);
}

/* ---- the response ---- */

static void response_add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value)
        MHD_add_response_header(response, name, value);
}

static void response_add_cors(struct http_connection *c, struct MHD_Response *response)
{
    const char *origin = MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, "Origin");
    const char *allow = http_allow_origin(c->server->origins, origin);
    if (allow == NULL)
        return;
    response_add_header(response, "Access-Control-Allow-Origin", allow);
    response_add_header(response, "Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin");
    response_add_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    response_add_header(response, "Access-Control-Expose-Headers", "Date");
    response_add_header(response, "Vary", "Origin");
}

/* Adds a header unless the listener's configuration has one of that name. */
static void response_add_default(const struct http_connection *c, struct MHD_Response *response, const char *name,
                                 const char *value)
{
    for (size_t i = 0; c->access && i < c->access->n_headers; i++)
        if (str_ieq(str_of(c->access->headers[i].name), str_of(name)))
            return;
    response_add_header(response, name, value);
}

/* Pages load no scripts of other sites and are shown in no frame; no response is taken for another type. */
static void response_add_security(const struct http_connection *c, struct MHD_Response *response)
{
    const struct http_access *a = c->access;
    response_add_default(c, response, "X-Content-Type-Options", "nosniff");
    if (str_starts(str_of(c->r.content_type), STR("text/html"))) {
        response_add_default(c, response, "X-Frame-Options", "DENY");
        response_add_default(c, response, "Content-Security-Policy",
                             "default-src 'self'; style-src 'self' 'unsafe-inline'; "
                             "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    }
    for (size_t i = 0; a && i < a->n_headers; i++)
        response_add_header(response, a->headers[i].name, a->headers[i].value[0] ? a->headers[i].value : NULL);
}

static void response_add_headers(struct http_connection *c, struct MHD_Response *response)
{
    struct http_request *r = &c->r;
    if (r->status != MHD_HTTP_NO_CONTENT) {
        response_add_header(response, "Content-Type", r->content_type);
        response_add_header(response, "Vary", "Accept-Encoding");
    }
    for (const char *name = r->headers.p, *end = name + r->headers.n; name < end;) {
        const char *value = name + strlen(name) + 1;
        response_add_header(response, name, value);
        name = value + strlen(value) + 1;
    }
    response_add_header(response, "X-Sluice-Query-Id", r->query_id[0] ? r->query_id : NULL);
    response_add_header(response, "Content-Encoding", r->compressed ? "gzip" : NULL);
    response_add_header(response, "Connection", c->close ? "close" : NULL);
    response_add_cors(c, response);
    response_add_security(c, response);
}

static void http_count_request(const struct http_request *r)
{
    stats_add(&http_stats, HTTP_REQUESTS, 1);
    if (r->status >= 500)
        stats_add(&http_stats, HTTP_SERVER_ERRORS, 1);
    else if (r->status >= 400)
        stats_add(&http_stats, HTTP_CLIENT_ERRORS, 1);
}

/* Logs the path without parameters, which may contain secrets. */
static void log_request(struct http_connection *c)
{
    const struct http_request *r = &c->r;
    if (r->route && r->route->logged)
        log_info("http", "request", "path", r->route->path, LOG_I64("status", r->status),
                 LOG_I64("ms", loop_mono(c->server->loop) - r->started_mono));
}

/* Counts the bytes of the response until the client has read them. Beyond the limit waiting responses are dropped,
 * never the new one: each lane has at most one response beyond the limit. */
static void charge_response(struct http_connection *c)
{
    struct http_limits *l = c->conf->limits;
    struct buf *out = &c->r.out;
    if (buf_charge(out, &l->responses))
        return;
    size_t left = budget_left(&l->responses);
    http_sockets_drop_unread(&c->server->sockets, out->cap > left ? out->cap - left : 0);
    buf_charge_anyway(out, &l->responses);
    loop_post(c->server->loop, &c->daemon->again);
}

/* The library borrows the body until on_completed. */
int http_response_send(struct http_connection *c)
{
    struct http_request *r = &c->r;
    charge_response(c);
    http_socket_send(&c->server->sockets, c->socket, r->out.cap);
    void *body = r->out.n ? r->out.p : (char *)"";
    struct MHD_Response *response = MHD_create_response_from_buffer(r->out.n, body, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    response_add_headers(c, response);
    http_count_request(r);
    log_request(c);
    if (c->conf->hooks.sent)
        c->conf->hooks.sent(r);
    int result = (int)MHD_queue_response(c->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

size_t http_response_bytes(const struct http_request *r)
{
    const struct http_stream *s = r->_connection->stream;
    return s ? s->sent : r->out.n;
}

/* ---- responses in parts ---- */

enum { STREAM_BLOCK = 64 << 10 };

/* While there is nothing to send the connection is suspended, as while a worker has not begun. */
static ssize_t stream_read(void *arg, uint64_t at UNUSED, char *to, size_t max)
{
    struct http_connection *c = arg;
    ssize_t n = http_stream_take(c->stream, to, max);
    switch (n) {
    case HTTP_STREAM_NONE:
        http_socket_wait(&c->server->sockets, c->socket, HTTP_AT_WORK);
        http_connection_suspend(c);
        return 0;
    case HTTP_STREAM_END: return MHD_CONTENT_READER_END_OF_STREAM;
    case HTTP_STREAM_FAILED: return MHD_CONTENT_READER_END_WITH_ERROR;
    default:
        http_socket_send(&c->server->sockets, c->socket, (size_t)n + http_stream_left(c->stream));
        return n;
    }
}

static void on_stream_wake(struct loop_task *t)
{
    struct http_stream *s = CONTAINER(t, struct http_stream, wake);
    struct http_connection *c = s->owner;
    if (c->mhd)
        http_connection_resume(c);
}

bool http_stream_send(struct http_request *r, int64_t deadline)
{
    struct http_connection *c = r->_connection;
    if (c->stream == NULL) {
        struct http_stream *s = http_stream_new(c->conf->limits, on_stream_wake);
        s->owner = c;
        s->gzip = !r->identity && http_accepts_gzip(r) ? gzip_writer_new(HTTP_GZIP_LEVEL) : NULL;
        r->compressed = s->gzip;
        c->stream = s; /* from here on the connection is the loop's */
        r->streaming = true;
    }
    if (r->compressed && !http_stream_compress(r, false))
        return false;
    return http_stream_put(c->stream, r->loop, &r->out, &r->canceled, deadline);
}

int http_response_stream(struct http_connection *c)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, c, NULL);
    if (response == NULL)
        return MHD_NO;
    c->stream->started = true;
    response_add_headers(c, response);
    http_count_request(&c->r);
    log_request(c);
    int result = (int)MHD_queue_response(c->mhd, (unsigned)c->r.status, response);
    MHD_destroy_response(response);
    return result;
}
