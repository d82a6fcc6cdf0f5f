// SPDX-License-Identifier: Apache-2.0
/* The chunk encodings of Prometheus' TSDB. Bits are written from the most significant one on.
 *
 * XOR chunk: the number of samples in two bytes; then
 *   first sample    varint t (zigzag), value in 64 bits
 *   second sample   varint of the time since the first, value as below
 *   further ones    the change of that time: 0, or 10, 110, 1110 and 14, 17, 20 bits, or 1111 and 64 bits; value
 *   a value         XOR with the previous one: 0 if equal; 10 and the significant bits, if they lie within those of the
 *                   last value that was written in full; otherwise 11, 5 bits: leading zeros, 6 bits: number of
 *                   significant bits (64 as 0), and these bits
 *
 * Float histogram chunk: the number of samples in two bytes; a byte with the kind of counter reset; the layout: zero
 * threshold, schema, spans, custom bounds; then time, count, zero count, sum and buckets of the first sample. Further
 * samples would be differences; a chunk written here has only one, since neighbours rarely have the same layout.
 *
 * Source: https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md
 */
#include "gateway/read/read_chunk.h"

#include "base/varint.h"

#include <math.h>

/* ---- bits ---- */

struct read_bits {
    struct buf *out;
    unsigned left;  /* bits that the last byte still has space for */
};

static void read_bits_add(struct read_bits *b, uint64_t v, unsigned n)
{
    while (n > 0) {
        if (b->left == 0) {
            buf_add_char(b->out, 0);
            b->left = 8;
        }
        if (b->out->over)
            return;
        unsigned take = n < b->left ? n : b->left;
        unsigned bits = (unsigned)(v >> (n - take)) & ((1u << take) - 1);
        b->out->p[b->out->n - 1] = (char)(b->out->p[b->out->n - 1] | (char)(bits << (b->left - take)));
        b->left -= take;
        n -= take;
    }
}

/* Byte by byte, low 7 bits first, as Go's binary.PutUvarint. */
static void read_bits_uvarint(struct read_bits *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        read_bits_add(b, (v & 0x7f) | 0x80, 8);
    read_bits_add(b, v, 8);
}

static void read_bits_double(struct read_bits *b, double v) { read_bits_add(b, double_bits(v), 64); }

/* Whether n bits hold x in Prometheus' unsymmetrical form. */
static bool read_bits_fit(int64_t x, unsigned n)
{
    return -(((int64_t)1 << (n - 1)) - 1) <= x && x <= (int64_t)1 << (n - 1);
}

/* 0, or k ones, a zero and as many bits as sizes[k - 1]; or eight ones and 64 bits. */
static const unsigned read_bits_sizes[] = {3, 6, 9, 12, 18, 25, 56};

static void read_bits_prefixed(struct read_bits *b, uint64_t v, size_t k)
{
    if (k == LEN(read_bits_sizes)) {
        read_bits_add(b, 0xff, 8);
        read_bits_add(b, v, 64);
        return;
    }
    read_bits_add(b, (1u << (k + 2)) - 2, (unsigned)k + 2);
    read_bits_add(b, v, read_bits_sizes[k]);
}

static void read_bits_int(struct read_bits *b, int64_t v)
{
    size_t k = 0;
    if (v == 0) {
        read_bits_add(b, 0, 1);
        return;
    }
    while (k < LEN(read_bits_sizes) && !read_bits_fit(v, read_bits_sizes[k]))
        k++;
    read_bits_prefixed(b, (uint64_t)v, k);
}

static void read_bits_uint(struct read_bits *b, uint64_t v)
{
    size_t k = 0;
    if (v == 0) {
        read_bits_add(b, 0, 1);
        return;
    }
    while (k < LEN(read_bits_sizes) && v >> read_bits_sizes[k])
        k++;
    read_bits_prefixed(b, v, k);
}

/* ---- XOR chunks ---- */

struct read_xor { struct read_bits bits; unsigned leading, trailing; bool window; };

