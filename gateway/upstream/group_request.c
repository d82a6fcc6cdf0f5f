// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/group_request.h"

#include "base/text/duration.h"
#include "gateway/upstream/server_check.h"
#include "gateway/upstream/stats.h"

enum { HEDGE_MIN_MS = 20, HEDGE_UNKNOWN_MS = 250, LATE_MIN_MS = 50, LATE_AGAIN_MS = 500 };

/* --- attempts ----------------------------------------------------------------------------------------------------- */

static unsigned attempt_calls(const struct attempt *a)
{
    return a->request->ops->calls ? a->request->ops->calls(a) : 0;
}

enum attempt_rank { SERVES, SERVES_BY_WRONG_CLOCK, SERVES_NOT };

static enum attempt_rank attempt_rank(const struct attempt *a)
{
    if (!server_serves(a->server, attempt_calls(a)))
        return SERVES_NOT;
    return a->wrong_clock && !a->request->any_clock ? SERVES_BY_WRONG_CLOCK : SERVES;
}

static bool attempt_is_paused(const struct attempt *a) { return attempt_rank(a) != SERVES; }

static void attempt_enter(struct attempt *a, enum attempt_state next)
{
    enum attempt_state before = a->state;
    struct err why;
    a->state = next;
    if (next == ATTEMPT_RUNNING) {
        a->err = (struct err){0};
        if (batch_gave_up(a->request->batch, a->server, &why))
            attempt_failed(a, &why);
        else
            a->request->ops->start(a);
        if (a->state == ATTEMPT_RUNNING && server_hangs(a->server, attempt_calls(a)))
            server_check_begin(a->request->batch, a->server, attempt_calls(a), 0);
    } else if (next == ATTEMPT_IDLE && before == ATTEMPT_RUNNING) {
        a->request->ops->cancel(a);
    }
    if (next == ATTEMPT_IDLE || next == ATTEMPT_FAILED)
        arena_free(&a->arena);
}

/* The i-th in the order of preference. */
static struct attempt *request_nth(const struct group_request *r, size_t i)
{
    return r->attempts[plan_turn_at(r->turn, i)];
}

static bool has_attempt(const struct group_request *r, enum attempt_state state)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->attempts[i]->state == state)
            return true;
    return false;
}

static struct attempt *next_attempt(const struct group_request *r)
{
    struct attempt *next = NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = request_nth(r, i);
        if (a->state == ATTEMPT_IDLE && (next == NULL || attempt_rank(a) < attempt_rank(next)))
            next = a;
    }
    return next;
}

/* What the server usually takes for a kind of request, or the slowest of its replicas if it has responded to none. */
static int64_t attempt_usual_ms(const struct attempt *a, enum latency_call call)
{
    const struct group_request *r = a->request;
    int64_t usual = latency_usual_ms(&a->server->traffic->latency, call), slowest = LATENCY_UNKNOWN;
    for (size_t i = 0; i < r->n; i++) {
        int64_t ms = latency_usual_ms(&r->attempts[i]->server->traffic->latency, call);
        slowest = ms > slowest ? ms : slowest;
    }
    return usual == LATENCY_UNKNOWN ? slowest : usual;
}

/* Three times what the slowest kind of request that the attempt sends usually takes. */
static int64_t hedge_delay(const struct attempt *a)
{
    unsigned calls = attempt_calls(a);
    int64_t usual = LATENCY_UNKNOWN;
    for (unsigned call = 0; call < LATENCY_CALLS; call++) {
        int64_t ms = calls >> call & 1 ? attempt_usual_ms(a, call) : LATENCY_UNKNOWN;
        usual = ms > usual ? ms : usual;
    }
    if (usual == LATENCY_UNKNOWN)
        return HEDGE_UNKNOWN_MS;
    return 3 * usual < HEDGE_MIN_MS ? HEDGE_MIN_MS : 3 * usual;
}

static int64_t request_elapsed(const struct group_request *r)
{
    return loop_mono(r->batch->worker->loop) - r->_begin;
}

static void arm_late_timer(struct group_request *r, int64_t ms)
{
    loop_timer_in(r->batch->worker->loop, &r->_late, ms);
}

static void group_requests_checked(struct request_batch *batch, struct server *s, unsigned call,
                                   const struct err *hangs);

/* --- events ------------------------------------------------------------------------------------------------------- */

