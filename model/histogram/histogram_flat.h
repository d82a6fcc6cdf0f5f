// SPDX-License-Identifier: Apache-2.0
/* A histogram as arrays of buckets, each with its index and a compensation term, so that two histograms can be
 * reconciled and merged. Internal to model/histogram. The entries are in an arena and their memory is reused. */
#ifndef MODEL_HISTOGRAM_HISTOGRAM_FLAT_H
#define MODEL_HISTOGRAM_HISTOGRAM_FLAT_H

#include "model/histogram/histogram_math.h"

void flat_load(struct flat_histogram *f, struct arena *a, const struct histogram *h);
void flat_copy(struct flat_histogram *to, struct arena *a, const struct flat_histogram *from);
void flat_reduce(struct flat_histogram *f, int32_t schema);
/* The zero bucket with a threshold of at least `threshold`; more when that is inside a populated bucket. */
struct flat_zero { double threshold, count, comp; };
struct flat_zero flat_zero_widened(const struct flat_histogram *f, double threshold);
/* Drops the buckets inside the threshold. */
void flat_skip_zero(struct flat_histogram *f, double threshold);
/* Converts both to one schema, one zero threshold, one set of custom bounds. Both must be exponential or both custom.
 */
void flat_reconcile(struct flat_histogram *x, struct flat_histogram *y, struct arena *a, unsigned *flags);
void flat_merge(struct flat_histogram *into, struct arena *a, const struct flat_histogram *from, double sign);
void flat_mul(struct flat_histogram *f, double factor);
void flat_div(struct flat_histogram *f, double divisor);
bool flat_overflows(const struct flat_histogram *f);
/* Converts back to spans and counts, without empty buckets; everything divided by `divisor`. */
struct histogram *flat_build(const struct flat_histogram *f, struct arena *out, double divisor);

/* Builds the buckets of one sign, one bucket per call. */
struct side_writer { struct span *spans; double *counts; uint32_t n_spans, n_counts; int32_t next; };
void side_writer_start(struct side_writer *w, struct arena *out, size_t max_spans, size_t max_counts);
void side_writer_add(struct side_writer *w, int32_t index, double count);
struct buckets side_writer_end(const struct side_writer *w);

#endif
