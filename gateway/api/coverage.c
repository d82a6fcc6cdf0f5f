// SPDX-License-Identifier: Apache-2.0
/* /api/v1/status/coverage: what is known of the replicas of each group, and with match[], start and end which of them
 * are complete for a selector.
 */
#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/api/query.h"
#include "gateway/coverage/coverage_intake.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/upstream/source.h"

enum { SHOWN_TARGETS = 100, PAST_MS = 3600000 };

struct coverage_call {
    struct api_call *c;
    struct json_writer *w;
    struct selector_params selectors;
    int64_t start, end, now;
};

static void coverage_put_time(struct json_writer *w, const char *key, int64_t ms)
{
    json_key(w, key);
    json_double(w, (double)ms / 1000);
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

static void put_coverage_replica(struct json_writer *w, const struct server *s, const struct coverage_replica_status *r)
{
    json_begin_object(w);
    json_field_str(w, "url", s->shown_url);
    json_field_u64(w, "targets", r->targets);
    json_field_u64(w, "gaps", r->gaps);
    json_key(w, "gapSeconds");
    json_double(w, r->gap_seconds);
    json_field_bool(w, "reachable", !r->unreached);
    json_end_object(w);
}

static void put_coverage_gaps(struct json_writer *w, const struct group *g, const struct coverage_status *s)
{
    json_key(w, "lastGaps");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_targets; i++) {
        json_begin_object(w);
        json_key(w, "target");
        render_labels(w, s->targets[i].labels);
        json_field_str(w, "url", g->servers[s->targets[i].replica]->shown_url);
        coverage_put_time(w, "from", s->targets[i].last.from);
        coverage_put_time(w, "to", s->targets[i].last.to);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_coverage_known(struct coverage_call *call, const struct group *g)
{
    struct json_writer *w = call->w;
    struct coverage_status s;
    coverage_show(g->coverage, call->c->q->arena, SHOWN_TARGETS, &s);
    if (s.known_from <= s.known_to) {
        coverage_put_time(w, "knownFrom", s.known_from);
        coverage_put_time(w, "knownTo", s.known_to);
    }
    if (s.trouble)
        json_field_z(w, "trouble", s.trouble);
    json_field_u64(w, "metrics", s.names);
    json_field_u64(w, "metricsOfTargets", s.names_attributed);
    json_key(w, "replicas");
    json_begin_array(w);
    for (size_t i = 0; i < s.n; i++)
        put_coverage_replica(w, g->servers[i], &s.replicas[i]);
    json_end_array(w);
    put_coverage_gaps(w, g, &s);
}

/* --- what is decided for a selector ------------------------------------------------------------------------------- */

static void put_coverage_spans(struct json_writer *w, const struct coverage_replica *r)
{
    json_key(w, "incomplete");
    json_begin_array(w);
    for (unsigned i = 0; i < r->n_spans; i++) {
        json_begin_object(w);
        coverage_put_time(w, "from", r->spans[i].from);
        coverage_put_time(w, "to", r->spans[i].to);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_coverage_decision(struct coverage_call *call, const struct group *g, size_t selector)
{
    struct json_writer *w = call->w;
    struct arena *a = call->c->q->arena;
    struct coverage_query q = {.from = call->start, .to = call->end, .now = call->now};
    struct coverage_result result;
    struct buf text = {0};
    if (!group_route(g, a, call->selectors.sets[selector], call->selectors.sizes[selector], &q.matchers, &q.n_matchers))
        return;
    coverage_ask(g->coverage, a, &q, &result);
    matchers_print(&text, q.matchers, q.n_matchers);
    json_begin_object(w);
    json_field_str(w, "selector", buf_str(&text));
    buf_free(&text);
    if (result.unknown)
        json_field_z(w, "unknown", result.unknown);
    json_key(w, "replicas");
    json_begin_array(w);
    for (size_t i = 0; i < result.n; i++) {
        json_begin_object(w);
        json_field_str(w, "url", g->servers[i]->shown_url);
        json_field_bool(w, "complete", coverage_complete(&result, i));
        put_coverage_spans(w, &result.replicas[i]);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static bool coverage_read_params(struct coverage_call *call)
{
    const struct form *f = &call->c->r->form;
    struct err *err = &call->c->err;
    return param_time(f, "start", call->now - PAST_MS, &call->start, err) &&
           param_time(f, "end", call->now, &call->end, err) &&
           param_selectors(call->c->q->arena, f, &call->selectors, err);
}

static bool coverage_body(struct api_call *c)
{
    struct coverage_call call = {.c = c, .w = &c->json, .now = clock_wall_ms()};
    const struct group_list *groups = &upstream_of(c->source)->groups;
    if (!coverage_read_params(&call))
        return false;
    json_begin_object(call.w);
    json_key(call.w, "groups");
    json_begin_array(call.w);
    for (size_t g = 0; g < groups->n; g++) {
        json_begin_object(call.w);
        json_field_str(call.w, "group", groups->items[g].name);
        put_coverage_known(&call, &groups->items[g]);
        json_key(call.w, "selectors");
        json_begin_array(call.w);
        for (size_t i = 0; i < call.selectors.n; i++)
            put_coverage_decision(&call, &groups->items[g], i);
        json_end_array(call.w);
        json_end_object(call.w);
    }
    json_end_array(call.w);
    json_end_object(call.w);
    return true;
}

void api_status_coverage(struct http_request *r) { api_respond(r, coverage_body); }
