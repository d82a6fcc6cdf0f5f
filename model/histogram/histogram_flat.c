// SPDX-License-Identifier: Apache-2.0
/* Reconciles two histograms so that they can be added. They must agree in three properties; each disagreement has one
 * resolution:
 *
 *   schema         exponential buckets of schema s merge in pairs into those of schema s-1, so the finer one is
 *                  reduced. Bucket i of schema s is in bucket ((i-1) >> (s-t)) + 1 of schema t.
 *   zero bucket    the smaller threshold is raised to the larger; buckets inside the new threshold are counted as zero.
 *                  A threshold inside a populated bucket moves to that bucket's far bound, which may require raising
 *                  the other one too. Of the second histogram, buckets are skipped that are inside after its schema was
 *                  reduced: a bucket that then extends beyond the threshold is counted completely, as in Prometheus.
 *   custom bounds  only shared bounds are kept; buckets between two of them are added up.
 *
 * All three only merge neighbours, so each works in place on the sorted entries.
 */
#include "model/histogram/histogram_flat.h"

#include <math.h>

static void flat_push(struct flat_side *side, int32_t index, double count)
{
    side->items[side->n++] = (struct flat_bucket){index, count, 0};
}

static void side_reserve(struct flat_side *side, struct arena *a, size_t n)
{
    if (n > side->_cap)
        arena_grow(a, &side->items, &side->_cap, n, sizeof *side->items);
}

static void side_load(struct flat_side *side, struct arena *a, const struct buckets *b)
{
    side->n = 0;
    side_reserve(side, a, b->n_counts);
    int32_t index = 0;
    uint32_t at = 0;
    for (uint32_t s = 0; s < b->n_spans; s++) {
        index += b->spans[s].offset;
        for (uint32_t i = 0; i < b->spans[s].length && at < b->n_counts; i++)
            flat_push(side, index++, b->counts[at++]);
    }
}

void flat_load(struct flat_histogram *f, struct arena *a, const struct histogram *h)
{
    f->h = *h;
    f->h.positive = f->h.negative = (struct buckets){0};
    f->c_zero = f->c_count = f->c_sum = 0;
    side_load(&f->positive, a, &h->positive);
    side_load(&f->negative, a, &h->negative);
}

static void side_copy(struct flat_side *to, struct arena *a, const struct flat_side *from)
{
    side_reserve(to, a, from->n);
    if (from->n > 0)
        memcpy(to->items, from->items, from->n * sizeof *to->items);
    to->n = from->n;
}

void flat_copy(struct flat_histogram *to, struct arena *a, const struct flat_histogram *from)
{
    to->h = from->h;
    to->c_zero = from->c_zero;
    to->c_count = from->c_count;
    to->c_sum = from->c_sum;
    side_copy(&to->positive, a, &from->positive);
    side_copy(&to->negative, a, &from->negative);
}

/* Appends to the first `kept` entries of the same array: adds to the last of them when the index is the same. */
static size_t side_fold(struct flat_bucket *items, size_t kept, struct flat_bucket b)
{
    if (kept > 0 && items[kept - 1].index == b.index) {
        kahan_add(b.count, &items[kept - 1].count, &items[kept - 1].comp);
        kahan_add(b.comp, &items[kept - 1].count, &items[kept - 1].comp);
        return kept;
    }
    items[kept] = b;
    return kept + 1;
}

static void side_reduce(struct flat_side *side, int shift)
{
    size_t kept = 0;
    for (size_t i = 0; i < side->n; i++) {
        struct flat_bucket b = side->items[i];
        b.index = ((b.index - 1) >> shift) + 1;
        kept = side_fold(side->items, kept, b);
    }
    side->n = kept;
}

void flat_reduce(struct flat_histogram *f, int32_t schema)
{
    if (schema >= f->h.schema)
        return;
    side_reduce(&f->positive, f->h.schema - schema);
    side_reduce(&f->negative, f->h.schema - schema);
    f->h.schema = schema;
}

/* Counts the buckets of one side that begin inside the threshold as zero. False: the threshold was inside a populated
 * bucket, and is now that bucket's far bound. */
static bool side_absorb(const struct flat_histogram *f, const struct flat_side *side, struct flat_zero *z)
{
    for (size_t i = 0; i < side->n; i++) {
        const struct flat_bucket *b = &side->items[i];
        if (histogram_bound(&f->h, b->index - 1) >= z->threshold)
            break;
        kahan_add(b->count, &z->count, &z->comp);
        kahan_add(b->comp, &z->count, &z->comp);
        double far = histogram_bound(&f->h, b->index);
        if (far <= z->threshold)
            continue;
        if (b->count == 0)
            break;
        z->threshold = far;
        return false;
    }
    return true;
}

static void side_drop(struct flat_side *side, size_t first)
{
    if (first > 0)
        memmove(side->items, side->items + first, (side->n - first) * sizeof *side->items);
    side->n -= first;
}

