// SPDX-License-Identifier: Apache-2.0
/* Inside base only: a shard of base/http/client.c is one multi of libcurl, run by the loop: the loop tells curl which
 * sockets are ready and what time it is, curl says which sockets and which time it waits for. Made when it is first
 * needed.
 */
#ifndef BASE_HTTP_CLIENT_MULTI_H
#define BASE_HTTP_CLIENT_MULTI_H

#include "base/err.h"
#include "base/os/loop.h"

struct client_multi {
    struct client *client;
    struct loop *loop;
    void *multi; /* CURLM; NULL until it is opened */
    struct loop_timer timer;
    struct loop_timer idle;                 /* client.c's: closes the shard when it is not used */
    unsigned n_calls;                       /* running */
    int64_t used;                           /* monotonic ms of the last end of a call */
    bool *in_curl;                          /* true while curl runs: no handle may be added or removed then */
    void (*settle)(struct client_multi *s); /* called when curl has returned */
};

/* connections: how many it keeps when they are idle. curl's global state has been set up. */
bool client_multi_open(struct client_multi *s, long connections) MUST_USE;
void client_multi_close(struct client_multi *s); /* fine when it was not opened; its handles are removed */

#endif
