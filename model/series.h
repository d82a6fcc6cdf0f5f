// SPDX-License-Identifier: Apache-2.0
/* Samples and series in the form that queries use: arrays in an arena. */
#ifndef MODEL_SERIES_H
#define MODEL_SERIES_H

#include "model/histogram/histogram.h"
#include "model/labels.h"

#include <math.h>
#include <string.h>

struct sample { int64_t t; double v; };                            /* t: Unix milliseconds */
struct hist_sample { int64_t t; const struct histogram *h; };

/* The NaN that marks a series as stale, recognized by its bits. An ordinary NaN has other bits. */
#define STALE_NAN_BITS  0x7ff0000000000002ull
#define NORMAL_NAN_BITS 0x7ff8000000000001ull
static inline uint64_t double_bits(double v) { uint64_t u; memcpy(&u, &v, 8); return u; }
static inline double double_from_bits(uint64_t u) { double v; memcpy(&v, &u, 8); return v; }
static inline bool is_stale(double v) { return double_bits(v) == STALE_NAN_BITS; }
static inline double stale_nan(void) { return double_from_bits(STALE_NAN_BITS); }
static inline double normal_nan(void) { return double_from_bits(NORMAL_NAN_BITS); }

/* The samples of one scraper for a series, and the spans in which it missed no scrape: a window (start, end] is in a
 * span when the span's start <= start and end_from <= end <= end_to. Spans are ascending in end_to. */
static const int64_t SERIES_FAR = INT64_MAX / 8; /* later than any time; sums of a few stay in range */
struct series_span { int64_t start, end_from, end_to; };
struct series_replica {
    const struct sample *samples; uint32_t n_samples;
    const struct hist_sample *hists; uint32_t n_hists;
    const struct series_span *spans; uint32_t n_spans;
};

/* One series. Samples and histograms are separate, each ascending in t without duplicates; stale markers included. */
struct series {
    struct labels labels;
    const struct sample *samples;
    uint32_t n_samples;
    const struct hist_sample *hists;
    uint32_t n_hists;
    /* when samples are at steps (series_set.exact): the original timestamp of each; NULL = t */
    const int64_t *origins;
    /* When samples of independent scrapers were merged: for each window a range function uses the samples of the
     * first replica with a span that contains the window, and the merged samples when there is none. */
    const struct series_replica *replicas;
    uint32_t n_replicas;
};

#endif
