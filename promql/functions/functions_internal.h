// SPDX-License-Identifier: Apache-2.0
/* Internal interfaces of the functions. Each file implements one kind as struct function_impl, found by id in
 * table.c.
 *
 *   rate.c, extended_rate.c, instant_rate.c      rate increase delta; the same anchored or smoothed; irate idelta
 *   changes.c, regression.c, smoothing.c         changes resets; deriv predict_linear; double_exponential_smoothing
 *   sum.c, over_time.c, extremes.c, quantile.c   ..._over_time
 *   math.c, time.c, label.c, sort.c              functions of numbers; dates; labels; order
 *   vector.c                                     absent scalar vector pi max_of min_of
 *   histogram.c, classic.c                       histogram_...
 *   info.c                                       info
 *   function_annotations.c, order.c              annotations; sorted values
 */
#ifndef PROMQL_FUNCTIONS_FUNCTIONS_INTERNAL_H
#define PROMQL_FUNCTIONS_FUNCTIONS_INTERNAL_H

#include "promql/functions/function_impl.h"

#include "model/histogram/histogram_math.h"

/* --- annotations (function_annotations.c) ------------------------------------------------------------------------- */
/* Annotations of a range function for one series: collected over its steps, reported once. */
enum fn_note {
    NOTE_MIXED = 1,              /* floats and histograms in one window */
    NOTE_IGNORED = 2,            /* histograms ignored next to floats */
    NOTE_NOT_COUNTER = 4, NOTE_NOT_GAUGE = 8,
    NOTE_SCHEMAS = 16,           /* exponential and custom buckets */
    NOTE_BOUNDS_ADD = 32, NOTE_BOUNDS_SUB = 64, NOTE_BOUNDS_AGG = 128,
    NOTE_HINTS_AGG = 256,
    NOTE_ODD_NAME = 512          /* the name does not look like a counter's */
};
void fn_annotate(struct eval *ev, const struct range_input *in, unsigned notes);

/* Returns the argument's rows, modified in place, as the result. */
static inline void fn_reuse_rows(struct value *out, const struct value *in)
{
    out->rows = in->rows;
    out->n = in->n;
    out->_cap = in->_cap;
}

/* --- shared arithmetic (order.c) ---------------------------------------------------------------------------------- */
/* The values of a window in ascending order; NaN sorts first. */
struct sorted_window { double *v; uint32_t n, nans; };
void sorted_add(struct sorted_window *w, double v);
void sorted_remove(struct sorted_window *w, double v);
double sorted_quantile(const struct sorted_window *w, double q); /* NaN when empty; beyond 0..1: -Inf, +Inf */
double go_max(double a, double b); /* NaN wins over everything but +Inf */
double go_min(double a, double b);

/* --- the implementations that table.c lists --------------------------------------------------------------------- */
#define FUNCTION(id, name, impl, ...) extern const struct function_impl impl;
#include "promql/ast/functions.def"
#undef FUNCTION

struct rate_kind { bool counter, per_second; }; /* rate: both; increase: counter; delta: none */
/* The function of `kind` with the modifier anchored or smoothed. */
void fn_extended_rate(struct eval *ev, const struct rate_kind *kind, const struct range_input *in, struct row *out);
/* The labels implied by a selector's equality matchers, for absent(). */
struct labels fn_absent_labels(struct eval *ev, const struct expr *arg);

#endif
