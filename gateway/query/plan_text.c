// SPDX-License-Identifier: Apache-2.0
/* A node as text for the servers of one group: without the group's labels, with every time resolved (offsets and @ as
 * numbers, the step of subqueries written out), so that it means the same to a server with other defaults.
 *
 * A server may have a label of the same name as the group's, which the group's replaces. Grouping and matching must
 * not see it: it is left out of by and on, and added to without and ignoring.
 */
#include "gateway/query/plan_internal.h"

struct group_text { struct planner *planner; struct labels labels; };

struct str plan_text_of(struct arena *a, const struct expr *e)
{
    struct buf text = {0};
    promql_print(&text, e);
    struct str out = arena_str(a, buf_str(&text));
    buf_free(&text);
    return out;
}

static void plan_strip_names(struct group_text *t, const struct str **items, size_t *n)
{
    struct str *kept = ARENA_ARRAY(t->planner->arena, struct str, *n + 1);
    size_t n_kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (labels_get(t->labels, (*items)[i]).p == NULL)
            kept[n_kept++] = (*items)[i];
    *items = kept;
    *n = n_kept;
}

static void plan_add_names(struct group_text *t, const struct str **items, size_t *n)
{
    struct str *all = ARENA_ARRAY(t->planner->arena, struct str, *n + t->labels.count);
    struct labels_iter it = labels_iter(t->labels);
    size_t n_all = 0;
    plan_strip_names(t, items, n);
    for (size_t i = 0; i < *n; i++)
        all[n_all++] = (*items)[i];
    for (struct label l; labels_next(&it, &l);)
        all[n_all++] = l.name;
    *items = all;
    *n = n_all;
}

static void plan_text_matching(struct group_text *t, struct expr *e)
{
    struct matching *m = ARENA_NEW(t->planner->arena, struct matching);
    *m = *e->u.binary.matching;
    if (m->on)
        plan_strip_names(t, &m->labels, &m->n_labels);
    else
        plan_add_names(t, &m->labels, &m->n_labels);
    e->u.binary.matching = m;
}

static void plan_text_shift(struct time_shift *s) { s->offset_expr = NULL; }

static bool plan_text_enter(struct expr *e, void *arg)
{
    struct group_text *t = arg;
    switch (e->kind) {
    case EXPR_SELECTOR:
        plan_text_shift(&e->u.selector.shift);
        labels_route(t->labels, t->planner->arena, e->u.selector.matchers, e->u.selector.n_matchers,
                     &e->u.selector.matchers, &e->u.selector.n_matchers);
        break;
    case EXPR_MATRIX:
        e->u.matrix.range_expr = NULL;
        break;
    case EXPR_SUBQUERY:
        plan_text_shift(&e->u.subquery.shift);
        e->u.subquery.range_expr = e->u.subquery.step_expr = NULL;
        e->u.subquery.step = subquery_step_of(e, t->planner->question->subquery_step);
        break;
    case EXPR_AGGREGATE:
        if (e->u.aggregate.without)
            plan_add_names(t, &e->u.aggregate.labels, &e->u.aggregate.n_labels);
        else
            plan_strip_names(t, &e->u.aggregate.labels, &e->u.aggregate.n_labels);
        break;
    case EXPR_BINARY:
        if (e->u.binary.matching && t->labels.count > 0)
            plan_text_matching(t, e);
        break;
    default: break;
    }
    return true;
}

/* start() and the like became numbers, which may be negative: -1 ^ 2 is something else than (-1) ^ 2. */
static struct expr *plan_text_leave(struct expr *e, void *arg)
{
    struct group_text *t = arg;
    if (e->kind == EXPR_STEP_INVARIANT)
        return e->u.invariant.inner;
    if (e->kind != EXPR_NUMBER || !signbit(e->u.number.v))
        return e;
    struct expr *paren = ARENA_NEW(t->planner->arena, struct expr);
    *paren = (struct expr){.kind = EXPR_PAREN, .type = e->type, .u.paren.inner = e};
    return paren;
}

/* label_replace(sum by (a) (x), "__part__", "sum", "", "") or label_replace(count by (a) (x), ...): both come from one
 * look at the data, so that a scrape between two requests cannot change one of them only. */
static struct str plan_text_average(struct arena *a, struct expr *e)
{
    struct buf text = {0};
    static const struct { enum aggregate_op op; const char *part; } parts[] = {
        {AGG_SUM, PLAN_PART_SUM}, {AGG_COUNT, PLAN_PART_COUNT}};
    for (size_t i = 0; i < LEN(parts); i++) {
        e->u.aggregate.op = parts[i].op;
        buf_add_z(&text, i ? " or label_replace(" : "label_replace(");
        promql_print(&text, e);
        buf_printf(&text, ", \"" PLAN_PART_LABEL "\", \"%s\", \"\", \"\")", parts[i].part);
    }
    struct str out = arena_str(a, buf_str(&text));
    buf_free(&text);
    return out;
}

struct str plan_text_for(struct planner *p, const struct expr *e, size_t group, bool average)
{
    struct group_text t = {p, p->env->groups[group].labels};
    struct expr_rewriter r = {p->arena, plan_text_enter, plan_text_leave, &t};
    struct expr *own = expr_rewrite(&r, e);
    return average ? plan_text_average(p->arena, own) : plan_text_of(p->arena, own);
}
