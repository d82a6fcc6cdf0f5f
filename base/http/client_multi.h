// SPDX-License-Identifier: Apache-2.0
/* Internal to base/http: a shard of base/http/client.c is one multi of libcurl, driven by the loop. The loop reports
 * ready sockets and the time to curl; curl registers its sockets and its timeout. Created when first needed. */
#ifndef BASE_HTTP_CLIENT_MULTI_H
#define BASE_HTTP_CLIENT_MULTI_H

#include "base/err.h"
#include "base/os/loop.h"

struct multi_socket { /* of a connection */
    uint64_t url; /* hash of the one that it was opened for */
    int fd;
    bool busy, ended;
};

struct client_multi {
    struct client *client;
    struct loop *loop;
    void *multi; /* CURLM; NULL until opened */
    struct multi_socket *sockets;
    size_t n_sockets, sockets_cap;
    struct loop_timer timer;
    struct loop_timer idle;                 /* client.c's: closes an idle shard */
    unsigned n_calls;                       /* running */
    int64_t used;                           /* monotonic ms at the end of the last call */
    bool *in_curl;                          /* true while curl runs: no handle may be added or removed */
    void (*settle)(struct client_multi *s); /* called when curl has returned */
};

/* connections: maximum of idle connections kept. libcurl must be loaded (curl_library.h). */
bool client_multi_open(struct client_multi *s, long connections) MUST_USE;
void client_multi_close(struct client_multi *s); /* no effect when not opened; its handles must be removed before */

/* curl opens and closes a socket. */
void client_multi_opened(struct client_multi *s, int fd, uint64_t url);
void client_multi_closed(struct client_multi *s, int fd);
/* Ends the idle connections that were opened for the URL. curl closes their descriptors at the multi's next request;
 * when nothing else uses the multi, it is closed. */
void client_multi_end_idle(struct client_multi *s, uint64_t url);

#endif
