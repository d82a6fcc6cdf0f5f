/* Which function does what. The functions of the query's grid (start, end, range, step) are numbers before evaluation
 * begins, so they have nothing to do here.
 */
#include "promql/fn.h"

static void no_rows(struct eval *ev, const struct call *c, struct value *out)
{
    (void)out;
    eval_fail(ev, ERR_INTERNAL, "%s() is computed before the evaluation", c->expr->u.call.fn->name);
}
static const struct function_impl of_the_grid = {.rows = no_rows};

static const struct function_impl *const impls[N_FUNCTIONS] = {
    [FN_ABS] = &fn_abs, [FN_ABSENT] = &fn_absent, [FN_ABSENT_OVER_TIME] = &fn_absent_over_time, [FN_ACOS] = &fn_acos,
    [FN_ACOSH] = &fn_acosh, [FN_ASIN] = &fn_asin, [FN_ASINH] = &fn_asinh, [FN_ATAN] = &fn_atan, [FN_ATANH] = &fn_atanh,
    [FN_AVG_OVER_TIME] = &fn_avg_over_time, [FN_CEIL] = &fn_ceil, [FN_CHANGES] = &fn_changes, [FN_CLAMP] = &fn_clamp,
    [FN_CLAMP_MAX] = &fn_clamp_max, [FN_CLAMP_MIN] = &fn_clamp_min, [FN_COS] = &fn_cos, [FN_COSH] = &fn_cosh,
    [FN_COUNT_OVER_TIME] = &fn_count_over_time, [FN_DAY_OF_MONTH] = &fn_day_of_month, [FN_DAY_OF_WEEK] = &fn_day_of_week,
    [FN_DAY_OF_YEAR] = &fn_day_of_year, [FN_DAYS_IN_MONTH] = &fn_days_in_month, [FN_DEG] = &fn_deg, [FN_DELTA] = &fn_delta,
    [FN_DERIV] = &fn_deriv, [FN_DOUBLE_EXPONENTIAL_SMOOTHING] = &fn_double_exponential_smoothing, [FN_END] = &of_the_grid,
    [FN_EXP] = &fn_exp, [FN_FIRST_OVER_TIME] = &fn_first_over_time, [FN_FLOOR] = &fn_floor,
    [FN_HISTOGRAM_AVG] = &fn_histogram_avg, [FN_HISTOGRAM_COUNT] = &fn_histogram_count,
    [FN_HISTOGRAM_FRACTION] = &fn_histogram_fraction, [FN_HISTOGRAM_QUANTILE] = &fn_histogram_quantile,
    [FN_HISTOGRAM_QUANTILES] = &fn_histogram_quantiles, [FN_HISTOGRAM_STDDEV] = &fn_histogram_stddev,
    [FN_HISTOGRAM_STDVAR] = &fn_histogram_stdvar, [FN_HISTOGRAM_SUM] = &fn_histogram_sum, [FN_HOUR] = &fn_hour,
    [FN_IDELTA] = &fn_idelta, [FN_INCREASE] = &fn_increase, [FN_INFO] = &fn_info, [FN_IRATE] = &fn_irate,
    [FN_LABEL_JOIN] = &fn_label_join, [FN_LABEL_REPLACE] = &fn_label_replace, [FN_LAST_OVER_TIME] = &fn_last_over_time,
    [FN_LN] = &fn_ln, [FN_LOG10] = &fn_log10, [FN_LOG2] = &fn_log2, [FN_MAD_OVER_TIME] = &fn_mad_over_time,
    [FN_MAX_OF] = &fn_max_of, [FN_MAX_OVER_TIME] = &fn_max_over_time, [FN_MIN_OF] = &fn_min_of,
    [FN_MIN_OVER_TIME] = &fn_min_over_time, [FN_MINUTE] = &fn_minute, [FN_MONTH] = &fn_month, [FN_PI] = &fn_pi,
    [FN_PREDICT_LINEAR] = &fn_predict_linear, [FN_PRESENT_OVER_TIME] = &fn_present_over_time,
    [FN_QUANTILE_OVER_TIME] = &fn_quantile_over_time, [FN_RAD] = &fn_rad, [FN_RANGE] = &of_the_grid, [FN_RATE] = &fn_rate,
    [FN_RESETS] = &fn_resets, [FN_ROUND] = &fn_round, [FN_SCALAR] = &fn_scalar, [FN_SGN] = &fn_sgn, [FN_SIN] = &fn_sin,
    [FN_SINH] = &fn_sinh, [FN_SORT] = &fn_sort, [FN_SORT_BY_LABEL] = &fn_sort_by_label,
    [FN_SORT_BY_LABEL_DESC] = &fn_sort_by_label_desc, [FN_SORT_DESC] = &fn_sort_desc, [FN_SQRT] = &fn_sqrt,
    [FN_START] = &of_the_grid, [FN_START_TIMESTAMP] = &fn_start_timestamp, [FN_STDDEV_OVER_TIME] = &fn_stddev_over_time,
    [FN_STDVAR_OVER_TIME] = &fn_stdvar_over_time, [FN_STEP] = &of_the_grid, [FN_SUM_OVER_TIME] = &fn_sum_over_time,
    [FN_TAN] = &fn_tan, [FN_TANH] = &fn_tanh, [FN_TIME] = &fn_time, [FN_TIMESTAMP] = &fn_timestamp,
    [FN_TS_OF_FIRST_OVER_TIME] = &fn_ts_of_first_over_time, [FN_TS_OF_LAST_OVER_TIME] = &fn_ts_of_last_over_time,
    [FN_TS_OF_MAX_OVER_TIME] = &fn_ts_of_max_over_time, [FN_TS_OF_MIN_OVER_TIME] = &fn_ts_of_min_over_time,
    [FN_VECTOR] = &fn_vector, [FN_YEAR] = &fn_year,
};

const struct function_impl *function_impl(enum function_id id) { return impls[id]; }