static void ask_next(struct group_request *r)
{
    struct attempt *a = next_attempt(r);
    if (a == NULL)
        return;
    attempt_enter(a, ATTEMPT_RUNNING);
    if (a->state == ATTEMPT_RUNNING && (has_attempt(r, ATTEMPT_IDLE) || r->dispensable))
        arm_late_timer(r, hedge_delay(a));
}

static void ask_idle(struct attempt *a)
{
    if (a->state == ATTEMPT_IDLE) /* or it was queried meanwhile, because others failed at once */
        attempt_enter(a, ATTEMPT_RUNNING);
}

static void ask_all(struct group_request *r)
{
    enum attempt_rank best = SERVES_NOT;
    for (size_t i = 0; i < r->n; i++)
        best = attempt_rank(r->attempts[i]) < best ? attempt_rank(r->attempts[i]) : best;
    for (size_t i = 0; i < r->n; i++)
        if (attempt_rank(r->attempts[i]) <= best)
            ask_idle(r->attempts[i]);
}

/* The next that may be queried instead of another complete one. NULL: none. */
static struct attempt *next_complete(const struct group_request *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = request_nth(r, i);
        if (a->complete && a->state == ATTEMPT_IDLE && !attempt_is_paused(a))
            return a;
    }
    return NULL;
}

static void ask_complete(struct group_request *r)
{
    arm_late_timer(r, hedge_delay(r->complete));
    attempt_enter(r->complete, ATTEMPT_RUNNING);
}

void group_request_start(struct group_request *r)
{
    list_push_back(&r->batch->requests, &r->_node);
    r->batch->checked = group_requests_checked;
    r->_begin = loop_mono(r->batch->worker->loop);
    r->complete = r->mode == READ_MERGE ? next_complete(r) : NULL;
    if (r->complete)
        ask_complete(r);
    else if (r->mode == READ_MERGE)
        ask_all(r);
    else
        ask_next(r);
}

/* Was the response of this running attempt preferred to the one that is used instead? */
static bool attempt_gives_way(const struct attempt *a, const struct attempt *by)
{
    const struct group_request *r = a->request;
    for (size_t i = 0; r->mode != READ_MERGE && i < r->n && request_nth(r, i) != by; i++)
        if (request_nth(r, i) == a)
            return true; /* it was late when the other one was queried */
    return a->passed > 0;
}

/* The response is used alone. An attempt that was given up for it is reported: independent replicas have other values. */
static void request_settle(struct group_request *r, const struct attempt *by)
{
    r->settled = true;
    loop_timer_stop(r->batch->worker->loop, &r->_late);
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = r->attempts[i];
        bool late = a->state == ATTEMPT_RUNNING && attempt_gives_way(a, by);
        if (a == by || a->state == ATTEMPT_FAILED)
            continue;
        attempt_enter(a, ATTEMPT_IDLE);
        if (!late)
            continue;
        attempt_enter(a, ATTEMPT_FAILED);
        err_set(&a->err, ERR_GATEWAY_TIME, "canceled after %lld ms: the response is late",
                (long long)request_elapsed(r));
        server_blame(a->server, &a->err);
    }
}

/* Responses show whose clocks are wrong: their samples are not merged with those of others. For READ_MERGE the attempts
 * are those of all servers of the group, in its order. */
static void request_drop_wrong_clocks(struct group_request *r)
{
    bool others = false;
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = r->attempts[i];
        a->wrong_clock = a->wrong_clock || group_clock_wrong(r->group, i);
        others = others || (a->state == ATTEMPT_SUCCEEDED && !a->wrong_clock);
    }
    for (size_t i = 0; i < r->n && others && !r->any_clock; i++)
        if (r->attempts[i]->state == ATTEMPT_SUCCEEDED && r->attempts[i]->wrong_clock)
            attempt_enter(r->attempts[i], ATTEMPT_IDLE);
}

void attempt_succeeded(struct attempt *a)
{
    struct group_request *r = a->request;
    attempt_enter(a, ATTEMPT_SUCCEEDED);
    if (a->complete || r->mode != READ_MERGE) {
        request_settle(r, a);
        return;
    }
    request_drop_wrong_clocks(r);
    int64_t half = request_elapsed(r) / 2;
    if (has_attempt(r, ATTEMPT_RUNNING) && !loop_timer_armed(&r->_late))
        arm_late_timer(r, half > LATE_MIN_MS ? half : LATE_MIN_MS);
}