static void side_cut(const struct flat_histogram *f, struct flat_side *side, double threshold)
{
    size_t inside = 0;
    while (inside < side->n && histogram_bound(&f->h, side->items[inside].index - 1) < threshold)
        inside++;
    side_drop(side, inside);
}

struct flat_zero flat_zero_widened(const struct flat_histogram *f, double threshold)
{
    struct flat_zero z = {f->h.zero_threshold, f->h.zero_count, f->c_zero};
    if (threshold <= z.threshold)
        return z;
    z.threshold = threshold;
    bool settled;
    do { /* terminates: each round moves the threshold across a bucket */
        z.count = f->h.zero_count;
        z.comp = f->c_zero;
        settled = side_absorb(f, &f->positive, &z) && side_absorb(f, &f->negative, &z);
    } while (!settled);
    return z;
}

static void set_zero(struct flat_histogram *f, const struct flat_zero *z)
{
    f->h.zero_threshold = z->threshold;
    f->h.zero_count = z->count;
    f->c_zero = z->comp;
}

static void widen_zero(struct flat_histogram *f, double threshold)
{
    if (threshold <= f->h.zero_threshold)
        return;
    struct flat_zero z = flat_zero_widened(f, threshold);
    set_zero(f, &z);
    side_cut(f, &f->positive, z.threshold);
    side_cut(f, &f->negative, z.threshold);
}

static void side_skip(const struct flat_histogram *f, struct flat_side *side, double threshold)
{
    size_t inside = 0;
    while (inside < side->n && histogram_bound(&f->h, side->items[inside].index) <= threshold)
        inside++;
    side_drop(side, inside);
}

void flat_skip_zero(struct flat_histogram *f, double threshold)
{
    side_skip(f, &f->positive, threshold);
    side_skip(f, &f->negative, threshold);
}

static const double *bounds_shared(struct arena *a, const struct histogram *x, const struct histogram *y, uint32_t *n)
{
    double *out = ARENA_ARRAY(a, double, x->n_custom < y->n_custom ? x->n_custom : y->n_custom);
    *n = 0;
    for (uint32_t i = 0, j = 0; i < x->n_custom && j < y->n_custom;) {
        if (x->custom[i] == y->custom[j]) {
            out[(*n)++] = x->custom[i++];
            j++;
        } else if (x->custom[i] < y->custom[j]) {
            i++;
        } else {
            j++;
        }
    }
    return out;
}

static void flat_rebound(struct flat_histogram *f, const double *bounds, uint32_t n)
{
    size_t kept = 0;
    uint32_t to = 0;
    for (size_t i = 0; i < f->positive.n; i++) {
        struct flat_bucket b = f->positive.items[i];
        double upper = histogram_bound(&f->h, b.index);
        while (to < n && bounds[to] < upper)
            to++;
        b.index = (int32_t)to;
        kept = side_fold(f->positive.items, kept, b);
    }
    f->positive.n = kept;
    f->h.custom = bounds;
    f->h.n_custom = n;
}

static void reconcile_bounds(struct flat_histogram *x, struct flat_histogram *y, struct arena *a, unsigned *flags)
{
    if (histogram_same_bounds(&x->h, &y->h))
        return;
    uint32_t n;
    const double *shared = bounds_shared(a, &x->h, &y->h, &n);
    flat_rebound(x, shared, n);
    flat_rebound(y, shared, n);
    *flags |= HISTOGRAM_BOUNDS_RECONCILED;
}

void flat_reconcile(struct flat_histogram *x, struct flat_histogram *y, struct arena *a, unsigned *flags)
{
    if (histogram_is_custom(&x->h)) {
        reconcile_bounds(x, y, a, flags);
        return;
    }
    struct flat_zero z = {y->h.zero_threshold, y->h.zero_count, y->c_zero};
    while (x->h.zero_threshold != z.threshold) {
        z = flat_zero_widened(y, x->h.zero_threshold);
        widen_zero(x, z.threshold);
    }
    set_zero(y, &z);
    flat_reduce(x, y->h.schema);
    flat_reduce(y, x->h.schema);
    flat_skip_zero(y, z.threshold);
}

/* The number of entries of `from` without a counterpart in `into`. */
static size_t side_missing(const struct flat_side *into, const struct flat_side *from)
{
    size_t missing = 0, i = 0;
    for (size_t j = 0; j < from->n; j++) {
        while (i < into->n && into->items[i].index < from->items[j].index)
            i++;
        missing += i == into->n || into->items[i].index != from->items[j].index;
    }
    return missing;
}

