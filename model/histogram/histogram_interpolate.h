// SPDX-License-Identifier: Apache-2.0
/* The assumed distribution of observations within a bucket: uniform between its bounds in custom buckets and in the
 * zero bucket, uniform on a logarithmic scale in exponential ones. Internal to model/histogram. */
#ifndef MODEL_HISTOGRAM_HISTOGRAM_INTERPOLATE_H
#define MODEL_HISTOGRAM_HISTOGRAM_INTERPOLATE_H

#include "model/histogram/histogram_math.h"

/* The fraction of the bucket (0..1) below v, which is inside its finite bounds. */
double bucket_fraction_linear(const struct bucket *b, double v);
double bucket_fraction_log(const struct bucket *b, double v);
/* The value below which the fraction `part` of the bucket lies. */
double bucket_value_linear(const struct bucket *b, double part);
double bucket_value_log(const struct bucket *b, double part);
/* The zero bucket of a histogram with populated buckets on one side only ends at zero. */
void bucket_trim_zero(const struct histogram *h, struct bucket *b);

#endif
