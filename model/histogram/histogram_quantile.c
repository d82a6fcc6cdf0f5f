// SPDX-License-Identifier: Apache-2.0
/* Quantiles and fractions estimated from buckets.
 *
 * NaN observations are counted but in no bucket, and make the sum NaN: they are treated as larger than any value. A
 * first custom bucket with lower bound -Inf starts at 0 when its upper bound is positive.
 */
#include "model/histogram/histogram_interpolate.h"

#include <math.h>

double bucket_fraction_linear(const struct bucket *b, double v)
{
    return (v - b->lower) / (b->upper - b->lower);
}

double bucket_fraction_log(const struct bucket *b, double v)
{
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), at = log2(fabs(v));
    return v > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
}

double bucket_value_linear(const struct bucket *b, double part)
{
    return b->lower + (b->upper - b->lower) * part;
}

double bucket_value_log(const struct bucket *b, double part)
{
    double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper));
    if (b->lower > 0)
        return exp2(lower + (upper - lower) * part);
    return -exp2(upper + (lower - upper) * (1 - part));
}

void bucket_trim_zero(const struct histogram *h, struct bucket *b)
{
    bool negative = h->negative.n_counts > 0, positive = h->positive.n_counts > 0;
    if (positive && !negative)
        b->lower = 0;
    else if (negative && !positive)
        b->upper = 0;
}

static bool spans_zero(const struct bucket *b)
{
    return b->lower <= 0 && b->upper >= 0;
}

/* Sums populated buckets until `rank` is reached; `b` is the last one. */
static double count_to(struct bucket_iter *it, double rank, struct bucket *b)
{
    double count = 0;
    struct bucket next;
    while (bucket_next(it, &next)) {
        *b = next;
        if (next.count == 0)
            continue;
        count += next.count;
        if (count >= rank)
            break;
    }
    return count;
}

/* Sums the remaining buckets: fewer observations in all buckets than in total means that some were NaN. `b` is then
 * the last bucket, where Prometheus interpolates, whichever bucket the rank is in. */
static bool has_unbucketed(const struct histogram *h, struct bucket_iter *it, double count, struct bucket *b)
{
    while (bucket_next(it, b))
        count += b->count;
    return count < h->count;
}

/* True when the bucket lacks two finite bounds to interpolate between: the result is its finite bound. */
static bool one_sided(const struct histogram *h, struct bucket *b, double *result)
{
    if (!histogram_is_custom(h)) {
        if (b->lower < 0 && b->upper > 0)
            bucket_trim_zero(h, b);
        return false;
    }
    if (b->lower == -INFINITY && b->upper > 0) {
        b->lower = 0;
        return false;
    }
    *result = b->lower == -INFINITY ? b->upper : b->lower;
    return b->lower == -INFINITY || b->upper == INFINITY;
}

/* Counts from the nearer end, except from the upper end when there are NaNs. */
double histogram_quantile(const struct histogram *h, double q, unsigned *flags)
{
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    if (h->count == 0 || isnan(q))
        return NAN;
    bool up = isnan(h->sum) || q < 0.5;
    double rank = (up ? q : 1 - q) * h->count, result;
    struct bucket_iter it = up ? buckets_ascending(h) : buckets_descending(h);
    struct bucket b = {0};
    double count = count_to(&it, rank, &b);
    if (one_sided(h, &b, &result))
        return result;
    if (count > h->count)
        count = h->count;
    if (count < rank) {
        if (!isnan(h->sum))
            return b.upper;
        *flags |= HISTOGRAM_NAN_RESULT;
        return NAN;
    }
    rank = up ? rank - (count - b.count) : count - rank;
    if (isnan(h->sum) && has_unbucketed(h, &it, count, &b))
        *flags |= HISTOGRAM_NAN_SKEW;
    double part = rank / b.count;
    return histogram_is_custom(h) || spans_zero(&b) ? bucket_value_linear(&b, part) : bucket_value_log(&b, part);
}

/* One bound of a fraction, located while iterating over the buckets. */
struct limit { double at, rank; bool found; };

/* `rank` is the count of all buckets before b. An infinite bucket has no distribution: with a lower bound of -Inf all
 * of it counts as below `at`, with an upper bound of +Inf none. */
static void quantile_limit_buckets(struct limit *l, const struct histogram *h, const struct bucket *b, double rank)
{
    if (l->found || (b->lower < l->at && b->upper <= l->at))
        return;
    if (b->lower >= l->at)
        l->rank = rank;
    else if (b->lower == -INFINITY && (histogram_is_custom(h) || spans_zero(b)))
        l->rank = b->count;
    else if (histogram_is_custom(h) || spans_zero(b))
        l->rank = rank + b->count * bucket_fraction_linear(b, l->at);
    else
        l->rank = rank + b->count * bucket_fraction_log(b, l->at);
    l->found = true;
}

double histogram_fraction(const struct histogram *h, double lower, double upper, unsigned *flags)
{
    if (h->count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    struct limit from = {.at = lower}, to = {.at = upper};
    struct bucket_iter it = buckets_ascending(h);
    struct bucket b;
    double rank = 0;
    while (!(from.found && to.found) && bucket_next(&it, &b)) {
        if (spans_zero(&b))
            bucket_trim_zero(h, &b);
        quantile_limit_buckets(&from, h, &b, rank);
        quantile_limit_buckets(&to, h, &b, rank);
        rank += b.count;
    }
    double count = h->count;
    if (isnan(h->sum)) {
        while (bucket_next(&it, &b))
            rank += b.count;
        count = rank;
        if (count < h->count)
            *flags |= HISTOGRAM_NAN_SKEW;
    }
    double low = !from.found || from.rank > count ? count : from.rank;
    double high = !to.found || to.rank > count ? count : to.rank;
    return (high - low) / h->count;
}

double histogram_avg(const struct histogram *h)
{
    return h->sum / h->count;
}

/* The mean of the observations of a bucket. */
static double bucket_middle(const struct histogram *h, const struct bucket *b)
{
    if (histogram_is_custom(h))
        return (b->upper + b->lower) / 2;
    if (spans_zero(b))
        return 0;
    double middle = sqrt(b->upper * b->lower);
    return b->upper < 0 ? -middle : middle;
}

double histogram_stdvar(const struct histogram *h)
{
    double mean = h->sum / h->count, sum = 0, c = 0;
    struct bucket_iter it = buckets_ascending(h);
    struct bucket b;
    while (bucket_next(&it, &b)) {
        if (b.count == 0)
            continue;
        double delta = bucket_middle(h, &b) - mean;
        kahan_add(b.count * delta * delta, &sum, &c);
    }
    return (sum + c) / h->count;
}

double histogram_stddev(const struct histogram *h)
{
    return sqrt(histogram_stdvar(h));
}
