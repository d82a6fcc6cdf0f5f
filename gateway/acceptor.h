// SPDX-License-Identifier: Apache-2.0
/* The acceptor: a thread that owns the listening sockets and receives signals, so that connections are accepted and a
 * stop is noticed while the control thread reads files. It parses nothing, opens no file after its start and takes no
 * lock that a reload holds.
 */
#ifndef GATEWAY_ACCEPTOR_H
#define GATEWAY_ACCEPTOR_H

#include "gateway/http/http.h"

struct acceptor;
struct acceptor_conf { /* all borrowed */
    struct listener *listeners; size_t n_listeners;
    struct http_server *const *servers; unsigned n_servers;
    struct http_limits *limits;
    /* On the acceptor's thread, for SIGHUP, SIGTERM and SIGINT. Must not block. */
    void (*on_signal)(struct acceptor *a, void *arg, int signal);
    void *arg;
};
/* Blocks these signals. Call before other threads start, which inherit the mask: the acceptor receives the signals that
 * arrive from then on. */
void acceptor_block_signals(void);
/* Starts listening and accepting. NULL: an address cannot be used, or there is no thread or descriptor left. */
struct acceptor *acceptor_start(const struct acceptor_conf *conf, struct err *err) MUST_USE;
const struct http_listener *acceptor_listener(const struct acceptor *a, size_t i);
/* Calls on_late on the acceptor's thread after `ms`, unless the acceptor is stopped before. From on_signal. */
void acceptor_alarm(struct acceptor *a, int64_t ms, void (*on_late)(void *arg));
void acceptor_stop(struct acceptor *a);           /* closes the sockets and joins; NULL is fine */

#endif
