// SPDX-License-Identifier: Apache-2.0
/* Native histograms in Prometheus' float form. Exponential schemas -4..8; schema -53 = custom buckets (NHCB).
 *
 * Buckets are stored as in Prometheus: spans (offset from the end of the previous one, length) and absolute float
 * counts. A histogram in a series is immutable; arithmetic creates new ones in an arena. This header also reads and
 * writes remote write's prometheus.Histogram (integer or float form). (model/histogram/ has arithmetic, quantiles and
 * the wire format.)
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

/* Decodes a prometheus.Histogram message to float form in the arena. Checked: spans and counts agree, every bucket
 * has bounds, at most HISTOGRAM_MAX_BUCKETS per side. Counts may have any value, as in gauges. */
bool histogram_decode(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out,
                      struct err *err) MUST_USE;
/* The same, with the checks of Prometheus' receiver: no count is negative, and the count of the integer form equals
 * the sum of its buckets (or is at least that when the sum is NaN). For ingested histograms. */
bool histogram_decode_strict(struct arena *a, const uint8_t *p, size_t n, int64_t *t, struct histogram *out,
                             struct err *err) MUST_USE;
/* Whether the message has custom buckets without bounds, as returned by remote_read of Prometheus 3.9.0 and older.
 * Stale markers also have no bounds and do not count. */
bool histogram_lacks_bounds(const uint8_t *p, size_t n);
/* Appends a prometheus.Histogram message (float form, without tag and length). */
void histogram_encode(struct buf *out, const struct histogram *h, int64_t t);
/* The same in integer form: all counts are whole numbers below 2^53. */
void histogram_encode_int(struct buf *out, const struct histogram *h, int64_t t);
bool histogram_is_stale(const struct histogram *h); /* sum is the stale NaN */

#endif
