// SPDX-License-Identifier: Apache-2.0
/* The tree of a PromQL expression: immutable once parsed, printable (print(parse(text)) parses to the same tree), in
 * the arena into which it was parsed. Offsets are bytes of the query text, for messages with 1-based line:column.
 *
 * a + b + c is ((a + b) + c): a chain, in which each operation is the left side of the next. A chain may have tens of
 * thousands of terms, as in generated dashboards and alerts, so it does not count as nesting, and code must not
 * recurse along it: start at binary_chain_start(e) and follow u.binary.next up to e. Real nesting (parentheses,
 * calls, right sides) is bounded by PROMQL_MAX_NESTING and may be handled by recursion.
 *
 * Two nodes have no syntax; a planner puts them into the tree that is evaluated (promql/plan.h). EXPR_FETCHED is a
 * sub-expression whose result servers have computed: the evaluator reads its series set, which is exact on the grid of
 * the node. EXPR_CUT divides the grid: each of its parts has the value at some consecutive steps.
 */
#ifndef PROMQL_AST_AST_H
#define PROMQL_AST_AST_H

#include "model/source.h"

enum { PROMQL_MAX_NESTING = 1000 };

enum expr_kind {
    EXPR_NUMBER, EXPR_STRING, EXPR_PAREN, EXPR_UNARY, EXPR_BINARY, EXPR_AGGREGATE, EXPR_CALL,
    EXPR_SELECTOR,  /* instant vector */
    EXPR_MATRIX,    /* selector[range] */
    EXPR_SUBQUERY,  /* expr[range:step] */
    EXPR_STEP_INVARIANT, /* added by preprocessing: same value at every step; computed once */
    EXPR_FETCHED,
    EXPR_CUT
};
enum value_type { VALUE_NONE, VALUE_SCALAR, VALUE_VECTOR, VALUE_MATRIX, VALUE_STRING };

enum binary_op {
    OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD, OP_POW, OP_ATAN2,
    OP_EQ, OP_NE, OP_LT, OP_GT, OP_LE, OP_GE,
    OP_TRIM_UPPER, OP_TRIM_LOWER, /* </ and >/ : histogram trimming */
    OP_AND, OP_OR, OP_UNLESS
};
enum aggregate_op {
    AGG_SUM, AGG_AVG, AGG_COUNT, AGG_MIN, AGG_MAX, AGG_GROUP, AGG_STDDEV, AGG_STDVAR, AGG_TOPK, AGG_BOTTOMK,
    AGG_COUNT_VALUES, AGG_QUANTILE, AGG_LIMITK, AGG_LIMIT_RATIO
};
enum match_card { CARD_ONE_TO_ONE, CARD_MANY_TO_ONE, CARD_ONE_TO_MANY, CARD_MANY_TO_MANY };

/* What of its argument a function or aggregation must see together. Servers that hold disjoint series may each compute
 * their part where it is less than everything (promql/plan.h). */
enum distribution {
    DISTRIBUTES_EACH,     /* each series alone */
    DISTRIBUTES_RENAME,   /* each series alone; reads and sets the labels that its arguments name */
    DISTRIBUTES_LE,       /* the series that differ in `le` only */
    DISTRIBUTES_GROUP,    /* the series of a group of an aggregation; parts can be aggregated again */
    DISTRIBUTES_MATCHERS, /* everything; the labels of the result are those of the selector's matchers */
    DISTRIBUTES_ALL,      /* everything */
    DISTRIBUTES_HERE      /* everything; releases of servers differ in the result or in the order of its series */
};

struct matching {
    enum match_card card;
    bool on;                                   /* on(labels); else ignoring(labels) */
    const struct str *labels; size_t n_labels;
    const struct str *include; size_t n_include; /* group_left/right(labels) */
    bool fill_left, fill_right;                /* fill modifiers */
    double fill_left_value, fill_right_value;
};

/* A duration that may be an expression: number literals, + - * / % ^, unary minus, step(), range(), min_of, max_of. */
struct duration_expr {
    enum {
        DUR_NUMBER, DUR_ADD, DUR_SUB, DUR_MUL, DUR_DIV, DUR_MOD, DUR_POW, DUR_NEG,
        DUR_STEP, DUR_RANGE, DUR_MIN, DUR_MAX, DUR_PAREN
    } kind;
    double seconds;                            /* DUR_NUMBER */
    bool as_duration;                          /* written as 5m, not 300: for printing */
    bool plus;                                 /* a '+' before an offset's function or PAREN */
    const struct duration_expr *left, *right;  /* NEG and PAREN: left only; NUMBER, STEP and RANGE: none */
    struct duration_expr *next;                /* ADD ... POW: the operation whose left side this is, in a chain */
    uint32_t pos, end;
    uint32_t height;                           /* nesting depth, its own level included; at most PROMQL_MAX_NESTING */
};

