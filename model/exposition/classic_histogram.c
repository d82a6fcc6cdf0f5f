// SPDX-License-Identifier: Apache-2.0
#include "model/exposition/classic_histogram.h"

#include "base/mem.h"
#include "base/protobuf.h"
#include "model/histogram/histogram_flat.h"
#include "model/series.h"

#include <stdlib.h>

void classic_free(struct classic_histogram *c)
{
    mem_free(c->buckets);
    *c = (struct classic_histogram){0};
}

void classic_start(struct classic_histogram *c)
{
    enum { KEEP = 4096 };
    struct exposed_bucket *buckets = c->buckets;
    size_t cap = c->cap;
    if (cap > KEEP) {
        mem_free(buckets);
        buckets = NULL;
        cap = 0;
    }
    *c = (struct classic_histogram){.buckets = buckets, .cap = cap};
}

void classic_add_bucket(struct classic_histogram *c, double bound, double count)
{
    const struct exposed_bucket *last = c->n > 0 ? &c->buckets[c->n - 1] : NULL;
    c->invalid = c->invalid || count < 0 || c->n >= HISTOGRAM_MAX_BUCKETS;
    if (c->invalid || (last && last->bound == bound))
        return;
    c->unsorted = c->unsorted || (last && last->bound > bound);
    if (c->n == c->cap)
        mem_grow(&c->buckets, &c->cap, c->n + 1, sizeof *c->buckets);
    c->buckets[c->n] = (struct exposed_bucket){bound, count, (uint32_t)c->n};
    c->n++;
}

void classic_set_count(struct classic_histogram *c, double count)
{
    c->invalid = c->invalid || count < 0;
    c->count = count;
    c->has_count = true;
}

/* Never the stale marker. */
void classic_set_sum(struct classic_histogram *c, double sum) { c->sum = isnan(sum) ? normal_nan() : sum; }

static int bucket_order(const void *a, const void *b)
{
    const struct exposed_bucket *x = a, *y = b;
    if (x->bound != y->bound)
        return x->bound < y->bound ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void classic_sort(struct classic_histogram *c)
{
    size_t kept = 0;
    qsort(c->buckets, c->n, sizeof *c->buckets, bucket_order);
    for (size_t i = 0; i < c->n; i++)
        if (kept == 0 || c->buckets[kept - 1].bound != c->buckets[i].bound)
            c->buckets[kept++] = c->buckets[i];
    c->n = kept;
}

/* Adds the bucket that ends at +Inf if there is none, and checks that the counts agree. */
static bool classic_complete(struct classic_histogram *c)
{
    if (c->unsorted)
        classic_sort(c);
    if (!c->has_count)
        c->count = c->n > 0 ? c->buckets[c->n - 1].count : 0;
    if (c->n == 0 || c->buckets[c->n - 1].bound != (double)INFINITY)
        classic_add_bucket(c, (double)INFINITY, c->count);
    if (c->invalid || c->buckets[0].bound == -(double)INFINITY)
        return false;
    for (size_t i = 1; i < c->n; i++)
        if (!(c->buckets[i].count >= c->buckets[i - 1].count))
            return false;
    return c->buckets[c->n - 1].count == c->count;
}

static bool classic_is_whole(const struct classic_histogram *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!(c->buckets[i].count < 0x1p53) || c->buckets[i].count != floor(c->buckets[i].count))
            return false;
    return true;
}

/* Runs of up to `gap` empty buckets between others are kept. */
static struct buckets classic_compact(const struct classic_histogram *c, size_t gap, struct arena *a)
{
    struct side_writer w;
    size_t next = 0; /* after the last bucket that is not empty */
    side_writer_start(&w, a, c->n, c->n);
    for (size_t i = 0; i < c->n; i++) {
        double count = c->buckets[i].count - (i > 0 ? c->buckets[i - 1].count : 0);
        if (count == 0)
            continue;
        if (next > 0 && i - next <= gap)
            for (; next < i; next++)
                side_writer_add(&w, (int32_t)next, 0);
        side_writer_add(&w, (int32_t)i, count);
        next = i + 1;
    }
    return side_writer_end(&w);
}

bool classic_convert(struct classic_histogram *c, enum reset_hint hint, int64_t t, struct arena *scratch,
                     struct buf *out, size_t *buckets)
{
    enum { GAP = 2 }; /* as Prometheus keeps in the integer form; in the other form it keeps none */
    if (c->invalid || !classic_complete(c))
        return false;
    bool whole = classic_is_whole(c);
    double *bounds = ARENA_ARRAY(scratch, double, c->n);
    for (size_t i = 0; i < c->n; i++)
        bounds[i] = c->buckets[i].bound;
    struct histogram h = {.schema = HISTOGRAM_CUSTOM, .hint = hint, .count = c->count, .sum = c->sum, .custom = bounds,
                          .n_custom = (uint32_t)c->n - 1, .positive = classic_compact(c, whole ? GAP : 0, scratch)};
    *buckets = h.positive.n_counts;
    if (whole)
        histogram_encode_int(out, &h, t);
    else
        histogram_encode(out, &h, t);
    return true;
}

void histogram_zero_of(struct str message, int64_t t, struct buf *out)
{
    enum { COUNT_INT = 1, COUNT_FLOAT, SCHEMA = 4, ZERO_THRESHOLD, ZERO_INT, ZERO_FLOAT, HINT = 14, TIME, CUSTOM };
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct pb_field f;
    bool is_float = false;
    while (pb_next(&p, end, &f)) {
        is_float = is_float || f.number == COUNT_FLOAT;
        if (f.number == SCHEMA && f.wire == 0)
            pb_add_int(out, SCHEMA, (int64_t)f.value);
        else if (f.number == ZERO_THRESHOLD && f.wire == 1)
            pb_add_double(out, ZERO_THRESHOLD, double_from_bits(f.value));
        else if (f.number == CUSTOM && f.wire == 2)
            pb_add_bytes(out, CUSTOM, f.bytes);
    }
    if (is_float) {
        pb_add_double(out, COUNT_FLOAT, 0);
        pb_add_double(out, ZERO_FLOAT, 0);
    } else {
        pb_add_int(out, COUNT_INT, 0);
        pb_add_int(out, ZERO_INT, 0);
    }
    pb_add_int(out, HINT, RESET_YES);
    pb_add_int(out, TIME, t);
}
