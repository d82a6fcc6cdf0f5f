// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/query.h"

#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"

struct query_request { /* what the request says, and how it is answered */
    struct promql_params params;
    struct str text;
    size_t limit;
    bool stats;
    struct promql_result result;
};

static bool feature(const struct api_call *c, const char *name)
{
    const struct str_list *on = &c->r->services->flags.enable_features;
    for (size_t i = 0; i < on->n; i++)
        if (str_is(on->items[i], name))
            return true;
    return false;
}

static bool read_common(struct api_call *c, struct query_request *a)
{
    const struct form *f = &c->r->form;
    const struct flags *flags = &c->r->services->flags;
    int64_t timeout, cap = flags->query_timeout;
    struct str stats = form_get(f, "stats");
    if (!param_timeout(f, cap, &timeout, &c->err) ||
        !param_lookback(f, flags->query_lookback, &a->params.lookback, &c->err))
        return false;
    if (cap > 0 || form_get(f, "timeout").n > 0)
        api_deadline(c, timeout);
    a->text = form_get(f, "query");
    a->stats = stats.n > 0;
    a->params.per_step_stats = str_is(stats, "all") && feature(c, "promql-per-step-stats");
    a->params.max_samples = flags->query_max_samples;
    a->params.subquery_step = c->r->config->global.evaluation_interval;
    a->params.delayed_name_removal = feature(c, "promql-delayed-name-removal");
    return true;
}

/* Errors of the text and of its type are the parameter's fault, and say so. */
static bool api_query_evaluate(struct api_call *c, struct query_request *a)
{
    struct expr *tree = api_parse(c);
    if (tree && promql_eval(tree, a->text, &a->params, c->source, &c->q, &a->result, &c->err))
        return true;
    return c->err.kind == ERR_BAD_DATA ? err_wrap(&c->err, "invalid parameter \"query\"") : false;
}

static void api_query_limit(struct api_call *c, struct query_request *a)
{
    if (a->limit == 0 || a->result.n <= a->limit)
        return;
    a->result.n = a->limit;
    api_note_truncated(c);
}

static bool answer(struct api_call *c, struct query_request *a)
{
    int64_t queued_ms = clock_mono_ms() - c->r->started_mono;
    if (!api_query_evaluate(c, a))
        return false;
    api_query_limit(c, a);
    api_reply_begin(c);
    bool whole = render_result(&c->json, &a->result, &c->q, &c->err);
    if (a->stats)
        render_stats(&c->json, &a->result.stats, queued_ms * 1000000,
                     (struct render_grid){a->params.start, a->params.step});
    json_end_object(&c->json);
    return api_reply_end(c) && whole;
}

static bool query(struct api_call *c)
{
    struct query_request a = {0};
    const struct form *f = &c->r->form;
    if (!param_limit(f, &a.limit, &c->err) || !param_time(f, "time", clock_wall_ms(), &a.params.start, &c->err) ||
        !read_common(c, &a))
        return false;
    a.params.end = a.params.start;
    return answer(c, &a);
}

static bool query_range(struct api_call *c)
{
    struct query_request a = {.params.range = true};
    struct grid_params g;
    const struct form *f = &c->r->form;
    if (!param_limit(f, &a.limit, &c->err) || !param_grid(f, &g, &c->err) || !read_common(c, &a))
        return false;
    a.params.start = g.start;
    a.params.end = g.end;
    a.params.step = g.step;
    return answer(c, &a);
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

void api_query(struct http_request *r) { query_timed_response(r, query); }
void api_query_range(struct http_request *r) { query_timed_response(r, query_range); }
