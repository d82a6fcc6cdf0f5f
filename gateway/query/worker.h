// SPDX-License-Identifier: Apache-2.0
/* Query workers: a small pool of threads that may block, compute and wait. Each owns a loop and a client with
 * kept-alive connections, and does one request at a time, in straight-line code. A full waiting line refuses at once.
 *
 * Workers run at a lower priority than lanes (nice 10), so that scrapes and pushes go first on a busy machine. Only
 * some of them evaluate at the same time, as many as there are cores: a query takes a turn for what is more than
 * waiting for servers.
 */
#ifndef GATEWAY_QUERY_WORKER_H
#define GATEWAY_QUERY_WORKER_H

#include "base/http/client.h"
#include "gateway/http/http.h"
#include "model/source.h"

struct worker { /* query_ctx.user of every query */
    unsigned id;
    struct loop *loop;       /* turned by hand while answers are awaited */
    struct client *client;   /* in that loop; made at its first use: worker_client */
    bool _has_turn;
};
struct client *worker_client(struct worker *w);

struct worker_conf {
    unsigned workers;        /* --query.max-concurrency */
    unsigned waiting;        /* longest line; 0 = 16 for each worker */
    unsigned turns;          /* --query.max-evaluations; 0 = no limit */
    struct budget *memory;   /* of queries: while little of it is left, nobody else gets a turn. NULL = not looked at */
};
void workers_start(const struct worker_conf *c); /* once */
/* False: the line is full, or the first worker cannot start (the caller answers 503 with Retry-After). run is called on
 * a worker; then `done` is posted to the request's lane. */
bool worker_submit(struct http_request *r, http_handler *run, void (*done)(struct http_request *r));
/* On the request's lane: takes it back out of the line; false when a worker has it already, or it is done. */
bool worker_withdraw(struct http_request *r) MUST_USE;
/* On a worker thread: waits until few enough others evaluate; false, with the reason, when the query ends meanwhile.
 * Both may be called twice. `w` NULL: nothing happens. */
bool worker_turn_begin(struct worker *w, const struct query_ctx *q, struct err *err) MUST_USE;
void worker_turn_end(struct worker *w);
struct worker *worker_self(void);  /* on a worker thread: itself */
void workers_stop(void);           /* waits for those at work; from now on worker_submit refuses */
void workers_free(void);           /* when no lane runs any more */

#endif
