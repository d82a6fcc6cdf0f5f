// SPDX-License-Identifier: Apache-2.0
/* Checks types, and rules that the grammar cannot express. Runs after the complete text was parsed, in Prometheus'
 * order, so that of several errors the same one is reported. */
#include "promql/ast/functions.h"
#include "promql/parse/parse_internal.h"

#include <stdlib.h>

static void expect_type(struct parser *p, struct expr *e, enum value_type want, const char *where)
{
    check_expr(p, e);
    if (e->type != want)
        parse_fail(p, e->pos, "expected type %s in %s, got %s", value_type_name(want), where, value_type_name(e->type));
}

static void check_aggregate(struct parser *p, struct expr *e)
{
    expect_type(p, e->u.aggregate.inner, VALUE_VECTOR, "aggregation expression");
    if (aggregate_has_param(e->u.aggregate.op))
        expect_type(p, e->u.aggregate.param, e->u.aggregate.op == AGG_COUNT_VALUES ? VALUE_STRING : VALUE_SCALAR,
                    "aggregation parameter");
}

/* --- binary operators --------------------------------------------------------------------------------------------- */

/* The position of the operator: after the left side. */
static size_t operator_pos(const struct parser *p, const struct expr *e)
{
    size_t pos = e->u.binary.left->end;
    while (pos < p->lexer.text.n && strchr(" \t\r\n", p->lexer.text.p[pos]))
        pos++;
    return pos;
}

