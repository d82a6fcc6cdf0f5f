// SPDX-License-Identifier: Apache-2.0
/* Query workers: a small pool of threads that may block, compute and wait. Each owns a loop and a client with
 * kept-alive connections, and does one request at a time, in straight-line code. A full waiting line refuses at once.
 */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include "base/client.h"
#include "gateway/http.h"

struct worker { /* query_ctx.user of every query */
    unsigned id;
    struct loop *loop;       /* turned by hand while answers are awaited */
    struct client *client;   /* in that loop; made at its first use: worker_client */
};
struct client *worker_client(struct worker *w);

struct worker_conf {
    unsigned workers;        /* --query.max-concurrency */
    unsigned waiting;        /* longest line; 0 = 16 for each worker */
};
void workers_start(const struct worker_conf *c); /* once */
/* False: the line is full (the caller answers 503 with Retry-After). run is called on a worker; then `done` is posted
 * to the request's lane. */
bool worker_submit(struct http_request *r, http_handler *run, void (*done)(struct http_request *r));
struct worker *worker_self(void);  /* on a worker thread: itself */
void workers_stop(void);           /* waits for those at work; from now on worker_submit refuses */
void workers_free(void);           /* when no lane runs any more */

#endif
