// SPDX-License-Identifier: Apache-2.0
/* Arithmetic and statistics of native histograms, with the results of Prometheus.
 *
 * Histograms are immutable: every operation creates a new one in the arena (it may share spans and bounds with its
 * operands, so operands must outlive results; histogram_copy shares nothing). The exception is struct histogram_sum,
 * an accumulator that reuses its memory.
 *
 * Annotations are reported as flags (enum histogram_flags) that are or-ed into *flags, never cleared; the caller
 * words them, with the position in the query. A NULL result means HISTOGRAM_INCOMPATIBLE. Pure; any thread. All
 * values are float counts, possibly negative (differences of gauges).
 *
 * Reference: https://prometheus.io/docs/specs/native_histograms/
 */
#ifndef MODEL_HISTOGRAM_HISTOGRAM_MATH_H
#define MODEL_HISTOGRAM_HISTOGRAM_MATH_H

#include "model/histogram/histogram.h"

#include <math.h>

enum histogram_flags {
    HISTOGRAM_INCOMPATIBLE = 1,      /* one has exponential buckets, the other custom ones: no result */
    HISTOGRAM_HINT_COLLISION = 2,    /* one was a counter reset, the other not */
    HISTOGRAM_BOUNDS_RECONCILED = 4, /* custom bounds differed: the result has the shared ones */
    HISTOGRAM_NAN_RESULT = 8,        /* histogram_quantile: NaN observations, and the rank is above all buckets: NaN */
    HISTOGRAM_NAN_SKEW = 16          /* histogram_quantile, _fraction: NaN observations are counted but in no bucket */
};

static inline bool histogram_is_custom(const struct histogram *h) { return h->schema == HISTOGRAM_CUSTOM; }

/* --- constructors ------------------------------------------------------------------------------------------------- */
struct histogram *histogram_copy(struct arena *a, const struct histogram *h);  /* deep */
/* With another hint; shares all buckets. */
struct histogram *histogram_hinted(struct arena *a, const struct histogram *h, enum reset_hint hint);
/* Zero buckets, schemas and custom bounds are reconciled; the hint is x's, weakened by y's. PromQL's "-" operator
 * yields a gauge: histogram_hinted(..., RESET_GAUGE). Compact. */
struct histogram *histogram_add(struct arena *a, const struct histogram *x, const struct histogram *y, unsigned *flags);
struct histogram *histogram_sub(struct arena *a, const struct histogram *x, const struct histogram *y, unsigned *flags);
/* A negative factor or divisor yields a gauge; unary minus is -1. Divided by 0: no buckets, the rest Inf or NaN. */
struct histogram *histogram_mul(struct arena *a, const struct histogram *h, double factor);
struct histogram *histogram_div(struct arena *a, const struct histogram *h, double divisor);
/* Removes empty buckets. */
struct histogram *histogram_compact(struct arena *a, const struct histogram *h);
/* Reduces to a lower exponential schema. */
struct histogram *histogram_reduce(struct arena *a, const struct histogram *h, int32_t schema);
/* x </ at keeps the observations below at, x >/ at those above; count and sum are re-estimated if anything was
 * removed. */
struct histogram *histogram_trim_upper(struct arena *a, const struct histogram *h, double at);
struct histogram *histogram_trim_lower(struct arena *a, const struct histogram *h, double at);

/* --- comparison --------------------------------------------------------------------------------------------------- */
bool histogram_same_bounds(const struct histogram *x, const struct histogram *y); /* custom bounds */
/* Bitwise equality, ignoring the hint and the split of the spans. */
bool histogram_equal(const struct histogram *x, const struct histogram *y);
/* Whether `now` was reset since `before`. The hint of `now` decides when it is RESET_YES or RESET_NO. */
bool histogram_was_reset(struct arena *scratch, const struct histogram *now, const struct histogram *before);

/* --- statistics --------------------------------------------------------------------------------------------------- */
double histogram_quantile(const struct histogram *h, double q, unsigned *flags);
double histogram_fraction(const struct histogram *h, double lower, double upper, unsigned *flags);
double histogram_avg(const struct histogram *h);
double histogram_stdvar(const struct histogram *h);
double histogram_stddev(const struct histogram *h);
bool histogram_overflows(const struct histogram *h); /* any infinite count, sum or bound */

