// SPDX-License-Identifier: Apache-2.0
/* Converts the series of a classic histogram to one native histogram with custom buckets, whose bounds are those of
 * `le`, like Prometheus' convert_classic_histograms_to_nhcb: whole counts remain integers, and long runs of empty
 * buckets are left out. A zeroed struct is empty; its memory is reused. Pure; any thread. */
#ifndef MODEL_EXPOSITION_CLASSIC_HISTOGRAM_H
#define MODEL_EXPOSITION_CLASSIC_HISTOGRAM_H

#include "model/histogram/histogram.h"

struct exposed_bucket { double bound, count; uint32_t place; };
struct classic_histogram {
    struct exposed_bucket *buckets; size_t n, cap;
    double count, sum;
    bool has_count, unsorted, invalid;
};
void classic_free(struct classic_histogram *c);
void classic_start(struct classic_histogram *c);
/* The count of observations up to the bound, which is not NaN. Of buckets with the same bound the first one counts. */
void classic_add_bucket(struct classic_histogram *c, double bound, double count);
void classic_set_count(struct classic_histogram *c, double count);
void classic_set_sum(struct classic_histogram *c, double sum);
/* Appends a prometheus.Histogram message; *buckets: its number of buckets. False: the series contradict each other, or
 * there are more than HISTOGRAM_MAX_BUCKETS. */
bool classic_convert(struct classic_histogram *c, enum reset_hint hint, int64_t t, struct arena *scratch,
                     struct buf *out, size_t *buckets) MUST_USE;
/* Appends the histogram when it began, at the time t: the same schema and bounds, no observations, after a reset. */
void histogram_zero_of(struct str message, int64_t t, struct buf *out);

#endif
