// SPDX-License-Identifier: Apache-2.0
#include "promql/ast/functions.h"

#include "promql/promql.h"

#include <stdlib.h>

#define V    VALUE_VECTOR
#define M    VALUE_MATRIX
#define S    VALUE_SCALAR
#define T    VALUE_STRING
#define NONE VALUE_NONE

/* id, name, result, variadic, experimental, number of arguments, their types; in byte order of the names. */
#define FUNCTIONS(ROW) \
    ROW(FN_ABS, "abs", V, 0, false, 1, V) \
    ROW(FN_ABSENT, "absent", V, 0, false, 1, V) \
    ROW(FN_ABSENT_OVER_TIME, "absent_over_time", V, 0, false, 1, M) \
    ROW(FN_ACOS, "acos", V, 0, false, 1, V) \
    ROW(FN_ACOSH, "acosh", V, 0, false, 1, V) \
    ROW(FN_ASIN, "asin", V, 0, false, 1, V) \
    ROW(FN_ASINH, "asinh", V, 0, false, 1, V) \
    ROW(FN_ATAN, "atan", V, 0, false, 1, V) \
    ROW(FN_ATANH, "atanh", V, 0, false, 1, V) \
    ROW(FN_AVG_OVER_TIME, "avg_over_time", V, 0, false, 1, M) \
    ROW(FN_CEIL, "ceil", V, 0, false, 1, V) \
    ROW(FN_CHANGES, "changes", V, 0, false, 1, M) \
    ROW(FN_CLAMP, "clamp", V, 0, false, 3, V, S, S) \
    ROW(FN_CLAMP_MAX, "clamp_max", V, 0, false, 2, V, S) \
    ROW(FN_CLAMP_MIN, "clamp_min", V, 0, false, 2, V, S) \
    ROW(FN_COS, "cos", V, 0, false, 1, V) \
    ROW(FN_COSH, "cosh", V, 0, false, 1, V) \
    ROW(FN_COUNT_OVER_TIME, "count_over_time", V, 0, false, 1, M) \
    ROW(FN_DAY_OF_MONTH, "day_of_month", V, 1, false, 1, V) \
    ROW(FN_DAY_OF_WEEK, "day_of_week", V, 1, false, 1, V) \
    ROW(FN_DAY_OF_YEAR, "day_of_year", V, 1, false, 1, V) \
    ROW(FN_DAYS_IN_MONTH, "days_in_month", V, 1, false, 1, V) \
    ROW(FN_DEG, "deg", V, 0, false, 1, V) \
    ROW(FN_DELTA, "delta", V, 0, false, 1, M) \
    ROW(FN_DERIV, "deriv", V, 0, false, 1, M) \
    ROW(FN_DOUBLE_EXPONENTIAL_SMOOTHING, "double_exponential_smoothing", V, 0, true, 3, M, S, S) \
    ROW(FN_END, "end", S, 0, true, 0, NONE) \
    ROW(FN_EXP, "exp", V, 0, false, 1, V) \
    ROW(FN_FIRST_OVER_TIME, "first_over_time", V, 0, false, 1, M) \
    ROW(FN_FLOOR, "floor", V, 0, false, 1, V) \
    ROW(FN_HISTOGRAM_AVG, "histogram_avg", V, 0, false, 1, V) \
    ROW(FN_HISTOGRAM_COUNT, "histogram_count", V, 0, false, 1, V) \
    ROW(FN_HISTOGRAM_FRACTION, "histogram_fraction", V, 0, false, 3, S, S, V) \
    ROW(FN_HISTOGRAM_QUANTILE, "histogram_quantile", V, 0, false, 2, S, V) \
    ROW(FN_HISTOGRAM_QUANTILES, "histogram_quantiles", V, 9, true, 4, V, T, S, S) \
    ROW(FN_HISTOGRAM_STDDEV, "histogram_stddev", V, 0, false, 1, V) \
    ROW(FN_HISTOGRAM_STDVAR, "histogram_stdvar", V, 0, false, 1, V) \
    ROW(FN_HISTOGRAM_SUM, "histogram_sum", V, 0, false, 1, V) \
    ROW(FN_HOUR, "hour", V, 1, false, 1, V) \
    ROW(FN_IDELTA, "idelta", V, 0, false, 1, M) \
    ROW(FN_INCREASE, "increase", V, 0, false, 1, M) \
    ROW(FN_INFO, "info", V, 1, true, 2, V, V) \
    ROW(FN_IRATE, "irate", V, 0, false, 1, M) \
    ROW(FN_LABEL_JOIN, "label_join", V, -1, false, 4, V, T, T, T) \
    ROW(FN_LABEL_REPLACE, "label_replace", V, 0, false, 5, V, T, T, T, T) \
    ROW(FN_LAST_OVER_TIME, "last_over_time", V, 0, false, 1, M) \
    ROW(FN_LN, "ln", V, 0, false, 1, V) \
    ROW(FN_LOG10, "log10", V, 0, false, 1, V) \
    ROW(FN_LOG2, "log2", V, 0, false, 1, V) \
    ROW(FN_MAD_OVER_TIME, "mad_over_time", V, 0, true, 1, M) \
    ROW(FN_MAX_OF, "max_of", S, 0, true, 2, S, S) \
    ROW(FN_MAX_OVER_TIME, "max_over_time", V, 0, false, 1, M) \
    ROW(FN_MIN_OF, "min_of", S, 0, true, 2, S, S) \
    ROW(FN_MIN_OVER_TIME, "min_over_time", V, 0, false, 1, M) \
    ROW(FN_MINUTE, "minute", V, 1, false, 1, V) \
    ROW(FN_MONTH, "month", V, 1, false, 1, V) \
    ROW(FN_PI, "pi", S, 0, false, 0, NONE) \
    ROW(FN_PREDICT_LINEAR, "predict_linear", V, 0, false, 2, M, S) \
    ROW(FN_PRESENT_OVER_TIME, "present_over_time", V, 0, false, 1, M) \
    ROW(FN_QUANTILE_OVER_TIME, "quantile_over_time", V, 0, false, 2, S, M) \
    ROW(FN_RAD, "rad", V, 0, false, 1, V) \
    ROW(FN_RANGE, "range", S, 0, true, 0, NONE) \
    ROW(FN_RATE, "rate", V, 0, false, 1, M) \
    ROW(FN_RESETS, "resets", V, 0, false, 1, M) \
    ROW(FN_ROUND, "round", V, 1, false, 2, V, S) \
    ROW(FN_SCALAR, "scalar", S, 0, false, 1, V) \
    ROW(FN_SGN, "sgn", V, 0, false, 1, V) \
    ROW(FN_SIN, "sin", V, 0, false, 1, V) \
    ROW(FN_SINH, "sinh", V, 0, false, 1, V) \
    ROW(FN_SORT, "sort", V, 0, false, 1, V) \
    ROW(FN_SORT_BY_LABEL, "sort_by_label", V, -1, true, 2, V, T) \
    ROW(FN_SORT_BY_LABEL_DESC, "sort_by_label_desc", V, -1, true, 2, V, T) \
    ROW(FN_SORT_DESC, "sort_desc", V, 0, false, 1, V) \
    ROW(FN_SQRT, "sqrt", V, 0, false, 1, V) \
    ROW(FN_START, "start", S, 0, true, 0, NONE) \
    ROW(FN_START_TIMESTAMP, "start_timestamp", V, 0, true, 1, V) \
    ROW(FN_STDDEV_OVER_TIME, "stddev_over_time", V, 0, false, 1, M) \
    ROW(FN_STDVAR_OVER_TIME, "stdvar_over_time", V, 0, false, 1, M) \
    ROW(FN_STEP, "step", S, 0, true, 0, NONE) \
    ROW(FN_SUM_OVER_TIME, "sum_over_time", V, 0, false, 1, M) \
    ROW(FN_TAN, "tan", V, 0, false, 1, V) \
    ROW(FN_TANH, "tanh", V, 0, false, 1, V) \
    ROW(FN_TIME, "time", S, 0, false, 0, NONE) \
    ROW(FN_TIMESTAMP, "timestamp", V, 0, false, 1, V) \
    ROW(FN_TS_OF_FIRST_OVER_TIME, "ts_of_first_over_time", V, 0, true, 1, M) \
    ROW(FN_TS_OF_LAST_OVER_TIME, "ts_of_last_over_time", V, 0, true, 1, M) \
    ROW(FN_TS_OF_MAX_OVER_TIME, "ts_of_max_over_time", V, 0, true, 1, M) \
    ROW(FN_TS_OF_MIN_OVER_TIME, "ts_of_min_over_time", V, 0, true, 1, M) \
    ROW(FN_VECTOR, "vector", V, 0, false, 1, S) \
    ROW(FN_YEAR, "year", V, 1, false, 1, V)

#define AS_FUNCTION(fn, name, returns, variadic, experimental, n, ...) \
    [fn] = {name, {__VA_ARGS__}, n, variadic, returns, experimental, fn},
#define AS_NAME(fn, name, ...) [fn] = name,

static const struct function table[N_FUNCTIONS] = {FUNCTIONS(AS_FUNCTION)};
static const char *const all_names[N_FUNCTIONS] = {FUNCTIONS(AS_NAME)};

static int compare_name(const void *name, const void *row)
{
    return str_cmp(*(const struct str *)name, str_of(((const struct function *)row)->name));
}

const struct function *function_find(struct str name)
{
    return bsearch(&name, table, N_FUNCTIONS, sizeof table[0], compare_name);
}

const struct function *function_get(enum function_id id) { return &table[id]; }

size_t promql_function_names(const char *const **names)
{
    *names = all_names;
    return N_FUNCTIONS;
}
