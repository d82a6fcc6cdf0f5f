// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: the head of a request that needs no libcurl. That is: http:// to a server whose name is
 * ASCII, without a proxy, without a login in the URL, and without header fields that change how messages are framed.
 */
#ifndef BASE_HTTP_CLIENT_HEAD_H
#define BASE_HTTP_CLIENT_HEAD_H

#include "base/http/client.h"

/* Of client_request.close. */
#define CLIENT_CLOSE_LINE "Connection: close"

struct client_head {
    struct buf text;       /* ends in the empty line */
    struct str host;       /* in the request's URL, without brackets; or its socket */
    uint16_t port;         /* SERVER_SOCKET: host is the path of a Unix socket */
    size_t own_from, own_to; /* in text: the lines of client_request.headers */
};
/* False: the request needs libcurl, which also reports what is invalid or missing about it. */
bool client_head_build(struct client_head *h, const struct client_request *req, const char *user_agent) MUST_USE;

/* The server of a URL that needs no libcurl; host is within the URL. */
bool client_head_server(const char *url, struct str *host, uint16_t *port) MUST_USE;

#endif
