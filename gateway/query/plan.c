// SPDX-License-Identifier: Apache-2.0
/* Visits the tree from the leaves to the root and decides for each node whether servers can evaluate the expression
 * below it. If a node cannot be pushed, those of its children that can be are cut out: they are the largest.
 */
#include "gateway/query/plan_internal.h"

#include <stdarg.h>

const char *plan_why(struct planner *p, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    const char *why = arena_z(p->arena, buf_str(&text));
    buf_free(&text);
    return why;
}

void plan_decide(struct planner *p, const struct expr *e, enum plan_where where, const char *why)
{
    struct plan *plan = p->plan;
    arena_grow(p->arena, &plan->decisions, &plan->_cap_decisions, plan->n_decisions + 1, sizeof *plan->decisions);
    struct str text = p->question->text;
    bool written = e->pos < e->end && e->end <= text.n;
    plan->decisions[plan->n_decisions++] = (struct plan_decision){
        written ? str_n(text.p + e->pos, e->end - e->pos) : plan_text_of(p->arena, e), where, str_of(why)};
}

static struct plan_value plan_visit(struct planner *p, struct expr **slot, const struct grid *g);

static const struct plan_value constant = {.kind = PLAN_CONSTANT}, evaluated_here = {.kind = PLAN_HERE};

/* The node is evaluated here, because of `why`. The caller cuts out those of its arguments that can be pushed. */
static struct plan_value plan_here(struct planner *p, const struct expr *e, const char *why)
{
    plan_decide(p, e, PLAN_LOCAL, why);
    return evaluated_here;
}

/* --- selectors ---------------------------------------------------------------------------------------------------- */

struct str plan_metric_of(const struct expr *selector)
{
    for (size_t i = 0; i < selector->u.selector.n_matchers; i++) {
        const struct matcher *m = &selector->u.selector.matchers[i];
        if (m->type == MATCH_EQ && str_is(m->name, METRIC_NAME))
            return m->value;
    }
    return STR_NONE;
}

static bool plan_one_name(const struct expr *selector) { return plan_metric_of(selector).n > 0; }

bool plan_is_one_group(const struct planner *p, const struct plan_value *v)
{
    bool one = v->n_routed == 1;
    for (size_t g = 0; one && g < p->n_groups; g++)
        one = !v->routed[g] || plan_part_values(p, g) == 0;
    return one || v->exclusive;
}

/* Have the routed groups samples of different times, and no two of the same? */
static bool plan_times_apart(const struct planner *p, const struct plan_value *v)
{
    const struct plan_group *groups = p->groups;
    for (size_t a = 0; a < p->n_groups; a++)
        for (size_t b = a + 1; v->routed[a] && b < p->n_groups; b++) {
            bool apart = groups[a].limited && groups[b].limited &&
                         (groups[a].window.to <= groups[b].window.from || groups[b].window.to <= groups[a].window.from);
            if (v->routed[b] && !apart)
                return false;
        }
    return true;
}

static const char may_share_series[] = "no label tells its server groups apart: a series of two groups would be counted twice";

/* Otherwise *unproven: whether its groups may share series. */
static const char *plan_selector_refused(struct planner *p, const struct expr *e, const struct plan_value *v, bool *unproven)
{
    if (e->u.selector.anchored || e->u.selector.smoothed)
        return "anchored and smoothed are too new for servers";
    if (p->too_many_names)
        return "the groups have too many different labels";
    bool disjoint = true, limited = false;
    for (size_t g = 0; g < p->n_groups; g++) {
        const struct plan_group *group = &p->groups[g];
        const char *refusal = group->refusal ? group->refusal : p->views[g]->refusal;
        if (v->routed[g] && refusal)
            return plan_why(p, "server group \"%.*s\": %s", STR_ARG(group->name), refusal);
        disjoint = disjoint && (!v->routed[g] || group->disjoint);
        limited = limited || (v->routed[g] && group->limited);
    }
    if (plan_is_one_group(p, v) || plan_apart(p, v, v->present))
        return NULL;
    if (limited && !disjoint)
        return "its series are united with those of other groups (relative_time_range, absolute_time_range)";
    *unproven = !disjoint;
    return plan_one_name(e) ? NULL : "series of different names and server groups may become equal";
}

