// SPDX-License-Identifier: Apache-2.0
/* Collects the selectors of a preprocessed tree: one struct select each, with its evaluation grid, so that all series
 * can be fetched in one call before the evaluation. */
#include "promql/eval/eval_internal.h"

/* Context of a selector in the tree. counted: an enclosing node reads only the counts of histograms; buckets: an
 * enclosing node needs their buckets. */
struct select_path { const char *func; bool counted, buckets; };
struct select_collector { struct eval *ev; struct select *items; size_t n, cap; };

struct grid subquery_grid(struct eval *ev, const struct grid *g, const struct expr *e)
{
    struct grid inner;
    int64_t steps;
    if (!grid_of_subquery(g, e, ev->params->subquery_step, &inner, &steps))
        eval_fail(ev, ERR_LIMIT, "subquery with %lld steps exceeds the limit", (long long)steps);
    return inner;
}

static void collect_select(struct select_collector *l, struct expr *e, const struct grid *g, int64_t range,
                           struct select_path path)
{
    struct eval *ev = l->ev;
    bool smoothed = e->u.selector.smoothed, anchored = e->u.selector.anchored;
    struct eval_times times = eval_times_shifted(g, &e->u.selector.shift);
    int64_t end = times.first + (int64_t)(g->n ? g->n - 1 : 0) * times.stride;
    int64_t back = range ? range + (smoothed || anchored ? ev->lookback : 0) : ev->lookback;
    int64_t ahead = smoothed ? ev->lookback : 0;
    arena_grow(ev->arena, &l->items, &l->cap, l->n + 1, sizeof *l->items);
    e->u.selector.select = (int)l->n;
    e->u.selector.drop_buckets = path.counted && !path.buckets;
    l->items[l->n++] = (struct select){
        .kind = range || smoothed ? SELECT_RANGE : SELECT_INSTANT,
        .matchers = e->u.selector.matchers, .n_matchers = e->u.selector.n_matchers,
        .t_min = times.first - back + 1, .t_max = end + ahead,
        .start = times.first + ahead, .end = end + ahead, .step = times.stride ? times.stride : g->step,
        .window = back + ahead, .wants_origin = !range && str_is(str_of(path.func), "timestamp"), .func = path.func,
    };
}

static void collect_selects(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path);

static void collect_call(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    path.func = e->u.call.fn->name;
    path.counted |= (e->u.call.fn->attributes & FUNCTION_NO_BUCKETS) != 0;
    /* The second argument of info() is never evaluated: info() builds its own select from the matchers. */
    size_t n = e->u.call.fn->id == FN_INFO && e->u.call.n_args > 1 ? 1 : e->u.call.n_args;
    for (size_t i = 0; i < n; i++)
        collect_selects(l, e->u.call.args[i], g, path);
}

/* Operations that need buckets need them from their operands: in a chain, from all operands up to the last such
 * operation. */
static void collect_chain(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    bool outer_buckets = path.buckets;
    const struct expr *last_needing = e;
    while (last_needing->kind == EXPR_BINARY && !expr_needs_buckets(last_needing))
        last_needing = last_needing->u.binary.left;
    path.func = "";
    path.buckets |= last_needing->kind == EXPR_BINARY;
    struct expr *b = binary_chain_start(e);
    collect_selects(l, b->u.binary.left, g, path);
    for (;; b = b->u.binary.next) {
        collect_selects(l, b->u.binary.right, g, path);
        if (b == last_needing)
            path.buckets = outer_buckets;
        if (b == e)
            break;
    }
}

static void collect_aggregate(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    path.func = "";
    if (e->u.aggregate.param)
        collect_selects(l, e->u.aggregate.param, g, path);
    path.func = aggregate_op_text(e->u.aggregate.op);
    collect_selects(l, e->u.aggregate.inner, g, path);
}

static void collect_subquery(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    struct grid inner = subquery_grid(l->ev, g, e);
    path.func = "";
    collect_selects(l, e->u.subquery.inner, &inner, path);
}

static void collect_invariant(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    struct grid first = grid_first(g);
    collect_selects(l, e->u.invariant.inner, &first, path);
}

static void collect_cut(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    for (size_t i = 0; i < e->u.cut.n; i++) {
        const struct expr_part *part = &e->u.cut.parts[i];
        struct grid steps = grid_part(g, part->first, part->n);
        collect_selects(l, part->value, &steps, path);
    }
}

static void collect_selects(struct select_collector *l, struct expr *e, const struct grid *g, struct select_path path)
{
    path.buckets |= e->kind != EXPR_BINARY && expr_needs_buckets(e);
    switch (e->kind) {
    case EXPR_PAREN:
        collect_selects(l, e->u.paren.inner, g, path);
        break;
    case EXPR_UNARY:
        collect_selects(l, e->u.unary.inner, g, path);
        break;
    case EXPR_BINARY:
        collect_chain(l, e, g, path);
        break;
    case EXPR_AGGREGATE:
        collect_aggregate(l, e, g, path);
        break;
    case EXPR_CALL:
        collect_call(l, e, g, path);
        break;
    case EXPR_SELECTOR:
        collect_select(l, e, g, 0, path);
        break;
    case EXPR_MATRIX:
        collect_select(l, e->u.matrix.selector, g, e->u.matrix.range, path);
        break;
    case EXPR_SUBQUERY:
        collect_subquery(l, e, g, path);
        break;
    case EXPR_STEP_INVARIANT:
        collect_invariant(l, e, g, path);
        break;
    case EXPR_CUT:
        collect_cut(l, e, g, path);
        break;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_FETCHED:
        break;
    }
}

struct select *prepare_selects(struct eval *ev, struct expr *e, size_t *n)
{
    struct select_collector l = {.ev = ev};
    collect_selects(&l, e, &ev->grid, (struct select_path){.func = ""});
    *n = l.n;
    return l.items;
}
