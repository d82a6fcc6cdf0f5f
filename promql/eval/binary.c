// SPDX-License-Identifier: Apache-2.0
/* Binary operators on elements: float or histogram on either side, columns of scalars and rows of vectors.
 * vector_match.c and set.c match the series of two vectors. */
#include "promql/eval/eval_internal.h"

#include "model/histogram/histogram_math.h"

#include <math.h>

double binary_float(enum binary_op op, double l, double r)
{
    switch (op) {
    case OP_ADD: return l + r;
    case OP_SUB: return l - r;
    case OP_MUL: return l * r;
    case OP_DIV: return l / r;
    case OP_MOD: return fmod(l, r);
    case OP_POW: return pow(l, r);
    case OP_ATAN2: return atan2(l, r);
    case OP_EQ: return l == r;
    case OP_NE: return l != r;
    case OP_LT: return l < r;
    case OP_GT: return l > r;
    case OP_LE: return l <= r;
    case OP_GE: return l >= r;
    default: return normal_nan(); /* set operators and trimming are handled elsewhere */
    }
}

static bool no_value(struct element *out, enum element_note note)
{
    out->note = note;
    return false;
}

static bool histogram_sum_of(struct eval *ev, enum binary_op op, const struct histogram *l, const struct histogram *r,
                             struct element *out)
{
    unsigned flags = 0;
    const struct histogram *h = (op == OP_ADD ? histogram_add : histogram_sub)(ev->arena, l, r, &flags);
    if (flags & HISTOGRAM_INCOMPATIBLE)
        return no_value(out, ELEMENT_SCHEMAS);
    if (flags & HISTOGRAM_HINT_COLLISION) /* a warning in Prometheus, which then drops the result */
        return no_value(out, ELEMENT_HINTS);
    out->note = flags & HISTOGRAM_BOUNDS_RECONCILED ? ELEMENT_BOUNDS : ELEMENT_OK;
    out->h = op == OP_ADD ? h : histogram_hinted(ev->arena, h, RESET_GAUGE);
    return true;
}

static bool two_histograms(struct eval *ev, enum binary_op op, const struct histogram *l, const struct histogram *r,
                           struct element *out)
{
    switch (op) {
    case OP_ADD:
    case OP_SUB:
        return histogram_sum_of(ev, op, l, r, out);
    case OP_EQ:
    case OP_NE:
        out->h = l;
        out->keep = histogram_equal(l, r) == (op == OP_EQ);
        return true;
    default:
        return no_value(out, ELEMENT_HISTOGRAM_HISTOGRAM);
    }
}

static bool histogram_and_float(struct eval *ev, enum binary_op op, const struct histogram *l, double r,
                                struct element *out)
{
    switch (op) {
    case OP_MUL: out->h = histogram_compact(ev->arena, histogram_mul(ev->arena, l, r)); return true;
    case OP_DIV: out->h = histogram_compact(ev->arena, histogram_div(ev->arena, l, r)); return true;
    case OP_TRIM_UPPER: out->h = histogram_trim_upper(ev->arena, l, r); return true;
    case OP_TRIM_LOWER: out->h = histogram_trim_lower(ev->arena, l, r); return true;
    default: return no_value(out, ELEMENT_HISTOGRAM_FLOAT);
    }
}

bool binary_element(struct eval *ev, enum binary_op op, double lv, const struct histogram *lh, double rv,
                    const struct histogram *rh, struct element *out)
{
    *out = (struct element){.keep = true};
    if (lh && rh)
        return two_histograms(ev, op, lh, rh, out);
    if (lh)
        return histogram_and_float(ev, op, lh, rv, out);
    if (rh) {
        if (op != OP_MUL)
            return no_value(out, ELEMENT_FLOAT_HISTOGRAM);
        out->h = histogram_compact(ev->arena, histogram_mul(ev->arena, rh, lv));
        return true;
    }
    if (op == OP_TRIM_UPPER || op == OP_TRIM_LOWER)
        return no_value(out, ELEMENT_FLOAT_FLOAT);
    out->v = binary_float(op, lv, rv);
    if (binary_is_comparison(op)) {
        out->keep = out->v != 0;
        out->v = lv;
    }
    return true;
}

void binary_annotate(struct eval *ev, const struct expr *at, unsigned notes)
{
    static const char *const types[][2] = {
        [ELEMENT_FLOAT_FLOAT] = {"float", "float"}, [ELEMENT_FLOAT_HISTOGRAM] = {"float", "histogram"},
        [ELEMENT_HISTOGRAM_FLOAT] = {"histogram", "float"}, [ELEMENT_HISTOGRAM_HISTOGRAM] = {"histogram", "histogram"}};
    const char *op = binary_op_text(at->u.binary.op), *doing = at->u.binary.op == OP_ADD ? "addition" : "subtraction";
    for (int i = ELEMENT_FLOAT_FLOAT; i <= ELEMENT_HISTOGRAM_HISTOGRAM; i++)
        if (notes & 1u << i)
            eval_info(ev, at, "incompatible sample types encountered for binary operator \"%s\": %s %s %s", op,
                      types[i][0], op, types[i][1]);
    if (notes & 1u << ELEMENT_SCHEMAS)
        eval_warn(ev, at, "incompatible bucket layout encountered for binary operator %s", op);
    if (notes & 1u << ELEMENT_HINTS)
        eval_warn(ev, at, "conflicting counter resets during histogram %s", doing);
    if (notes & 1u << ELEMENT_BOUNDS)
        eval_info(ev, at, "mismatched custom buckets were reconciled during %s", doing);
}

