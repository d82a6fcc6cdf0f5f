// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/session.h"

#include "gateway/query/worker.h"

enum { RETRY_SECONDS = 2 };

static atomic_uint session_turns;

void query_session_begin(struct query_session *s, const struct query_session_conf *conf)
{
    *s = (struct query_session){.service = *conf->service, .notes.arena = conf->arena, .active = conf->active,
                                ._memory = conf->memory, ._shared = conf->shared};
    s->q = (struct query_ctx){.arena = conf->arena, .notes = &s->notes, .deadline_mono = conf->deadline_mono,
                              .canceled = conf->canceled, .turn = atomic_fetch_add(&session_turns, 1),
                              .stopped = conf->active ? &conf->active->stopped : NULL, .user = worker_self()};
}

static void session_on_full(struct arena *a, size_t wanted UNUSED, void *arg)
{
    struct query_session *s = arg;
    arena_full_error(a, a->max, s->_err);
    longjmp(s->_full, 1);
}

static bool session_work(struct query_session *s, query_work *work, void *arg)
{
    struct arena *a = s->q.arena;
    if (setjmp(s->_full))
        return false;
    a->max = s->_memory;
    a->on_full = session_on_full;
    a->on_full_arg = s;
    if (s->_shared && !arena_charge(a, s->_shared)) {
        arena_full_error(a, a->max, s->_err);
        return false;
    }
    return worker_turn_begin(s->q.user, &s->q, s->_err) && work(arg);
}

bool query_session_run(struct query_session *s, query_work *work, void *arg, struct err *err)
{
    s->_err = err;
    bool ok = session_work(s, work, arg);
    worker_turn_end(s->q.user);
    s->q.arena->on_full = NULL;
    if (!ok && err->kind == ERR_UNAVAILABLE && err->retry_after == 0 && s->q.arena->starved)
        err->retry_after = RETRY_SECONDS;
    return ok;
}

void query_session_end(struct query_session *s)
{
    if (s->end)
        s->end(s->end_arg);
    s->end = NULL;
}
