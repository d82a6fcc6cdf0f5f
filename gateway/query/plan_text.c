// SPDX-License-Identifier: Apache-2.0
/* A node as text for the servers of one group: with the labels that its servers have, and with every time resolved
 * (offsets and @ as numbers, the step of subqueries written out), so that it means the same to a server with other
 * defaults.
 *
 * A server may have a label of the same name as one that the group adds or replaces. Grouping and matching must not see
 * it: it is left out of by and on, and added to without and ignoring.
 */
#include "gateway/query/plan_internal.h"

struct group_text {
    struct planner *planner;
    const struct plan_group *group;
    const struct label_view *view;
    const struct plan_choice *choice;
    bool old;                    /* for Prometheus 2 */
    unsigned reading;            /* depth of nodes that read selectors */
};

struct str plan_text_of(struct arena *a, const struct expr *e)
{
    struct buf text = {0};
    promql_print(&text, e);
    struct str out = arena_str(a, buf_str(&text));
    buf_free(&text);
    return out;
}

static bool plan_has_name(const struct str *items, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(items[i], name))
            return true;
    return false;
}

/* The servers' labels for the listed ones: of by and on. */
static void plan_names_kept(struct group_text *t, const struct str **items, size_t *n)
{
    struct str *kept = ARENA_ARRAY(t->planner->arena, struct str, *n + 1);
    size_t n_kept = 0;
    for (size_t i = 0; i < *n; i++) {
        const struct view_label *item = view_find(t->view, (*items)[i]);
        struct str name = item == NULL ? (*items)[i] : item->from == VIEW_LABEL ? item->of : STR_NONE;
        if (name.n > 0 && !plan_has_name(kept, n_kept, name))
            kept[n_kept++] = name;
    }
    *items = kept;
    *n = n_kept;
}

/* Is the server's label needed for one that is shown and not listed? */
static bool plan_name_needed(const struct label_view *v, const struct str *listed, size_t n, struct str name)
{
    if (view_find(v, name) == NULL && !plan_has_name(listed, n, name))
        return true;
    for (size_t i = 0; i < v->n; i++)
        if (v->items[i].from == VIEW_LABEL && str_eq(v->items[i].of, name) &&
            !plan_has_name(listed, n, v->items[i].name))
            return true;
    return false;
}

/* The servers' labels to drop so that the listed ones are dropped: of without and ignoring. */
static void plan_names_dropped(struct group_text *t, const struct str **items, size_t *n)
{
    const struct label_view *v = t->view;
    struct str *all = ARENA_ARRAY(t->planner->arena, struct str, *n + 2 * v->n + 1);
    size_t n_all = 0;
    for (size_t i = 0; i < *n; i++)
        if (!view_touches(v, (*items)[i]))
            all[n_all++] = (*items)[i];
    for (size_t i = 0; i < v->n; i++) {
        const struct str names[] = {v->items[i].name, v->items[i].from == VIEW_LABEL ? v->items[i].of : STR_NONE};
        for (size_t k = 0; k < LEN(names); k++)
            if (names[k].n > 0 && !plan_has_name(all, n_all, names[k]) && !plan_name_needed(v, *items, *n, names[k]))
                all[n_all++] = names[k];
    }
    *items = all;
    *n = n_all;
}

static void plan_text_matching(struct group_text *t, struct expr *e)
{
    struct matching *m = ARENA_NEW(t->planner->arena, struct matching);
    *m = *e->u.binary.matching;
    if (m->on)
        plan_names_kept(t, &m->labels, &m->n_labels);
    else
        plan_names_dropped(t, &m->labels, &m->n_labels);
    e->u.binary.matching = m;
}

static void plan_text_shift(struct time_shift *s) { s->offset_expr = NULL; }

static bool plan_text_enter(struct expr *e, void *arg)
{
    struct group_text *t = arg;
    t->reading += plan_reads_selectors(e);
    switch (e->kind) {
    case EXPR_SELECTOR:
        plan_text_shift(&e->u.selector.shift);
        view_route(t->view, t->planner->arena, e->u.selector.matchers, e->u.selector.n_matchers,
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
            plan_names_dropped(t, &e->u.aggregate.labels, &e->u.aggregate.n_labels);
        else
            plan_names_kept(t, &e->u.aggregate.labels, &e->u.aggregate.n_labels);
        break;
    case EXPR_BINARY:
        if (e->u.binary.matching && t->view->n > 0)
            plan_text_matching(t, e);
        break;
    default: break;
    }
    if (t->old)
        plan_old_text(t->planner->arena, e);
    return true;
}

static bool plan_text_newest(const struct group_text *t, const struct expr *selector)
{
    return t->reading == 0 && plan_newest_possible(selector) &&
           plan_has_name(t->choice->newest, t->choice->n_newest, plan_metric_of(selector));
}

static struct expr *plan_text_selector(const struct group_text *t, struct expr *e)
{
    struct arena *a = t->planner->arena;
    struct expr *newest = plan_text_newest(t, e) ? plan_newest(a, e, t->group->target_labels, t->group->n_target_labels) : NULL;
    if (t->old && t->reading == 0)
        return plan_old_instant(a, e, newest, t->planner->question->lookback);
    return newest ? newest : e;
}

/* start() and the like became numbers, which may be negative: -1 ^ 2 is something else than (-1) ^ 2. */
static struct expr *plan_text_leave(struct expr *e, void *arg)
{
    struct group_text *t = arg;
    t->reading -= plan_reads_selectors(e);
    if (e->kind == EXPR_STEP_INVARIANT)
        return e->u.invariant.inner;
    if (e->kind == EXPR_SELECTOR)
        return plan_text_selector(t, e);
    if (e->kind != EXPR_NUMBER || !signbit(e->u.number.v))
        return e;
    struct expr *paren = ARENA_NEW(t->planner->arena, struct expr);
    *paren = (struct expr){.kind = EXPR_PAREN, .type = e->type, .u.paren.inner = e};
    return paren;
}

/* label_replace(sum by (a) (x), "__part__", "sum", "", "") or label_replace(count by (a) (x), ...): one request
 * evaluates both on the same data, so that a scrape between two requests cannot change only one of them. */
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

/* The aggregation by one more label. */
static void plan_keep_label(struct arena *a, struct expr *e, struct str label)
{
    const struct str *had = e->u.aggregate.labels;
    size_t n = e->u.aggregate.n_labels, kept = 0;
    struct str *labels = ARENA_ARRAY(a, struct str, n + 1);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(had[i], label))
            labels[kept++] = had[i];
    if (!e->u.aggregate.without)
        labels[kept++] = label;
    e->u.aggregate.labels = labels;
    e->u.aggregate.n_labels = kept;
}

struct str plan_text_for(struct planner *p, const struct expr *e, size_t group, size_t server, const struct plan_choice *choice,
                         bool average)
{
    struct group_text t = {.planner = p, .group = &p->groups[group], .view = p->views[group], .choice = choice,
                           .old = plan_server_old(&p->groups[group], server)};
    struct expr_rewriter r = {p->arena, plan_text_enter, plan_text_leave, &t};
    struct expr *own = expr_rewrite(&r, e);
    if (choice->cells && own->kind == EXPR_AGGREGATE)
        plan_keep_label(p->arena, own, choice->cells->label);
    return average ? plan_text_average(p->arena, own) : plan_text_of(p->arena, own);
}