/* --- two scalars -------------------------------------------------------------------------------------------------- */

static void scalars(struct eval *ev, const struct expr *e, struct value *l, const struct value *r, struct value *out)
{
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        eval_charge(ev, 2);
        l->scalar[i] = binary_float(e->u.binary.op, l->scalar[i], r->scalar[i]);
    }
    out->scalar = l->scalar;
}

/* --- a vector and a scalar ---------------------------------------------------------------------------------------- */

static enum element_note element_with_scalar(struct eval *ev, const struct expr *e, struct row *row, uint32_t i,
                                             double scalar, bool scalar_left)
{
    struct element x;
    enum binary_op op = e->u.binary.op;
    double v = row->v[i];
    const struct histogram *h = row_hist(row, i);
    bool ok = scalar_left ? binary_element(ev, op, scalar, NULL, v, h, &x)
                          : binary_element(ev, op, v, h, scalar, NULL, &x);
    if (!ok || (!x.keep && !e->u.binary.is_bool)) {
        row_clear(row, i);
        return x.note;
    }
    if (binary_is_comparison(op)) { /* a filter returns the vector's element, whichever side the vector is on */
        x.v = v;
        x.h = h;
    }
    if (e->u.binary.is_bool)
        row_set(row, i, x.keep);
    else if (x.h)
        row_set_hist(ev, row, i, x.h);
    else
        row_set(row, i, x.v);
    return x.note;
}

/* The four arithmetic operators over a row of floats: loops that the compiler can vectorize. */
static bool plain_arithmetic(enum binary_op op, double *v, const double *l, const double *r, uint32_t n)
{
#define EACH(expression)                                                                                              \
    for (uint32_t i = 0; i < n; i++) {                                                                                \
        double x = (expression);                                                                                      \
        v[i] = is_absent(v[i]) ? v[i] : x;                                                                            \
    }                                                                                                                 \
    return true
    switch (op) {
    case OP_ADD: EACH(l[i] + r[i]);
    case OP_SUB: EACH(l[i] - r[i]);
    case OP_MUL: EACH(l[i] * r[i]);
    case OP_DIV: EACH(l[i] / r[i]);
    default: return false;
    }
#undef EACH
}

static void row_with_scalar(struct eval *ev, const struct expr *e, struct row *row, const double *scalar,
                            bool scalar_left)
{
    enum binary_op op = e->u.binary.op;
    unsigned notes = 0;
    eval_charge(ev, ev->grid.n);
    const double *l = scalar_left ? scalar : row->v, *r = scalar_left ? row->v : scalar;
    if (row->h || !plain_arithmetic(op, row->v, l, r, ev->grid.n))
        for (uint32_t i = 0; i < ev->grid.n; i++) {
            eval_charge(ev, 4);
            if (!is_absent(row->v[i]))
                notes |= 1u << element_with_scalar(ev, e, row, i, scalar[i], scalar_left);
        }
    binary_annotate(ev, e, notes);
    if (binary_changes_meaning(op) || e->u.binary.is_bool)
        row_drop_name(ev, row);
}

static void vector_and_scalar(struct eval *ev, const struct expr *e, struct value *vector, const double *scalar,
                              bool scalar_left, struct value *out)
{
    for (size_t i = 0; i < vector->n; i++)
        row_with_scalar(ev, e, &vector->rows[i], scalar, scalar_left);
    value_drop_empty(vector, ev->grid.n);
    *out = *vector;
}

/* acc is the left side, and receives the result. */
static void eval_operation(struct eval *ev, const struct expr *e, struct value *acc)
{
    struct value l = *acc, r;
    eval_expr(ev, e->u.binary.right, &r);
    *acc = (struct value){.type = e->type};
    if (l.type == VALUE_SCALAR && r.type == VALUE_SCALAR)
        scalars(ev, e, &l, &r, acc);
    else if (r.type == VALUE_SCALAR)
        vector_and_scalar(ev, e, &l, r.scalar, false, acc);
    else if (l.type == VALUE_SCALAR)
        vector_and_scalar(ev, e, &r, l.scalar, true, acc);
    else if (binary_is_set(e->u.binary.op))
        eval_set_operator(ev, e, &l, &r, acc);
    else
        eval_join(ev, e, &l, &r, acc);
    if (!ev->delayed_names || ev->grid.n > 1)
        value_merge(ev, acc);
}

void eval_chain(struct eval *ev, const struct expr *e, struct value *out)
{
    uint64_t before = ev->live;
    const struct expr *b = binary_chain_start(e);
    eval_expr(ev, b->u.binary.left, out);
    for (;; b = b->u.binary.next) {
        if (b->u.binary.op == OP_OR)
            b = eval_or_chain(ev, b, e, before, out);
        else
            eval_operation(ev, b, out);
        if (b == e)
            return;
        eval_check(ev);
        ev->live = before; /* the memory of the operands is reusable */
        eval_hold(ev, value_mem_estimate(out, &ev->grid));
    }
}
