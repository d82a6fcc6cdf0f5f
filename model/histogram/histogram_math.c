// SPDX-License-Identifier: Apache-2.0
/* Addition, scaling, comparison and averages of native histograms. */
#include "model/histogram/histogram_flat.h"

#include <math.h>

static struct buckets buckets_copy(struct arena *a, const struct buckets *b)
{
    struct span *spans = ARENA_ARRAY(a, struct span, b->n_spans);
    double *counts = ARENA_ARRAY(a, double, b->n_counts);
    if (b->n_spans > 0)
        memcpy(spans, b->spans, b->n_spans * sizeof *spans);
    if (b->n_counts > 0)
        memcpy(counts, b->counts, b->n_counts * sizeof *counts);
    return (struct buckets){spans, b->n_spans, counts, b->n_counts};
}

struct histogram *histogram_hinted(struct arena *a, const struct histogram *h, enum reset_hint hint)
{
    struct histogram *out = ARENA_NEW(a, struct histogram);
    *out = *h;
    out->hint = hint;
    return out;
}

struct histogram *histogram_copy(struct arena *a, const struct histogram *h)
{
    struct histogram *out = histogram_hinted(a, h, h->hint);
    out->positive = buckets_copy(a, &h->positive);
    out->negative = buckets_copy(a, &h->negative);
    double *custom = ARENA_ARRAY(a, double, h->n_custom);
    if (h->n_custom > 0)
        memcpy(custom, h->custom, h->n_custom * sizeof *custom);
    out->custom = custom;
    return out;
}

/* A compensated sum of only two values rounds to the same double as plain addition. */
struct histogram *histogram_add(struct arena *a, const struct histogram *x, const struct histogram *y, unsigned *flags)
{
    struct histogram_sum s = {0};
    histogram_sum_start(&s, a);
    histogram_sum_add(&s, x, flags);
    histogram_sum_add(&s, y, flags);
    return s.n == 2 ? histogram_sum_total(&s, a) : NULL;
}

struct histogram *histogram_sub(struct arena *a, const struct histogram *x, const struct histogram *y, unsigned *flags)
{
    struct histogram_sum s = {0};
    histogram_sum_start(&s, a);
    histogram_sum_add(&s, x, flags);
    histogram_sum_sub(&s, y, flags);
    return s.n == 2 ? histogram_sum_total(&s, a) : NULL;
}

static void counts_mul(struct arena *a, struct buckets *b, double factor)
{
    double *counts = ARENA_ARRAY(a, double, b->n_counts);
    for (uint32_t i = 0; i < b->n_counts; i++)
        counts[i] = b->counts[i] * factor;
    b->counts = counts;
}

struct histogram *histogram_mul(struct arena *a, const struct histogram *h, double factor)
{
    struct histogram *out = histogram_hinted(a, h, factor < 0 ? RESET_GAUGE : h->hint);
    out->zero_count *= factor;
    out->count *= factor;
    out->sum *= factor;
    counts_mul(a, &out->positive, factor);
    counts_mul(a, &out->negative, factor);
    return out;
}

static void counts_div(struct arena *a, struct buckets *b, double divisor)
{
    double *counts = ARENA_ARRAY(a, double, b->n_counts);
    for (uint32_t i = 0; i < b->n_counts; i++)
        counts[i] = b->counts[i] / divisor;
    b->counts = counts;
}

struct histogram *histogram_div(struct arena *a, const struct histogram *h, double divisor)
{
    struct histogram *out = histogram_hinted(a, h, divisor < 0 ? RESET_GAUGE : h->hint);
    out->zero_count /= divisor;
    out->count /= divisor;
    out->sum /= divisor;
    if (divisor == 0) {
        out->positive = out->negative = (struct buckets){0};
        return out;
    }
    counts_div(a, &out->positive, divisor);
    counts_div(a, &out->negative, divisor);
    return out;
}

struct histogram *histogram_compact(struct arena *a, const struct histogram *h)
{
    struct flat_histogram f = {0};
    flat_load(&f, a, h);
    return flat_build(&f, a, 1);
}

struct histogram *histogram_reduce(struct arena *a, const struct histogram *h, int32_t schema)
{
    struct flat_histogram f = {0};
    flat_load(&f, a, h);
    flat_reduce(&f, schema);
    return flat_build(&f, a, 1);
}

static bool same_bits(double x, double y)
{
    return memcmp(&x, &y, sizeof x) == 0;
}

/* Spans may be split differently (with empty ones between); the indexes must agree. */
static bool buckets_equal(const struct histogram *x, const struct histogram *y, struct bucket_iter i,
                          struct bucket_iter j)
{
    if (x->positive.n_counts != y->positive.n_counts || x->negative.n_counts != y->negative.n_counts)
        return false;
    struct bucket b, c;
    while (bucket_next(&i, &b) && bucket_next(&j, &c))
        if (b.index != c.index || !same_bits(b.count, c.count))
            return false;
    return true;
}

bool histogram_same_bounds(const struct histogram *x, const struct histogram *y)
{
    if (x->n_custom != y->n_custom)
        return false;
    for (uint32_t i = 0; i < x->n_custom; i++)
        if (x->custom[i] != y->custom[i])
            return false;
    return true;
}

static bool custom_equal(const struct histogram *x, const struct histogram *y)
{
    if (!histogram_is_custom(x))
        return true;
    return histogram_same_bounds(x, y);
}

bool histogram_equal(const struct histogram *x, const struct histogram *y)
{
    return x->schema == y->schema && same_bits(x->count, y->count) && same_bits(x->sum, y->sum) &&
           x->zero_threshold == y->zero_threshold && same_bits(x->zero_count, y->zero_count) && custom_equal(x, y) &&
           buckets_equal(x, y, buckets_positive(x), buckets_positive(y)) &&
           buckets_equal(x, y, buckets_negative(x), buckets_negative(y));
}

static bool counts_overflow(const double *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (isinf(v[i]))
            return true;
    return false;
}

bool histogram_overflows(const struct histogram *h)
{
    return isinf(h->zero_count) || isinf(h->count) || isinf(h->sum) ||
           counts_overflow(h->positive.counts, h->positive.n_counts) ||
           counts_overflow(h->negative.counts, h->negative.n_counts) || counts_overflow(h->custom, h->n_custom);
}
