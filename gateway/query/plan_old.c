// SPDX-License-Identifier: Apache-2.0
/* What Prometheus 2 evaluates as we do.
 *
 * Before 3.0 the windows of ranges and subqueries and the lookback include their left edge. Times are whole ms, so that a
 * window that is 1 ms shorter has the samples that ours has: x[5m] is sent as x[4m59s999ms]. The lookback is that of the
 * server (plan_group.shortsighted), and first releases know no lookback_delta. The value of x is the last sample of
 * x[4m59s999ms], unless a stale marker is newer, which ranges do not see but x does:
 *
 *     last_over_time(x[4m59s999ms]) and x
 *
 * Other differences:
 *
 *   rate, increase and delta extrapolate to the length of the window         evaluated here
 *   sums and averages are added up without compensation                      evaluated here
 *   `.` of a regular expression matches no line break                        matchers are sent as (?s:...)
 *   labels and metrics have legacy names                                     others are evaluated here
 *   label_replace (line breaks), timestamp (times that @ fixes), and
 *   functions of histograms                                                  evaluated here
 *   atan2 keeps names                                                        evaluated here
 *   a range that @ fixes grows from step to step, if its function is
 *   evaluated at each of them: predict_linear, quantile_over_time(time())    evaluated here
 *   5m is no number                                                          it is sent as 300
 */
#include "gateway/query/plan_internal.h"

static bool old_call(const struct expr *e)
{
    switch (e->u.call.fn->id) {
    case FN_QUANTILE_OVER_TIME: return e->u.call.args[0]->kind == EXPR_NUMBER;
    case FN_CHANGES: case FN_COUNT_OVER_TIME: case FN_DERIV: case FN_IDELTA: case FN_IRATE: case FN_LAST_OVER_TIME:
    case FN_MAX_OVER_TIME: case FN_MIN_OVER_TIME: case FN_PRESENT_OVER_TIME: case FN_RESETS: case FN_SUM_OVER_TIME:
    case FN_ABS: case FN_ACOS: case FN_ACOSH: case FN_ASIN: case FN_ASINH: case FN_ATAN: case FN_ATANH: case FN_CEIL:
    case FN_CLAMP: case FN_CLAMP_MAX: case FN_CLAMP_MIN: case FN_COS: case FN_COSH: case FN_DEG: case FN_EXP:
    case FN_FLOOR: case FN_LN: case FN_LOG10: case FN_LOG2: case FN_RAD: case FN_ROUND: case FN_SGN: case FN_SIN:
    case FN_SINH: case FN_SQRT: case FN_TAN: case FN_TANH:
    case FN_DAY_OF_MONTH: case FN_DAY_OF_WEEK: case FN_DAY_OF_YEAR: case FN_DAYS_IN_MONTH: case FN_HOUR: case FN_MINUTE:
    case FN_MONTH: case FN_YEAR:
        return true;
    default:
        return false;
    }
}

static bool old_aggregation(enum aggregate_op op)
{
    return op == AGG_COUNT || op == AGG_GROUP || op == AGG_MIN || op == AGG_MAX || op == AGG_TOPK || op == AGG_BOTTOMK ||
           op == AGG_QUANTILE;
}

static bool old_names(const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!label_name_legacy(names[i]))
            return false;
    return true;
}

static bool old_selector(const struct expr *e)
{
    for (size_t i = 0; i < e->u.selector.n_matchers; i++) {
        const struct matcher *m = &e->u.selector.matchers[i];
        if (!label_name_legacy(m->name) || (str_is(m->name, METRIC_NAME) && m->type == MATCH_EQ && !metric_name_legacy(m->value)))
            return false;
    }
    return true;
}

bool plan_old_evaluates(const struct expr *e)
{
    switch (e->kind) {
    case EXPR_SELECTOR: return old_selector(e);
    case EXPR_MATRIX: return e->u.matrix.range > 1 && old_selector(e->u.matrix.selector);
    case EXPR_SUBQUERY: return e->u.subquery.range > 1;
    case EXPR_CALL: return old_call(e);
    case EXPR_AGGREGATE: return old_aggregation(e->u.aggregate.op) && old_names(e->u.aggregate.labels, e->u.aggregate.n_labels);
    case EXPR_BINARY: {
        const struct matching *m = e->u.binary.matching;
        if (e->u.binary.op == OP_ATAN2)
            return false;
        return m == NULL || (old_names(m->labels, m->n_labels) && old_names(m->include, m->n_include));
    }
    default: return true;
    }
}

