// SPDX-License-Identifier: Apache-2.0
/* Iterates over the buckets of a histogram in the order of their values. */
#include "model/histogram/histogram_math.h"

static struct side_iter side_forward(const struct buckets *side)
{
    return (struct side_iter){.side = side, .index = side->n_spans > 0 ? side->spans[0].offset : 0};
}

/* Starts after the last bucket. */
static struct side_iter side_backward(const struct buckets *side)
{
    struct side_iter it = {.side = side, .span = side->n_spans, .at = side->n_counts, .backward = true};
    for (uint32_t s = 0; s < side->n_spans; s++)
        it.index += side->spans[s].offset + (int32_t)side->spans[s].length;
    if (it.span > 0)
        it.in_span = side->spans[--it.span].length;
    return it;
}

static bool side_forth(struct side_iter *it, int32_t *index, double *count)
{
    const struct buckets *side = it->side;
    if (it->at >= side->n_counts)
        return false;
    while (it->in_span >= side->spans[it->span].length) {
        if (++it->span >= side->n_spans)
            return false;
        it->in_span = 0;
        it->index += side->spans[it->span].offset;
    }
    it->in_span++;
    *index = it->index++;
    *count = side->counts[it->at++];
    return true;
}

static bool side_back(struct side_iter *it, int32_t *index, double *count)
{
    const struct buckets *side = it->side;
    if (it->at == 0)
        return false;
    while (it->in_span == 0) {
        if (it->span == 0)
            return false;
        it->index -= side->spans[it->span--].offset;
        it->in_span = side->spans[it->span].length;
    }
    it->in_span--;
    *index = --it->index;
    *count = side->counts[--it->at];
    return true;
}

static bool side_next(struct side_iter *it, const struct histogram *h, bool positive, struct bucket *b)
{
    if (it->side->n_spans == 0 || !(it->backward ? side_back : side_forth)(it, &b->index, &b->count))
        return false;
    double near = histogram_bound(h, b->index - 1), far = histogram_bound(h, b->index);
    b->lower = positive ? near : -far;
    b->upper = positive ? far : -near;
    b->lower_in = histogram_is_custom(h) ? b->index == 0 : b->lower < 0;
    b->upper_in = histogram_is_custom(h) || b->upper > 0;
    return true;
}

struct bucket histogram_zero_bucket(const struct histogram *h)
{
    return (struct bucket){-h->zero_threshold, h->zero_threshold, h->zero_count, true, true, 0};
}

struct bucket_iter buckets_ascending(const struct histogram *h)
{
    return (struct bucket_iter){.h = h, .first = side_backward(&h->negative), .second = side_forward(&h->positive)};
}

struct bucket_iter buckets_descending(const struct histogram *h)
{
    return (struct bucket_iter){
        .h = h, .first = side_backward(&h->positive), .second = side_forward(&h->negative), .first_positive = true};
}

struct bucket_iter buckets_positive(const struct histogram *h)
{
    return (struct bucket_iter){.h = h, .first = side_forward(&h->positive), .first_positive = true, .one_side = true};
}

struct bucket_iter buckets_negative(const struct histogram *h)
{
    return (struct bucket_iter){.h = h, .first = side_forward(&h->negative), .one_side = true};
}

/* Where the zero bucket overlaps its neighbour, the neighbour starts at the threshold. */
static void cut_at_zero(const struct histogram *h, struct bucket *b)
{
    if (b->upper < 0 && b->upper > -h->zero_threshold)
        b->upper = -h->zero_threshold;
    else if (b->lower > 0 && b->lower < h->zero_threshold)
        b->lower = h->zero_threshold;
}

bool bucket_next(struct bucket_iter *it, struct bucket *b)
{
    if (it->one_side)
        return side_next(&it->first, it->h, it->first_positive, b);
    if (it->stage == 0) {
        if (side_next(&it->first, it->h, it->first_positive, b)) {
            cut_at_zero(it->h, b);
            return true;
        }
        it->stage = 1;
    }
    if (it->stage == 1) {
        it->stage = 2;
        if (it->h->zero_count > 0) {
            *b = histogram_zero_bucket(it->h);
            return true;
        }
    }
    if (!side_next(&it->second, it->h, !it->first_positive, b))
        return false;
    cut_at_zero(it->h, b);
    return true;
}
