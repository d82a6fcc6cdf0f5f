// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/query.h"

#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/api/query_log.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/query/trace.h"
#include "gateway/services/services.h"

struct query_request {
    struct query_params params;
    bool stats;
    struct query_trace *trace; /* NULL: no explanation is requested */
};

static bool query_begin_trace(struct api_call *c, struct query_request *a)
{
    a->trace = c->q->trace = ARENA_NEW(c->q->arena, struct query_trace);
    *a->trace = (struct query_trace){.arena = c->q->arena};
    return true;
}

static bool read_common(struct api_call *c, struct query_request *a)
{
    const struct form *f = &c->r->form;
    int64_t timeout, cap = c->r->services->flags.query_timeout;
    struct str stats = form_get(f, "stats");
    bool explain;
    if (!param_timeout(f, cap, &timeout, &c->err) ||
        !param_lookback(f, c->session->service.lookback, &a->params.lookback, &c->err))
        return false;
    if (cap > 0 || form_get(f, "timeout").n > 0)
        api_deadline(c, timeout);
    a->params.text = form_get(f, "query");
    a->params.per_step_stats = str_is(stats, "all");
    a->stats = stats.n > 0;
    return param_flag(f, "explain", &explain, &c->err) && (!explain || query_begin_trace(c, a));
}

/* Syntax and type errors are errors of the parameter. */
static bool api_query_run(struct api_call *c, const struct query_params *params, struct query_result *result)
{
    active_set_times(&c->r->services->active, c->session->active, params->start,
                     params->range ? params->end : params->start, params->step);
    int64_t queued_ns = (clock_mono_ms() - c->r->started_mono) * 1000000;
    bool ok = query_run(&c->session->service, c->q, params, result, &c->err);
    if (ok || c->err.kind != ERR_BAD_DATA) /* then it was not evaluated */
        query_log_write(c, params, ok ? &result->value.stats : NULL, queued_ns);
    if (ok)
        return true;
    return c->err.kind == ERR_BAD_DATA ? err_wrap(&c->err, "invalid parameter \"query\"") : false;
}

/* A large result is sent while the rest of it is rendered: complete, it would take several times the memory of the
 * query. Smaller ones take less CPU in one piece, have a length, and become errors as long as they are rendered, if the
 * query's memory suffices, and while queries do not use much of theirs together: many results of 16 MiB that wait for
 * their clients would take all of it. HTTP/1.0 cannot tell a cut response from a complete one. */
static bool query_send_rendered(void *arg, struct err *err)
{
    enum { FIRST_PART = 16 << 20, FIRST_OF_MANY = 1 << 20, PART = 256 << 10 };
    struct api_call *c = arg;
    const struct http_request *r = c->r;
    if (r->out.over)
        return api_reply_end(c); /* the error */
    if (r->http_1_0 || r->method == HTTP_HEAD || r->out.n < PART)
        return true;
    struct budget *all = &r->services->queries;
    size_t first = all->max > 0 && budget_left(all) < all->max / 4 * 3 ? FIRST_OF_MANY : FIRST_PART, half = r->out.max / 2;
    if (half > 0 && half < first)
        first = half;
    return r->out.n < (r->streaming ? PART : first) || api_send_part(c, err);
}

static bool answer(struct api_call *c, const struct query_request *a)
{
    int64_t queued_ms = clock_mono_ms() - c->r->started_mono;
    struct query_result result;
    if (!api_query_run(c, &a->params, &result))
        return false;
    api_reply_begin(c);
    const struct render_flush flush = {query_send_rendered, c};
    bool whole = render_result(&c->json, &result.value, c->q, &flush, &c->err);
    if (a->stats)
        render_stats(&c->json, &result.value.stats, queued_ms * 1000000,
                     (struct render_grid){a->params.start, a->params.step});
    if (a->trace) {
        json_key(&c->json, "explain");
        trace_show(&c->json, a->trace);
    }
    json_end_object(&c->json);
    return api_reply_end(c) && whole;
}

static bool read_instant(struct api_call *c, struct query_request *a)
{
    const struct form *f = &c->r->form;
    return param_limit(f, &a->params.limit, &c->err) &&
           param_time(f, "time", clock_wall_ms(), &a->params.start, &c->err) && read_common(c, a);
}

static bool read_range(struct api_call *c, struct query_request *a)
{
    struct grid_params g;
    const struct form *f = &c->r->form;
    if (!param_limit(f, &a->params.limit, &c->err) || !param_grid(f, &g, &c->err) || !read_common(c, a))
        return false;
    a->params.range = true;
    a->params.start = g.start;
    a->params.end = g.end;
    a->params.step = g.step;
    return true;
}

static bool query(struct api_call *c)
{
    struct query_request a = {0};
    return read_instant(c, &a) && answer(c, &a);
}

static bool query_range(struct api_call *c)
{
    struct query_request a = {0};
    return read_range(c, &a) && answer(c, &a);
}

/* Runs the query and explains how its result was made, without the result. A range query if there is a `step`. */
static bool explain(struct api_call *c)
{
    struct query_request a = {0};
    struct query_result result;
    bool range = form_get(&c->r->form, "step").n > 0;
    if (!(range ? read_range(c, &a) : read_instant(c, &a)) || (a.trace == NULL && !query_begin_trace(c, &a)) ||
        !api_query_run(c, &a.params, &result))
        return false;
    api_reply_begin(c);
    trace_show(&c->json, a.trace);
    return api_reply_end(c);
}

static const double duration_bounds[] = {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60};
struct stats_histogram query_durations = {"sluice_query_duration_seconds",
                                          "Time from the start of a query to its rendered result",
                                          duration_bounds, LEN(duration_bounds), 0, NULL};

static void query_timed_response(struct http_request *r, api_body *body)
{
    int64_t start = clock_mono_ns();
    api_respond(r, body);
    stats_observe(&query_durations, (double)(clock_mono_ns() - start) / 1e9);
}

void api_explain(struct http_request *r) { api_respond(r, explain); }
void api_query(struct http_request *r) { query_timed_response(r, query); }
void api_query_range(struct http_request *r) { query_timed_response(r, query_range); }
