// SPDX-License-Identifier: Apache-2.0
/* Plans queries: which expressions may be pushed to which groups, and what the planner (gateway/query/plan.h) asks of
 * them. */
#include "base/text/duration.h"
#include "gateway/query/trace.h"
#include "gateway/upstream/push.h"

/* --- eligibility -------------------------------------------------------------------------------------------------- */

/* Expressions that servers of a kind and version evaluate as we do: of Prometheus 2, whose ranges and lookback include
 * their left edge, a part (gateway/query/plan_old.c). VictoriaMetrics has its own functions and lookback, so that even
 * a selector has another result.
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
    bool expressions, subqueries, old;
} abilities[] = { /* the last that fits */
    {SERVER_PROMETHEUS, SERVER_VERSION(2, 42, 0), true, true, true},
    {SERVER_PROMETHEUS, SERVER_VERSION(3, 0, 0), true, false, false},
    {SERVER_PROMETHEUS, SERVER_VERSION(3, 0, 1), true, true, false}, /* subqueries evaluate no step at their left edge */
};

static struct push_ability push_server_ability(const struct server *s)
{
    struct push_ability found = {0};
    for (size_t i = 0; i < LEN(abilities); i++)
        if (server_kind(s) == abilities[i].kind && server_version(s) >= abilities[i].since)
            found = abilities[i];
    return found.old && server_may_have_histograms(s) ? (struct push_ability){0} : found;
}

static const char *push_server_refusal(const struct server *s)
{
    if (server_kind(s) == SERVER_VICTORIAMETRICS)
        return "VictoriaMetrics computes ranges and lookback differently";
    if (server_kind(s) == SERVER_AUTO || server_version(s) == 0)
        return "the version of its servers is not known yet";
    if (server_version(s) >= abilities[0].since)
        return "Prometheus before 3.0 computes native histograms differently, and may have some";
    return server_version(s) == SERVER_VERSION_NONE ? "its servers are no release of Prometheus"
                                                    : "before Prometheus 2.42 nothing is evaluated by servers";
}

/* Is one server chosen for each step, by what is known of its completeness? */
static bool push_chooses(const struct group *g) { return g->read_mode == READ_MERGE && g->n_servers > 1; }

/* A server of the group. If any of them may respond, the planner knows one. */
static void push_describe_old(const struct group *g, size_t i, int64_t lookback, struct plan_group *out)
{
    int64_t seen;
    bool sees = server_lookback(g->servers[i], &seen) && seen >= lookback && lookback > 1;
    uint64_t bit = UINT64_C(1) << (push_chooses(g) ? i : 0);
    if (!push_server_ability(g->servers[i]).old || i >= 64)
        return;
    out->old |= bit;
    out->shortsighted |= sees ? 0 : bit;
}

/* Of the group. If any of its servers may respond, all of them must be able to evaluate the expression. */
static const char *push_group_refusal(const struct group *g, int64_t lookback, struct plan_group *out)
{
    const char *refusal = NULL;
    size_t able = 0, old = 0;
    out->subqueries = true;
    if (g->n_servers == 0)
        return "no server of it is known";
    if (g->push_down == PUSH_OFF)
        return "push_down is off";
    if (g->overlap == OVERLAP_MERGE || g->backup.written)
        return "its series are united with those of other groups (overlap: merge, backup_of)";
    if (push_chooses(g) && g->rule.prefer_max)
        return "the larger of its replicas' values is used (prefer_max)";
    for (size_t i = 0; i < g->n_servers; i++) {
        struct push_ability ability = push_server_ability(g->servers[i]);
        able += ability.expressions;
        old += ability.old;
        push_describe_old(g, i, lookback, out);
        out->subqueries = out->subqueries && ability.subqueries;
        if (!ability.expressions && refusal == NULL)
            refusal = push_server_refusal(g->servers[i]);
    }
    if (!push_chooses(g) && old > 0 && old < g->n_servers)
        return "some of its servers are older than Prometheus 3.0";
    return able == g->n_servers || (push_chooses(g) && able > 0) ? NULL : refusal;
}

