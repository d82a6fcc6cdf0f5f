// SPDX-License-Identifier: Apache-2.0
/* The functions of PromQL: name, arguments, result. One row each, sorted by name; a row's index is its id, so that the
 * evaluator may keep arrays over enum function_id. Constant data; any thread.
 *
 * variadic: 0 = exactly n_args arguments; n > 0 = the last of args may be left out, or stand up to n times; -1 = the
 * same without an upper bound.
 */
#ifndef PROMQL_AST_FUNCTIONS_H
#define PROMQL_AST_FUNCTIONS_H

#include "promql/ast/ast.h"

enum function_id {
    FN_ABS, FN_ABSENT, FN_ABSENT_OVER_TIME, FN_ACOS, FN_ACOSH, FN_ASIN, FN_ASINH, FN_ATAN, FN_ATANH, FN_AVG_OVER_TIME,
    FN_CEIL, FN_CHANGES, FN_CLAMP, FN_CLAMP_MAX, FN_CLAMP_MIN, FN_COS, FN_COSH, FN_COUNT_OVER_TIME, FN_DAY_OF_MONTH,
    FN_DAY_OF_WEEK, FN_DAY_OF_YEAR, FN_DAYS_IN_MONTH, FN_DEG, FN_DELTA, FN_DERIV, FN_DOUBLE_EXPONENTIAL_SMOOTHING,
    FN_END, FN_EXP, FN_FIRST_OVER_TIME, FN_FLOOR, FN_HISTOGRAM_AVG, FN_HISTOGRAM_COUNT, FN_HISTOGRAM_FRACTION,
    FN_HISTOGRAM_QUANTILE, FN_HISTOGRAM_QUANTILES, FN_HISTOGRAM_STDDEV, FN_HISTOGRAM_STDVAR, FN_HISTOGRAM_SUM,
    FN_HOUR, FN_IDELTA, FN_INCREASE, FN_INFO, FN_IRATE, FN_LABEL_JOIN, FN_LABEL_REPLACE, FN_LAST_OVER_TIME, FN_LN,
    FN_LOG10, FN_LOG2, FN_MAD_OVER_TIME, FN_MAX_OF, FN_MAX_OVER_TIME, FN_MIN_OF, FN_MIN_OVER_TIME, FN_MINUTE,
    FN_MONTH, FN_PI, FN_PREDICT_LINEAR, FN_PRESENT_OVER_TIME, FN_QUANTILE_OVER_TIME, FN_RAD, FN_RANGE, FN_RATE,
    FN_RESETS, FN_ROUND, FN_SCALAR, FN_SGN, FN_SIN, FN_SINH, FN_SORT, FN_SORT_BY_LABEL, FN_SORT_BY_LABEL_DESC,
    FN_SORT_DESC, FN_SQRT, FN_START, FN_START_TIMESTAMP, FN_STDDEV_OVER_TIME, FN_STDVAR_OVER_TIME, FN_STEP,
    FN_SUM_OVER_TIME, FN_TAN, FN_TANH, FN_TIME, FN_TIMESTAMP, FN_TS_OF_FIRST_OVER_TIME, FN_TS_OF_LAST_OVER_TIME,
    FN_TS_OF_MAX_OVER_TIME, FN_TS_OF_MIN_OVER_TIME, FN_VECTOR, FN_YEAR,
    N_FUNCTIONS
};

enum { FUNCTION_ARGS = 5 };
struct function {
    const char *name;
    enum value_type args[FUNCTION_ARGS]; /* of arguments beyond n_args: that of the last */
    int n_args;
    int variadic;
    enum value_type returns;
    bool experimental;
    enum function_id id;
};

const struct function *function_find(struct str name); /* NULL when there is none of this name */
const struct function *function_get(enum function_id id);
static inline bool function_is_sort(enum function_id id)
{
    return id == FN_SORT || id == FN_SORT_DESC || id == FN_SORT_BY_LABEL || id == FN_SORT_BY_LABEL_DESC;
}

#endif
