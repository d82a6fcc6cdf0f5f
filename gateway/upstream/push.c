// SPDX-License-Identifier: Apache-2.0
#include "gateway/upstream/push.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/push_query.h"
#include "gateway/upstream/stats.h"
#include "gateway/upstream/union.h"

#include <float.h>
#include <stdlib.h>

/* --- eligibility -------------------------------------------------------------------------------------------------- */

/* Expressions that servers of a kind and version evaluate as we do. Before Prometheus 3 ranges and lookback include
 * their left edge, and VictoriaMetrics has its own functions and lookback, so that even a selector has another
 * result.
 *
 * MetricsQL has no rate() that extrapolates. Its value can be composed of five rollups (first and last value, their
 * times, the count), but that takes the server 230 ms for sum(rate(m[5m])) of 5,000 series at one step and 480 ms at 241
 * steps; its own rate takes 20 and 30 ms.
 *
 * default_rollup(m[5m]) with nocache=1 is the value of m in PromQL, nearly. Against one Prometheus with the same samples
 * (irregular times, gaps, stale markers, offsets), 400 random instant selectors and 4,800 of their min, max, count and
 * group had the same results from VictoriaMetrics 1.145, but
 *   - of two samples with the same time the value is that of the one written last; Prometheus stores the first, and we
 *     take the largest, as VictoriaMetrics does where it deduplicates;
 *   - 1.79 selects other samples at two of five times, and /api/v1/status/buildinfo does not tell the version;
 *   - sums are not compensated, and what is NaN, as the sum of both infinities, is left out.
 * And it takes the server 50 ms of CPU time, where the blocks of the samples (export_blocks.h) take 15, and 20 here. So
 * nothing is pushed: blocks are read. */
static const struct push_ability {
    enum server_kind kind;
    unsigned since;            /* version */
    bool expressions, subqueries;
} abilities[] = { /* the last that fits */
    {SERVER_PROMETHEUS, SERVER_VERSION(3, 0, 0), true, false},
    {SERVER_PROMETHEUS, SERVER_VERSION(3, 0, 1), true, true}, /* subqueries evaluate no step at their left edge */
};

static struct push_ability push_server_ability(const struct server *s)
{
    struct push_ability found = {0};
    for (size_t i = 0; i < LEN(abilities); i++)
        if (server_kind(s) == abilities[i].kind && server_version(s) >= abilities[i].since)
            found = abilities[i];
    return found;
}

static const char *push_server_refusal(const struct server *s)
{
    if (server_kind(s) == SERVER_VICTORIAMETRICS)
        return "VictoriaMetrics computes ranges and lookback differently";
    if (server_kind(s) == SERVER_AUTO || server_version(s) == 0)
        return "the version of its servers is not known yet";
    return server_version(s) == SERVER_VERSION_NONE ? "its servers are no release of Prometheus"
                                                    : "before Prometheus 3.0 ranges include their left edge";
}

/* Is one server chosen for each step, by what is known of its completeness? */
static bool push_chooses(const struct group *g) { return g->read_mode == READ_MERGE && g->n_servers > 1; }

/* Of the group. If any of its servers may respond, all of them must be able to evaluate the expression. */
static const char *push_group_refusal(const struct group *g, bool *subqueries)
{
    const char *refusal = NULL;
    size_t able = 0;
    *subqueries = true;
    if (g->n_servers == 0)
        return "no server of it is known";
    if (g->push_down == PUSH_OFF)
        return "push_down is off";
    if (g->overlap == OVERLAP_MERGE)
        return "its series are united with those of other groups (overlap: merge)";
    if (push_chooses(g) && g->rule.prefer_max)
        return "the larger of its replicas' values is used (prefer_max)";
    for (size_t i = 0; i < g->n_servers; i++) {
        struct push_ability ability = push_server_ability(g->servers[i]);
        able += ability.expressions;
        *subqueries = *subqueries && ability.subqueries;
        if (!ability.expressions && refusal == NULL)
            refusal = push_server_refusal(g->servers[i]);
    }
    return able == g->n_servers || (push_chooses(g) && able > 0) ? NULL : refusal;
}

struct push_planning {
    struct upstream *u;
    struct arena *arena;
    struct plan_group *groups;
    bool proxied;              /* what is known of servers may be about other data (--proxy-headers) */
    int64_t recent_from;       /* INT64_MAX: there is no recent store */
    int64_t now;
};

enum { PUSH_OWN_GAPS = 5 }; /* besides those of coverage */