struct push_planning {
    struct upstream *u;
    struct arena *arena;
    struct plan_group *groups;
    bool proxied;              /* what is known of servers may be about other data (--proxy-headers) */
    int64_t recent_from;       /* INT64_MAX: there is no recent store */
    int64_t now;
    struct query_trace *trace; /* or NULL */
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
    if (push_chooses(g) && (p->proxied || !group_may_choose(g, s) ||
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
    const struct group *g = &p->u->groups.items[group];
    struct group_window w = {from, to};
    const char *refusal = group_refusal(g, (struct group_reader){p->now, p->proxied}, m, n, &w);
    if (refusal)
        trace_skip(p->trace, g->name, m, n, refusal);
    return refusal == NULL;
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
        struct push_ability ability = push_server_ability(s);
        bool chosen = !push_chooses(g) || (ability.expressions && !ability.old);
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

static void push_describe_groups(struct push_planning *p, int64_t lookback, unsigned turn)
{
    const struct group_list *list = &p->u->groups;
    p->groups = ARENA_ARRAY(p->arena, struct plan_group, list->n);
    for (size_t i = 0; i < list->n; i++) {
        const struct group *g = &list->items[i];
        p->groups[i] = (struct plan_group){.name = g->name, .labels = g->labels, .view = &g->view,
                                           .n_servers = push_chooses(g) ? g->n_servers : 1,
                                           .aligned = g->aligned_ranges, .disjoint = g->push_down == PUSH_TRUSTED};
        p->groups[i].compact = true;
        p->groups[i].turn = push_chooses(g) ? group_turn(g, turn) : (struct plan_turn){0};
        for (size_t k = 0; k < g->n_servers; k++)
            p->groups[i].compact = p->groups[i].compact && g->servers[k]->wants_read && !atomic_load(&g->servers[k]->health->cannot_read);
        p->groups[i].target_labels = coverage_labels(g->coverage, &p->groups[i].n_target_labels);
        struct group_window w = group_times_truncated(&g->times, p->now);
        p->groups[i].limited = w.from > INT64_MIN || w.to < INT64_MAX;
        p->groups[i].window = (struct plan_span){w.from, w.to};
        p->groups[i].refusal = push_group_refusal(g, lookback, &p->groups[i]);
    }
}

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

/* Has a check shown that a server which may get a request computes its expression differently? Of those that only
 * replace a chosen one, such servers are removed. */
static bool push_has_disproved(const struct upstream *u, struct plan *plan)
{
    for (size_t i = 0; i < plan->n_requests; i++) {
        struct plan_request *r = &plan->requests[i];
        const struct group *g = &u->groups.items[r->group];
        for (size_t s = 0; s < g->n_servers; s++) {
            bool disproved = push_is_disproved(g->servers[s]->health, r->text);
            if (disproved && (!push_chooses(g) || s == r->server))
                return true;
            if (disproved && s < 64)
                r->others &= ~(UINT64_C(1) << s);
        }
    }
    return false;
}

bool push_plan(struct upstream *u, struct query_ctx *q, const struct plan_question *question, int64_t recent_from,
               struct source_plan *out)
{
    struct plan *plan = ARENA_NEW(q->arena, struct plan);
    struct push_planning planning = {.u = u, .arena = q->arena, .recent_from = recent_from, .now = clock_wall_ms(),
                                    .trace = q->trace, .proxied = ((const struct worker *)q->user)->n_proxied > 0};
    push_describe_groups(&planning, question->lookback, q->turn);
    struct plan_env env = {.groups = planning.groups, .n_groups = u->groups.n, .gaps = push_gaps, .admits = push_admits,
                           .divide = push_divide, .match = push_match, .has_function = push_has_function, .arg = &planning};
    plan_make(q->arena, question, &env, plan);
    *out = (struct source_plan){.tree = plan->tree, .impl = plan};
    if (q->trace)
        q->trace->plan = plan;
    const char *why = push_brings_histograms(u, plan) ? PUSH_HISTOGRAMS
                      : push_has_disproved(u, plan)   ? "a check has shown that a server computes it differently"
                                                      : NULL;
    if (why == NULL)
        return plan->n_requests > 0;
    trace_abandon(q->trace, why);
    return false;
}
