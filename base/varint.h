// SPDX-License-Identifier: Apache-2.0
/* Varints of protocol buffers: seven bits per byte, lowest first; signed numbers in zigzag form. For files that read
 * and write wire bytes. Lengths that we write are minimal; those of peers may be padded, up to ten bytes. Pure. */
#ifndef BASE_VARINT_H
#define BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 10 };

/* 0, -1, 1, -2, ... as 0, 1, 2, 3, ...: small numbers of either sign take few bytes. */
static inline uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }
static inline int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

static inline size_t varint_size(uint64_t v) { return v < 0x80 ? 1 : (70 - (size_t)__builtin_clzll(v)) / 7; }

static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* Returns the position after the varint at p, or NULL when it does not end before `end` or exceeds 64 bits. */
static inline const uint8_t *varint_get(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    if (p < end && *p < 0x80) {
        *v = *p;
        return p + 1;
    }
    uint64_t sum = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint64_t byte = *p++;
        if (shift == 63 && byte > 1)
            return NULL;
        sum |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *v = sum;
            return p;
        }
    }
    return NULL;
}

#endif
