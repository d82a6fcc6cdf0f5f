// SPDX-License-Identifier: Apache-2.0
/* The table of PromQL functions, generated from functions.def. */
#include "promql/ast/functions.h"

#include "promql/promql.h"

#include <stdlib.h>

#define V    VALUE_VECTOR
#define M    VALUE_MATRIX
#define S    VALUE_SCALAR
#define T    VALUE_STRING
#define NONE VALUE_NONE

/* Attributes without their prefix, so that a row of the table fits on one line. */
enum {
    EXPERIMENTAL = FUNCTION_EXPERIMENTAL, TIME = FUNCTION_TIME, NO_BUCKETS = FUNCTION_NO_BUCKETS,
    BUCKETS = FUNCTION_BUCKETS
};
enum { /* likewise */
    EACH = DISTRIBUTES_EACH, LE = DISTRIBUTES_LE, RENAME = DISTRIBUTES_RENAME, MATCHERS = DISTRIBUTES_MATCHERS,
    ALL = DISTRIBUTES_ALL, HERE = DISTRIBUTES_HERE
};

static const struct function table[N_FUNCTIONS] = {
#define FUNCTION(id, name, impl, attributes, parts, returns, variadic, n, ...) \
    [FN_##id] = {name, {__VA_ARGS__}, n, variadic, returns, attributes, (enum distribution)(parts), FN_##id},
#include "promql/ast/functions.def"
#undef FUNCTION
};

static int compare_name(const void *name, const void *row)
{
    return str_cmp(*(const struct str *)name, str_of(((const struct function *)row)->name));
}

const struct function *function_find(struct str name)
{
    return bsearch(&name, table, N_FUNCTIONS, sizeof table[0], compare_name);
}
