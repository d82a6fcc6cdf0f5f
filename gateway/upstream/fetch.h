// SPDX-License-Identifier: Apache-2.0
/* The HTTP requests of one call of the source, run concurrently, and the wait for them. On a query worker, in its loop.
 *
 * The arena of a query leaves the query by longjmp when its budget is used up. That must not happen while curl is on
 * the stack: a batch lifts the budget, checks it after every part of a response, and restores it in batch_end.
 *
 * If the memory of the query is used up and one response has more than twice as much as everything else, only that
 * request fails: replicas have about the same samples, so its response must be wrong. Otherwise the query fails.
 */
#ifndef GATEWAY_UPSTREAM_FETCH_H
#define GATEWAY_UPSTREAM_FETCH_H

#include "gateway/upstream/decode/export_blocks.h"
#include "gateway/query/worker.h"
#include "gateway/upstream/group.h"

struct request_batch {
    struct query_ctx *q;
    struct worker *worker;
    size_t max_response;          /* bytes of one response */
    struct arena_limits limits;   /* of the query's arena */
    int64_t now;                  /* Unix ms, for time ranges of groups */
    struct list in_flight;      /* struct fetch */
    struct list requests;       /* struct group_request, from its start to its stop */
    struct list checks;         /* struct server_check, of servers that are late; batch_wait does not wait for them */
    /* A check has ended, of a kind of requests (enum latency_call) or SERVER_ITSELF; hangs: the error if the server
     * hangs, otherwise NULL. */
    void (*checked)(struct request_batch *r, struct server *s, unsigned call, const struct err *hangs);
    struct err err;             /* why the batch ends; set by batch_fail */
    int64_t _left;              /* units of work until the next check */
};
void batch_begin(struct request_batch *r, struct query_ctx *q, size_t max_response);
/* Waits until no request is in flight. False: the query must end (timeout, client disconnected, memory, or batch_fail),
 * and its requests have been canceled. */
bool batch_wait(struct request_batch *r, struct err *err) MUST_USE;
/* between steps of long work: whether time and memory are left */
bool batch_check(struct request_batch *r, struct err *err) MUST_USE;
/* The same every 65,536 units of work of a few nanoseconds each, as model/query_work.h counts them. */
static inline bool batch_charge(struct request_batch *r, uint64_t units, struct err *err)
{
    r->_left -= (int64_t)units;
    if (r->_left >= 0)
        return true;
    r->_left = 1 << 16;
    return batch_check(r, err);
}
static inline struct group_reader batch_reader(const struct request_batch *r)
{
    return (struct group_reader){r->now, r->worker && r->worker->n_proxied > 0};
}
void batch_fail(struct request_batch *r, const struct err *why); /* from a callback; the first error is kept */
void batch_end(struct request_batch *r); /* required; the arena may leave the query again afterwards */
/* An empty response of a server to a request of the batch, for samples of any time. arena: of its series. */
struct response batch_response(const struct request_batch *r, const struct label_view *view, const struct server *server,
                               struct arena *arena);
static inline struct response_secrets server_secrets(const struct server *s)
{
    return (struct response_secrets){.profile = s->profile, .url = s->sent_url, .group = s->group, .shown = s->shown};
}

struct fetch_plan {
    struct server *server;
    const char *path;           /* "/api/v1/query"; NULL: the server's remote_read URL */
    struct str form;            /* parameters, or with path NULL the body */
    bool get;                   /* parameters are part of the URL */
    struct decoder *decoder;    /* owned by the fetch */
    const struct arena *arena;  /* a child of the query's, of what is decoded; NULL: it may not fail alone */
    /* err NULL: decoded. status: of HTTP, 0 without a complete response. Not called for requests that batch_wait
     * cancels. */
    void (*done)(void *arg, const struct err *err, int status);
    void *arg;
    struct fetch **slot;        /* points to the fetch while it is in flight, otherwise NULL */
    const enum blocks_refusal *refusal; /* set by a decoder that failed through no fault of the server; NULL: none */
    /* For explain; both may be absent. */
    struct str query;           /* selector or expression; valid until `done` */
    const uint64_t *n_samples;  /* that the decoder counts */
};
/* A server that has cost this query its timeout or memory is not requested again: fills err. */
bool batch_gave_up(const struct request_batch *r, const struct server *s, struct err *err);
void fetch_send(struct request_batch *r, const struct fetch_plan *plan); /* form is copied */
void fetch_cancel(struct fetch *f);                                     /* no callback */
/* Whether a response of the server has begun, and less than STALL_BYTES of it have arrived in the last STALL_MS or more,
 * between two calls: fills err. */
enum { STALL_MS = 400, STALL_BYTES = 512 };
bool batch_stalls(struct request_batch *r, const struct server *s, unsigned calls, struct err *err);

#endif