void attempt_failed(struct attempt *a, const struct err *err)
{
    struct group_request *r = a->request;
    attempt_enter(a, ATTEMPT_FAILED);
    a->err = *err;
    if (r->complete == a) {
        r->complete = NULL;
        ask_all(r);
    }
    bool wait = r->mode == READ_MERGE && has_attempt(r, ATTEMPT_RUNNING);
    if (!wait && !has_attempt(r, ATTEMPT_SUCCEEDED))
        ask_next(r);
}

/* --- late servers ------------------------------------------------------------------------------------------------- */

/* Whether there is, or may be, a response without this one. */
static bool attempt_is_dispensable(const struct attempt *a)
{
    const struct group_request *r = a->request;
    for (size_t i = 0; i < r->n; i++)
        if (r->attempts[i] != a && r->attempts[i]->state != ATTEMPT_FAILED)
            return true;
    return r->dispensable;
}

static void on_late_timer(struct loop_timer *t)
{
    struct group_request *r = CONTAINER(t, struct group_request, _late);
    bool hedges = r->mode == READ_HEDGE && has_attempt(r, ATTEMPT_IDLE);
    if (r->mode != READ_MERGE && has_attempt(r, ATTEMPT_SUCCEEDED))
        return;
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = r->attempts[i];
        if (a->state == ATTEMPT_RUNNING && attempt_is_dispensable(a))
            server_check_begin(r->batch, a->server, attempt_calls(a), request_elapsed(r));
        atomic_fetch_add(&a->server->traffic->hedges, hedges && a->state == ATTEMPT_RUNNING);
    }
    if (hedges)
        ask_next(r);
}

static void attempt_hopeless(struct attempt *a, const struct err *why)
{
    attempt_enter(a, ATTEMPT_IDLE);
    attempt_failed(a, why);
}

/* The server works, but the response may have stopped on its way. */
static void attempt_works(struct attempt *a)
{
    struct group_request *r = a->request;
    unsigned calls = attempt_calls(a);
    struct err stalls = {0};
    if (batch_stalls(r->batch, a->server, calls, &stalls)) {
        for (unsigned call = 0; call < LATENCY_CALLS; call++)
            if (calls >> call & 1)
                server_check_failed(a->server, call, true, stalls.text);
        attempt_hopeless(a, &stalls);
        return;
    }
    struct attempt *next = a->complete && a->passed++ > 0 ? next_complete(r) : NULL;
    if (next) {
        atomic_fetch_add(&a->server->traffic->hedges, 1);
        attempt_enter(next, ATTEMPT_RUNNING);
    }
    if (a->state == ATTEMPT_RUNNING && !loop_timer_armed(&r->_late)) {
        int64_t elapsed = request_elapsed(r);
        arm_late_timer(r, elapsed > LATE_AGAIN_MS ? elapsed : LATE_AGAIN_MS);
    }
}

static void request_checked(struct group_request *r, const struct server *s, unsigned call, const struct err *hangs)
{
    for (size_t i = 0; i < r->n; i++) {
        struct attempt *a = r->attempts[i];
        if (a->server != s || a->state != ATTEMPT_RUNNING)
            continue;
        unsigned calls = attempt_calls(a);
        if (!attempt_is_dispensable(a) && !server_hangs(s, calls))
            continue;
        if (hangs && (call == SERVER_ITSELF || (calls >> call & 1)))
            attempt_hopeless(a, hangs);
        else if (!hangs && call == SERVER_ITSELF)
            attempt_works(a);
    }
}

static void group_requests_checked(struct request_batch *batch, struct server *s, unsigned call,
                                   const struct err *hangs)
{
    for (struct list *n = batch->requests.next; n != &batch->requests; n = n->next)
        request_checked(CONTAINER(n, struct group_request, _node), s, call, hangs);
}

void group_request_init(struct group_request *r, struct request_batch *batch, const struct group *group,
                        enum read_mode mode, const struct attempt_ops *ops, void *items, size_t size)
{
    *r = (struct group_request){.batch = batch, .group = group, .mode = mode, .ops = ops, .n = group->n_servers,
                                .turn = group_turn(group, batch->q->turn),
                                ._late.run = on_late_timer};
    r->attempts = ARENA_ARRAY(batch->q->arena, struct attempt *, r->n);
    for (size_t i = 0; i < r->n; i++) {
        r->attempts[i] = (struct attempt *)(void *)((char *)items + i * size);
        *r->attempts[i] = (struct attempt){.request = r, .server = group->servers[i],
                                           .wrong_clock = group_clock_wrong(group, i)};
        if (!arena_child_init(&r->attempts[i]->arena, batch->q->arena)) /* a batch has no limit: there is space */
            continue;
    }
}

