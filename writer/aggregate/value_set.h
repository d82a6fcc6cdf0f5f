// SPDX-License-Identifier: Apache-2.0
/* Values of the samples of an interval, for outputs that need more of them than sums: the set of different values, a sample of
 * them for quantiles, and a histogram with VictoriaMetrics' buckets. NULL is the valid empty one; adding creates it. One
 * lane's thread. */
#ifndef WRITER_AGGREGATE_VALUE_SET_H
#define WRITER_AGGREGATE_VALUE_SET_H

#include "base/buf.h"

#include <stdint.h>

/* The set of different values: 0 and -0 are equal; no NaN. */
struct value_set;
void value_set_add(struct value_set **s, double v);
size_t value_set_count(const struct value_set *s);
/* Values by number below value_set_count, in no order. */
double value_set_get(const struct value_set *s, size_t i);
void value_set_free(struct value_set *s);

/* At most VALUE_SAMPLE values, each as likely, and the lowest and highest of all. Up to so many the quantiles are exact. */
enum { VALUE_SAMPLE = 1000 };
struct value_sample {
    uint64_t count, random;
    double min, max;
    uint32_t n, cap;
    double values[];
};
void value_sample_add(struct value_sample **s, double v);
/* Sorts the values; then as often as needed. phi in [0, 1]: the value at the nearest rank. */
void value_sample_sort(struct value_sample *s);
double value_sample_quantile(const struct value_sample *s, double phi);

/* Counts in buckets: 18 for each power of ten from 1e-9 to 1e18, one below and one above. Negative values are ignored. */
enum { VMRANGE_DECADES = 27, VMRANGE_PER_DECADE = 18, VMRANGE_BUCKETS = VMRANGE_DECADES * VMRANGE_PER_DECADE + 2 };
struct vmrange_counts { /* sorted by bucket */
    uint32_t n, cap;
    struct vmrange_count { uint32_t bucket; uint64_t count; } counts[];
};
void vmrange_add(struct vmrange_counts **h, unsigned bucket, uint64_t count);
/* The bucket of a value; VMRANGE_BUCKETS: it is negative. */
unsigned vmrange_bucket(double v);
/* Its value of the label `vmrange`: 1.000e+00...1.136e+00 */
void vmrange_text(struct buf *out, unsigned bucket);

#endif