bool plan_server_old(const struct plan_group *g, size_t server) { return server < 64 && g->old >> server & 1; }

bool plan_all_shortsighted(const struct planner *p, const struct plan_value *v)
{
    bool all = false;
    for (size_t g = 0; g < p->n_groups; g++)
        all = all || (v->routed[g] && p->groups[g].old && p->groups[g].old == p->groups[g].shortsighted);
    return all;
}

/* Are all servers of some routed group that old? */
static bool plan_some_group_old(const struct planner *p, const struct plan_value *v)
{
    for (size_t g = 0; g < p->n_groups; g++) {
        size_t old = 0;
        for (size_t s = 0; v->routed[g] && s < p->groups[g].n_servers; s++)
            old += plan_server_old(&p->groups[g], s);
        if (old > 0 && old == p->groups[g].n_servers)
            return true;
    }
    return false;
}

const char *plan_old_refused(const struct planner *p, const struct plan_value *v)
{
    return v->old || !(p->older || plan_some_group_old(p, v)) ? NULL : "Prometheus before 3.0 computes it differently";
}

static bool plan_old_needs_samples(const struct plan *plan, size_t first_decision)
{
    for (size_t i = first_decision; i < plan->n_decisions; i++)
        if (plan->decisions[i].where == PLAN_RAW || plan->decisions[i].where == PLAN_CUT)
            return true;
    return false;
}

struct expr *plan_old_parts(struct planner *p, const struct expr *e, const struct plan_value *v, const struct grid *steps,
                            bool whole)
{
    struct plan *plan = p->plan;
    size_t n_pieces = plan->n_pieces, n_requests = plan->n_requests, n_decisions = plan->n_decisions;
    bool some = false;
    for (size_t g = 0; g < p->n_groups; g++)
        some = some || (v->routed[g] && p->groups[g].old);
    if (v->old || p->older || !some)
        return NULL;
    struct planner older = *p;
    struct expr *copy = expr_rewrite(&(struct expr_rewriter){.arena = p->arena}, (struct expr *)(uintptr_t)e);
    older.older = true;
    plan_cut(&older, &copy, steps);
    if (plan->n_requests > n_requests && !(whole && plan_old_needs_samples(plan, n_decisions)))
        return copy;
    plan->n_pieces = n_pieces;
    plan->n_requests = n_requests;
    plan->n_decisions = n_decisions;
    return NULL;
}

void plan_old_text(struct arena *a, struct expr *e)
{
    switch (e->kind) {
    case EXPR_NUMBER: e->u.number.as_duration = false; break;
    case EXPR_MATRIX: e->u.matrix.range--; break;
    case EXPR_SUBQUERY: e->u.subquery.range--; break;
    case EXPR_SELECTOR: {
        size_t n = e->u.selector.n_matchers;
        struct matcher *all = ARENA_ARRAY(a, struct matcher, n);
        for (size_t i = 0; i < n; i++) {
            all[i] = e->u.selector.matchers[i];
            if (all[i].type == MATCH_RE || all[i].type == MATCH_NRE)
                all[i].value = arena_printf(a, "(?s:%.*s)", STR_ARG(all[i].value));
        }
        e->u.selector.matchers = all;
        break;
    }
    default: break;
    }
}

static struct expr *old_node(struct arena *a, struct expr node)
{
    struct expr *e = ARENA_NEW(a, struct expr);
    *e = node;
    e->type = VALUE_VECTOR;
    return e;
}

struct expr *plan_old_instant(struct arena *a, const struct expr *selector, struct expr *newest, int64_t lookback)
{
    struct expr *range = old_node(a, (struct expr){.kind = EXPR_MATRIX}), **args = ARENA_ARRAY(a, struct expr *, 1);
    struct matching *same = ARENA_NEW(a, struct matching);
    range->type = VALUE_MATRIX;
    range->u.matrix.selector = old_node(a, *selector);
    range->u.matrix.range = lookback - 1;
    args[0] = range;
    *same = (struct matching){.card = CARD_MANY_TO_MANY};
    struct expr *last = old_node(a, (struct expr){.kind = EXPR_CALL,
                                                  .u.call = {function_find(STR("last_over_time")), args, 1}});
    struct expr *seen = newest ? newest : old_node(a, *selector);
    struct expr *both = old_node(a, (struct expr){
        .kind = EXPR_BINARY, .u.binary = {.op = OP_AND, .left = last, .right = seen, .matching = same}});
    return old_node(a, (struct expr){.kind = EXPR_PAREN, .u.paren.inner = both});
}
