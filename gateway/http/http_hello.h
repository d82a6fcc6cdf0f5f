// SPDX-License-Identifier: Apache-2.0
/* Connections of TLS listeners, from accept() until their ClientHello has arrived completely. Private to gateway/http.
 *
 *   http_hello_add      the kernel wakes the lane when the first record is complete (SO_RCVLOWAT); nothing is read
 *   on_hello_readable   HTTP instead of TLS gets a 400; a complete ClientHello is queued
 *   hello_greet         one connection a turn of the loop is handed to the library, which answers at once
 *
 * Answering a ClientHello costs a signature, 1 to 2 ms of CPU time for an RSA key: with one a turn, scrapes and pushes
 * of the lane go on between the handshakes of many clients. A client that connects and sends nothing costs a descriptor
 * and some 200 bytes, until its deadline or until its place is needed (http_sockets.h). Lane's thread.
 */
#ifndef GATEWAY_HTTP_HTTP_HELLO_H
#define GATEWAY_HTTP_HTTP_HELLO_H

#include "gateway/http/http_sockets.h"

#include <netinet/in.h>

struct http_server;
struct http_hello {
    struct list node;
    struct loop_fd watch;
    struct http_server *server;
    unsigned wakes;
    struct http_socket *socket;
    struct sockaddr_storage from;
    unsigned n_from;
};
struct http_hellos {
    struct list waiting, complete; /* of http_hello.node */
    struct loop_task greet;
};
void http_hellos_init(struct http_hellos *h);
void http_hellos_free(struct http_server *s); /* closes them */
void http_hello_add(struct http_server *s, struct http_socket *k, const struct sockaddr *from, unsigned n); /* k->tls is set */

#endif
