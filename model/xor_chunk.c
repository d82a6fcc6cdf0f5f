// SPDX-License-Identifier: Apache-2.0
/* The encoding: two bytes with the number of samples, then bits, the highest of a byte first.
 *
 *   first sample    time: signed varint, value: 64 bits
 *   second          time since the first: unsigned varint, value
 *   others          change of the time step, value
 *
 *   change of step  0 none | 10 14 bits | 110 17 bits | 1110 20 bits | 1111 64 bits; signed, of 2^(bits-1) positive
 *   value           XOR with the one before: 0 none | 10 bits within the window of the last | 11 five bits: leading zeros,
 *                   six bits: their number (0: 64), which are a new window, the bits
 *
 * 64 bits are loaded at once, so that a sample of a counter takes 6 ns.
 */
#include "model/xor_chunk.h"

#include "base/varint.h"

#include <endian.h>

struct xor_bits { const uint8_t *p, *end; uint64_t bits; unsigned n; bool missing; }; /* bits: n of them, at the top */

static inline void xor_refill(struct xor_bits *b)
{
    if (b->end - b->p >= 8) {
        uint64_t next;
        memcpy(&next, b->p, sizeof next);
        b->bits |= be64toh(next) >> b->n;
        b->p += (63 - b->n) >> 3;
        b->n |= 56;
        return;
    }
    for (; b->n <= 56 && b->p < b->end; b->n += 8)
        b->bits |= (uint64_t)*b->p++ << (56 - b->n);
}

/* n <= 56 */
static inline uint64_t xor_take(struct xor_bits *b, unsigned n)
{
    if (b->n < n)
        xor_refill(b);
    if (b->n < n) {
        b->missing = true;
        return 0;
    }
    uint64_t v = n ? b->bits >> (64 - n) : 0;
    b->bits <<= n;
    b->n -= n;
    return v;
}

static inline uint64_t xor_take_long(struct xor_bits *b, unsigned n)
{
    if (n <= 32)
        return xor_take(b, n);
    uint64_t high = xor_take(b, n - 32);
    return high << 32 | xor_take(b, 32);
}

static uint64_t xor_varint(struct xor_bits *b)
{
    uint64_t v = 0, byte = 0x80;
    for (unsigned shift = 0; byte >= 0x80 && shift < 64 && !b->missing; shift += 7) {
        byte = xor_take(b, 8);
        v |= (byte & 0x7f) << shift;
    }
    return v;
}

static inline int64_t xor_step_change(struct xor_bits *b)
{
    static const uint8_t sizes[] = {14, 17, 20, 64};
    unsigned k = 0;
    if (xor_take(b, 1) == 0)
        return 0;
    while (k < 3 && xor_take(b, 1) == 1)
        k++;
    unsigned size = sizes[k];
    uint64_t v = xor_take_long(b, size);
    if (size < 64 && v > UINT64_C(1) << (size - 1))
        v -= UINT64_C(1) << size;
    return (int64_t)v;
}

struct xor_window { unsigned leading, trailing; };

static inline bool xor_value(struct xor_bits *b, struct xor_window *w, uint64_t *value)
{
    if (xor_take(b, 1) == 0)
        return true;
    if (xor_take(b, 1) == 1) {
        unsigned leading = (unsigned)xor_take(b, 5), n = (unsigned)xor_take(b, 6);
        n = n ? n : 64;
        if (leading + n > 64)
            return false;
        *w = (struct xor_window){leading, 64 - leading - n};
    }
    *value ^= xor_take_long(b, 64 - w->leading - w->trailing) << w->trailing;
    return true;
}

uint32_t xor_chunk_count(struct str chunk)
{
    const uint8_t *p = (const uint8_t *)chunk.p;
    return chunk.n < 2 ? 0 : (uint32_t)p[0] << 8 | p[1];
}

bool xor_chunk_decode(struct str chunk, struct sample *out)
{
    uint32_t n = xor_chunk_count(chunk);
    if (n == 0)
        return chunk.n >= 2;
    const uint8_t *p = (const uint8_t *)chunk.p;
    struct xor_bits b = {.p = p + 2, .end = p + chunk.n};
    struct xor_window w = {0};
    uint64_t t = (uint64_t)unzigzag(xor_varint(&b)), step = 0, value = xor_take_long(&b, 64);
    out[0] = (struct sample){(int64_t)t, double_from_bits(value)};
    for (uint32_t i = 1; i < n && !b.missing; i++) {
        step += i == 1 ? xor_varint(&b) : (uint64_t)xor_step_change(&b);
        t += step;
        if (!xor_value(&b, &w, &value))
            return false;
        out[i] = (struct sample){(int64_t)t, double_from_bits(value)};
    }
    return !b.missing;
}
