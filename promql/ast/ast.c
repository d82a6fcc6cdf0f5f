// SPDX-License-Identifier: Apache-2.0
/* Names of operators and types, and the traversal of a tree. */
#include "promql/ast/ast.h"

#include "promql/promql.h"

const char *value_type_name(enum value_type t)
{
    static const char *const names[] = {
        [VALUE_NONE] = "none", [VALUE_SCALAR] = "scalar", [VALUE_VECTOR] = "instant vector",
        [VALUE_MATRIX] = "range vector", [VALUE_STRING] = "string",
    };
    return names[t];
}

const char *binary_op_text(enum binary_op op)
{
    static const char *const texts[] = {
        [OP_ADD] = "+", [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/", [OP_MOD] = "%", [OP_POW] = "^",
        [OP_ATAN2] = "atan2", [OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<", [OP_GT] = ">", [OP_LE] = "<=",
        [OP_GE] = ">=", [OP_TRIM_UPPER] = "</", [OP_TRIM_LOWER] = ">/", [OP_AND] = "and", [OP_OR] = "or",
        [OP_UNLESS] = "unless",
    };
    return texts[op];
}

const char *aggregate_op_text(enum aggregate_op op)
{
    static const char *const texts[] = {
        [AGG_SUM] = "sum", [AGG_AVG] = "avg", [AGG_COUNT] = "count", [AGG_MIN] = "min", [AGG_MAX] = "max",
        [AGG_GROUP] = "group", [AGG_STDDEV] = "stddev", [AGG_STDVAR] = "stdvar", [AGG_TOPK] = "topk",
        [AGG_BOTTOMK] = "bottomk", [AGG_COUNT_VALUES] = "count_values", [AGG_QUANTILE] = "quantile",
        [AGG_LIMITK] = "limitk", [AGG_LIMIT_RATIO] = "limit_ratio",
    };
    return texts[op];
}

enum promql_type promql_type(const struct expr *e)
{
    switch (e->type) {
    case VALUE_SCALAR: return PROMQL_SCALAR;
    case VALUE_MATRIX: return PROMQL_MATRIX;
    case VALUE_STRING: return PROMQL_STRING;
    default: return PROMQL_VECTOR;
    }
}

/* --- traversal ---------------------------------------------------------------------------------------------------- */

struct visitor { void (*selector)(const struct expr *e, void *arg); void *arg; };

/* Calls the visitor for every vector selector, including those of matrix selectors, in the order of the text; an
 * aggregation's parameter is visited last. */
static void walk(const struct expr *e, const struct visitor *v);

static void walk_chain(const struct expr *e, const struct visitor *v)
{
    const struct expr *b = binary_chain_start(e);
    walk(b->u.binary.left, v);
    for (;; b = b->u.binary.next) {
        walk(b->u.binary.right, v);
        if (b == e)
            break;
    }
}

static void walk(const struct expr *e, const struct visitor *v)
{
    switch (e->kind) {
    case EXPR_SELECTOR: v->selector(e, v->arg); break;
    case EXPR_MATRIX: walk(e->u.matrix.selector, v); break;
    case EXPR_SUBQUERY: walk(e->u.subquery.inner, v); break;
    case EXPR_PAREN: walk(e->u.paren.inner, v); break;
    case EXPR_STEP_INVARIANT: walk(e->u.invariant.inner, v); break;
    case EXPR_UNARY: walk(e->u.unary.inner, v); break;
    case EXPR_BINARY: walk_chain(e, v); break;
    case EXPR_AGGREGATE:
        walk(e->u.aggregate.inner, v);
        if (e->u.aggregate.param)
            walk(e->u.aggregate.param, v);
        break;
    case EXPR_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            walk(e->u.call.args[i], v);
        break;
    case EXPR_NUMBER: case EXPR_STRING: case EXPR_FETCHED: break;
    }
}

static void free_selector(const struct expr *e, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < e->u.selector.n_matchers; i++)
        regex_free(e->u.selector.matchers[i].re);
}

void promql_free(struct expr *e)
{
    if (e)
        walk(e, &(struct visitor){free_selector, NULL});
}

struct selector_list {
    struct arena *arena;
    const struct matcher **sets;
    size_t *sizes, n, cap_sets, cap_sizes;
};

static void ast_count_selector(const struct expr *e, void *arg)
{
    struct selector_list *list = arg;
    arena_grow(list->arena, &list->sets, &list->cap_sets, list->n + 1, sizeof *list->sets);
    arena_grow(list->arena, &list->sizes, &list->cap_sizes, list->n + 1, sizeof *list->sizes);
    if (list->n >= list->cap_sets || list->n >= list->cap_sizes)
        return; /* the arena is full and on_full is not set: the list is incomplete */
    list->sets[list->n] = e->u.selector.matchers;
    list->sizes[list->n++] = e->u.selector.n_matchers;
}

size_t promql_selectors(struct arena *a, const struct expr *e, const struct matcher *const **sets, const size_t **sizes)
{
    struct selector_list list = {.arena = a};
    walk(e, &(struct visitor){ast_count_selector, &list});
    *sets = list.sets;
    *sizes = list.sizes;
    return list.n;
}