/* With space for a few more. */
static struct plan_span *push_spans(struct arena *a, const struct coverage_span *spans, unsigned n)
{
    struct plan_span *out = ARENA_ARRAY(a, struct plan_span, n + PUSH_OWN_GAPS);
    for (unsigned i = 0; i < n; i++)
        out[i] = (struct plan_span){spans[i].from, spans[i].to};
    return out;
}

struct push_gap_lists { struct plan_span *spans, *outdated, *lasting; };

/* Ascending, without overlap. */
static void push_add_span(struct plan_span *spans, size_t *n, struct plan_span added)
{
    size_t first = 0, kept = 0;
    while (first < *n && spans[first].to < added.from)
        first++;
    for (size_t i = first; i < *n && spans[i].from <= added.to; i++, kept++) {
        added.from = spans[i].from < added.from ? spans[i].from : added.from;
        added.to = spans[i].to > added.to ? spans[i].to : added.to;
    }
    memmove(&spans[first + 1], &spans[first + kept], (*n - first - kept) * sizeof *spans);
    spans[first] = added;
    *n = *n - kept + 1;
}

static void push_add_gap(struct push_gap_lists *l, struct plan_gaps *gaps, int64_t from, int64_t to)
{
    struct plan_span span = {from, to};
    push_add_span(l->spans, &gaps->n, span);
    push_add_span(l->outdated, &gaps->n_outdated, span);
    push_add_span(l->lasting, &gaps->n_lasting, span);
}

/* What the coverage of the group does not show to be complete. A server that cannot be reached, or cannot evaluate, has
 * a gap everywhere. */
static void push_replica_gaps(const struct push_planning *p, const struct group *g, size_t s,
                              const struct coverage_replica *replica, struct push_gap_lists *l, struct plan_gaps *out)
{
    l->spans = push_spans(p->arena, replica->spans, replica->n_spans);
    l->outdated = push_spans(p->arena, replica->outdated, replica->n_outdated);
    l->lasting = push_spans(p->arena, replica->lasting, replica->n_lasting);
    *out = (struct plan_gaps){l->spans, replica->n_spans, l->outdated, replica->n_outdated, l->lasting, replica->n_lasting};
    if (push_chooses(g) && (p->proxied || server_state(g->servers[s]) == SERVER_DOWN ||
                            !push_server_ability(g->servers[s]).expressions))
        push_add_gap(l, out, INT64_MIN, INT64_MAX);
}

/* What servers have outside of the group's time range must not be seen. */
static void push_outside_gaps(const struct plan_group *g, struct push_gap_lists *l, struct plan_gaps *out)
{
    if (g->window.from > INT64_MIN)
        push_add_gap(l, out, INT64_MIN, g->window.from - 1);
    if (g->window.to < INT64_MAX)
        push_add_gap(l, out, g->window.to + 1, INT64_MAX);
}

static const char *push_gap_reason(const struct push_planning *p, const struct coverage_result *known)
{
    return p->proxied ? "request headers that are passed on may select other data than is known (--proxy-headers)"
           : known->unknown ? known->unknown : "replicas lack samples that others have";
}

/* A server lacks samples that only the recent store has. */
static void push_gaps(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to,
                      struct plan_gaps *out, struct plan_known *about)
{
    struct push_planning *p = arg;
    const struct group *g = &p->u->groups.items[group];
    const struct plan_group *as = &p->groups[group];
    bool recent = g->recent && to >= p->recent_from, chooses = push_chooses(g);
    static const struct coverage_replica complete;
    struct coverage_result known = {0};
    if (chooses)
        coverage_ask(g->coverage, p->arena, &(struct coverage_query){m, n, from, to, p->now}, &known);
    about->scraped = known.scraped && !p->proxied;
    for (size_t s = 0; s < as->n_servers; s++) {
        struct push_gap_lists l;
        push_replica_gaps(p, g, s, chooses ? &known.replicas[s] : &complete, &l, &out[s]);
        if (chooses && out[s].n > 0)
            about->why = push_gap_reason(p, &known);
        if (recent)
            push_add_gap(&l, &out[s], p->recent_from, INT64_MAX);
        push_outside_gaps(as, &l, &out[s]);
    }
    if (recent)
        about->why = "the recent store may have samples that its servers lack";
    else if (as->limited && about->why == NULL)
        about->why = "its steps read samples outside of the time range of the group";
}