/* --- buckets ------------------------------------------------------------------------------------------------------ */
struct bucket {
    double lower, upper, count;
    bool lower_in, upper_in; /* whether the bound itself is inside */
    int32_t index;           /* within the schema and sign; unused for the zero bucket */
};
/* The upper bound of a positive bucket; that of index - 1 is its lower bound. */
double histogram_bound(const struct histogram *h, int32_t index);
struct bucket histogram_zero_bucket(const struct histogram *h);

/* Iterates over buckets, including empty ones. The zero bucket is included only when populated, and trims the
 * neighbours that it overlaps.
 *   struct bucket_iter it = buckets_ascending(h);
 *   struct bucket b;
 *   while (bucket_next(&it, &b)) ... */
struct side_iter { const struct buckets *side; size_t span, in_span, at; int32_t index; bool backward; };
struct bucket_iter {
    const struct histogram *h;
    struct side_iter first, second;
    int stage; /* 0: first side, 1: zero bucket, 2: second side, 3: the end */
    bool first_positive, one_side;
};
struct bucket_iter buckets_ascending(const struct histogram *h);  /* negative, zero, positive */
struct bucket_iter buckets_descending(const struct histogram *h);
struct bucket_iter buckets_positive(const struct histogram *h);   /* only those, from zero outwards, not trimmed */
struct bucket_iter buckets_negative(const struct histogram *h);
bool bucket_next(struct bucket_iter *it, struct bucket *b);

/* --- sums of many ------------------------------------------------------------------------------------------------- */
/* Adds up histograms with Kahan-Neumaier compensation in every count. histogram_sum_start initializes a zeroed
 * accumulator or resets a used one, whose memory is reused. Adding a histogram whose buckets are known allocates
 * nothing.
 *   total: histogram_sum_add and _sub ..., then histogram_sum_total
 *   mean:  histogram_mean_add ..., then histogram_sum_mean (a running mean once the sum would overflow)
 * The hint of the result is that of the first, weakened by the others; HISTOGRAM_HINT_COLLISION when both a reset and
 * a non-reset were added. Results are compact. HISTOGRAM_INCOMPATIBLE leaves the accumulator unchanged. */
struct flat_bucket { int32_t index; double count, comp; };
struct flat_side { struct flat_bucket *items; size_t n, _cap; }; /* ascending index */
struct flat_histogram {
    struct histogram h;    /* all but the buckets */
    double c_zero, c_count, c_sum;
    struct flat_side positive, negative;
};
struct histogram_sum {
    struct arena *arena;
    size_t n;              /* histograms added; 0 = no result */
    bool running_mean;     /* the value is the mean of n, not their sum */
    bool saw_reset, saw_no_reset;
    struct flat_histogram now, other, backup;
};
void histogram_sum_start(struct histogram_sum *s, struct arena *a);
void histogram_sum_add(struct histogram_sum *s, const struct histogram *h, unsigned *flags);
/* never the first operation */
void histogram_sum_sub(struct histogram_sum *s, const struct histogram *h, unsigned *flags);
void histogram_mean_add(struct histogram_sum *s, const struct histogram *h, unsigned *flags);
void histogram_sum_mul(struct histogram_sum *s, double factor);
double histogram_sum_count(const struct histogram_sum *s); /* observations in the total */
struct histogram *histogram_sum_total(const struct histogram_sum *s, struct arena *out);
struct histogram *histogram_sum_mean(const struct histogram_sum *s, struct arena *out);

/* One step of Kahan-Neumaier summation: *sum + *c is the total. */
static inline void kahan_add(double x, double *sum, double *c)
{
    double t = *sum + x, abs_sum = *sum < 0 ? -*sum : *sum, abs_x = x < 0 ? -x : x;
    if (isinf(t))
        *c = 0;
    else
        *c += abs_sum >= abs_x ? (*sum - t) + x : (x - t) + *sum;
    *sum = t;
}

#endif
