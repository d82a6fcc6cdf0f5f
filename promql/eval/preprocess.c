// SPDX-License-Identifier: Apache-2.0
/* Prepares the parsed tree (immutable, possibly shared) for evaluation: a copy in the query's arena in which
 *
 * - duration expressions, start(), end(), range(), step() and @ start()/@ end() are numbers,
 * - parentheses around arguments of calls and aggregations are removed,
 * - the largest parts with the same value at every step are wrapped in EXPR_STEP_INVARIANT,
 * - selectors have the index of their select.
 *
 * Durations are resolved in Prometheus' order, so that of two invalid ones the same is reported.
 */
#include "promql/eval/eval_internal.h"

#include "promql/ast/tree.h"

#include <math.h>

/* --- durations ---------------------------------------------------------------------------------------------------- */

static double grid_seconds(const struct eval *ev) { return ev->params->range ? (double)ev->outer.step / 1000 : 0; }
static double range_seconds(const struct eval *ev) { return (double)(ev->params->end - ev->params->start) / 1000; }

static double divide_duration(struct eval *ev, const struct duration_expr *d, double l, double r)
{
    if (r == 0)
        eval_fail(ev, ERR_BAD_DATA, "%u:%u: %s by zero", d->pos, d->end, d->kind == DUR_DIV ? "division" : "modulo");
    return d->kind == DUR_DIV ? l / r : fmod(l, r);
}

static double apply_operator(struct eval *ev, const struct duration_expr *d, double l, double r)
{
    switch (d->kind) {
    case DUR_ADD: return l + r;
    case DUR_SUB: return l - r;
    case DUR_MUL: return l * r;
    case DUR_POW: return pow(l, r);
    default: return divide_duration(ev, d, l, r);
    }
}

static double prepare_duration_chain(struct eval *ev, const struct duration_expr *d)
{
    const struct duration_expr *b = duration_chain_start(d);
    double v = prepare_duration(ev, b->left);
    for (;; b = b->next) {
        v = apply_operator(ev, b, v, prepare_duration(ev, b->right));
        if (b == d)
            return v;
    }
}

double prepare_duration(struct eval *ev, const struct duration_expr *d)
{
    if (duration_is_binary(d))
        return prepare_duration_chain(ev, d);
    double l = d->left ? prepare_duration(ev, d->left) : 0, r = d->right ? prepare_duration(ev, d->right) : 0;
    switch (d->kind) {
    case DUR_NUMBER: return d->seconds;
    case DUR_NEG: return -l;
    case DUR_STEP: return grid_seconds(ev);
    case DUR_RANGE: return range_seconds(ev);
    case DUR_MIN: return isnan(l) || isnan(r) ? NAN : fmin(l, r);
    case DUR_MAX: return isnan(l) || isnan(r) ? NAN : fmax(l, r);
    case DUR_PAREN: return l;
    default: return 0;
    }
}

static double finite_duration(struct eval *ev, const struct duration_expr *d)
{
    double s = prepare_duration(ev, d);
    if (!isfinite(s))
        eval_fail(ev, ERR_BAD_DATA, "%u:%u: duration is NaN or infinite", d->pos, d->end);
    return s;
}

static int64_t in_ms(struct eval *ev, const struct duration_expr *d, double seconds)
{
    const double longest = 9223372036.854775; /* Prometheus' maximum, 292 years */
    if (fabs(seconds) > longest)
        eval_fail(ev, ERR_BAD_DATA, "%u:%u: duration is out of range", d->pos, d->end);
    return (int64_t)(seconds * 1000);
}

static int64_t signed_duration(struct eval *ev, const struct duration_expr *d)
{
    return in_ms(ev, d, finite_duration(ev, d));
}

static int64_t positive_duration(struct eval *ev, const struct duration_expr *d)
{
    double seconds = finite_duration(ev, d);
    if (seconds <= 0)
        eval_fail(ev, ERR_BAD_DATA, "%u:%u: duration must be greater than 0", d->pos, d->end);
    return in_ms(ev, d, seconds);
}

/* --- the copy ----------------------------------------------------------------------------------------------------- */

static void resolve_shift(struct eval *ev, struct time_shift *s)
{
    if (s->offset_expr)
        s->offset = signed_duration(ev, s->offset_expr);
    if (s->at == AT_START)
        s->at_time = ev->params->start;
    else if (s->at == AT_END)
        s->at_time = ev->params->end;
    if (s->at != AT_NONE)
        s->at = AT_TIME;
    s->at_time = s->at_time > TIME_MAX ? TIME_MAX : s->at_time < -TIME_MAX ? -TIME_MAX : s->at_time;
}

static void number(struct expr *e, double v)
{
    e->kind = EXPR_NUMBER;
    e->type = VALUE_SCALAR;
    e->u.number.v = v;
    e->u.number.as_duration = false;
}

/* start(), end(), range() and step(). */
static void prepare_grid_call(struct eval *ev, struct expr *e)
{
    switch (e->u.call.fn->id) {
    case FN_START: number(e, (double)ev->params->start / 1000); break;
    case FN_END: number(e, (double)ev->params->end / 1000); break;
    case FN_RANGE: number(e, range_seconds(ev)); break;
    case FN_STEP: number(e, ev->params->start == ev->params->end ? 0 : grid_seconds(ev)); break;
    default: break;
    }
}

static void prepare_subquery(struct eval *ev, struct expr *e)
{
    resolve_shift(ev, &e->u.subquery.shift);
    if (e->u.subquery.step_expr)
        e->u.subquery.step = positive_duration(ev, e->u.subquery.step_expr);
    if (e->u.subquery.range_expr)
        e->u.subquery.range = positive_duration(ev, e->u.subquery.range_expr);
}

