// SPDX-License-Identifier: Apache-2.0
/* Native histograms, in Prometheus' float form. Exponential schemas -4..8; schema -53 = custom buckets (NHCB).
 * Buckets are stored as Prometheus stores them: spans (offset from the end of the one before, length) and absolute
 * float counts. A histogram is immutable once it is in a series; arithmetic makes new ones in an arena.
 * Reading and writing prometheus.Histogram (integer or float form) of remote write is here too.
 * (model/histogram_*.c hold arithmetic, quantiles, the wire form and the JSON form.)
 */
#ifndef MODEL_HISTOGRAM_HISTOGRAM_H
#define MODEL_HISTOGRAM_HISTOGRAM_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { HISTOGRAM_CUSTOM = -53, HISTOGRAM_SCHEMA_MIN = -4, HISTOGRAM_SCHEMA_MAX = 8, HISTOGRAM_MAX_BUCKETS = 1 << 16 };
enum reset_hint { RESET_UNKNOWN, RESET_YES, RESET_NO, RESET_GAUGE };
struct span { int32_t offset; uint32_t length; };
struct buckets { const struct span *spans; uint32_t n_spans; const double *counts; uint32_t n_counts; };
struct histogram {
    int32_t schema;
    enum reset_hint hint;
    double zero_threshold, zero_count, count, sum;
    struct buckets positive, negative;
    const double *custom; /* upper bounds without +Inf; schema -53 only */
    uint32_t n_custom;
};

/* The message prometheus.Histogram -> float form in the arena, checked (spans and counts agree, every bucket has
 * bounds, at most HISTOGRAM_MAX_BUCKETS a side; counts may be anything, as those of gauges are). */
bool histogram_decode(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out,
                      struct err *err) MUST_USE;
/* The same, and the counts are checked as Prometheus' receiver checks them: none is negative, and the count of the
 * integer form equals what the buckets hold, or, when the sum is NaN, is at least that. For what is ingested. */
bool histogram_decode_strict(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out,
                             struct err *err) MUST_USE;
/* Is it a message with custom buckets, and without their bounds? So remote_read of Prometheus 3.9.0 and older
 * returns them. Stale markers have no bounds either and do not count. */
bool histogram_lacks_bounds(const uint8_t *p, size_t n);
/* Appends a prometheus.Histogram message (float form, without tag and length). */
void histogram_encode(struct buf *out, const struct histogram *h, int64_t t);
bool histogram_is_stale(const struct histogram *h); /* sum is the stale NaN */

#endif
