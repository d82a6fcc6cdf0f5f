/* What a prepared tree will read: one struct select for each of its selectors, on the grid on which it will be looked at, so that
 * everything can be fetched in one call before the evaluation begins. */
#include "promql/walk.h"

struct leaves {
    struct eval *ev;
    struct select *items; size_t n, cap;
    bool counted, whole; /* some node above asks for counts only; some needs the buckets */
};

struct gaze shift_gaze(const struct grid *g, const struct time_shift *shift)
{
    if (shift->at != AT_NONE)
        return (struct gaze){shift->at_time - shift->offset, 0};
    return (struct gaze){g->start - shift->offset, g->step};
}

/* Inner steps are multiples of the inner step counted from the epoch, whatever the outer grid, so that equal subqueries of different
 * queries look at the same points. The first is the first one after the (left-open) window's beginning. */
struct grid subquery_grid(const struct eval *ev, const struct grid *g, const struct expr *e)
{
    struct gaze gaze = shift_gaze(g, &e->u.subquery.shift);
    int64_t step = e->u.subquery.step ? e->u.subquery.step : ev->params->subquery_step;
    if (step <= 0)
        step = 60000;
    int64_t before = gaze.first - e->u.subquery.range, last = gaze.first + (int64_t)(g->n - 1) * gaze.stride;
    int64_t start = before / step * step;
    if (start <= before)
        start += step;
    return (struct grid){start, step, g->n == 0 || last < start ? 0 : (uint32_t)((last - start) / step) + 1};
}

static void add_leaf(struct leaves *l, struct expr *e, const struct grid *g, int64_t range, struct path path)
{
    struct eval *ev = l->ev;
    bool smoothed = e->u.selector.smoothed, anchored = e->u.selector.anchored;
    struct gaze gaze = shift_gaze(g, &e->u.selector.shift);
    int64_t end = gaze.first + (int64_t)(g->n ? g->n - 1 : 0) * gaze.stride;
    int64_t back = range ? range + (smoothed || anchored ? ev->lookback : 0) : ev->lookback;
    int64_t ahead = smoothed ? ev->lookback : 0;
    arena_grow(ev->arena, &l->items, &l->cap, l->n + 1, sizeof *l->items);
    arena_grow(ev->arena, &l->paths, &l->cap_paths, l->n + 1, sizeof *l->paths);
    l->paths[l->n] = path;
    e->u.selector.leaf = (int)l->n;
    e->u.selector.bare = l->counted && !l->whole;
    l->items[l->n++] = (struct select){
        .kind = range || smoothed ? SELECT_RANGE : SELECT_INSTANT,
        .matchers = e->u.selector.matchers, .n_matchers = e->u.selector.n_matchers,
        .t_min = gaze.first - back + 1, .t_max = end + ahead,
        .start = gaze.first + ahead, .end = end + ahead, .step = gaze.stride ? gaze.stride : g->step,
        .window = back + ahead, .wants_origin = !range && str_is(str_of(path.func), "timestamp"), .func = path.func,
    };
}

static void collect(struct leaves *l, struct expr *e, const struct grid *g, struct path path);

static void collect_call(struct leaves *l, struct expr *e, const struct grid *g)
{
    /* The second argument of info() is a selector that is never evaluated: info() makes its own select of it. */
    size_t n = e->u.call.fn->id == FN_INFO && e->u.call.n_args > 1 ? 1 : e->u.call.n_args;
    bool counted = l->counted;
    l->counted |= bare_is_enough(e->u.call.fn->id);
    for (size_t i = 0; i < n; i++)
        collect(l, e->u.call.args[i], g, e->u.call.fn->name);
    l->counted = counted;
}

static void collect(struct leaves *l, struct expr *e, const struct grid *g, const char *func)
{
    struct grid inner = *g;
    bool whole = l->whole;
    l->whole |= bare_is_too_little(e);
    switch (e->kind) {
    case EXPR_PAREN:
        collect(l, e->u.paren.inner, g, path);
        break;
    case EXPR_UNARY:
        collect(l, e->u.unary.inner, g, path);
        break;
    case EXPR_BINARY:
        collect_binary(l, e, g, path);
        break;
    case EXPR_AGGREGATE:
        collect_aggregate(l, e, g, path);
        break;
    case EXPR_CALL:
        collect_call(l, e, g, path);
        break;
    case EXPR_SELECTOR:
        add_leaf(l, e, g, 0, path);
        break;
    case EXPR_MATRIX:
        add_leaf(l, e->u.matrix.selector, g, e->u.matrix.range, path);
        break;
    case EXPR_SUBQUERY:
        collect_subquery(l, e, g);
        break;
    case EXPR_STEP_INVARIANT:
        collect_invariant(l, e, g, path);
        break;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_FETCHED:
        break;
    }
    l->whole = whole;
}

struct select *prepare_selects(struct eval *ev, struct expr *e, size_t *n)
{
    struct leaves l = {.ev = ev};
    collect(&l, e, &ev->grid, (struct path){.func = ""});
    *n = l.n;
    ev->sure_hints = ARENA_ARRAY(ev->arena, bool, l.n);
    for (size_t i = 0; i < l.n; i++)
        ev->sure_hints[i] = l.paths[i].stats && !l.paths[i].whole;
    return l.items;
}
