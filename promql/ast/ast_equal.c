// SPDX-License-Identifier: Apache-2.0
/* Compares two trees, ignoring positions, the order of a selector's matchers (printing sorts them) and an offset's
 * '+'. */
#include "promql/ast/ast.h"
#include "promql/promql.h"

static bool same_number(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

static bool same_strings(const struct str *a, size_t n_a, const struct str *b, size_t n_b)
{
    bool same = n_a == n_b;
    for (size_t i = 0; same && i < n_a; i++)
        same = str_eq(a[i], b[i]);
    return same;
}

static bool same_duration(const struct duration_expr *a, const struct duration_expr *b)
{
    for (; a && b; a = a->left, b = b->left)
        if (a->kind != b->kind || a->as_duration != b->as_duration || !same_number(a->seconds, b->seconds) ||
            !same_duration(a->right, b->right))
            return false;
    return a == b;
}

static bool same_shift(const struct time_shift *a, const struct time_shift *b)
{
    return a->offset == b->offset && a->at == b->at && a->at_time == b->at_time &&
           same_duration(a->offset_expr, b->offset_expr);
}

static bool ast_equal_same_matching(const struct matching *a, const struct matching *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->card == b->card && a->on == b->on && a->fill_left == b->fill_left && a->fill_right == b->fill_right &&
           same_number(a->fill_left_value, b->fill_left_value) &&
           same_number(a->fill_right_value, b->fill_right_value) &&
           same_strings(a->labels, a->n_labels, b->labels, b->n_labels) &&
           same_strings(a->include, a->n_include, b->include, b->n_include);
}

static size_t count_matcher(const struct matcher *m, const struct matcher *in, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += m->type == in[i].type && str_eq(m->name, in[i].name) && str_eq(m->value, in[i].value);
    return found;
}

static bool ast_same_matchers(const struct expr *a, const struct expr *b)
{
    const struct matcher *m = a->u.selector.matchers, *o = b->u.selector.matchers;
    size_t n = a->u.selector.n_matchers;
    bool same = n == b->u.selector.n_matchers;
    for (size_t i = 0; same && i < n; i++)
        same = count_matcher(&m[i], m, n) == count_matcher(&m[i], o, n);
    return same;
}

static bool same_selector(const struct expr *a, const struct expr *b)
{
    return str_eq(a->u.selector.name, b->u.selector.name) && a->u.selector.anchored == b->u.selector.anchored &&
           a->u.selector.smoothed == b->u.selector.smoothed && same_shift(&a->u.selector.shift, &b->u.selector.shift) &&
           ast_same_matchers(a, b);
}

static bool same_matrix(const struct expr *a, const struct expr *b)
{
    return a->u.matrix.range == b->u.matrix.range && same_duration(a->u.matrix.range_expr, b->u.matrix.range_expr) &&
           promql_equal(a->u.matrix.selector, b->u.matrix.selector);
}

static bool same_subquery(const struct expr *a, const struct expr *b)
{
    return a->u.subquery.range == b->u.subquery.range && a->u.subquery.step == b->u.subquery.step &&
           same_duration(a->u.subquery.range_expr, b->u.subquery.range_expr) &&
           same_duration(a->u.subquery.step_expr, b->u.subquery.step_expr) &&
           same_shift(&a->u.subquery.shift, &b->u.subquery.shift) &&
           promql_equal(a->u.subquery.inner, b->u.subquery.inner);
}

static bool same_chain(const struct expr *a, const struct expr *b)
{
    for (; a->kind == EXPR_BINARY && b->kind == EXPR_BINARY; a = a->u.binary.left, b = b->u.binary.left)
        if (a->type != b->type || a->u.binary.op != b->u.binary.op || a->u.binary.is_bool != b->u.binary.is_bool ||
            !ast_equal_same_matching(a->u.binary.matching, b->u.binary.matching) ||
            !promql_equal(a->u.binary.right, b->u.binary.right))
            return false;
    return promql_equal(a, b);
}

static bool same_aggregate(const struct expr *a, const struct expr *b)
{
    return a->u.aggregate.op == b->u.aggregate.op && a->u.aggregate.without == b->u.aggregate.without &&
           same_strings(a->u.aggregate.labels, a->u.aggregate.n_labels,
                        b->u.aggregate.labels, b->u.aggregate.n_labels) &&
           promql_equal(a->u.aggregate.inner, b->u.aggregate.inner) &&
           promql_equal(a->u.aggregate.param, b->u.aggregate.param);
}

static bool same_call(const struct expr *a, const struct expr *b)
{
    bool same = a->u.call.fn == b->u.call.fn && a->u.call.n_args == b->u.call.n_args;
    for (size_t i = 0; same && i < a->u.call.n_args; i++)
        same = promql_equal(a->u.call.args[i], b->u.call.args[i]);
    return same;
}

bool promql_equal(const struct expr *a, const struct expr *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->kind != b->kind || a->type != b->type)
        return false;
    switch (a->kind) {
    case EXPR_NUMBER:
        return a->u.number.as_duration == b->u.number.as_duration && same_number(a->u.number.v, b->u.number.v);
    case EXPR_STRING: return str_eq(a->u.string, b->u.string);
    case EXPR_PAREN: return promql_equal(a->u.paren.inner, b->u.paren.inner);
    case EXPR_UNARY: return a->u.unary.minus == b->u.unary.minus && promql_equal(a->u.unary.inner, b->u.unary.inner);
    case EXPR_BINARY: return same_chain(a, b);
    case EXPR_AGGREGATE: return same_aggregate(a, b);
    case EXPR_CALL: return same_call(a, b);
    case EXPR_SELECTOR: return same_selector(a, b);
    case EXPR_MATRIX: return same_matrix(a, b);
    case EXPR_SUBQUERY: return same_subquery(a, b);
    case EXPR_STEP_INVARIANT: return promql_equal(a->u.invariant.inner, b->u.invariant.inner);
    case EXPR_FETCHED: return a->u.fetched.set == b->u.fetched.set;
    case EXPR_CUT: return a->u.cut.parts == b->u.cut.parts;
    }
    return false;
}