static bool push_admits(void *arg, size_t group, const struct matcher *m, size_t n, int64_t from, int64_t to)
{
    const struct push_planning *p = arg;
    struct group_window w = {from, to};
    return group_admits(&p->u->groups.items[group], (struct group_reader){p->now, p->proxied}, m, n, &w);
}

/* Those that tests have compared. mad_over_time() of NaN depends on the release; older ones have none of them, or others. */
static bool push_has_function(void *arg, size_t group, const struct function *fn)
{
    static const enum function_id compared[] = {
        FN_DOUBLE_EXPONENTIAL_SMOOTHING, FN_TS_OF_LAST_OVER_TIME, FN_TS_OF_MAX_OVER_TIME, FN_TS_OF_MIN_OVER_TIME};
    const struct push_planning *p = arg;
    const struct group *g = &p->u->groups.items[group];
    bool has = false;
    for (size_t i = 0; i < LEN(compared); i++)
        has = has || fn->id == compared[i];
    for (size_t i = 0; has && i < g->n_servers; i++) {
        const struct server *s = g->servers[i];
        bool chosen = !push_chooses(g) || push_server_ability(s).expressions;
        has = !chosen || (server_version(s) >= SERVER_VERSION(3, 5, 0) && !server_rejects_function(s, fn->name));
    }
    return has;
}

static void push_free_regex(void *re) { regex_free(re); }

/* label=~"a|b" or its negation; of one value no regular expression. */
static bool push_match(void *arg, struct str label, const struct str *values, size_t n, bool negative, struct matcher *out)
{
    struct push_planning *p = arg;
    struct buf text = {0};
    struct err err;
    for (size_t i = 0; i < n; i++) {
        buf_add_z(&text, i ? "|" : "");
        if (n > 1)
            regex_quote(&text, values[i]);
        else
            buf_add_str(&text, values[i]);
    }
    enum match_type type = n == 1 ? (negative ? MATCH_NE : MATCH_EQ) : negative ? MATCH_NRE : MATCH_RE;
    bool ok = matcher_init(out, p->arena, type, label, buf_str(&text), &err);
    buf_free(&text);
    return ok && (out->re == NULL || arena_at_end(p->arena, push_free_regex, out->re));
}

static bool push_divide(void *arg, size_t group, const struct plan_read *reads, size_t n, struct plan_division *out)
{
    struct push_planning *p = arg;
    const struct group *g = &p->u->groups.items[group];
    struct coverage_query *queries = ARENA_ARRAY(p->arena, struct coverage_query, n);
    struct coverage_division division;
    for (size_t i = 0; i < n; i++)
        queries[i] = (struct coverage_query){reads[i].matchers, reads[i].n, reads[i].from, reads[i].to, p->now};
    if (!push_chooses(g) || p->proxied || !coverage_divide(g->coverage, p->arena, queries, n, &division))
        return false;
    *out = (struct plan_division){division.label, division.values, division.n};
    return true;
}

static void push_describe_groups(struct push_planning *p)
{
    const struct group_list *list = &p->u->groups;
    p->groups = ARENA_ARRAY(p->arena, struct plan_group, list->n);
    for (size_t i = 0; i < list->n; i++) {
        const struct group *g = &list->items[i];
        p->groups[i] = (struct plan_group){.name = g->name, .labels = g->labels, .view = &g->view,
                                           .n_servers = push_chooses(g) ? g->n_servers : 1,
                                           .aligned = g->aligned_ranges, .disjoint = g->push_down == PUSH_TRUSTED};
        p->groups[i].target_labels = coverage_labels(g->coverage, &p->groups[i].n_target_labels);
        struct group_window w = group_times_truncated(&g->times, p->now);
        p->groups[i].limited = w.from > INT64_MIN || w.to < INT64_MAX;
        p->groups[i].window = (struct plan_span){w.from, w.to};
        p->groups[i].refusal = push_group_refusal(g, &p->groups[i].subqueries);
    }
}

static const char push_histograms[] = "a response has native histograms, whose JSON is incomplete";

/* Of an expression with several metrics only itself is known: any of them may have the histograms. */
static bool push_request_brings_histograms(const struct server *s, const struct plan_request *r)
{
    for (size_t i = 0; i < r->n_metrics; i++)
        if (server_has_histograms(s, r->metrics[i]))
            return true;
    return server_has_histograms(s, r->text);
}

/* Is it known that a request of the plan brings native histograms? Any server of a group may get it, or a chosen one. */
static bool push_brings_histograms(const struct upstream *u, const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_requests; i++) {
        const struct plan_request *r = &plan->requests[i];
        const struct group *g = &u->groups.items[r->group];
        for (size_t s = 0; s < g->n_servers; s++)
            if ((!push_chooses(g) || s == r->server) && push_request_brings_histograms(g->servers[s], r))
                return true;
    }
    return false;
}