static inline bool duration_is_binary(const struct duration_expr *d)
{
    return d->kind >= DUR_ADD && d->kind <= DUR_POW;
}

/* The operation of d's chain that is computed first. */
static inline const struct duration_expr *duration_chain_start(const struct duration_expr *d)
{
    while (duration_is_binary(d->left))
        d = d->left;
    return d;
}

static inline bool duration_is_function(const struct duration_expr *d)
{
    return d->kind >= DUR_STEP && d->kind <= DUR_MAX;
}

enum at_kind { AT_NONE, AT_TIME, AT_START, AT_END };
struct time_shift { /* modifiers of selectors and subqueries */
    int64_t offset;                            /* ms as written; when offset_expr is set, resolved before evaluation */
    const struct duration_expr *offset_expr;   /* NULL: a plain duration or none */
    enum at_kind at;
    int64_t at_time;                           /* ms */
};

struct function; /* promql/ast/functions.h */

struct expr_part { uint32_t first, n; struct expr *value; }; /* of EXPR_CUT: steps of the grid; ascending, no gaps */

struct expr {
    enum expr_kind kind;
    enum value_type type;
    uint32_t pos, end;                         /* bytes of the text: [pos, end) */
    uint32_t height;                           /* nesting depth, its own level included: bounds recursion */
    union {
        struct { double v; bool as_duration; } number;
        struct str string;                     /* unquoted */
        struct { struct expr *inner; } paren, invariant;
        struct { bool minus; struct expr *inner; } unary;
        struct {
            enum binary_op op;
            bool is_bool;
            struct expr *left, *right;
            struct expr *next;                 /* the operation whose left side this is, in a chain */
            struct matching *matching;         /* between two vectors, else NULL */
        } binary;
        struct {
            enum aggregate_op op;
            struct expr *inner, *param;        /* param: of topk, quantile etc., else NULL */
            bool without;                      /* without (labels); else by (labels) */
            const struct str *labels; size_t n_labels;
        } aggregate;
        struct { const struct function *fn; struct expr **args; size_t n_args; } call;
        struct {
            struct str name;                   /* as written before the braces; also among the matchers as __name__ */
            const struct matcher *matchers; size_t n_matchers;
            struct time_shift shift;
            bool anchored, smoothed;
            bool drop_buckets;                 /* added by preprocessing: read histograms without buckets */
            int select;                        /* index in the query's list of selects, -1 before preprocessing */
        } selector;
        struct { struct expr *selector; int64_t range; const struct duration_expr *range_expr; } matrix;
        struct {
            struct expr *inner;
            int64_t range, step;               /* step 0: the default */
            const struct duration_expr *range_expr, *step_expr;
            struct time_shift shift;
        } subquery;
        struct { struct series_set *set; const struct expr *of; } fetched; /* of: the sub-expression */
        struct { struct expr_part *parts; size_t n; const struct expr *of; } cut; /* of: the sub-expression */
    } u;
};

/* The operation of e's chain that is computed first. */
static inline struct expr *binary_chain_start(const struct expr *e)
{
    while (e->u.binary.left->kind == EXPR_BINARY)
        e = e->u.binary.left;
    return (struct expr *)e;
}

const char *value_type_name(enum value_type t); /* "instant vector", "scalar", "range vector", "string" */
const char *binary_op_text(enum binary_op op);
const char *aggregate_op_text(enum aggregate_op op);
enum distribution aggregate_distribution(enum aggregate_op op);
/* The aggregation of the results of parts, where the distribution is DISTRIBUTES_GROUP; avg has none (it is the sum by
 * the count), and gives itself. */
enum aggregate_op aggregate_of_parts(enum aggregate_op op);
bool aggregate_is_experimental(enum aggregate_op op);
static inline bool binary_is_set(enum binary_op op) { return op >= OP_AND; }
static inline bool binary_is_comparison(enum binary_op op) { return op >= OP_EQ && op <= OP_GE; }
static inline bool aggregate_has_param(enum aggregate_op op) { return op >= AGG_TOPK; }

#endif
