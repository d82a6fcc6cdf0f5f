// SPDX-License-Identifier: Apache-2.0
/* One request to one server group: which of its servers are queried, in which order, and when that is enough. The
 * contents are the caller's: each server has an attempt, which belongs to the caller (a selector: server_query.h, a
 * list: label_queries.c) and is started, canceled and ended through this interface.
 *
 *   attempt   IDLE --start--> RUNNING --attempt_succeeded-> SUCCEEDED
 *              ^                 | +----attempt_failed-----> FAILED
 *              +-----cancel------+
 *
 * An attempt changes its state in attempt_enter only, and each event of the request is handled in one function:
 *
 *                       READ_MERGE                               READ_HEDGE, READ_FIRST
 *   group_request_start start all that are not paused, or all    start the next
 *                       if all are
 *   attempt_succeeded   -                                        cancel running ones: one response is enough. An info
 *                                                                names those that were preferred
 *   attempt_failed      none has responded and none is running:  none has responded: start the next
 *                       start the next, which was paused
 *   late timer          check the running ones                   none has responded: check the running ones, and start
 *                                                                the next (READ_HEDGE)
 *   a check fails       the running one at this server fails     likewise
 *   a second one passes start the next that is complete, if the running one is
 *
 * The next is the first idle one in the order of preference that is not paused and whose clock is not wrong
 * (group_clock_wrong), otherwise the first that is not paused, otherwise the first: such servers are queried if no
 * other is left. If the server hung when it was last checked, it is checked again meanwhile: the query waits for it no
 * longer than for the check. A server may be paused for some kinds of requests only.
 *
 * A server that hangs costs the time until it is late, and that of the check (server_check.h). It is late after three
 * times its usual response time for the same kind of request, or, of replicas that are merged, after half as long again
 * as the first response took. While its checks pass, it is checked again and again, later each time; if its response has
 * begun and does not go on between two checks, it fails, too. Otherwise a request that is the last hope is not checked:
 * it has time until the deadline.
 *
 * On the worker's thread, within one request_batch: requests run in batch_wait.
 *
 * A replica that is known to be complete (gateway/coverage) is queried alone under READ_MERGE, and its response is
 * sufficient; if it fails, all are queried. The same is true of each server to which an expression is pushed. If it is
 * late, and still when it has passed a second check, the next one that is complete is queried, too, and whichever
 * responds first is used: nothing is lost by that.
 */
#ifndef GATEWAY_UPSTREAM_GROUP_REQUEST_H
#define GATEWAY_UPSTREAM_GROUP_REQUEST_H

#include "gateway/upstream/fetch.h"

enum attempt_state { ATTEMPT_IDLE, ATTEMPT_RUNNING, ATTEMPT_SUCCEEDED, ATTEMPT_FAILED };
struct group_request;
struct attempt { /* at one server; first member of the caller's struct */
    struct group_request *request;
    struct server *server;
    enum attempt_state state;
    bool complete;               /* it has everything that is requested: its response alone is sufficient */
    bool wrong_clock;            /* group_clock_wrong */
    unsigned passed;             /* checks, while it was late */
    struct err err;              /* FAILED */
    struct arena arena;          /* for the response; freed with the query's, or when the attempt fails or is canceled */
};
struct attempt_ops {
    void (*start)(struct attempt *a);  /* sends the request; attempt_succeeded or attempt_failed follows */
    void (*cancel)(struct attempt *a); /* of a running one: neither follows. It may be started again */
    /* The kinds of requests that it sends, or would send, as bits by enum latency_call; NULL: unknown. */
    unsigned (*calls)(const struct attempt *a);
};
struct group_request {
    struct request_batch *batch;
    const struct group *group;
    enum read_mode mode;
    const struct attempt_ops *ops;
    struct attempt **attempts; size_t n; /* of the group's servers, or of those chosen */
    struct plan_turn turn;       /* in which they are preferred */
    struct attempt *complete;    /* READ_MERGE: queried alone, since it has everything; all, if it fails. NULL: none */
    bool settled;                /* one has responded whose response is sufficient */
    bool any_clock;              /* servers are queried regardless of their clocks */
    bool dispensable;            /* the caller can do without a response */
    struct loop_timer _late;
    struct list _node;           /* of request_batch.requests */
    int64_t _begin;              /* loop_mono */
};
/* Creates an idle attempt for each server of the group. Items of `size` bytes begin with a struct attempt. */
void group_request_init(struct group_request *r, struct request_batch *batch, const struct group *group,
                        enum read_mode mode, const struct attempt_ops *ops, void *items, size_t size);
void group_request_start(struct group_request *r);
void group_request_stop(struct group_request *r); /* after batch_wait, also if that failed: stops the timer */

/* Called by the caller's attempts. err names group and server; it is copied. */
void attempt_succeeded(struct attempt *a);
void attempt_failed(struct attempt *a, const struct err *err);

/* ---- after batch_wait ---- */

bool group_request_answered(const struct group_request *r);       /* by at least one server */
void group_request_note_missed(const struct group_request *r);    /* infos about replicas that failed */
/* No server responded: one error that names group and servers, of the most severe class. */
void group_request_error(const struct group_request *r, struct err *err);

/* Whether the query may do without the group: the result is then partial, with a warning unless it is ignored. */
bool group_may_fail(const struct group *g, struct query_ctx *q, const struct err *why);

#endif
