// SPDX-License-Identifier: Apache-2.0
/* Samples and series, as the query side sees them: arrays in an arena. */
#ifndef MODEL_SERIES_H
#define MODEL_SERIES_H

#include "model/histogram/histogram.h"
#include "model/labels.h"

#include <math.h>
#include <string.h>

struct sample { int64_t t; double v; };                            /* t: Unix milliseconds */
struct hist_sample { int64_t t; const struct histogram *h; };

/* The value that ends a series: one NaN among many, told apart by its bits. An ordinary NaN is another one. */
#define STALE_NAN_BITS  0x7ff0000000000002ull
#define NORMAL_NAN_BITS 0x7ff8000000000001ull
static inline uint64_t double_bits(double v) { uint64_t u; memcpy(&u, &v, 8); return u; }
static inline double double_from_bits(uint64_t u) { double v; memcpy(&v, &u, 8); return v; }
static inline bool is_stale(double v) { return double_bits(v) == STALE_NAN_BITS; }
static inline double stale_nan(void) { return double_from_bits(STALE_NAN_BITS); }
static inline double normal_nan(void) { return double_from_bits(NORMAL_NAN_BITS); }

/* One scraper's own samples of a series, and where it missed nothing: a window (start, end] lies in a span when the
 * span's start <= start and end_from <= end <= end_to. Spans are ascending in end_to. */
static const int64_t SERIES_FAR = INT64_MAX / 8; /* beyond all times; sums of a few stay in range */
struct series_span { int64_t start, end_from, end_to; };
struct series_replica {
    const struct sample *samples; uint32_t n_samples;
    const struct hist_sample *hists; uint32_t n_hists;
    const struct series_span *spans; uint32_t n_spans;
};

/* One series. Samples and histograms are separate, each ascending in t, no t twice in one; stale markers included. */
struct series {
    struct labels labels;
    const struct sample *samples;
    uint32_t n_samples;
    const struct hist_sample *hists;
    uint32_t n_hists;
    /* when samples stand at steps (series_set.exact): the time each was really taken; NULL = t */
    const int64_t *origins;
    /* When samples were merged of independent scrapers: a range function sees, for each window, the samples of the
     * first replica with a span that the window lies in, and those above where there is none. */
    const struct series_replica *replicas;
    uint32_t n_replicas;
};

#endif
