// SPDX-License-Identifier: Apache-2.0
/* Names of operators and types, the table of aggregations, and the selectors of a tree. */
#include "promql/ast/tree.h"

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

/* The aggregations, one row each. */
static const struct aggregation {
    const char *text;
    enum distribution distribution;
    enum aggregate_op of_parts;
    bool experimental; /* only with --enable-feature=promql-experimental-functions in Prometheus */
} aggregations[] = {
    [AGG_SUM] = {"sum", DISTRIBUTES_GROUP, AGG_SUM, false},
    [AGG_AVG] = {"avg", DISTRIBUTES_GROUP, AGG_AVG, false},
    [AGG_COUNT] = {"count", DISTRIBUTES_GROUP, AGG_SUM, false},
    [AGG_MIN] = {"min", DISTRIBUTES_GROUP, AGG_MIN, false},
    [AGG_MAX] = {"max", DISTRIBUTES_GROUP, AGG_MAX, false},
    [AGG_GROUP] = {"group", DISTRIBUTES_GROUP, AGG_GROUP, false},
    [AGG_STDDEV] = {"stddev", DISTRIBUTES_ALL, AGG_STDDEV, false},
    [AGG_STDVAR] = {"stdvar", DISTRIBUTES_ALL, AGG_STDVAR, false},
    [AGG_TOPK] = {"topk", DISTRIBUTES_GROUP, AGG_TOPK, false},
    [AGG_BOTTOMK] = {"bottomk", DISTRIBUTES_GROUP, AGG_BOTTOMK, false},
    [AGG_COUNT_VALUES] = {"count_values", DISTRIBUTES_ALL, AGG_COUNT_VALUES, false},
    [AGG_QUANTILE] = {"quantile", DISTRIBUTES_ALL, AGG_QUANTILE, false},
    [AGG_LIMITK] = {"limitk", DISTRIBUTES_HERE, AGG_LIMITK, true},
    [AGG_LIMIT_RATIO] = {"limit_ratio", DISTRIBUTES_HERE, AGG_LIMIT_RATIO, true},
};

const char *aggregate_op_text(enum aggregate_op op) { return aggregations[op].text; }
enum distribution aggregate_distribution(enum aggregate_op op) { return aggregations[op].distribution; }
enum aggregate_op aggregate_of_parts(enum aggregate_op op) { return aggregations[op].of_parts; }
bool aggregate_is_experimental(enum aggregate_op op) { return aggregations[op].experimental; }

enum promql_type promql_type(const struct expr *e)
{
    switch (e->type) {
    case VALUE_SCALAR: return PROMQL_SCALAR;
    case VALUE_MATRIX: return PROMQL_MATRIX;
    case VALUE_STRING: return PROMQL_STRING;
    default: return PROMQL_VECTOR;
    }
}

/* --- selectors ---------------------------------------------------------------------------------------------------- */

/* Calls `selector` for every vector selector, including those of matrix selectors, in the order of the text; an
 * aggregation's parameter is visited last. */
struct visitor { void (*selector)(const struct expr *e, void *arg); void *arg; };

static void visit_selectors(struct expr **e, void *visitor)
{
    const struct visitor *v = visitor;
    if ((*e)->kind == EXPR_SELECTOR)
        v->selector(*e, v->arg);
    else
        expr_children(*e, visit_selectors, visitor);
}

static void walk_selectors(const struct expr *e, struct visitor *v)
{
    struct expr *root = (struct expr *)e;
    visit_selectors(&root, v);
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
        walk_selectors(e, &(struct visitor){free_selector, NULL});
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
    walk_selectors(e, &(struct visitor){ast_count_selector, &list});
    *sets = list.sets;
    *sizes = list.sizes;
    return list.n;
}
