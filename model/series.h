// SPDX-License-Identifier: Apache-2.0
/* Samples and series, as the query side sees them: arrays in an arena. */
#ifndef MODEL_SERIES_H
#define MODEL_SERIES_H

#include "model/histogram.h"
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

/* One series. Samples and histograms are separate, each ascending in t, no t twice in one; stale markers included. */
struct series {
    struct labels labels;
    const struct sample *samples;
    uint32_t n_samples;
    const struct hist_sample *hists;
    uint32_t n_hists;
    /* when samples stand at steps (series_set.exact): the time each was really taken; NULL = t */
    const int64_t *origins;
};

#endif
