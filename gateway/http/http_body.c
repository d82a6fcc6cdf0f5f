// SPDX-License-Identifier: Apache-2.0
/* Bodies that are processed while they arrive, of routes with `streams_body`.
 *
 * The handler begins with the first part, or at the end of an empty body. What arrives is collected up to
 * BODY_PART_BYTES; then the connection is suspended, so that its client has to wait, until the handler takes bytes. At
 * the end of the body it is suspended until the handler finishes. A handler may finish earlier: the rest is read and
 * dropped, since the library responds only then.
 *
 * The deadline of a body (--web.read-timeout) begins again with each BODY_PROGRESS_BYTES.
 */
#include "gateway/http/http_connection.h"

enum { BODY_PART_BYTES = 256 << 10, BODY_PROGRESS_BYTES = 64 << 10 };

static void body_wait(struct http_connection *c, enum http_wait wait)
{
    http_socket_wait(&c->server->sockets, c->socket, wait);
    c->body_progress = 0;
}

/* Tells a handler that waits for it. */
static void body_tell(struct http_connection *c)
{
    void (*more)(struct http_request *r) = c->more;
    c->more = NULL;
    c->r.body = buf_str(&c->body);
    if (more)
        more(&c->r);
}

void http_body_start(struct http_connection *c)
{
    c->receiving = true;
    c->body.max = BODY_PART_BYTES;
    body_wait(c, HTTP_WAIT_BODY);
}

static void body_fail(struct http_connection *c)
{
    c->receiving = false;
    c->dropped = BODY_NO_MEMORY;
    c->r.body_state = HTTP_BODY_CUT;
    stats_add(&http_stats, HTTP_NO_BODY_MEMORY, 1);
    http_request_drop_body(c);
    body_tell(c);
}

size_t http_body_receive(struct http_connection *c, const char *p, size_t n)
{
    size_t room = BODY_PART_BYTES - c->body.n, taken = n < room ? n : room;
    if (!http_request_reserve_body(c, taken)) {
        body_fail(c);
        return n; /* dropped: the library calls again for a rest only if the connection is suspended */
    }
    buf_add(&c->body, p, taken);
    c->body_progress += taken;
    if (c->body_progress >= BODY_PROGRESS_BYTES)
        body_wait(c, HTTP_WAIT_BODY);
    body_tell(c);
    if (c->receiving && c->state == HTTP_WORKING && c->body.n == BODY_PART_BYTES) {
        body_wait(c, HTTP_AT_WORK);
        http_connection_suspend(c);
    }
    return taken;
}

void http_body_end(struct http_connection *c)
{
    c->receiving = false;
    c->r.body_state = HTTP_BODY_COMPLETE;
    body_wait(c, HTTP_AT_WORK);
    body_tell(c);
}

bool http_body_more(struct http_request *r, size_t used, void (*more)(struct http_request *r))
{
    struct http_connection *c = r->_connection;
    buf_drop_front(&c->body, used);
    r->body = buf_str(&c->body);
    if (c->receiving && c->suspended && used > 0) {
        body_wait(c, HTTP_WAIT_BODY);
        http_connection_resume(c);
    }
    if (r->body.n > 0 || r->body_state != HTTP_BODY_OPEN)
        return true;
    c->more = more;
    return false;
}
