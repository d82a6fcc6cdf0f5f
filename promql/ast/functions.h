// SPDX-License-Identifier: Apache-2.0
/* The functions of PromQL: name, arguments, result. One row each, sorted by name; a row's index is its id, so arrays
 * can be indexed by enum function_id. Constant data; any thread.
 *
 * variadic: 0 = exactly n_args arguments; n > 0 = the last argument may be omitted or repeated up to n times; -1 =
 * the same without an upper bound.
 */
#ifndef PROMQL_AST_FUNCTIONS_H
#define PROMQL_AST_FUNCTIONS_H

#include "promql/ast/ast.h"

enum function_id {
#define FUNCTION(id, ...) FN_##id,
#include "promql/ast/functions.def"
#undef FUNCTION
    N_FUNCTIONS
};

enum function_attribute {
    FUNCTION_EXPERIMENTAL = 1, /* only with --enable-feature=promql-experimental-functions in Prometheus */
    FUNCTION_TIME = 2,         /* the result depends on the time of the step even if the arguments do not */
    FUNCTION_NO_BUCKETS = 4,   /* reads only count and sum of native histograms, not their buckets */
    FUNCTION_BUCKETS = 8       /* reads the buckets of native histograms */
};
enum { FUNCTION_ARGS = 5 };
struct function {
    const char *name;
    enum value_type args[FUNCTION_ARGS]; /* arguments beyond n_args have the type of the last one */
    int n_args;
    int variadic;
    enum value_type returns;
    unsigned attributes; /* bits of enum function_attribute */
    enum distribution distribution;
    enum function_id id;
};

const struct function *function_find(struct str name); /* NULL when there is no such function */
static inline bool function_is_sort(enum function_id id)
{
    return id == FN_SORT || id == FN_SORT_DESC || id == FN_SORT_BY_LABEL || id == FN_SORT_BY_LABEL_DESC;
}

#endif
