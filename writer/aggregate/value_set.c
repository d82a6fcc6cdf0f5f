// SPDX-License-Identifier: Apache-2.0
#include "writer/aggregate/value_set.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- different values --------------------------------------------------------------------------------------------- */

/* Values in the order in which they were added, and an index over them. */
struct value_set { uint32_t n, cap, *slots, n_slots; double values[]; };

static uint32_t value_set_home(const struct value_set *s, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = (bits ^ bits >> 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(bits >> 32) & (s->n_slots - 1);
}

static struct value_set *value_set_grow(struct value_set *s)
{
    uint32_t cap = s ? 2 * s->cap : 8, n = s ? s->n : 0;
    if (s)
        mem_free(s->slots);
    s = mem_realloc(s, sizeof *s + cap * sizeof(double));
    s->cap = cap;
    s->n = n;
    s->n_slots = 2 * cap;
    s->slots = mem_zalloc(s->n_slots * sizeof *s->slots);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = value_set_home(s, s->values[i]);
        while (s->slots[at] != 0)
            at = (at + 1) & (s->n_slots - 1);
        s->slots[at] = i + 1;
    }
    return s;
}

void value_set_add(struct value_set **set, double v)
{
    v += 0.0; /* -0 becomes 0 */
    if (*set == NULL || (*set)->n == (*set)->cap)
        *set = value_set_grow(*set);
    struct value_set *s = *set;
    uint32_t at = value_set_home(s, v);
    for (; s->slots[at] != 0; at = (at + 1) & (s->n_slots - 1))
        if (s->values[s->slots[at] - 1] == v)
            return;
    s->values[s->n++] = v;
    s->slots[at] = s->n;
}

size_t value_set_count(const struct value_set *s) { return s ? s->n : 0; }
double value_set_get(const struct value_set *s, size_t i) { return s->values[i]; }

void value_set_free(struct value_set *s)
{
    if (s)
        mem_free(s->slots);
    mem_free(s);
}

/* --- quantiles ---------------------------------------------------------------------------------------------------- */

static uint64_t value_sample_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void value_sample_add(struct value_sample **sample, double v)
{
    struct value_sample *s = *sample;
    if (s == NULL || (s->n == s->cap && s->cap < VALUE_SAMPLE)) {
        uint32_t cap = s ? s->cap * 4 : 16;
        cap = cap < VALUE_SAMPLE ? cap : VALUE_SAMPLE;
        s = mem_realloc(s, sizeof *s + cap * sizeof(double));
        if (*sample == NULL)
            *s = (struct value_sample){.min = v, .max = v};
        s->cap = cap;
        *sample = s;
    }
    s->min = v < s->min ? v : s->min;
    s->max = v > s->max ? v : s->max;
    s->count++;
    if (s->n < VALUE_SAMPLE) {
        s->values[s->n++] = v;
        return;
    }
    uint64_t at = value_sample_random(&s->random) % s->count;
    if (at < VALUE_SAMPLE)
        s->values[at] = v;
}

static int value_sample_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void value_sample_sort(struct value_sample *s) { qsort(s->values, s->n, sizeof *s->values, value_sample_order); }

double value_sample_quantile(const struct value_sample *s, double phi)
{
    if (phi <= 0)
        return s->min;
    if (phi >= 1)
        return s->max;
    size_t at = (size_t)(phi * (double)(s->n - 1) + 0.5);
    return s->values[at < s->n ? at : s->n - 1];
}

/* --- histogram ---------------------------------------------------------------------------------------------------- */

enum { VMRANGE_LEAST_EXPONENT = -9, VMRANGE_LOWER = 0, VMRANGE_UPPER = VMRANGE_BUCKETS - 1 };

unsigned vmrange_bucket(double v)
{
    if (!(v >= 0))
        return VMRANGE_BUCKETS;
    /* The logarithm as Go computes it, so that a power of ten is in the same bucket as vmagent's. */
    int exponent;
    double fraction = frexp(v, &exponent);
    double log_2 = fraction == 0.5 ? exponent - 1 : log(fraction) * (1 / M_LN2) + exponent;
    double at = (log_2 * (M_LN2 / M_LN10) - VMRANGE_LEAST_EXPONENT) * VMRANGE_PER_DECADE;
    if (v == 0 || at < 0)
        return VMRANGE_LOWER;
    if (at >= VMRANGE_DECADES * VMRANGE_PER_DECADE)
        return VMRANGE_UPPER;
    unsigned bucket = (unsigned)at;
    if (bucket > 0 && at == bucket)
        bucket--; /* the upper bound belongs to the bucket */
    return bucket + 1;
}

void vmrange_add(struct vmrange_counts **h, unsigned bucket, uint64_t count)
{
    struct vmrange_counts *c = *h;
    uint32_t n = c ? c->n : 0, at = n;
    while (at > 0 && c->counts[at - 1].bucket >= bucket)
        at--;
    if (at < n && c->counts[at].bucket == bucket) {
        c->counts[at].count += count;
        return;
    }
    if (c == NULL || n == c->cap) {
        uint32_t cap = c ? 2 * c->cap : 8;
        *h = c = mem_realloc(c, sizeof *c + cap * sizeof *c->counts);
        c->cap = cap;
        c->n = n;
    }
    memmove(&c->counts[at + 1], &c->counts[at], (n - at) * sizeof *c->counts);
    c->counts[at] = (struct vmrange_count){bucket, count};
    c->n++;
}

/* The bound above `n` buckets: 1e-9 times the 18th root of ten, n times. */
static double vmrange_bound(unsigned n) { return pow(10, VMRANGE_LEAST_EXPONENT + (double)n / VMRANGE_PER_DECADE); }

void vmrange_text(struct buf *out, unsigned bucket)
{
    if (bucket == VMRANGE_LOWER)
        buf_add_z(out, "0...1.000e-09");
    else if (bucket >= VMRANGE_UPPER)
        buf_add_z(out, "1.000e+18...+Inf");
    else
        buf_printf(out, "%.3e...%.3e", vmrange_bound(bucket - 1), vmrange_bound(bucket));
}
