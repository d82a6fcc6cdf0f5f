// SPDX-License-Identifier: Apache-2.0
/* An HTTP/1.1 server on loopback for unit tests, in a separate thread.
 *
 * A handler decides the response to each request: status, headers, body, a delay, a response that is cut short, none at
 * all. Without a handler the server gives the response of http_server_respond. One thread serves all connections with
 * poll(2), so a test may open as many as it likes, a silent response holds up no other one, and the handler needs no
 * lock but for what it shares with the test.
 *
 * The server counts what it sees. A request counts before its handler runs, a connection as closed after its close(2).
 */
#ifndef TESTS_UNIT_HTTP_SERVER_H
#define TESTS_UNIT_HTTP_SERVER_H

#include "base/buf.h"
#include "base/os/thread.h"

#include <stdatomic.h>

struct server_request { struct str method, path, head, body; }; /* head: request line and headers; path: with query */

enum server_action {
    SERVER_KEEP,   /* send the response, wait for the next request */
    SERVER_CLOSE,  /* send the response, close the connection */
    SERVER_DROP,   /* close the connection without a response */
    SERVER_SILENT, /* no response; the connection stays open until the client closes it */
};
struct server_response {
    int status;         /* 200 */
    char headers[256];  /* complete lines, each with its \r\n */
    struct buf body;    /* empty; the server's */
    bool raw;           /* `body` is the complete response, with its head; cut must be 0 */
    size_t cut;         /* Content-Length promises so many bytes more than are sent; use with SERVER_CLOSE */
    int delay_ms;       /* before the response or the drop */
    enum server_action action;
};
/* On the server's thread. A connection that begins with a TLS handshake is a request for the path "/tls". */
typedef void server_handler(void *arg, const struct server_request *request, struct server_response *response);

struct http_server {
    int port;
    atomic_uint requests, accepted, closed; /* requests; connections */
    atomic_size_t received;                 /* bytes of requests */
    /* private */
    int fd, wake[2];
    struct thread *thread;
    server_handler *handler;
    void *arg;
    struct mutex mutex;                     /* guards the fields below */
    struct cond settled;
    struct buf last, copy;
    int status;
    struct buf body;
    bool silent, stopping, settling;
};

void http_server_start(struct http_server *s, server_handler *handler, void *arg); /* handler NULL: 200, empty body */
void http_server_stop(struct http_server *s); /* closes the port and all connections */

/* Without a handler: text/plain with Connection: close. */
void http_server_respond(struct http_server *s, int status, const char *body);
void http_server_be_silent(struct http_server *s, bool silent);

const char *http_server_last_request(struct http_server *s); /* head and body; valid until the next call */
bool http_server_last_contains(struct http_server *s, const char *text);
/* Waits, at most 2 s, until every connection that a client has closed is closed here too and its requests are done. */
void http_server_settle(struct http_server *s);

#endif
