// SPDX-License-Identifier: Apache-2.0
/* What may make the response to a pushed expression useless.
 *
 * Native histograms: JSON shows them incompletely, so such a response is discarded, and the query is evaluated from raw
 * samples instead. What is learned from it concerns the metric: rate(x[5m]) has histograms if x has, and
 * histogram_count(x) never has any. A metric that is missed costs a discarded response, one too many an evaluation here.
 *
 * Experimental functions: a server that is not started with them rejects the expression, which is learned likewise.
 */
#include "gateway/query/plan_internal.h"

struct histogram_metrics { struct arena *arena; struct str *items; size_t n, cap; };

static bool call_keeps_histograms(enum function_id id)
{
    switch (id) {
    case FN_RATE: case FN_INCREASE: case FN_DELTA: case FN_IRATE: case FN_IDELTA:
    case FN_SUM_OVER_TIME: case FN_AVG_OVER_TIME: case FN_FIRST_OVER_TIME: case FN_LAST_OVER_TIME:
    case FN_LABEL_REPLACE: case FN_LABEL_JOIN: case FN_SORT_BY_LABEL: case FN_SORT_BY_LABEL_DESC:
        return true;
    default:
        return false;
    }
}

static bool node_keeps_histograms(const struct expr *e)
{
    switch (e->kind) {
    case EXPR_CALL: return call_keeps_histograms(e->u.call.fn->id);
    case EXPR_AGGREGATE:
        return e->u.aggregate.op == AGG_SUM || e->u.aggregate.op == AGG_AVG || e->u.aggregate.op == AGG_LIMITK ||
               e->u.aggregate.op == AGG_LIMIT_RATIO;
    default: return true;
    }
}

static void histogram_metrics_add(struct histogram_metrics *m, const struct expr *selector)
{
    struct str name = STR_NONE;
    for (size_t i = 0; i < selector->u.selector.n_matchers; i++) {
        const struct matcher *by = &selector->u.selector.matchers[i];
        if (by->type == MATCH_EQ && str_is(by->name, METRIC_NAME))
            name = by->value;
    }
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->items[i], name))
            return;
    if (name.n == 0)
        return;
    arena_grow(m->arena, &m->items, &m->cap, m->n + 1, sizeof *m->items);
    m->items[m->n++] = name;
}

static void histogram_metrics_visit(struct expr **child, void *arg)
{
    struct expr *e = *child;
    if (e->kind == EXPR_SELECTOR)
        histogram_metrics_add(arg, e);
    else if (node_keeps_histograms(e))
        expr_children(e, histogram_metrics_visit, arg);
}

struct str *plan_histogram_metrics(struct arena *a, const struct expr *e, size_t *n)
{
    struct histogram_metrics m = {.arena = a};
    struct expr *root = (struct expr *)(uintptr_t)e; /* not changed */
    histogram_metrics_visit(&root, &m);
    *n = m.n;
    return m.items;
}

/* --- experimental functions --------------------------------------------------------------------------------------- */

struct experimental_functions { struct arena *arena; const struct function **items; size_t n, cap; };

static void experimental_visit(struct expr **child, void *arg)
{
    struct experimental_functions *f = arg;
    struct expr *e = *child;
    size_t i = 0;
    if (e->kind == EXPR_CALL && (e->u.call.fn->attributes & FUNCTION_EXPERIMENTAL)) {
        while (i < f->n && f->items[i] != e->u.call.fn)
            i++;
        if (i == f->n) {
            arena_grow(f->arena, &f->items, &f->cap, f->n + 1, sizeof(const struct function *));
            f->items[f->n++] = e->u.call.fn;
        }
    }
    expr_children(e, experimental_visit, arg);
}

const struct function **plan_experimental(struct arena *a, const struct expr *e, size_t *n)
{
    struct experimental_functions f = {.arena = a};
    struct expr *root = (struct expr *)(uintptr_t)e; /* not changed */
    experimental_visit(&root, &f);
    *n = f.n;
    return f.items;
}
