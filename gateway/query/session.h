// SPDX-License-Identifier: Apache-2.0
/* The context of a query: memory, deadline, cancellation, annotations, and the worker that runs it. Created once per
 * request by the code that submits it to a worker (the dispatcher for HTTP), and used on that worker until its end.
 * Callers without a worker (the command line) have none.
 *
 *   query_session_begin    cannot fail
 *   query_session_run      charges the memory, waits for a turn, runs the work; may be called several times
 *   query_session_end      releases what the work has left
 *
 * While the work runs, the arena has the budget of a query; an allocation beyond it ends the work by longjmp with
 * ERR_LIMIT. So all resources of the work must be released by the arena (arena_at_end) or by `end`.
 */
#ifndef GATEWAY_QUERY_SESSION_H
#define GATEWAY_QUERY_SESSION_H

#include "gateway/query/active.h"
#include "gateway/query/service.h"

#include <setjmp.h>

struct budget;
struct query_session_conf {
    const struct query_service *service; /* copied */
    struct arena *arena;
    size_t memory;                 /* maximum bytes of the arena; 0 = no limit */
    struct budget *shared;         /* of all queries; NULL = none */
    int64_t deadline_mono;         /* clock_mono_ms; 0 = none. The work may shorten it (q.deadline_mono) */
    const atomic_bool *canceled;   /* may be NULL */
    struct active_query *active;   /* may be NULL */
};
struct query_session {
    struct query_service service;
    struct query_ctx q;            /* for sources and query_run */
    struct notes notes;            /* q.notes */
    struct active_query *active;   /* may be NULL */
    void (*end)(void *arg);        /* the work may set it: called by query_session_end in any case */
    void *end_arg;
    size_t _memory;
    struct budget *_shared;
    struct err *_err;
    jmp_buf _full;
};
void query_session_begin(struct query_session *s, const struct query_session_conf *conf);
/* False: `work` returned false and set err, memory was used up, or the query ended before it had a turn. */
typedef bool query_work(void *arg);
bool query_session_run(struct query_session *s, query_work *work, void *arg, struct err *err) MUST_USE;
void query_session_end(struct query_session *s);

#endif