void group_request_stop(struct group_request *r)
{
    loop_timer_stop(r->batch->worker->loop, &r->_late);
    if (list_linked(&r->_node))
        list_remove(&r->_node);
}

/* --- the result --------------------------------------------------------------------------------------------------- */

bool group_request_answered(const struct group_request *r) { return has_attempt(r, ATTEMPT_SUCCEEDED); }

/* It was not queried because of earlier failures, although it precedes the one that responded. */
static bool attempt_was_skipped(const struct attempt *a)
{
    const struct group_request *r = a->request;
    if (a->state != ATTEMPT_IDLE || r->complete || (r->settled && r->mode == READ_MERGE))
        return false;
    for (size_t i = 0; r->mode != READ_MERGE && i < r->n && request_nth(r, i) != a; i++)
        if (request_nth(r, i)->state == ATTEMPT_SUCCEEDED)
            return false;
    return r->mode == READ_MERGE || attempt_is_paused(a);
}

static bool request_used(const struct group_request *r, const struct server *s)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->attempts[i]->server == s && r->attempts[i]->state == ATTEMPT_SUCCEEDED)
            return true;
    return false;
}

/* Also of servers that the plan of a pushed expression has not chosen. */
static void request_note_clocks(const struct group_request *r)
{
    const struct group *g = r->group;
    for (size_t i = 0; i < g->n_servers && !r->any_clock; i++) {
        const struct server_clock *clock = &g->servers[i]->health->clock;
        bool used = request_used(r, g->servers[i]);
        struct buf off = {0};
        if (!server_clock_wrong(clock) || (!used && !group_clock_wrong(g, i)))
            continue;
        buf_add_duration(&off, atomic_load(&clock->off));
        notes_info(r->batch->q->notes, "server group \"%.*s\": %.*s%s its clock differs by %s from this host's",
                   STR_ARG(g->name), STR_ARG(g->servers[i]->shown), used ? ":" : " is not queried, because",
                   buf_z(&off));
        buf_free(&off);
    }
}

void group_request_note_missed(const struct group_request *r)
{
    struct notes *notes = r->batch->q->notes;
    for (size_t i = 0; i < r->n; i++) {
        const struct attempt *a = r->attempts[i];
        bool paused = attempt_rank(a) != SERVES_BY_WRONG_CLOCK && attempt_was_skipped(a);
        atomic_fetch_add(&r->group->traffic->missed, paused || a->state == ATTEMPT_FAILED);
        if (a->state == ATTEMPT_FAILED)
            notes_info(notes, "another replica responded for %s", a->err.text);
        else if (paused)
            notes_info(notes, "another replica responded for server group \"%.*s\": %.*s, which is not queried for "
                       "some time after failures", STR_ARG(r->group->name), STR_ARG(a->server->shown));
    }
    request_note_clocks(r);
}

/* Severity of errors, to choose which server's error is reported: the less a retry helps, the higher. */
static int error_severity(enum err_kind kind)
{
    switch (kind) {
    case ERR_LOOP:
    case ERR_LIMIT:
    case ERR_EXEC: return 5;
    case ERR_THROTTLED: return 4;
    case ERR_GATEWAY_TIME: return 3;
    case ERR_UNAVAILABLE: return 2;
    default: return 1;
    }
}

void group_request_error(const struct group_request *r, struct err *err)
{
    const struct err *worst = NULL;
    size_t failed = 0;
    if (r->n == 0) {
        err_set(err, ERR_UNAVAILABLE, "server group \"%.*s\" has no servers: %.*s", STR_ARG(r->group->name),
                STR_ARG(r->group->lacks));
        return;
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct err *e = &r->attempts[i]->err;
        if (e->kind == ERR_NONE)
            continue;
        failed++;
        worst = worst == NULL || error_severity(e->kind) > error_severity(worst->kind) ? e : worst;
    }
    if (worst == NULL) {
        err_set(err, ERR_UNAVAILABLE, "server group \"%.*s\": no server responded", STR_ARG(r->group->name));
        return;
    }
    *err = *worst;
    if (failed > 1)
        err_wrap(err, "none of %zu servers responded", failed);
}

bool group_may_fail(const struct group *g, struct query_ctx *q, const struct err *why)
{
    enum group_failure failure = group_failure(g, q);
    if (failure == GROUP_REQUIRED)
        return false;
    if (failure == GROUP_WARNED)
        notes_warn(q->notes, "%s", why->text);
    atomic_fetch_add(&g->traffic->partial, 1);
    q->notes->partial = true;
    return true;
}
