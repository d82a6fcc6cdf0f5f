// SPDX-License-Identifier: Apache-2.0
/* The HTTP requests that one call of the source has under way, and the wait for them. On a query worker, in its loop.
 *
 * The arena of a query jumps out of it when its budget is spent. That must not happen while curl is on the stack, so
 * a round lifts the budget, looks at it after every piece of an answer, and sets it back in batch_end.
 */
#ifndef GATEWAY_UPSTREAM_FETCH_H
#define GATEWAY_UPSTREAM_FETCH_H

#include "gateway/upstream/response.h"
#include "gateway/query/worker.h"

struct request_batch {
    struct query_ctx *q;
    struct worker *worker;
    size_t max_answer;          /* bytes of one answer */
    size_t budget;              /* of the query's arena; 0 = none */
    struct list under_way;      /* struct fetch */
    struct err err;             /* why everything ends: set by batch_fail */
    void (*_on_full)(struct arena *a, size_t wanted, void *arg);
};
void batch_begin(struct request_batch *r, struct query_ctx *q, size_t max_answer);
/* Until nothing is under way. False: the query must end (time, client gone, memory, or batch_fail): nothing is under
 * way then either. */
bool batch_wait(struct request_batch *r, struct err *err) MUST_USE;
/* between steps of long work: any time and memory left? */
bool batch_check(struct request_batch *r, struct err *err) MUST_USE;
void batch_fail(struct request_batch *r, const struct err *why); /* from a callback: the first one counts */
void batch_end(struct request_batch *r);                     /* must be called, after which the arena may jump again */

struct fetch_plan {
    struct server *server;
    const char *path;           /* "/api/v1/query"; NULL: the server's remote_read URL */
    struct str form;            /* parameters, or with path NULL the body */
    bool get;                   /* parameters go into the URL */
    struct decoder *decoder;    /* taken over */
    /* err NULL: decoded. status: HTTP's, 0 when no whole answer came. Not called for what batch_wait cancels. */
    void (*done)(void *arg, const struct err *err, int status);
    void *arg;
    struct fetch **slot;        /* points to the fetch while it is under way, NULL afterwards */
    /* For explain; both may be absent. */
    struct str query;           /* selector or expression; valid until `done` */
    const uint64_t *n_samples;  /* that the decoder counts */
};
void fetch_send(struct request_batch *r, const struct fetch_plan *plan); /* form is copied */
void fetch_cancel(struct fetch *f);                                     /* no callback */

#endif
