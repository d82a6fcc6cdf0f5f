// SPDX-License-Identifier: Apache-2.0
/* Workers: threads that may block, compute and wait. Those for queries own a loop and a client with kept-alive
 * connections. Each does one task at a time, in straight-line code. Tasks have a class; each class has its own threads
 * and its own queue, so that queries cannot keep metrics and pages waiting. A full queue refuses at once.
 *
 * Workers for queries and pages run at a lower priority than lanes (nice), so that scrapes and pushes go first on a
 * busy machine. Only some of those that evaluate queries do so at the same time, as many as there are cores: a query
 * takes a turn for what is more than waiting for servers.
 */
#ifndef GATEWAY_QUERY_WORKER_H
#define GATEWAY_QUERY_WORKER_H

#include "base/http/client.h"
#include "base/list.h"
#include "model/source.h"

enum worker_class {
    WORKER_QUERY, WORKER_ADMIN, WORKER_BACKGROUND, WORKER_PUSH /* decompresses large bodies */, WORKER_CLASSES
};

enum { WORKER_PASSED = 3 };

struct workers;
struct worker { /* query_ctx.user of every query */
    unsigned id;
    struct loop *loop;       /* run by the worker while it waits for responses; NULL in classes that send no requests */
    struct client *client;   /* in that loop; created by the first worker_client */
    enum worker_class class;
    struct workers *_pool;
    bool _has_turn;
    /* Header lines of requests to servers while a query runs: via.h, and those that a query passes on. */
    const char *via, *passed[WORKER_PASSED]; unsigned n_passed;
    /* Lines that the client chose (--proxy-headers). Servers may have other data for each, so that nothing that was
     * learned from requests with other lines applies to a query that has some. */
    const char **proxied; unsigned n_proxied;
};
struct client *worker_client(struct worker *w);

struct worker_conf {
    unsigned workers[WORKER_CLASSES]; /* maximum threads per class; --query.max-concurrency for queries */
    unsigned waiting;        /* maximum length of a class's queue; 0 = 16 per worker */
    unsigned turns;          /* --query.max-evaluations; 0 = no limit */
    int max_fd;              /* no thread but the first of its class starts beyond this descriptor; 0 = no limit */
    struct budget *memory;   /* of queries: while little of it is left, no other query gets a turn. NULL = unlimited */
};
struct workers *workers_new(const struct worker_conf *c);

struct worker_task { /* owned by the caller, and unchanged until `done` runs or it is withdrawn */
    enum worker_class class;
    void (*run)(struct worker_task *t);   /* on a worker */
    void (*done)(struct worker_task *t);  /* afterwards, in `loop` */
    struct loop *loop;
    struct arena *arena;     /* what `run` allocates is released after it; may be NULL */
    struct list _node;
    struct loop_task _back;
    bool _waits;
};
/* Any thread. False: the queue is full, or no worker can be started. */
bool worker_submit(struct workers *p, struct worker_task *t) MUST_USE;
/* On the thread that submitted it: removes it from the queue; false if a worker has started it. */
bool worker_withdraw(struct workers *p, struct worker_task *t) MUST_USE;
/* On a worker thread: waits until fewer than `turns` queries evaluate; false, with the reason, if the query ends
 * meanwhile. Both may be called twice. `w` NULL: does nothing. */
bool worker_turn_begin(struct worker *w, const struct query_ctx *q, struct err *err) MUST_USE;
void worker_turn_end(struct worker *w);
/* On a worker thread that has no turn and is about to fill memory of its task's arena, as with a response that has begun:
 * it gets the spare memory, if no other worker has it. */
void worker_take_spare(struct worker *w);
struct worker *worker_self(void);     /* on a worker thread: itself */
void workers_stop(struct workers *p); /* waits for running tasks; worker_submit refuses from then on */
void workers_free(struct workers *p); /* after the last worker_submit */

#endif
