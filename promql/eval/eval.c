// SPDX-License-Identifier: Apache-2.0
/* The evaluator's dispatcher, and nodes of a few lines. */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

static void eval_number(struct eval *ev, const struct expr *e, struct value *out)
{
    out->scalar = arena_alloc(ev->arena, ev->grid.n * sizeof *out->scalar);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        out->scalar[i] = e->u.number.v;
}

static void negate_row(struct eval *ev, struct row *r)
{
    eval_charge(ev, ev->grid.n);
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        if (row_hist(r, i))
            r->h[i] = histogram_mul(ev->arena, r->h[i], -1);
        else if (!is_absent(r->v[i]))
            r->v[i] = -r->v[i];
    }
    row_drop_name(ev, r);
}

static void eval_unary(struct eval *ev, const struct expr *e, struct value *out)
{
    eval_expr(ev, e->u.unary.inner, out);
    if (!e->u.unary.minus)
        return;
    for (uint32_t i = 0; out->scalar && i < ev->grid.n; i++)
        out->scalar[i] = -out->scalar[i];
    for (size_t r = 0; r < out->n; r++)
        negate_row(ev, &out->rows[r]);
    if (!ev->delayed_names)
        value_merge(ev, out);
}

static double *spread_column(struct eval *ev, double v)
{
    double *to = arena_alloc(ev->arena, ev->grid.n * sizeof *to);
    eval_charge(ev, ev->grid.n);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        to[i] = v;
    return to;
}

static void spread_row(struct eval *ev, struct row *r)
{
    const struct histogram *h = row_hist(r, 0);
    r->v = spread_column(ev, r->v[0]);
    r->h = NULL;
    for (uint32_t i = 0; h && i < ev->grid.n; i++)
        row_set_hist(ev, r, i, h);
}

/* Evaluates an expression that is the same at every step, at the first step only. */
static void eval_invariant(struct eval *ev, const struct expr *e, struct value *out)
{
    struct grid whole = ev->grid;
    struct sample_budget budget = sample_budget_pause(ev);
    ev->grid.n = 1;
    eval_expr(ev, e->u.invariant.inner, out);
    value_drop_empty(out, 1);
    ev->grid = whole;
    uint64_t samples = sample_budget_resume(ev, budget);
    for (uint32_t i = 0; i < ev->grid.n; i++)
        eval_count_read(ev, i, samples);
    if (out->scalar)
        out->scalar = spread_column(ev, out->scalar[0]);
    for (size_t r = 0; r < out->n; r++)
        spread_row(ev, &out->rows[r]);
}

static void eval_selector(struct eval *ev, const struct expr *e, struct value *out)
{
    struct series_set *set = &ev->sets[e->u.selector.select];
    if (e->u.selector.smoothed)
        eval_smoothed(ev, e, set, out);
    else
        eval_instant(ev, e, set, SAMPLE_VALUE, out);
}

static void eval_node(struct eval *ev, const struct expr *e, struct value *out)
{
    switch (e->kind) {
    case EXPR_NUMBER:
        eval_number(ev, e, out);
        break;
    case EXPR_STRING:
        out->string = e->u.string;
        break;
    case EXPR_PAREN:
        eval_expr(ev, e->u.paren.inner, out);
        break;
    case EXPR_UNARY:
        eval_unary(ev, e, out);
        break;
    case EXPR_BINARY:
        eval_chain(ev, e, out);
        break;
    case EXPR_AGGREGATE:
        eval_aggregate(ev, e, out);
        break;
    case EXPR_CALL:
        eval_call(ev, e, out);
        break;
    case EXPR_SELECTOR:
        eval_selector(ev, e, out);
        break;
    case EXPR_STEP_INVARIANT:
        eval_invariant(ev, e, out);
        break;
    case EXPR_FETCHED:
        eval_fetched(ev, e, out);
        break;
    case EXPR_CUT:
        eval_cut(ev, e, out);
        break;
    case EXPR_MATRIX:
    case EXPR_SUBQUERY: /* only as arguments (range.c) and at the top level (result.c) */
        eval_fail(ev, ERR_INTERNAL, "a range vector has no value at a step");
    }
}

void eval_expr(struct eval *ev, const struct expr *e, struct value *out)
{
    eval_check(ev);
    *out = (struct value){.type = e->type};
    if (ev->grid.n == 0) {
        out->scalar = e->type == VALUE_SCALAR ? eval_column(ev) : NULL;
        return;
    }
    uint64_t before = ev->live;
    eval_node(ev, e, out);
    if (e->kind != EXPR_PAREN && e->kind != EXPR_SELECTOR) { /* the memory of the node's inputs is reusable */
        ev->live = before;
        eval_hold(ev, value_mem_estimate(out, &ev->grid));
    }
}

const struct eval_nodes eval_nodes = {eval_expr, eval_instant};