static void read_xor_value(struct read_xor *x, double v, double before)
{
    uint64_t delta = double_bits(v) ^ double_bits(before);
    if (delta == 0) {
        read_bits_add(&x->bits, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(delta), trailing = (unsigned)__builtin_ctzll(delta);
    leading = leading > 31 ? 31 : leading;
    if (x->window && leading >= x->leading && trailing >= x->trailing) {
        read_bits_add(&x->bits, 2, 2);
        read_bits_add(&x->bits, delta >> x->trailing, 64 - x->leading - x->trailing);
        return;
    }
    unsigned significant = 64 - leading - trailing;
    *x = (struct read_xor){x->bits, leading, trailing, true};
    read_bits_add(&x->bits, 3, 2);
    read_bits_add(&x->bits, leading, 5);
    read_bits_add(&x->bits, significant & 63, 6);
    read_bits_add(&x->bits, delta >> trailing, significant);
}

static void read_xor_time(struct read_xor *x, int64_t change)
{
    if (change == 0) {
        read_bits_add(&x->bits, 0, 1);
    } else if (read_bits_fit(change, 14)) {
        read_bits_add(&x->bits, 2, 2);
        read_bits_add(&x->bits, (uint64_t)change, 14);
    } else if (read_bits_fit(change, 17)) {
        read_bits_add(&x->bits, 6, 3);
        read_bits_add(&x->bits, (uint64_t)change, 17);
    } else if (read_bits_fit(change, 20)) {
        read_bits_add(&x->bits, 14, 4);
        read_bits_add(&x->bits, (uint64_t)change, 20);
    } else {
        read_bits_add(&x->bits, 15, 4);
        read_bits_add(&x->bits, (uint64_t)change, 64);
    }
}

void read_chunk_xor(struct buf *out, const struct sample *s, size_t n)
{
    struct read_xor x = {.bits.out = out};
    uint64_t before = 0; /* times may be far apart: differences wrap around, as in Prometheus */
    read_bits_add(&x.bits, n, 16);
    for (size_t i = 0; i < n; i++) {
        uint64_t delta = i > 0 ? (uint64_t)s[i].t - (uint64_t)s[i - 1].t : 0;
        if (i == 0)
            read_bits_uvarint(&x.bits, zigzag(s[0].t));
        else if (i == 1)
            read_bits_uvarint(&x.bits, delta);
        else
            read_xor_time(&x, (int64_t)(delta - before));
        if (i == 0)
            read_bits_double(&x.bits, s[0].v);
        else
            read_xor_value(&x, s[i].v, s[i - 1].v);
        before = delta;
    }
}

/* ---- histogram chunks ---- */

/* Powers of two from 2^-243 to 2^10 take one byte. */
static void read_chunk_threshold(struct read_bits *b, double threshold)
{
    int exponent;
    double fraction = frexp(threshold, &exponent);
    if (threshold == 0) {
        read_bits_add(b, 0, 8);
    } else if (fraction == 0.5 && exponent >= -242 && exponent <= 11) {
        read_bits_add(b, (uint64_t)(exponent + 243), 8);
    } else {
        read_bits_add(b, 0xff, 8);
        read_bits_double(b, threshold);
    }
}

static void read_chunk_spans(struct read_bits *b, const struct buckets *side)
{
    read_bits_uint(b, side->n_spans);
    for (uint32_t i = 0; i < side->n_spans; i++) {
        read_bits_uint(b, side->spans[i].length);
        read_bits_int(b, side->spans[i].offset);
    }
}

/* Multiples of 0.001 are stored as integers. */
static void read_chunk_bound(struct read_bits *b, double bound)
{
    double thousands = bound * 1000;
    double whole = round(thousands);
    if (thousands < 0 || thousands > 33554430 || whole / 1000 != bound) {
        read_bits_add(b, 0, 1);
        read_bits_double(b, bound);
    } else {
        read_bits_uint(b, (uint64_t)whole + 1);
    }
}

void read_chunk_histogram(struct buf *out, const struct hist_sample *sample)
{
    static const unsigned resets[] = {[RESET_UNKNOWN] = 0, [RESET_YES] = 2, [RESET_NO] = 1, [RESET_GAUGE] = 3};
    const struct histogram stale = {.sum = sample->h->sum}, *h = histogram_is_stale(sample->h) ? &stale : sample->h;
    struct read_bits b = {.out = out};
    read_bits_add(&b, 1, 16);
    read_bits_add(&b, resets[h->hint] << 6, 8);
    read_chunk_threshold(&b, h->zero_threshold);
    read_bits_int(&b, h->schema);
    read_chunk_spans(&b, &h->positive);
    read_chunk_spans(&b, &h->negative);
    if (h->schema == HISTOGRAM_CUSTOM) {
        read_bits_uint(&b, h->n_custom);
        for (uint32_t i = 0; i < h->n_custom; i++)
            read_chunk_bound(&b, h->custom[i]);
    }
    read_bits_int(&b, sample->t);
    read_bits_double(&b, h->count);
    read_bits_double(&b, h->zero_count);
    read_bits_double(&b, h->sum);
    for (uint32_t i = 0; i < h->positive.n_counts; i++)
        read_bits_double(&b, h->positive.counts[i]);
    for (uint32_t i = 0; i < h->negative.n_counts; i++)
        read_bits_double(&b, h->negative.counts[i]);
}
