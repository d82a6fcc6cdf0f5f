// SPDX-License-Identifier: Apache-2.0
/* Connections of listeners behind a load balancer that sends the PROXY protocol, from accept() until its header has
 * arrived: version 1 is a line of text, version 2 binary. Private to gateway/http.
 *
 *   PROXY TCP4 192.0.2.1 192.0.2.9 40000 443\r\n
 *   \r\n\r\n\0\r\nQUIT\n, version and command, family, length of the rest, source, destination, ports, further fields
 *
 * The address in it replaces the balancer's in logs, limits and the handshake that follows. Headers without an address
 * (UNKNOWN, LOCAL, as of health checks of the balancer itself, and Unix sockets) leave it. A connection that begins with
 * anything else is closed. Only the balancer may reach such a listener, since its clients choose the address.
 *
 * The header is peeked at until it is complete, then read, so that no byte behind it is lost. Lane's thread.
 */
#ifndef GATEWAY_HTTP_HTTP_PROXIED_H
#define GATEWAY_HTTP_HTTP_PROXIED_H

#include "gateway/http/http_sockets.h"

#include <netinet/in.h>

struct http_server;
void http_proxieds_free(struct http_server *s); /* closes them */
void http_proxied_add(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n);

enum proxy_header { PROXY_PART /* more bytes are needed */, PROXY_WRONG, PROXY_OK };
enum { PROXY_HEADER_MAX = 4096 }; /* bytes; version 2 with its further fields */
/* OK: *bytes of the header; *from is set unless it has no address. */
enum proxy_header proxy_header_parse(const char *p, size_t n, size_t *bytes, struct sockaddr_storage *from);

#endif
