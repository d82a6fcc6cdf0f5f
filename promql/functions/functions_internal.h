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

/* --- the implementations that table.c lists --------------------------------------------------------------------- */
#define FUNCTION(id, name, impl, ...) extern const struct function_impl impl;
#include "promql/ast/functions.def"
#undef FUNCTION

struct rate_kind { bool counter, per_second; }; /* rate: both; increase: counter; delta: none */
/* rate_kind's function with the modifier anchored or smoothed. */
void fn_extended_rate(struct eval *ev, const struct rate_kind *kind, const struct range_input *in, struct row *out);
/* The labels that a selector's equality matchers promise: those of absent(). */
struct labels fn_absent_labels(struct eval *ev, const struct expr *arg);

#endif
