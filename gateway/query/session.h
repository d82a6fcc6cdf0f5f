// SPDX-License-Identifier: Apache-2.0
/* The context of one request to the query half: memory, deadline, cancellation, notes, and the worker that runs it.
 * Made once for each request by whoever brings it to a worker (the dispatcher for HTTP), and used on that worker until
 * its end. Callers that need no worker (the command line) have none.
 *
 *   query_session_begin    takes nothing that can fail
 *   query_session_run      charges the memory, waits for a turn, runs the work; more than once if need be
 *   query_session_end      releases what the work has left behind
 *
 * While work runs, the arena has the budget of a query; an allocation beyond it, wherever that happens, ends the work
 * by a jump, with ERR_LIMIT. So work keeps nothing but what the arena (arena_at_end) or `end` gives back.
 */
#ifndef GATEWAY_QUERY_SESSION_H
#define GATEWAY_QUERY_SESSION_H

#include "gateway/query/service.h"

#include <setjmp.h>

struct budget;
struct query_session_conf {
    const struct query_service *service; /* copied */
    struct arena *arena;
    size_t memory;                 /* bytes that the arena may hold; 0 = no limit */
    struct budget *shared;         /* of all queries; NULL = none */
    int64_t deadline_mono;         /* clock_mono_ms; 0 = none. Work may shorten it (q.deadline_mono) */
    const atomic_bool *canceled;   /* may be NULL */
};
struct query_session {
    struct query_service service;
    struct query_ctx q;            /* for sources and query_run */
    struct notes notes;            /* q.notes */
    void (*end)(void *arg);        /* work may set it: called by query_session_end, however the work ended */
    void *end_arg;
    size_t _memory;
    struct budget *_shared;
    struct err *_err;
    jmp_buf _full;
};
void query_session_begin(struct query_session *s, const struct query_session_conf *conf);
/* False: `work` returned false, having filled err, or memory was spent, or the query ended before it had a turn. */
typedef bool query_work(void *arg);
bool query_session_run(struct query_session *s, query_work *work, void *arg, struct err *err) MUST_USE;
void query_session_end(struct query_session *s);

#endif