static struct plan_need *plan_one_need(struct planner *p, const struct expr *selector, int64_t range)
{
    const struct time_shift *shift = &selector->u.selector.shift;
    struct plan_need *need = ARENA_NEW(p->arena, struct plan_need);
    bool fixed = shift->at != AT_NONE;
    int64_t to = (fixed ? shift->at_time : 0) - shift->offset;
    *need = (struct plan_need){selector, fixed, to - (range ? range : p->question->lookback) + 1, to, range == 0,
                               range == 0 && plan_newest_possible(selector), to};
    return need;
}

/* Can the group have samples for the selector? */
static bool plan_admits(const struct planner *p, size_t group, const struct plan_need *need, const struct grid *g)
{
    const struct plan_env *env = p->env;
    const struct expr *s = need->selector;
    return env->admits == NULL || env->admits(env->arg, p->numbers[group], s->u.selector.matchers, s->u.selector.n_matchers,
                                              need->from + (need->fixed ? 0 : g->start),
                                              need->to + (need->fixed ? 0 : grid_end(g)));
}

static struct plan_value plan_selector(struct planner *p, const struct expr *e, int64_t range, const struct grid *grid)
{
    struct plan_value v = {.kind = PLAN_UNION, .n_needs = 1, .needs = plan_one_need(p, e, range)};
    uint8_t *routed = ARENA_ARRAY(p->arena, uint8_t, p->n_groups + 1);
    const struct matcher *matchers;
    size_t n;
    for (size_t g = 0; g < p->n_groups; g++) {
        routed[g] = view_route(p->views[g], p->arena, e->u.selector.matchers, e->u.selector.n_matchers, &matchers, &n) &&
                    plan_admits(p, g, v.needs, grid);
        v.n_routed += routed[g];
    }
    v.routed = routed;
    if (v.n_routed == 0) {
        plan_decide(p, e, PLAN_LOCAL, "no server group can have such series");
        return evaluated_here;
    }
    v.present = plan_names_of_groups(p, &v);
    v.exclusive = v.n_routed > 1 && !plan_apart(p, &v, v.present) && plan_times_apart(p, &v);
    v.old = plan_old_evaluates(e) && (range > 0 || (plan_one_name(e) && !plan_all_shortsighted(p, &v)));
    const char *refused = plan_selector_refused(p, e, &v, &v.unproven);
    refused = refused ? refused : plan_old_refused(p, &v);
    if (refused == NULL)
        return v;
    plan_decide(p, e, PLAN_RAW, refused);
    return evaluated_here;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

/* What is cut out of a node that is evaluated here. A range vector has no value at a step: of a subquery the inner
 * expression is cut out, of a selector raw samples are read. */
static void plan_cut_child(struct planner *p, struct expr **slot, const struct plan_value *v, const struct grid *g)
{
    if (v->kind != PLAN_UNION && v->kind != PLAN_PARTS)
        return;
    struct grid inner;
    int64_t steps;
    struct expr *e = *slot;
    if (e->kind == EXPR_STEP_INVARIANT) {
        struct grid first = grid_first(g);
        plan_cut_child(p, &e->u.invariant.inner, v, &first);
    } else if (e->kind == EXPR_PAREN) {
        plan_cut_child(p, &e->u.paren.inner, v, g);
    } else if (e->kind == EXPR_MATRIX) {
        plan_decide(p, e, PLAN_RAW, "its samples are needed here");
    } else if (e->kind == EXPR_SUBQUERY) {
        if (grid_of_subquery(g, e, p->question->subquery_step, &inner, &steps) && inner.n > 0) {
            struct plan_value of_inner = plan_visit(p, &e->u.subquery.inner, &inner);
            plan_cut_child(p, &e->u.subquery.inner, &of_inner, &inner);
        }
    } else {
        plan_cut_out(p, slot, v, g);
    }
}

static bool plan_same_groups(const struct planner *p, const struct plan_value *a, const struct plan_value *b)
{
    return a->n_routed == b->n_routed && a->exclusive == b->exclusive && memcmp(a->routed, b->routed, p->n_groups) == 0;
}

static void plan_add_needs(struct planner *p, struct plan_value *to, const struct plan_value *from)
{
    struct plan_need *all = ARENA_ARRAY(p->arena, struct plan_need, to->n_needs + from->n_needs);
    for (size_t i = 0; i < to->n_needs + from->n_needs; i++)
        all[i] = i < to->n_needs ? to->needs[i] : from->needs[i - to->n_needs];
    to->needs = all;
    to->n_needs += from->n_needs;
}

/* --- subqueries --------------------------------------------------------------------------------------------------- */

static bool plan_subqueries_agree(const struct planner *p, const struct plan_value *v)
{
    for (size_t g = 0; g < p->n_groups; g++)
        if (v->routed[g] && !p->groups[g].subqueries)
            return false;
    return true;
}

/* The inner steps of the step at t are those in (t - range, t], shifted. */
static void plan_subquery_needs(struct planner *p, const struct expr *e, struct plan_value *v)
{
    const struct time_shift *shift = &e->u.subquery.shift;
    struct plan_need *needs = ARENA_ARRAY(p->arena, struct plan_need, v->n_needs);
    for (size_t i = 0; i < v->n_needs; i++) {
        needs[i] = v->needs[i];
        if (needs[i].fixed)
            continue;
        needs[i].fixed = shift->at != AT_NONE;
        int64_t by = (needs[i].fixed ? shift->at_time : 0) - shift->offset;
        needs[i].from += by - e->u.subquery.range + 1;
        needs[i].newest_from += by - e->u.subquery.range + 1;
        needs[i].to += by;
    }
    v->needs = needs;
}

static struct plan_value plan_subquery(struct planner *p, struct expr *e, const struct grid *g)
{
    struct grid inner;
    int64_t steps;
    if (!grid_of_subquery(g, e, p->question->subquery_step, &inner, &steps) || inner.n == 0)
        return evaluated_here;
    struct plan_value v = plan_visit(p, &e->u.subquery.inner, &inner);
    if (v.kind == PLAN_UNION && plan_subqueries_agree(p, &v)) {
        plan_subquery_needs(p, e, &v);
        v.old = v.old && plan_old_evaluates(e);
        return v;
    }
    plan_cut_child(p, &e->u.subquery.inner, &v, &inner);
    return evaluated_here;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static struct plan_value plan_call(struct planner *p, struct expr *e, const struct grid *g)
{
    size_t n = e->u.call.n_args, at = n;
    struct plan_value *args = ARENA_ARRAY(p->arena, struct plan_value, n);
    bool whole = e->u.call.fn->distribution < DISTRIBUTES_ALL; /* scalar(), sort(): cheap here */
    if (e->u.call.fn->id == FN_INFO) /* it reads the matchers and times of its arguments */
        return plan_here(p, e, "info() is experimental: servers may not have it");
    for (size_t i = 0; i < n; i++) {
        args[i] = plan_visit(p, &e->u.call.args[i], g);
        if (args[i].kind == PLAN_CONSTANT)
            continue;
        whole = whole && args[i].kind == PLAN_UNION && at == n;
        at = i;
    }
    if (at == n) /* no selector: a scalar is computed wherever it is part of something */
        return e->type == VALUE_SCALAR && !(e->u.call.fn->attributes & FUNCTION_EXPERIMENTAL) ? constant
                                                                                              : evaluated_here;
    const char *refused = whole ? plan_call_refused(p, e, &args[at]) : "an argument is evaluated here";
    if (e->u.call.fn->distribution >= DISTRIBUTES_ALL)
        refused = plan_why(p, "%s() is evaluated here", e->u.call.fn->name);
    struct plan_value called = {0};
    if (refused == NULL) {
        called = plan_called(p, e, args[at]);
        called.old = called.old && plan_old_evaluates(e);
        called.fewer = called.fewer || e->u.call.fn->distribution != DISTRIBUTES_EACH;
        refused = plan_old_refused(p, &called);
    }
    if (refused == NULL)
        return called;
    bool more = e->u.call.fn->id == FN_TIMESTAMP || e->u.call.fn->id == FN_START_TIMESTAMP; /* than values */
    for (size_t i = 0; i < n && !more; i++)
        plan_cut_child(p, &e->u.call.args[i], &args[i], g);
    if (more)
        plan_decide(p, e, PLAN_RAW, refused);
    return more ? evaluated_here : plan_here(p, e, refused);
}

/* --- aggregations ------------------------------------------------------------------------------------------------- */

static bool plan_literal(const struct expr *e)
{
    while (e && (e->kind == EXPR_PAREN || e->kind == EXPR_STEP_INVARIANT || e->kind == EXPR_UNARY))
        e = e->kind == EXPR_PAREN ? e->u.paren.inner : e->kind == EXPR_UNARY ? e->u.unary.inner : e->u.invariant.inner;
    return e == NULL || e->kind == EXPR_NUMBER || e->kind == EXPR_STRING;
}

static plan_names plan_grouping_keeps(const struct planner *p, const struct expr *e, plan_names present)
{
    plan_names listed = plan_names_of(p, e->u.aggregate.labels, e->u.aggregate.n_labels);
    return e->u.aggregate.without ? present & ~listed : present & listed;
}

static bool plan_keeps_name(const struct expr *e)
{
    for (size_t i = 0; !e->u.aggregate.without && i < e->u.aggregate.n_labels; i++)
        if (str_starts(e->u.aggregate.labels[i], STR("__")))
            return true;
    return false;
}

/* A copied label is kept by the servers while any of its names is shown. What a node drops must then be known from the
 * node alone, which it is while all names are shown. */
static bool plan_lost_a_copy(const struct planner *p, const struct plan_value *v)
{
    return v->present != plan_names_of_groups(p, v) && plan_copies_labels(p, v);
}

static const char *plan_aggregate_refused(struct planner *p, const struct expr *e, const struct plan_value *v)
{
    enum aggregate_op op = e->u.aggregate.op;
    const struct expr *param = e->u.aggregate.param;
    if (v->kind != PLAN_UNION)
        return "its argument is evaluated here";
    if (v->unproven)
        return may_share_series;
    if (aggregate_is_experimental(op))
        return plan_why(p, "%s() is experimental: servers may not have it", aggregate_op_text(op));
    if (!plan_literal(param))
        return "its parameter is not a literal";
    if (op == AGG_COUNT_VALUES && plan_names_of(p, &param->u.string, 1) != 0)
        return "its label is one of a server group";
    if (e->u.aggregate.without && plan_lost_a_copy(p, v))
        return "a server's label that is shown under several names is shown under some of them only";
    return NULL;
}

/* The value of the aggregation v of its argument: in parts, or none where they cannot be aggregated again. */
static const char *plan_aggregate_spreads(struct planner *p, const struct expr *e, struct plan_value *v)
{
    enum aggregate_op op = e->u.aggregate.op;
    plan_names grouped = plan_grouping_keeps(p, e, v->present);
    if (plan_selects_series(op)) { /* selected again here, because that decides their order */
        v->kind = PLAN_PARTS;
        return NULL;
    }
    bool apart = plan_is_one_group(p, v) || plan_apart(p, v, grouped);
    v->present = grouped;
    if (apart)
        return NULL;
    if (aggregate_distribution(op) != DISTRIBUTES_GROUP)
        return plan_why(p, "%s needs the series of all server groups", aggregate_op_text(op));
    if (op == AGG_AVG && plan_keeps_name(e))
        return "avg by the name cannot be divided into sum and count";
    v->kind = PLAN_PARTS;
    return NULL;
}

static struct plan_value plan_aggregate(struct planner *p, struct expr *e, const struct grid *g)
{
    struct plan_value v = plan_visit(p, &e->u.aggregate.inner, g), spread = v;
    struct plan_value param = e->u.aggregate.param ? plan_visit(p, &e->u.aggregate.param, g) : constant;
    const char *refused = plan_aggregate_refused(p, e, &v);
    spread.old = v.old && plan_old_evaluates(e);
    spread.fewer = true;
    if (refused == NULL)
        refused = plan_old_refused(p, &spread);
    if (refused == NULL)
        refused = plan_aggregate_spreads(p, e, &spread);
    if (refused == NULL)
        return spread;
    plan_cut_child(p, &e->u.aggregate.inner, &v, g);
    if (e->u.aggregate.param)
        plan_cut_child(p, &e->u.aggregate.param, &param, g);
    return plan_here(p, e, refused);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* Of the listed labels, those that groups add. */
static size_t plan_count_names(const struct planner *p, const struct matching *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_labels; i++)
        n += plan_names_of(p, &m->labels[i], 1) != 0;
    return n;
}

static plan_names plan_matching_names(const struct planner *p, const struct matching *m, plan_names present)
{
    plan_names listed = plan_names_of(p, m->labels, m->n_labels);
    return m->on ? present & listed : present & ~listed;
}

/* Several groups: series match within a group. Duplicates on one side are an error even if their match on the other
 * side is in another group, which the servers cannot see: so there must be none. */
static const char *plan_join_spreads(struct planner *p, const struct expr *e, const struct plan_value *l,
                                     const struct plan_value *r)
{
    const struct matching *m = e->u.binary.matching;
    bool by_all = !m->on && plan_count_names(p, m) == m->n_labels && !plan_renames_labels(p, l);
    if (!plan_apart(p, l, plan_matching_names(p, m, l->present)))
        return "it matches series of different server groups";
    for (size_t i = 0; by_all && i < l->n_needs + r->n_needs; i++)
        by_all = plan_one_name(i < l->n_needs ? l->needs[i].selector : r->needs[i - l->n_needs].selector);
    return by_all || binary_is_set(e->u.binary.op) ? NULL : "duplicates of one side are known only with all server groups";
}

/* NULL: both sides are vectors that can be pushed together. */
static const char *plan_join_refused(struct planner *p, const struct expr *e, const struct plan_value *l,
                                     const struct plan_value *r)
{
    const struct matching *m = e->u.binary.matching;
    if (l->n_needs + r->n_needs > PLAN_MAX_SELECTORS)
        return "it has too many selectors for one request";
    if (m->fill_left || m->fill_right)
        return "fill modifiers are too new for servers";
    if (!plan_same_groups(p, l, r))
        return "its sides are in different server groups";
    if (l->present != r->present)
        return "only one side has the labels of the server group";
    if (plan_names_of(p, m->include, m->n_include) != 0)
        return "it includes a label of a server group";
    if (!m->on && plan_lost_a_copy(p, l))
        return "a server's label that is shown under several names is shown under some of them only";
    return plan_is_one_group(p, l) ? NULL : plan_join_spreads(p, e, l, r);
}

static struct plan_value plan_join(struct planner *p, const struct expr *e, struct plan_value l,
                                   const struct plan_value *r)
{
    const struct matching *m = e->u.binary.matching;
    if (m->card == CARD_ONE_TO_ONE)
        l.present = plan_matching_names(p, m, l.present);
    plan_add_needs(p, &l, r);
    return l;
}

static struct plan_value plan_operation(struct planner *p, struct expr *e, struct plan_value l, struct plan_value r,
                                        const struct grid *g)
{
    const char *refused = NULL;
    enum binary_op op = e->u.binary.op;
    bool both = l.kind == PLAN_UNION && r.kind == PLAN_UNION;
    if (l.kind == PLAN_CONSTANT && r.kind == PLAN_CONSTANT)
        return constant;
    if (op == OP_TRIM_UPPER || op == OP_TRIM_LOWER)
        refused = "histogram trimming is too new for servers";
    else if (both && e->u.binary.matching)
        refused = plan_join_refused(p, e, &l, &r);
    else if (binary_is_comparison(op) && !e->u.binary.is_bool && (l.unproven || r.unproven))
        refused = may_share_series;
    else if (both || l.kind == PLAN_HERE || r.kind == PLAN_HERE || l.kind == PLAN_PARTS || r.kind == PLAN_PARTS)
        refused = "an operand is evaluated here";
    struct plan_value value = l.kind == PLAN_UNION ? l : r;
    value.old = value.old && (!both || r.old) && plan_old_evaluates(e);
    value.fewer = value.fewer || (both && r.fewer) || op >= OP_AND || (binary_is_comparison(op) && !e->u.binary.is_bool);
    if (refused == NULL)
        refused = plan_old_refused(p, &value);
    if (refused == NULL)
        return both ? plan_join(p, e, value, &r) : value;
    plan_cut_child(p, &e->u.binary.left, &l, g);
    plan_cut_child(p, &e->u.binary.right, &r, g);
    return plan_here(p, e, refused);
}

static struct plan_value plan_chain(struct planner *p, struct expr *e, const struct grid *g)
{
    struct expr *b = binary_chain_start(e);
    struct plan_value left = plan_visit(p, &b->u.binary.left, g);
    for (;; b = b->u.binary.next) {
        left = plan_operation(p, b, left, plan_visit(p, &b->u.binary.right, g), g);
        if (b == e)
            return left;
    }
}

/* --- all nodes ---------------------------------------------------------------------------------------------------- */

static struct plan_value plan_unary(struct planner *p, struct expr *e, const struct grid *g)
{
    struct plan_value v = plan_visit(p, &e->u.unary.inner, g);
    if (v.kind != PLAN_PARTS)
        return v;
    plan_cut_child(p, &e->u.unary.inner, &v, g);
    return evaluated_here;
}

static struct plan_value plan_range(struct planner *p, const struct expr *e, const struct grid *g)
{
    struct plan_value v = plan_selector(p, e->u.matrix.selector, e->u.matrix.range, g);
    v.old = v.old && plan_old_evaluates(e);
    return v;
}

static struct plan_value plan_visit(struct planner *p, struct expr **slot, const struct grid *g)
{
    struct expr *e = *slot;
    struct grid first = grid_first(g);
    switch (e->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING: return constant;
    case EXPR_PAREN: return plan_visit(p, &e->u.paren.inner, g);
    case EXPR_UNARY: return plan_unary(p, e, g);
    case EXPR_BINARY: return plan_chain(p, e, g);
    case EXPR_AGGREGATE: return plan_aggregate(p, e, g);
    case EXPR_CALL: return plan_call(p, e, g);
    case EXPR_SELECTOR: return plan_selector(p, e, 0, g);
    case EXPR_MATRIX: return plan_range(p, e, g);
    case EXPR_SUBQUERY: return plan_subquery(p, e, g);
    case EXPR_STEP_INVARIANT: return plan_visit(p, &e->u.invariant.inner, &first);
    case EXPR_FETCHED:
    case EXPR_CUT: break;
    }
    return evaluated_here;
}

void plan_cut(struct planner *p, struct expr **slot, const struct grid *steps)
{
    struct plan_value v = plan_visit(p, slot, steps);
    plan_cut_child(p, slot, &v, steps);
}

void plan_make(struct arena *a, const struct plan_question *question, const struct plan_env *env, struct plan *out)
{
    struct planner p = {.arena = a, .env = env, .groups = env->groups, .n_groups = env->n_groups, .plan = out,
                        .question = question};
    size_t *numbers = ARENA_ARRAY(a, size_t, env->n_groups);
    struct grid grid = {question->start, question->step, question->n_steps};
    *out = (struct plan){.tree = expr_rewrite(&(struct expr_rewriter){.arena = a}, question->tree),
                         .lookback = question->lookback};
    for (size_t g = 0; g < env->n_groups; g++)
        numbers[g] = g;
    p.numbers = numbers;
    plan_names_init(&p);
    if (grid.n == 0)
        return;
    plan_cut(&p, &out->tree, &grid);
    if (out->n_requests > PLAN_MAX_REQUESTS) {
        out->n_decisions = 0;
        plan_decide(&p, question->tree, PLAN_LOCAL, "its parts would be too many requests");
        out->n_pieces = out->n_requests = 0;
    }
}