static int typecheck_compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void check_group_labels(struct parser *p, const struct expr *e, const struct matching *m)
{
    size_t n = m->n_include;
    if (!m->on || n == 0)
        return;
    struct str *sorted = ARENA_ARRAY(p->arena, struct str, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = m->include[i];
    qsort(sorted, n, sizeof *sorted, typecheck_compare_names);
    for (size_t i = 0; i < m->n_labels; i++)
        if (bsearch(&m->labels[i], sorted, n, sizeof *sorted, typecheck_compare_names))
            parse_fail(p, operator_pos(p, e), "label %s must not occur in ON and GROUP clause at once",
                       parse_quoted(p, m->labels[i]));
}

static bool is_operand(enum value_type t) { return t == VALUE_SCALAR || t == VALUE_VECTOR; }

static void check_operands(struct parser *p, const struct expr *e)
{
    const struct expr *left = e->u.binary.left, *right = e->u.binary.right;
    enum binary_op op = e->u.binary.op;
    if (e->u.binary.is_bool && !binary_is_comparison(op))
        parse_fail(p, operator_pos(p, e), "bool modifier can only be used on comparison operators");
    if (binary_is_comparison(op) && !e->u.binary.is_bool && left->type == VALUE_SCALAR && right->type == VALUE_SCALAR)
        parse_fail(p, operator_pos(p, e), "comparisons between scalars must use BOOL modifier");
    check_group_labels(p, e, e->u.binary.matching);
    if (!is_operand(left->type))
        parse_fail(p, left->pos, "binary expression must contain only scalar and instant vector types");
    if (!is_operand(right->type))
        parse_fail(p, right->pos, "binary expression must contain only scalar and instant vector types");
}

static void check_set_operator(struct parser *p, const struct expr *e, struct matching *m)
{
    if (m->card != CARD_ONE_TO_ONE)
        parse_fail(p, e->pos, "no grouping allowed for \"%s\" operation", binary_op_text(e->u.binary.op));
    if (m->fill_left || m->fill_right)
        parse_fail(p, e->pos, "filling in missing series not allowed for set operators");
    m->card = CARD_MANY_TO_MANY;
}

/* e's operands are checked already. */
static void check_operation(struct parser *p, struct expr *e)
{
    check_operands(p, e);
    struct matching *m = e->u.binary.matching;
    bool is_set = binary_is_set(e->u.binary.op);
    if (e->u.binary.left->type == VALUE_VECTOR && e->u.binary.right->type == VALUE_VECTOR) {
        if (is_set)
            check_set_operator(p, e, m);
        return;
    }
    if (m->n_labels > 0)
        parse_fail(p, e->pos, "vector matching only allowed between instant vectors");
    if (m->fill_left || m->fill_right)
        parse_fail(p, e->pos, "filling in missing series only allowed between instant vectors");
    if (is_set)
        parse_fail(p, e->pos, "set operator \"%s\" not allowed in binary scalar expression",
                   binary_op_text(e->u.binary.op));
    e->u.binary.matching = NULL;
}

static void typecheck_check_chain(struct parser *p, struct expr *e)
{
    struct expr *b = binary_chain_start(e);
    check_expr(p, b->u.binary.left);
    for (;; b = b->u.binary.next) {
        check_expr(p, b->u.binary.right);
        check_operation(p, b);
        if (b == e)
            break;
    }
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void check_count(struct parser *p, const struct expr *e, const struct function *fn)
{
    size_t n = e->u.call.n_args, wanted = (size_t)fn->n_args;
    if (fn->variadic == 0) {
        if (n != wanted)
            parse_fail(p, e->pos, "expected %zu argument(s) in call to \"%s\", got %zu", wanted, fn->name, n);
        return;
    }
    size_t least = wanted - 1, most = least + (size_t)(fn->variadic > 0 ? fn->variadic : 0);
    if (n < least)
        parse_fail(p, e->pos, "expected at least %zu argument(s) in call to \"%s\", got %zu", least, fn->name, n);
    if (fn->variadic > 0 && n > most)
        parse_fail(p, e->pos, "expected at most %zu argument(s) in call to \"%s\", got %zu", most, fn->name, n);
}

/* info's second argument is not a vector but a set of matchers. */
static void check_info(struct parser *p, const struct expr *e)
{
    if (e->u.call.n_args < 2)
        return;
    const struct expr *labels = e->u.call.args[1];
    if (labels->type != VALUE_VECTOR)
        parse_fail(p, e->pos, "expected type instant vector in call to function \"info\", got %s",
                   value_type_name(labels->type));
    if (labels->kind != EXPR_SELECTOR)
        parse_fail(p, labels->pos, "expected label selectors only");
    if (labels->u.selector.name.n > 0)
        parse_fail(p, labels->pos, "expected label selectors only, got vector selector instead");
}

static void check_call(struct parser *p, struct expr *e)
{
    const struct function *fn = e->u.call.fn;
    check_count(p, e, fn);
    if (fn->id == FN_INFO)
        check_info(p, e);
    for (size_t i = 0; i < e->u.call.n_args; i++) {
        struct expr *arg = e->u.call.args[i];
        enum value_type want = fn->args[i < (size_t)fn->n_args ? i : (size_t)fn->n_args - 1];
        if (fn->id != FN_INFO || i != 1) /* all matchers of info's second argument may match the empty value */
            check_expr(p, arg);
        if (arg->type != want)
            parse_fail(p, arg->pos, "expected type %s in call to function \"%s\", got %s", value_type_name(want),
                       fn->name, value_type_name(arg->type));
    }
}

/* --- selectors ---------------------------------------------------------------------------------------------------- */

static void check_one_name(struct parser *p, const struct expr *e)
{
    const struct matcher *m = e->u.selector.matchers;
    for (size_t i = 0; i + 1 < e->u.selector.n_matchers; i++) /* the last one is the name before the braces */
        if (str_is(m[i].name, METRIC_NAME)) {
            const char *first = arena_z(p->arena, str_of(parse_quoted(p, e->u.selector.name)));
            parse_fail(p, e->pos, "metric name must not be set twice: %s or %s", first, parse_quoted(p, m[i].value));
        }
}

static void check_not_all(struct parser *p, const struct expr *e)
{
    for (size_t i = 0; i < e->u.selector.n_matchers; i++)
        if (!matcher_matches_empty(&e->u.selector.matchers[i]))
            return;
    parse_fail(p, e->pos, "vector selector must contain at least one non-empty matcher");
}

/* --- everything --------------------------------------------------------------------------------------------------- */

static void check_unary(struct parser *p, struct expr *e)
{
    check_expr(p, e->u.unary.inner);
    if (!is_operand(e->type))
        parse_fail(p, e->pos, "unary expression only allowed on expressions of type scalar or instant vector, "
                   "got \"%s\"", value_type_name(e->type));
}

static void check_subquery(struct parser *p, struct expr *e)
{
    enum value_type t = e->u.subquery.inner->type;
    check_expr(p, e->u.subquery.inner);
    if (t != VALUE_VECTOR)
        parse_fail(p, e->pos, "subquery is only allowed on instant vector, got %s instead",
                   t == VALUE_MATRIX ? "matrix" : value_type_name(t));
}

void check_expr(struct parser *p, struct expr *e)
{
    switch (e->kind) {
    case EXPR_AGGREGATE: check_aggregate(p, e); break;
    case EXPR_BINARY: typecheck_check_chain(p, e); break;
    case EXPR_UNARY: check_unary(p, e); break;
    case EXPR_CALL: check_call(p, e); break;
    case EXPR_PAREN: check_expr(p, e->u.paren.inner); break;
    case EXPR_SUBQUERY: check_subquery(p, e); break;
    case EXPR_MATRIX: check_expr(p, e->u.matrix.selector); break;
    case EXPR_SELECTOR: (e->u.selector.name.n > 0 ? check_one_name : check_not_all)(p, e); break;
    default: break;
    }
}
