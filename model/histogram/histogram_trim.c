// SPDX-License-Identifier: Apache-2.0
/* Trims histograms: </ keeps the observations below `at`, >/ those above.
 *
 * A bucket that contains `at` keeps the interpolated part. Count and sum are then re-estimated from the remaining
 * buckets, each at its midpoint: the arithmetic one in custom and zero buckets, the geometric one in exponential
 * buckets. A histogram from which nothing was removed keeps its exact sum.
 */
#include "model/histogram/histogram_interpolate.h"

#include <math.h>

enum trim_part { KEEP_BELOW, KEEP_ABOVE };

struct trim {
    const struct histogram *h;
    enum trim_part part;
    double at;
    double count, sum; /* of the remaining buckets */
    bool cut;
    bool populated[2]; /* negative, positive side */
};
struct trimmed_bucket { double count, middle; };

static double middle_of(const struct histogram *h, double lower, double upper, bool positive)
{
    if (isinf(lower) && isinf(upper))
        return 0;
    if (isinf(lower))
        return upper > 0 ? upper / 2 : upper;
    if (isinf(upper))
        return lower;
    if (histogram_is_custom(h))
        return (lower + upper) / 2;
    double middle = sqrt(fabs(lower * upper));
    return positive ? middle : -middle;
}

/* An infinite bucket. One from -Inf to a positive bound is assumed to start at 0. Otherwise its distribution is
 * unknown: it is kept completely on the side that certainly contains observations, and dropped on the other. */
static struct trimmed_bucket cut_endless(const struct trim *t, const struct bucket *b)
{
    double at = t->at;
    bool from_zero = b->lower == -INFINITY && b->upper > 0 && b->upper < INFINITY;
    if (t->part == KEEP_BELOW) {
        if (from_zero && at > 0)
            return (struct trimmed_bucket){b->count * at / b->upper, at / 2};
        return b->lower == -INFINITY && b->upper <= 0 ? (struct trimmed_bucket){b->count,
                                                                                at} : (struct trimmed_bucket){0, 0};
    }
    if (from_zero && at >= 0)
        return (struct trimmed_bucket){b->count * (1 - at / b->upper), (at + b->upper) / 2};
    return b->lower > -INFINITY ? (struct trimmed_bucket){b->count, at} : (struct trimmed_bucket){0, 0};
}

/* `at` is between the bounds. */
static struct trimmed_bucket cut_bucket(const struct trim *t, const struct bucket *b, bool positive)
{
    if (isinf(b->lower) || isinf(b->upper))
        return cut_endless(t, b);
    double part = histogram_is_custom(t->h) ? bucket_fraction_linear(b, t->at) : bucket_fraction_log(b, t->at);
    double below = b->count * part;
    if (t->part == KEEP_BELOW)
        return (struct trimmed_bucket){below, middle_of(t->h, b->lower, t->at, positive)};
    return (struct trimmed_bucket){b->count - below, middle_of(t->h, t->at, b->upper, positive)};
}

static struct trimmed_bucket trim_bucket(const struct trim *t, const struct bucket *b, bool positive)
{
    bool whole = t->part == KEEP_BELOW ? b->upper <= t->at : b->lower >= t->at;
    bool crossed = t->part == KEEP_BELOW ? b->lower < t->at : b->upper > t->at;
    if (whole)
        return (struct trimmed_bucket){b->count, middle_of(t->h, b->lower, b->upper, positive)};
    return crossed ? cut_bucket(t, b, positive) : (struct trimmed_bucket){0, 0};
}

static void trim_add_bucket(struct trim *t, const struct trimmed_bucket *kept, double before)
{
    t->count += kept->count;
    t->sum += kept->middle * kept->count;
    t->cut |= kept->count != before;
}

static void trim_side(struct trim *t, struct arena *a, struct buckets *side, struct bucket_iter it, bool positive)
{
    double *counts = ARENA_ARRAY(a, double, side->n_counts);
    struct bucket b;
    for (size_t i = 0; bucket_next(&it, &b); i++) {
        if (b.count == 0)
            continue;
        t->populated[positive] = true;
        struct trimmed_bucket kept = trim_bucket(t, &b, positive);
        counts[i] = kept.count;
        trim_add_bucket(t, &kept, b.count);
    }
    side->counts = counts;
}

/* No observation is above the upper bound or below the lower one; `at` divides the bucket into `below` and `above`. */
static struct trimmed_bucket cut_zero(const struct trim *t, const struct bucket *b)
{
    struct trimmed_bucket all = {b->count, (b->lower + b->upper) / 2}, none = {0, 0};
    double width = b->upper - b->lower, below = (t->at - b->lower) / width, above = (b->upper - t->at) / width;
    if (t->at <= b->lower)
        return t->part == KEEP_BELOW ? none : all;
    if (t->at >= b->upper)
        return t->part == KEEP_BELOW ? all : none;
    if (t->part == KEEP_BELOW)
        return (struct trimmed_bucket){b->count * below, (b->lower + t->at) / 2};
    return (struct trimmed_bucket){b->count * above, (t->at + b->upper) / 2};
}

static double trim_zero(struct trim *t)
{
    struct bucket b = histogram_zero_bucket(t->h);
    if (!(b.count > 0))
        return b.count;
    if (t->populated[0] && !t->populated[1])
        b.upper = 0;
    if (t->populated[1] && !t->populated[0])
        b.lower = 0;
    struct trimmed_bucket kept = cut_zero(t, &b);
    trim_add_bucket(t, &kept, b.count);
    return kept.count;
}

static struct histogram *histogram_trim_at(struct arena *a, const struct histogram *h, double at, enum trim_part part)
{
    struct trim t = {.h = h, .part = part, .at = at};
    struct histogram *out = histogram_hinted(a, h, h->hint);
    trim_side(&t, a, &out->positive, buckets_positive(h), true);
    trim_side(&t, a, &out->negative, buckets_negative(h), false);
    out->zero_count = trim_zero(&t);
    if (t.cut) {
        out->count = t.count;
        out->sum = t.sum;
    }
    return histogram_compact(a, out);
}

struct histogram *histogram_trim_upper(struct arena *a, const struct histogram *h, double at)
{
    return histogram_trim_at(a, h, at, KEEP_BELOW);
}

struct histogram *histogram_trim_lower(struct arena *a, const struct histogram *h, double at)
{
    return histogram_trim_at(a, h, at, KEEP_ABOVE);
}
