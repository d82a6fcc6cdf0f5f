// SPDX-License-Identifier: Apache-2.0
/* Detects resets of counter histograms.
 *
 * A histogram was reset when any count decreased (of a bucket, of the zero bucket, the total; not the sum), when a
 * populated bucket disappeared, or when the resolution increased or the zero threshold decreased, which never happens
 * to a running histogram. A histogram may lose resolution and widen its zero bucket as it grows: then the earlier one
 * is first converted to the schema and threshold of the later one.
 */
#include "model/histogram/histogram_flat.h"

static bool same_shape(const struct buckets *x, const struct buckets *y)
{
    return x->n_spans == y->n_spans && x->n_counts == y->n_counts &&
           (x->n_spans == 0 || x->spans == y->spans || memcmp(x->spans, y->spans, x->n_spans * sizeof *x->spans) == 0);
}

static bool any_lower(const double *now, const double *before, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (now[i] < before[i])
            return true;
    return false;
}

static bool side_was_reset(const struct flat_side *now, const struct flat_side *before)
{
    size_t i = 0;
    for (size_t j = 0; j < before->n; j++) {
        const struct flat_bucket *b = &before->items[j];
        while (i < now->n && now->items[i].index < b->index)
            i++;
        bool there = i < now->n && now->items[i].index == b->index;
        if (there ? now->items[i].count + now->items[i].comp < b->count + b->comp : b->count != 0)
            return true;
    }
    return false;
}

/* Buckets inside the zero bucket are ignored. */
static bool reshaped_was_reset(struct arena *a, const struct histogram *now, const struct histogram *before)
{
    struct flat_histogram n = {0}, b = {0};
    flat_load(&n, a, now);
    flat_load(&b, a, before);
    if (histogram_is_custom(now)) {
        unsigned flags = 0;
        flat_reconcile(&n, &b, a, &flags);
    } else {
        struct flat_zero zero = flat_zero_widened(&b, now->zero_threshold);
        /* !=: it is inside a populated bucket */
        if (zero.threshold != now->zero_threshold || now->zero_count < zero.count)
            return true;
        flat_reduce(&b, now->schema);
        flat_skip_zero(&n, zero.threshold);
        flat_skip_zero(&b, zero.threshold);
    }
    return side_was_reset(&n.positive, &b.positive) || side_was_reset(&n.negative, &b.negative);
}

static bool begins_inside(const struct histogram *h, const struct buckets *side)
{
    return side->n_counts > 0 && histogram_bound(h, side->spans[0].offset) <= h->zero_threshold;
}

static bool reaches_into_zero(const struct histogram *h)
{
    return !histogram_is_custom(h) && (begins_inside(h, &h->positive) || begins_inside(h, &h->negative));
}

bool histogram_was_reset(struct arena *scratch, const struct histogram *now, const struct histogram *before)
{
    if (now->hint == RESET_YES || now->hint == RESET_NO)
        return now->hint == RESET_YES;
    if (now->count < before->count || now->schema > before->schema ||
        histogram_is_custom(now) != histogram_is_custom(before) || now->zero_threshold < before->zero_threshold)
        return true;
    bool same_bounds = now->n_custom == before->n_custom &&
                       (now->n_custom == 0 || memcmp(now->custom, before->custom, now->n_custom * sizeof(double)) == 0);
    if (same_bounds && now->schema == before->schema && now->zero_threshold == before->zero_threshold &&
        same_shape(&now->positive, &before->positive) && same_shape(&now->negative, &before->negative) &&
        !reaches_into_zero(now))
        return now->zero_count < before->zero_count ||
               any_lower(now->positive.counts, before->positive.counts, now->positive.n_counts) ||
               any_lower(now->negative.counts, before->negative.counts, now->negative.n_counts);
    struct arena_mark mark = arena_mark(scratch);
    bool reset = reshaped_was_reset(scratch, now, before);
    arena_release(scratch, mark);
    return reset;
}
