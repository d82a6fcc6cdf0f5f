// SPDX-License-Identifier: Apache-2.0
/* Blocks of samples of VictoriaMetrics, in the form of its native export and import. Pure; one thread at a time.
 *
 *   stream   from: 8 bytes; to: 8 bytes (zigzag); then for each block
 *            uint32 length, name; uint32 length, block          (big-endian)
 *   name     metric name \1 key \1 value \1 key \1 value \1 ...; \0 '0', \0 '1', \0 '2' stand for the bytes 0, 1, 2
 *   block    zigzag: time of the first sample, of the last one, first value; number of samples; zigzag: decimal exponent;
 *            a byte each: packing of times, packing of values, precision in bits; length, times; length, values
 *            (varints of protocol buffers)
 *   packing  const          nothing: all are the first
 *            delta const    one zigzag difference, of all
 *            delta          zigzag differences, of each to the one before
 *            delta2         the first difference, then those between differences
 *            delta and delta2 may be compressed by zstd
 *
 * A value is integer * 10^exponent; the largest three integers and the smallest one are +Inf, the stale marker and -Inf.
 */
#ifndef MODEL_NATIVE_BLOCK_H
#define MODEL_NATIVE_BLOCK_H

#include "base/compress.h"
#include "model/series.h"

#include <math.h>

enum { NATIVE_RANGE = 16 /* bytes at the start of a stream */, NATIVE_ROWS = 16384, NATIVE_LENGTH = 1 << 20 /* of a block */ };
enum native_packing { NATIVE_ZSTD_DELTA2 = 1, NATIVE_DELTA_CONST, NATIVE_CONST, NATIVE_ZSTD_DELTA, NATIVE_DELTA2, NATIVE_DELTA };
struct native_numbers { enum native_packing packing; int64_t first; struct str bytes; };
struct native_block {
    int64_t to;                /* time of the last sample */
    uint32_t rows;             /* 1 to NATIVE_ROWS */
    int exponent;
    unsigned precision;        /* bits, 1 to 64; below 64 native_order_times has to repair the times */
    struct native_numbers times, values;
};
bool native_block_parse(struct str text, struct native_block *b) MUST_USE; /* slices point into the text */

/* The first n (at least 1) of a block's times or values. `whole`: the bytes must have no more. The buffer is for what zstd
 * decompresses. */
bool native_unpack(struct zstd *zstd, struct buf *unpacked, const struct native_numbers *from, uint32_t n, bool whole,
                   int64_t *numbers) MUST_USE;
/* Times of less precision than 64 bits, which may go back: the first and last ones are the block's, none goes back. */
void native_order_times(int64_t *times, const struct native_block *b);
double native_power(int exponent); /* 10^|exponent|, for native_value */

static inline double native_value(int64_t v, int exponent, double power)
{
    if (v >= INT64_MAX - 1)
        return v == INT64_MAX ? INFINITY : stale_nan();
    if (v == INT64_MIN)
        return -INFINITY;
    return exponent == 0 ? (double)v : exponent > 0 ? (double)v * power : (double)v / power;
}

size_t native_length(const char *p); /* of a name or block: its four bytes */
/* Reads the part of a name up to the next \1 into `text`, without escapes. False: it has no end, or an unknown escape. */
bool native_name_part(struct str *rest, struct buf *text) MUST_USE;
bool native_name_cut(struct str *rest, struct str *part) MUST_USE; /* the same of a name without escapes */

#endif
