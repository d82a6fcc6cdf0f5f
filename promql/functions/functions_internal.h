// SPDX-License-Identifier: Apache-2.0
/* The functions, for one another: a file a kind, each a handful of struct function_impl that table.c finds by id.
 *
 *   rate.c, extended_rate.c, instant_rate.c      rate increase delta; the same anchored or smoothed; irate idelta
 *   changes.c, regression.c, smoothing.c         changes resets; deriv predict_linear; double_exponential_smoothing
 *   sum.c, over_time.c, extremes.c, quantile.c   ..._over_time
 *   math.c, time.c, label.c, sort.c              element by element; labels; order
 *   vector.c                                     absent scalar vector pi max_of min_of
 *   histogram.c, classic.c                       histogram_...
 *   info.c                                       info
 *   function_annotations.c, order.c                             notes; sorted values
 */
#ifndef PROMQL_FUNCTIONS_FUNCTIONS_INTERNAL_H
#define PROMQL_FUNCTIONS_FUNCTIONS_INTERNAL_H

#include "promql/eval/eval.h"

#include "model/histogram/histogram_math.h"

/* --- notes (function_annotations.c) ------------------------------------------------------------------------------- */
/* What can be said about a series of a range function; gathered over its steps, said once. */
enum fn_note {
    NOTE_MIXED = 1,              /* floats and histograms in one window */
    NOTE_IGNORED = 2,            /* histograms passed over beside floats */
    NOTE_NOT_COUNTER = 4, NOTE_NOT_GAUGE = 8,
    NOTE_SCHEMAS = 16,           /* exponential and custom buckets */
    NOTE_BOUNDS_ADD = 32, NOTE_BOUNDS_SUB = 64, NOTE_BOUNDS_AGG = 128,
    NOTE_HINTS_AGG = 256,
    NOTE_ODD_NAME = 512          /* the name is not that of a counter */
};
void fn_annotate(struct eval *ev, const struct range_input *in, unsigned notes);
const char *fn_quoted(struct eval *ev, struct str s); /* "..." with escapes, NUL-terminated, in the arena */
const char *fn_number(struct eval *ev, double v);     /* as %g of Go */
/* " for metric name "x"", empty when names are dropped at once. */
const char *fn_for_metric(struct eval *ev, struct labels l);
void fn_check_quantile(struct eval *ev, const struct expr *at, double q);

/* The argument's rows, to be changed in place, become the result. */
static inline void fn_take_rows(struct value *out, const struct value *in)
{
    out->rows = in->rows;
    out->n = in->n;
    out->_cap = in->_cap;
}

/* --- shared arithmetic (order.c) ---------------------------------------------------------------------------------- */
/* A window's values in order; NaNs are the smallest. */
struct sorted_window { double *v; uint32_t n, nans; };
void sorted_add(struct sorted_window *w, double v);
void sorted_remove(struct sorted_window *w, double v);
double sorted_quantile(const struct sorted_window *w, double q); /* NaN when empty; beyond 0..1: -Inf, +Inf */
double go_max(double a, double b); /* NaN wins over all but +Inf */
double go_min(double a, double b);

#define FN_IMPL(name) extern const struct function_impl name
FN_IMPL(fn_rate); FN_IMPL(fn_increase); FN_IMPL(fn_delta); FN_IMPL(fn_irate); FN_IMPL(fn_idelta);
FN_IMPL(fn_changes); FN_IMPL(fn_resets);
FN_IMPL(fn_deriv); FN_IMPL(fn_predict_linear); FN_IMPL(fn_double_exponential_smoothing);
FN_IMPL(fn_avg_over_time); FN_IMPL(fn_sum_over_time); FN_IMPL(fn_count_over_time); FN_IMPL(fn_present_over_time);
FN_IMPL(fn_first_over_time); FN_IMPL(fn_last_over_time); FN_IMPL(fn_stddev_over_time); FN_IMPL(fn_stdvar_over_time);
FN_IMPL(fn_ts_of_first_over_time); FN_IMPL(fn_ts_of_last_over_time);
FN_IMPL(fn_min_over_time); FN_IMPL(fn_max_over_time); FN_IMPL(fn_ts_of_min_over_time); FN_IMPL(fn_ts_of_max_over_time);
FN_IMPL(fn_quantile_over_time); FN_IMPL(fn_mad_over_time);
FN_IMPL(fn_absent);
FN_IMPL(fn_absent_over_time);
FN_IMPL(fn_scalar);
FN_IMPL(fn_vector);
FN_IMPL(fn_pi);
FN_IMPL(fn_max_of);
FN_IMPL(fn_min_of);
FN_IMPL(fn_abs);
FN_IMPL(fn_ceil);
FN_IMPL(fn_floor);
FN_IMPL(fn_exp);
FN_IMPL(fn_sqrt);
FN_IMPL(fn_ln);
FN_IMPL(fn_log2);
FN_IMPL(fn_log10);
FN_IMPL(fn_sin);
FN_IMPL(fn_cos);
FN_IMPL(fn_tan);
FN_IMPL(fn_asin);
FN_IMPL(fn_acos);
FN_IMPL(fn_atan);
FN_IMPL(fn_sinh);
FN_IMPL(fn_cosh);
FN_IMPL(fn_tanh);
FN_IMPL(fn_asinh);
FN_IMPL(fn_acosh);
FN_IMPL(fn_atanh);
FN_IMPL(fn_deg);
FN_IMPL(fn_rad);
FN_IMPL(fn_sgn);
FN_IMPL(fn_round); FN_IMPL(fn_clamp); FN_IMPL(fn_clamp_min); FN_IMPL(fn_clamp_max);
FN_IMPL(fn_time);
FN_IMPL(fn_timestamp);
FN_IMPL(fn_start_timestamp);
FN_IMPL(fn_minute);
FN_IMPL(fn_hour);
FN_IMPL(fn_day_of_week);
FN_IMPL(fn_day_of_month); FN_IMPL(fn_day_of_year); FN_IMPL(fn_days_in_month); FN_IMPL(fn_month); FN_IMPL(fn_year);
FN_IMPL(fn_label_replace); FN_IMPL(fn_label_join);
FN_IMPL(fn_sort); FN_IMPL(fn_sort_desc); FN_IMPL(fn_sort_by_label); FN_IMPL(fn_sort_by_label_desc);
FN_IMPL(fn_histogram_avg);
FN_IMPL(fn_histogram_count);
FN_IMPL(fn_histogram_sum);
FN_IMPL(fn_histogram_stddev);
FN_IMPL(fn_histogram_stdvar);
FN_IMPL(fn_histogram_quantile); FN_IMPL(fn_histogram_quantiles); FN_IMPL(fn_histogram_fraction);
FN_IMPL(fn_info);
#undef FN_IMPL

struct rate_kind { bool counter, per_second; }; /* rate: both; increase: counter; delta: none */
/* rate_kind's function with the modifier anchored or smoothed. */
void fn_extended_rate(struct eval *ev, const struct rate_kind *kind, const struct range_input *in, struct row *out);
/* The labels that a selector's equality matchers promise: those of absent(). */
struct labels fn_absent_labels(struct eval *ev, const struct expr *arg);

#endif
