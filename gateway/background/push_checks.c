// SPDX-License-Identifier: Apache-2.0
#include "gateway/background/push_checks.h"

#include "base/http/via.h"
#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "gateway/audit/one_server.h"
#include "gateway/background/group_visitor.h"
#include "gateway/query/session.h"
#include "gateway/query/trace.h"
#include "gateway/servers/push_samples.h"
#include "gateway/upstream/source.h"
#include "gateway/upstream/stats.h"

#include <math.h>

struct push_checks {
    struct group_visitor visitor;
    struct group_reading reading;
    struct push_checks_setup setup;
    int64_t cpu_due;                /* CPU time of the process, ns, when the next check may begin */
    /* of the running one */
    struct push_checks_setup used;
    const struct upstream *upstream; /* the reading's; its own field is set once it has begun */
    const struct group *group;
    size_t server;
    struct push_sample sample;
    struct query_session session;
    struct err err;
    enum { PUSH_CHECK_FAILED, PUSH_CHECK_VOID, PUSH_CHECK_EQUAL, PUSH_CHECK_DIFFERENT } outcome;
    int64_t spent;                  /* CPU time, ns */
};

/* --- comparison --------------------------------------------------------------------------------------------------- */

/* Servers add in another order. */
static bool push_check_same_value(double a, double b)
{
    double larger = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 * larger;
}

static bool push_check_same_series(const struct promql_series *a, const struct promql_series *b)
{
    bool same = labels_equal(a->labels, b->labels) && a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->t[i] == b->t[i] && promql_has(a, i) == promql_has(b, i) &&
               (!promql_has(a, i) || push_check_same_value(a->v[i], b->v[i]));
    return same;
}

static bool push_check_same(const struct promql_result *a, const struct promql_result *b)
{
    bool same = a->type == b->type && a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = push_check_same_series(&a->series[i], &b->series[i]);
    return same;
}

/* --- on a worker -------------------------------------------------------------------------------------------------- */

/* The server alone, with its own labels. */
static struct source *push_check_source(struct push_checks *c, struct one_server *alone, enum push_down push)
{
    struct source *source = one_server_source(alone, c->upstream, c->group, c->server);
    alone->group.push_down = push;
    alone->group.labels = (struct labels){0};
    alone->group.view = view_of_labels(c->session.q.arena, alone->group.labels);
    alone->group.times = (struct group_times){0};
    alone->group.filter = NULL;
    alone->group.shard.placement = NULL;
    return source;
}

/* *pushed: the server has evaluated some of it. */
static bool push_check_evaluate(struct push_checks *c, enum push_down push, struct query_result *out, bool *pushed)
{
    struct query_ctx *q = &c->session.q;
    struct one_server *alone = ARENA_NEW(q->arena, struct one_server);
    struct query_service service = c->session.service;
    struct query_trace trace = {.arena = q->arena};
    int64_t start = c->sample.start - PUSH_CHECK_AGE_MS;
    service.source = push_check_source(c, alone, push);
    q->trace = &trace;
    bool ok = query_run(&service, q, &(struct query_params){
        .text = c->sample.text, .range = c->sample.n > 1, .start = start, .step = c->sample.step,
        .end = start + (c->sample.n - 1) * c->sample.step, .lookback = c->sample.lookback}, out, &c->err);
    q->trace = NULL;
    *pushed = trace.plan && trace.plan->n_requests > 0 && trace.abandoned.n == 0;
    return ok;
}

/* If the results differ, both are evaluated again in the other order: samples may have arrived in between. */
static bool push_check_work(void *arg)
{
    struct push_checks *c = arg;
    struct query_result results[2] = {0};
    bool pushed[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 2; k++) {
            unsigned which = i ^ k;
            if (!push_check_evaluate(c, which ? PUSH_VERIFIED : PUSH_OFF, &results[which], &pushed[which]))
                return false;
        }
        c->outcome = !pushed[1]                                              ? PUSH_CHECK_VOID
                     : push_check_same(&results[0].value, &results[1].value) ? PUSH_CHECK_EQUAL
                                                                             : PUSH_CHECK_DIFFERENT;
        if (c->outcome != PUSH_CHECK_DIFFERENT)
            break;
    }
    return true;
}