bool push_plan(struct upstream *u, struct query_ctx *q, const struct plan_question *question, int64_t recent_from,
               struct source_plan *out)
{
    struct plan *plan = ARENA_NEW(q->arena, struct plan);
    struct push_planning planning = {.u = u, .arena = q->arena, .recent_from = recent_from, .now = clock_wall_ms(),
                                    .proxied = ((const struct worker *)q->user)->n_proxied > 0};
    push_describe_groups(&planning);
    struct plan_env env = {.groups = planning.groups, .n_groups = u->groups.n, .gaps = push_gaps, .admits = push_admits,
                           .divide = push_divide, .match = push_match, .has_function = push_has_function, .arg = &planning};
    plan_make(q->arena, question, &env, plan);
    *out = (struct source_plan){.tree = plan->tree, .impl = plan};
    if (q->trace)
        q->trace->plan = plan;
    if (!push_brings_histograms(u, plan))
        return plan->n_requests > 0;
    trace_abandon(q->trace, push_histograms);
    return false;
}

/* --- execution ---------------------------------------------------------------------------------------------------- */

struct push_call {
    struct upstream *u;
    struct request_batch *batch;
    struct plan *plan;
    struct push_query **queries; /* of each request; equal requests have the same */
    const char *doubt;
};

static size_t push_first_equal(const struct plan *plan, size_t i)
{
    const struct plan_request *wanted = &plan->requests[i];
    const struct grid *steps = &plan->pieces[wanted->piece].steps;
    size_t k = 0;
    for (;; k++) {
        const struct plan_request *r = &plan->requests[k];
        const struct grid *g = &plan->pieces[r->piece].steps;
        if (k == i || (r->group == wanted->group && r->server == wanted->server && str_eq(r->text, wanted->text) &&
                       view_equal(&r->view, &wanted->view) && g->start == steps->start && g->step == steps->step &&
                       g->n == steps->n))
            return k;
    }
}

struct push_call *push_start(struct upstream *u, struct request_batch *batch, const struct source_plan *of)
{
    struct push_call *c = ARENA_NEW(batch->q->arena, struct push_call);
    struct plan *plan = of->impl;
    *c = (struct push_call){.u = u, .batch = batch, .plan = plan};
    c->queries = ARENA_ARRAY(batch->q->arena, struct push_query *, plan->n_requests);
    for (size_t i = 0; i < plan->n_requests; i++) {
        const struct plan_request *r = &plan->requests[i];
        size_t first = push_first_equal(plan, i);
        if (first < i) {
            c->queries[i] = c->queries[first];
            continue;
        }
        struct push_query *query = c->queries[i] = ARENA_NEW(batch->q->arena, struct push_query);
        *query = (struct push_query){.text = r->text, .steps = plan->pieces[r->piece].steps,
                                     .lookback = plan->lookback, .server = r->server, .others = r->others};
        push_query_start(query, batch, &u->groups.items[r->group], &r->view);
    }
    return c;
}