/* Merges from the end, where the free space is: no entry is overwritten before it was read. */
static void side_merge(struct flat_side *into, struct arena *a, const struct flat_side *from, double sign)
{
    size_t missing = side_missing(into, from), i = into->n, j = from->n;
    side_reserve(into, a, into->n + missing);
    into->n += missing;
    for (size_t at = into->n; j > 0; at--) {
        const struct flat_bucket *b = &from->items[j - 1];
        if (i > 0 && into->items[i - 1].index > b->index) {
            into->items[at - 1] = into->items[i - 1];
            i--;
        } else if (i > 0 && into->items[i - 1].index == b->index) {
            struct flat_bucket sum = into->items[--i];
            kahan_add(sign * b->count, &sum.count, &sum.comp);
            kahan_add(sign * b->comp, &sum.count, &sum.comp);
            into->items[at - 1] = sum;
            j--;
        } else {
            into->items[at - 1] = (struct flat_bucket){b->index, sign * b->count, sign * b->comp};
            j--;
        }
    }
}

void flat_merge(struct flat_histogram *into, struct arena *a, const struct flat_histogram *from, double sign)
{
    kahan_add(sign * from->h.zero_count, &into->h.zero_count, &into->c_zero);
    kahan_add(sign * from->c_zero, &into->h.zero_count, &into->c_zero);
    kahan_add(sign * from->h.count, &into->h.count, &into->c_count);
    kahan_add(sign * from->h.sum, &into->h.sum, &into->c_sum);
    side_merge(&into->positive, a, &from->positive, sign);
    side_merge(&into->negative, a, &from->negative, sign);
}

static void side_mul(struct flat_side *side, double factor)
{
    for (size_t i = 0; i < side->n; i++) {
        side->items[i].count *= factor;
        side->items[i].comp *= factor;
    }
}

void flat_mul(struct flat_histogram *f, double factor)
{
    double *all[] = {&f->h.zero_count, &f->h.count, &f->h.sum, &f->c_zero, &f->c_count, &f->c_sum};
    for (size_t i = 0; i < LEN(all); i++)
        *all[i] *= factor;
    side_mul(&f->positive, factor);
    side_mul(&f->negative, factor);
}

static void side_div(struct flat_side *side, double divisor)
{
    for (size_t i = 0; i < side->n; i++) {
        side->items[i].count /= divisor;
        side->items[i].comp /= divisor;
    }
}

void flat_div(struct flat_histogram *f, double divisor)
{
    double *all[] = {&f->h.zero_count, &f->h.count, &f->h.sum, &f->c_zero, &f->c_count, &f->c_sum};
    for (size_t i = 0; i < LEN(all); i++)
        *all[i] /= divisor;
    side_div(&f->positive, divisor);
    side_div(&f->negative, divisor);
}

static bool side_overflows(const struct flat_side *side)
{
    for (size_t i = 0; i < side->n; i++)
        if (isinf(side->items[i].count))
            return true;
    return false;
}

bool flat_overflows(const struct flat_histogram *f)
{
    return histogram_overflows(&f->h) || side_overflows(&f->positive) || side_overflows(&f->negative);
}

void side_writer_start(struct side_writer *w, struct arena *out, size_t max_spans, size_t max_counts)
{
    *w = (struct side_writer){0};
    w->spans = ARENA_ARRAY(out, struct span, max_spans);
    w->counts = ARENA_ARRAY(out, double, max_counts);
}

void side_writer_add(struct side_writer *w, int32_t index, double count)
{
    if (w->n_spans == 0 || index != w->next)
        w->spans[w->n_spans++] = (struct span){index - w->next, 0};
    w->spans[w->n_spans - 1].length++;
    w->counts[w->n_counts++] = count;
    w->next = index + 1;
}

struct buckets side_writer_end(const struct side_writer *w)
{
    return (struct buckets){w->spans, w->n_spans, w->counts, w->n_counts};
}

static struct buckets side_build(const struct flat_side *side, struct arena *out, double divisor)
{
    size_t n = 0, spans = 0;
    int32_t next = INT32_MIN;
    for (size_t i = 0; i < side->n; i++) {
        if (side->items[i].count / divisor + side->items[i].comp / divisor == 0)
            continue;
        spans += side->items[i].index != next;
        next = side->items[i].index + 1;
        n++;
    }
    struct side_writer w;
    side_writer_start(&w, out, spans, n);
    for (size_t i = 0; i < side->n; i++) {
        double count = side->items[i].count / divisor + side->items[i].comp / divisor;
        if (count != 0)
            side_writer_add(&w, side->items[i].index, count);
    }
    return side_writer_end(&w);
}

struct histogram *flat_build(const struct flat_histogram *f, struct arena *out, double divisor)
{
    struct histogram *h = ARENA_NEW(out, struct histogram);
    *h = f->h;
    h->zero_count = f->h.zero_count / divisor + f->c_zero / divisor;
    h->count = f->h.count / divisor + f->c_count / divisor;
    h->sum = f->h.sum / divisor + f->c_sum / divisor;
    h->positive = side_build(&f->positive, out, divisor);
    h->negative = side_build(&f->negative, out, divisor);
    return h;
}