static void push_check_conclude(const struct push_checks *c)
{
    const struct server *s = c->group->servers[c->server];
    stats_add(&upstream_stats, PUSH_CHECKED, c->outcome == PUSH_CHECK_EQUAL || c->outcome == PUSH_CHECK_DIFFERENT);
    if (c->outcome != PUSH_CHECK_DIFFERENT)
        return;
    stats_add(&upstream_stats, PUSH_DISPROVED_BY_CHECK, 1);
    push_disprove(s->health, c->sample.text);
    log_warn("upstream",
             "server evaluates an expression differently; evaluating it from raw samples until its version changes",
             LOG_STR("group", c->group->name), LOG_STR("server", s->shown), LOG_STR("query", c->sample.text));
}

static void push_check_run(struct worker_task *task)
{
    struct push_checks *c = CONTAINER(task, struct push_checks, reading.task);
    struct worker *worker = worker_self();
    int64_t began = clock_cpu_ns();
    worker->via = via_line(&c->reading.arena, STR(""), c->visitor.id);
    query_session_begin(&c->session, &(struct query_session_conf){
        .service = &c->used.settings, .arena = &c->reading.arena, .memory = c->used.query_memory,
        .shared = c->used.memory, .deadline_mono = clock_mono_ms() + PUSH_CHECK_MS, .canceled = &c->visitor.stopping});
    if (!query_session_run(&c->session, push_check_work, c, &c->err))
        c->outcome = PUSH_CHECK_FAILED;
    push_check_conclude(c);
    query_session_end(&c->session);
    worker->via = NULL;
    c->spent = clock_cpu_ns() - began;
}

/* --- main --------------------------------------------------------------------------------------------------------- */

static void push_check_done(struct worker_task *task)
{
    struct push_checks *c = CONTAINER(task, struct push_checks, reading.task);
    c->cpu_due = clock_process_cpu_ns() + PUSH_CHECK_SHARE * c->spent;
    group_reading_end(&c->reading);
}

static void push_checks_visit(struct group_visitor *v, const struct group *g)
{
    struct push_checks *c = CONTAINER(v, struct push_checks, visitor);
    for (size_t i = 0; i < g->n_servers; i++) {
        if (!group_reading_idle(&c->reading) || clock_process_cpu_ns() < c->cpu_due)
            return;
        arena_init(&c->reading.arena, 0);
        if (!push_sample_take(g->servers[i]->health, &c->reading.arena, &c->sample)) {
            arena_free(&c->reading.arena);
            continue;
        }
        c->upstream = v->upstream;
        c->group = g;
        c->server = i;
        c->used = c->setup;
        group_reading_begin(&c->reading, v, push_check_run, push_check_done);
    }
}

static bool push_checks_are_needed(const struct upstream *u)
{
    for (size_t g = 0; g < u->groups.n; g++)
        if (u->groups.items[g].push_down != PUSH_OFF && u->groups.items[g].n_servers > 0)
            return true;
    return false;
}

void push_checks_use(struct push_checks *c, struct upstream *u, const struct push_checks_setup *setup)
{
    c->setup = *setup;
    group_visitor_use(&c->visitor, setup->workers, setup->memory, u,
                      push_checks_are_needed(u) ? GROUP_VISITOR_TICK_MS : -1);
}

void push_checks_stop(struct push_checks *c) { group_visitor_stop(&c->visitor); }

struct push_checks *push_checks_new(struct loop *loop, const char *id)
{
    struct push_checks *c = mem_zalloc(sizeof *c);
    group_visitor_init(&c->visitor, loop, id, push_checks_visit);
    return c;
}

void push_checks_free(struct push_checks *c)
{
    group_reading_free(&c->reading);
    group_visitor_free(&c->visitor);
    mem_free(c);
}