static bool prepare_enter(struct expr *e, void *ev)
{
    if (e->kind == EXPR_CALL)
        prepare_grid_call(ev, e);
    else if (e->kind == EXPR_SELECTOR)
        resolve_shift(ev, &e->u.selector.shift);
    else if (e->kind == EXPR_MATRIX && e->u.matrix.range_expr)
        e->u.matrix.range = positive_duration(ev, e->u.matrix.range_expr);
    else if (e->kind == EXPR_SUBQUERY)
        prepare_subquery(ev, e);
    return true;
}

static void strip_parens(struct expr **e, void *arg UNUSED)
{
    while ((*e)->kind == EXPR_PAREN)
        *e = (*e)->u.paren.inner;
}

static struct expr *prepare_leave(struct expr *e, void *ev UNUSED)
{
    if (e->kind == EXPR_CALL || e->kind == EXPR_AGGREGATE)
        expr_children(e, strip_parens, NULL);
    return e;
}

/* --- step invariance ---------------------------------------------------------------------------------------------- */

/* `same`: the value is the same at every step. `wrap`: it is also worth evaluating once (a literal is not; a range
 * vector has no value per step). */
struct invariance { bool same, wrap; };

static struct expr *wrap(struct eval *ev, struct expr *inner)
{
    struct expr *e = ARENA_NEW(ev->arena, struct expr);
    *e = (struct expr){.kind = EXPR_STEP_INVARIANT, .type = inner->type, .pos = inner->pos, .end = inner->end};
    e->u.invariant.inner = inner;
    return e;
}

static struct invariance mark(struct eval *ev, struct expr *e);

static void mark_argument(struct eval *ev, struct expr **e)
{
    if (mark(ev, *e).wrap)
        *e = wrap(ev, *e);
}

/* Functions that depend on the evaluation time even if @ fixes their argument. */

static struct invariance mark_call(struct eval *ev, struct expr *e)
{
    size_t n = e->u.call.n_args;
    enum function_id id = e->u.call.fn->id;
    struct invariance *args = ARENA_ARRAY(ev->arena, struct invariance, n);
    bool all_same = true;
    for (size_t i = 0; i < n; i++) {
        args[i] = mark(ev, e->u.call.args[i]);
        all_same = all_same && args[i].same;
    }
    /* The time of the sample, not of the step. */
    bool own_time = id == FN_TIMESTAMP && n == 1 && e->u.call.args[0]->kind == EXPR_SELECTOR;
    if (all_same && (own_time || !(e->u.call.fn->attributes & FUNCTION_TIME)))
        return (struct invariance){true, true};
    for (size_t i = 0; i < n; i++)
        if (args[i].wrap)
            e->u.call.args[i] = wrap(ev, e->u.call.args[i]);
    return (struct invariance){false, false};
}

static struct invariance mark_operation(struct eval *ev, struct expr *e, struct invariance l, struct invariance r)
{
    if (l.same && r.same)
        return (struct invariance){true, true};
    if (l.wrap)
        e->u.binary.left = wrap(ev, e->u.binary.left);
    if (r.wrap)
        e->u.binary.right = wrap(ev, e->u.binary.right);
    return (struct invariance){false, false};
}

static struct invariance mark_chain(struct eval *ev, struct expr *e)
{
    struct expr *b = binary_chain_start(e);
    struct invariance left = mark(ev, b->u.binary.left);
    for (;; b = b->u.binary.next) {
        left = mark_operation(ev, b, left, mark(ev, b->u.binary.right));
        if (b == e)
            return left;
    }
}

static struct invariance mark_subquery(struct eval *ev, struct expr *e)
{
    if (mark(ev, e->u.subquery.inner).same)
        e->u.subquery.inner = wrap(ev, e->u.subquery.inner);
    return (struct invariance){e->u.subquery.shift.at != AT_NONE, false};
}

static struct invariance mark(struct eval *ev, struct expr *e)
{
    bool fixed;
    switch (e->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING:
        return (struct invariance){true, false};
    case EXPR_PAREN:
        return mark(ev, e->u.paren.inner);
    case EXPR_UNARY:
        return mark(ev, e->u.unary.inner);
    case EXPR_BINARY:
        return mark_chain(ev, e);
    case EXPR_AGGREGATE: /* depends only on the aggregated expression, as in Prometheus; the parameter is ignored */
        if (e->u.aggregate.param)
            mark_argument(ev, &e->u.aggregate.param);
        return mark(ev, e->u.aggregate.inner);
    case EXPR_CALL:
        return mark_call(ev, e);
    case EXPR_SELECTOR:
        fixed = e->u.selector.shift.at != AT_NONE;
        return (struct invariance){fixed, fixed};
    case EXPR_MATRIX:
        return (struct invariance){e->u.matrix.selector->u.selector.shift.at != AT_NONE, false};
    case EXPR_SUBQUERY:
        return mark_subquery(ev, e);
    case EXPR_STEP_INVARIANT:
    case EXPR_FETCHED:
    case EXPR_CUT:
        break;
    }
    return (struct invariance){false, false};
}

struct expr *prepare_tree(struct eval *ev, const struct expr *e)
{
    struct expr_rewriter copy = {ev->arena, prepare_enter, prepare_leave, ev};
    struct expr *tree = expr_rewrite(&copy, e);
    struct invariance i = mark(ev, tree);
    return i.wrap ? wrap(ev, tree) : tree;
}