void push_stop(struct push_call *c)
{
    for (size_t i = 0; i < c->plan->n_requests; i++)
        group_request_stop(&c->queries[i]->request);
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static bool push_doubt(struct push_call *c, const char *why)
{
    c->doubt = c->doubt ? c->doubt : why;
    return false;
}

/* Points must be at steps. Sums of an average near the limits of doubles would overflow. */
static bool push_points_fit(struct push_call *c, const struct plan_piece *piece, const struct series *s)
{
    int64_t expected = piece->steps.start;
    for (uint32_t i = 0; i < s->n_samples; i++) {
        int64_t t = s->samples[i].t;
        bool on_step = t == expected || (t >= piece->steps.start && (t - piece->steps.start) % piece->steps.step == 0);
        if (!on_step || t > grid_end(&piece->steps))
            return push_doubt(c, "a response has points at other times than requested");
        expected = t + piece->steps.step;
        if (piece->average && !(fabs(s->samples[i].v) < DBL_MAX / 1e6))
            return push_doubt(c, "the sum for an average is not finite");
    }
    return true;
}

/* The series of a piece, while it is made. */
struct push_piece {
    struct plan_piece *piece;
    struct map seen;             /* labels (of an average: with the part) to an index of `places` */
    struct push_place { const struct plan_cells *cells; size_t set, at; } *places; size_t n, cap;
    size_t cap_series[2];        /* of the piece's sets */
};

/* Removes the label that marks the series of an average. False: it has none. */
static bool push_average_set(struct push_call *c, struct series *s, size_t *set)
{
    static const struct str name = {PLAN_PART_LABEL, sizeof PLAN_PART_LABEL - 1};
    struct str part = labels_get(s->labels, name);
    *set = str_is(part, PLAN_PART_COUNT);
    if (*set == 0 && !str_is(part, PLAN_PART_SUM))
        return push_doubt(c, "a response has other labels than requested");
    s->labels = labels_drop(c->batch->q->arena, s->labels, &name, 1);
    return true;
}

/* Values of one target at other steps, which came from another server. */
static void push_unite_cells(struct arena *a, struct series *to, const struct series *s)
{
    struct sample *all = ARENA_ARRAY(a, struct sample, to->n_samples + s->n_samples);
    uint32_t n = 0, i = 0, k = 0;
    while (i < to->n_samples || k < s->n_samples)
        all[n++] = k == s->n_samples || (i < to->n_samples && to->samples[i].t < s->samples[k].t) ? to->samples[i++]
                                                                                                   : s->samples[k++];
    to->samples = all;
    to->n_samples = n;
}

static struct push_place *push_place_of(struct push_call *c, struct push_piece *p, const struct series *s, bool *added)
{
    struct arena *a = c->batch->q->arena;
    struct map_entry *e = map_add(&p->seen, str_n(s->labels.p, s->labels.n), added);
    if (*added) {
        e->value.u = p->n;
        arena_grow(a, &p->places, &p->cap, p->n + 1, sizeof *p->places);
        p->places[p->n++] = (struct push_place){0};
    }
    return &p->places[e->value.u];
}

/* Aggregations of partial results combine equal label sets; otherwise a series of two groups is an error, which
 * evaluation from raw samples reports better. */
static bool push_add_series(struct push_call *c, struct push_piece *p, struct series s, const struct plan_cells *cells)
{
    struct plan_piece *piece = p->piece;
    struct push_place *place = NULL;
    size_t set = 0;
    bool added = true;
    if (cells || (!piece->aggregated && piece->n_requests > 1))
        place = push_place_of(c, p, &s, &added);
    if (!added && (cells == NULL || place->cells != cells))
        return push_doubt(c, "two server groups have the same series");
    if (!added) {
        push_unite_cells(c->batch->q->arena, &piece->sets[place->set].series[place->at], &s);
        return true;
    }
    if (piece->average && !push_average_set(c, &s, &set))
        return false;
    struct series_set *to = &piece->sets[set];
    if (place)
        *place = (struct push_place){cells, set, to->n};
    arena_grow(c->batch->q->arena, &to->series, &p->cap_series[set], to->n + 1, sizeof *to->series);
    to->series[to->n++] = s;
    return true;
}

static int push_compare_values(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Drops the values of steps at which another server was chosen for the series' target. */
static bool push_keep_cells(struct push_call *c, const struct plan_piece *piece, const struct plan_request *r, struct series *s)
{
    const struct plan_cells *cells = r->cells;
    struct str value = labels_get(s->labels, cells->label);
    const struct str *found = bsearch(&value, cells->values, cells->n, sizeof *cells->values, push_compare_values);
    struct sample *kept = ARENA_ARRAY(c->batch->q->arena, struct sample, s->n_samples);
    uint32_t n = 0;
    if (found == NULL)
        return push_doubt(c, "a response has other labels than requested");
    for (uint32_t i = 0; i < s->n_samples; i++) {
        size_t step = piece->steps.n == 1 ? 0 : (size_t)((s->samples[i].t - piece->steps.start) / piece->steps.step);
        if (cells->servers[(size_t)(found - cells->values) * piece->steps.n + step] == r->server)
            kept[n++] = s->samples[i];
    }
    s->samples = kept;
    s->n_samples = n;
    return true;
}

static bool push_add_response(struct push_call *c, struct push_piece *p, const struct plan_request *r,
                              const struct response *response)
{
    for (size_t i = 0; i < response->n; i++) {
        struct series s = response->series[i];
        if (!push_points_fit(c, p->piece, &s) || (r->cells && !push_keep_cells(c, p->piece, r, &s)))
            return false;
        bool dropped = r->cells && s.n_samples == 0;
        if (!dropped && !push_add_series(c, p, s, r->cells))
            return false;
    }
    return true;
}

/* An aggregation of histograms, or of histograms and floats, cannot be combined from partial results. */
static bool push_notes_fit(struct push_call *c, const struct plan_piece *piece, const struct notes *n)
{
    const struct note_list *lists[] = {&n->warnings, &n->infos};
    for (size_t l = 0; piece->aggregated && l < LEN(lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++)
            if (str_find_str(lists[l]->items[i], STR("histogram")) < lists[l]->items[i].n)
                return push_doubt(c, "native histograms are among what is aggregated");
    return true;
}

static void push_saw_histograms(const struct push_query *query, const struct plan_request *r)
{
    struct str what = r->n_metrics == 1 ? r->metrics[0] : query->text;
    for (size_t i = 0; i < query->request.n; i++)
        if (query->request.attempts[i]->state == ATTEMPT_SUCCEEDED)
            server_saw_histograms(query->request.attempts[i]->server, what);
}

/* It may not have one of these functions: only some servers are started with them. */
static void push_saw_rejection(const struct push_query *query, const struct plan_request *r)
{
    for (size_t i = 0; i < query->request.n; i++) {
        const struct attempt *a = query->request.attempts[i];
        bool rejected = a->state == ATTEMPT_FAILED && CONTAINER(a, struct push_attempt, attempt)->rejected;
        for (size_t k = 0; rejected && k < r->n_experimental; k++)
            server_rejected_function(a->server, r->experimental[k]->name);
    }
}

static bool push_collect_piece(struct push_call *c, struct push_piece *p)
{
    struct plan_piece *piece = p->piece;
    for (size_t i = 0; i < piece->n_requests; i++) {
        struct err why = {0};
        const struct plan_request *request = &c->plan->requests[piece->first_request + i];
        struct push_query *query = c->queries[piece->first_request + i];
        const struct response *response = push_query_response(query, &why);
        if (response == NULL) {
            push_saw_rejection(query, request);
            return push_doubt(c, arena_z(c->batch->q->arena, str_of(why.text)));
        }
        if (response->lossy) {
            push_saw_histograms(query, request);
            return push_doubt(c, push_histograms);
        }
        if (!push_notes_fit(c, piece, &query->notes) || !push_add_response(c, p, request, response))
            return false;
    }
    for (size_t i = 0; i < 2; i++) {
        struct err why = {0};
        if (!series_sort(c->batch->q, piece->sets[i].series, piece->sets[i].n, &why))
            return push_doubt(c, arena_z(c->batch->q->arena, str_of(why.text)));
        piece->sets[i].exact = true;
    }
    return true;
}

/* Removes " (1:5)" at the end of notes: a position in the expression that was sent to the server. */
static struct str push_note_text(struct str note)
{
    size_t at = note.n;
    if (!str_starts(note, STR("PromQL ")) || !str_ends(note, STR(")")))
        return note;
    while (at > 0 && note.p[at - 1] != '(')
        at--;
    for (size_t i = at; i + 1 < note.n; i++)
        if ((note.p[i] < '0' || note.p[i] > '9') && note.p[i] != ':')
            return note;
    return at >= 2 ? str_first(note, at - 2) : note;
}

static void push_pass_notes(const struct push_call *c)
{
    struct notes *to = c->batch->q->notes;
    for (size_t r = 0; r < c->plan->n_requests; r++) {
        if (push_first_equal(c->plan, r) == r)
            group_request_note_missed(&c->queries[r]->request);
        const struct notes *from = &c->queries[r]->notes;
        to->partial = to->partial || from->partial;
        for (size_t i = 0; i < from->warnings.n; i++)
            notes_warn(to, "%.*s", STR_ARG(push_note_text(from->warnings.items[i])));
        for (size_t i = 0; i < from->infos.n; i++)
            notes_info(to, "%.*s", STR_ARG(push_note_text(from->infos.items[i])));
    }
}

enum exec_outcome push_collect(struct push_call *c, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < c->plan->n_pieces; i++) {
        struct push_piece piece = {.piece = &c->plan->pieces[i]};
        ok = push_collect_piece(c, &piece);
        map_free(&piece.seen);
        if (!batch_check(c->batch, err))
            return EXEC_FAILED;
    }
    if (ok) {
        stats_add(&upstream_stats, PUSHED, (double)c->plan->n_pieces);
        push_pass_notes(c);
        return EXEC_DONE;
    }
    stats_add(&upstream_stats, PUSH_ABANDONED, 1);
    trace_abandon(c->batch->q->trace, c->doubt);
    return EXEC_DOUBT;
}
