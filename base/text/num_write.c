// SPDX-License-Identifier: Apache-2.0
/* Double to text: the shortest digits that read back as the same double; of several equally short ones the nearest.
 *
 * Schubfach (R. Giulietti): a double is c * 2^q, and the numbers that round to it lie between (4c - 2) and (4c + 2)
 * quarters of 2^q (the lower side is half as wide at a power of two). Scaled by 10^-k, with k chosen so that the
 * interval contains at least one and at most a few integers, the bounds and the value are needed only to the
 * precision of a 128-bit table whose lowest bit says whether anything was cut off. Then either a multiple of ten lies
 * inside (one digit less) or one of the two neighbouring integers is the result.
 */
#include "base/text/num.h"
#include "base/text/num_tables.h"

#include <endian.h>
#include <limits.h>
#include <math.h>

static const double all_exact_below = 9007199254740992; /* 2^53: integers below it are exact doubles */

struct shortest_decimal { uint64_t digits; int exp; }; /* digits * 10^exp, no trailing zero in digits */

/* Upper half of g * c / 2^64, with its lowest bit set when any lower bit was: comparing such numbers compares the
 * exact products. */
static uint64_t round_to_odd(struct num_pow g, uint64_t c)
{
    unsigned __int128 low = (unsigned __int128)g.lo * c, high = (unsigned __int128)g.hi * c;
    high += low >> 64;
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Removes eight zeros at once, then four, two, one: 12.345 has eleven of them. */
static struct shortest_decimal stripped(uint64_t digits, int exp)
{
    for (; digits % 100000000 == 0; exp += 8)
        digits /= 100000000;
    for (; digits % 10000 == 0; exp += 4)
        digits /= 10000;
    for (; digits % 100 == 0; exp += 2)
        digits /= 100;
    for (; digits % 10 == 0; exp++)
        digits /= 10;
    return (struct shortest_decimal){digits, exp};
}

static struct num_pow rounded_up(int e)
{
    struct num_pow g = *num_pow10(e);
    g.lo += !num_pow10_exact(e);
    return g;
}

/* v is finite and positive; `bits` is its representation. */
static struct shortest_decimal shortest(uint64_t bits)
{
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52);
    uint64_t c = biased ? fraction | (uint64_t)1 << 52 : fraction;
    int q = (biased ? biased : 1) - 1075;
    /* for even c the bounds of the interval round to c too */
    bool narrow = fraction == 0 && biased > 1, even = c % 2 == 0;
    int k = (q * 1262611 - (narrow ? 524031 : 0)) >> 22;         /* floor(log10(width)) */
    int h = q + num_log2_pow10(-k) + 1;
    struct num_pow g = rounded_up(-k);
    uint64_t value = round_to_odd(g, 4 * c << h);
    uint64_t lower = round_to_odd(g, (4 * c - 2 + narrow) << h) + !even;
    uint64_t upper = round_to_odd(g, (4 * c + 2) << h) - !even;
    uint64_t s = value / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
        if (below != above)
            return stripped(tens + above, k + 1);
    }
    bool below = lower <= 4 * s, above = 4 * s + 4 <= upper;
    if (below != above)
        return stripped(s + above, k);
    uint64_t middle = 4 * s + 2;
    return stripped(s + (value > middle || (value == middle && s % 2)), k);
}

/* Digits are produced eight at a time and stored in 8-byte words, even when fewer are needed: bytes after the last
 * digit are overwritten, within NUM_MAX. A counter below 10^8 takes 5 ns this way, a random double 29; pairs of
 * digits from a table with copies took 13 and 43. */
#define EIGHT   UINT64_C(100000000)          /* 10^8 */
#define SIXTEEN UINT64_C(10000000000000000)  /* 10^16 */
#define ZEROS   UINT64_C(0x3030303030303030) /* "00000000" */

/* v < 10^8 as eight bytes 0 to 9, the first digit lowest: split into fours, twos and single digits, all at once, each
 * in its own lane; the factors are 2^20 / 100 and 2^10 / 10, rounded up, and exact for the values of a lane. */
static inline uint64_t eight_digits(uint32_t v)
{
    uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t upper = fours * 10486 >> 20 & 0x0000007f0000007f;
    uint64_t twos = upper | (fours - 100 * upper) << 16;
    upper = twos * 103 >> 10 & 0x000f000f000f000f;
    return upper | (twos - 10 * upper) << 8;
}

/* Number of leading zeros of the eight digits; the last digit is not counted. */
static inline unsigned leading_zeros(uint64_t digits)
{
    return (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;
}

static inline void put_digits(char *to, uint64_t digits, unsigned skip)
{
    digits = htole64((digits | ZEROS) >> 8 * skip);
    memcpy(to, &digits, sizeof digits);
}

/* No branch between 16 and 17 digits, the lengths of most shortest doubles. */
static size_t format_long(char *to, uint64_t v)
{
    if (v >= 10 * SIXTEEN) {
        size_t n = num_format_u64(to, v / SIXTEEN);
        put_digits(to + n, eight_digits((uint32_t)(v / EIGHT % EIGHT)), 0);
        put_digits(to + n + 8, eight_digits((uint32_t)(v % EIGHT)), 0);
        return n + 16;
    }
    uint64_t first = v / SIXTEEN, digits = eight_digits((uint32_t)(v / EIGHT % EIGHT));
    unsigned n = first > 0, skip = first > 0 ? 0 : leading_zeros(digits);
    *to = (char)('0' + first);
    put_digits(to + n, digits, skip);
    n += 8 - skip;
    put_digits(to + n, eight_digits((uint32_t)(v % EIGHT)), 0);
    return n + 8;
}

static inline size_t format_u64(char *to, uint64_t v)
{
    if (v >= EIGHT)
        return format_long(to, v);
    uint64_t digits = eight_digits((uint32_t)v);
    unsigned skip = leading_zeros(digits);
    put_digits(to, digits, skip);
    return 8 - skip;
}

size_t num_format_u64(char *to, uint64_t v) { return format_u64(to, v); }

size_t num_format_i64(char *to, int64_t v)
{
    if (v >= 0)
        return num_format_u64(to, (uint64_t)v);
    *to = '-';
    return 1 + num_format_u64(to + 1, 0 - (uint64_t)v);
}

size_t num_format_ms(char *to, int64_t ms)
{
    uint64_t u = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    char *p = to;
    if (ms < 0)
        *p++ = '-';
    p += num_format_u64(p, u / 1000);
    unsigned rest = (unsigned)(u % 1000);
    if (rest) {
        *p++ = '.';
        *p++ = (char)('0' + rest / 100);
        *p++ = (char)('0' + rest / 10 % 10);
        *p++ = (char)('0' + rest % 10);
    }
    return (size_t)(p - to);
}

static int count_digits(uint64_t v) /* of 1 to 10^17 */
{
    static const uint64_t powers[] = {
        0, 10, 100, 1000, 10000, 100000, 1000000, 10000000, EIGHT, 10 * EIGHT, 100 * EIGHT, 1000 * EIGHT, 10000 * EIGHT,
        100000 * EIGHT, 1000000 * EIGHT, 10000000 * EIGHT, SIXTEEN, 10 * SIXTEEN};
    int guess = (64 - __builtin_clzll(v)) * 1233 >> 12; /* log10, or one too many */
    return guess + (v >= powers[guess]);
}

/* 'f': the first `point` of the n digits precede the point (negative: as many zeros follow it). */
static char *layout_f(char *to, uint64_t digits, int n, int point)
{
    if (point <= 0) {
        memcpy(to, "0.", 2);
        memset(to + 2, '0', (size_t)-point);
        to += 2 - point;
        return to + num_format_u64(to, digits);
    }
    num_format_u64(to, digits);
    if (point >= n) {
        memset(to + n, '0', (size_t)(point - n));
        return to + point;
    }
    unsigned __int128 tail; /* at most 16 digits, then arbitrary bytes */
    memcpy(&tail, to + point, sizeof tail);
    memcpy(to + point + 1, &tail, sizeof tail);
    to[point] = '.';
    return to + n + 1;
}

/* 'e': d.ddde+XX */
static char *layout_e(char *to, uint64_t digits, int n, int exp)
{
    num_format_u64(to + 1, digits);
    to[0] = to[1];
    to[1] = '.';
    to += n == 1 ? 1 : n + 1;
    *to++ = 'e';
    *to++ = exp < 0 ? '-' : '+';
    unsigned e = (unsigned)(exp < 0 ? -exp : exp);
    if (e < 10)
        *to++ = '0';
    return to + num_format_u64(to, e);
}

static size_t format_special(char *to, double v)
{
    const char *word = isnan(v) ? "NaN" : isinf(v) ? (v > 0 ? "+Inf" : "-Inf") : signbit(v) ? "-0" : "0";
    size_t n = strlen(word);
    memcpy(to, word, n);
    return n;
}

/* 'f' for low <= decimal exponent < high, else 'e'. */
static size_t num_write_go(char *to, double v, int low, int high)
{
    if (!isfinite(v) || v == 0)
        return format_special(to, v);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    char *p = to;
    if (bits >> 63)
        *p++ = '-';
    struct shortest_decimal d = shortest(bits & ~((uint64_t)1 << 63));
    int n = count_digits(d.digits), point = n + d.exp;
    bool plain = point - 1 >= low && point - 1 < high;
    p = plain ? layout_f(p, d.digits, n, point) : layout_e(p, d.digits, n, point - 1);
    return (size_t)(p - to);
}

size_t num_format(char *to, double v)
{
    int64_t whole = fabs(v) < all_exact_below ? (int64_t)v : 0;
    if (v != (double)whole || whole == 0)
        return num_write_go(to, v, -6, 21);
    return whole > 0 ? format_u64(to, (uint64_t)whole) : num_format_i64(to, whole); /* counters, mostly */
}

size_t num_format_go(char *to, double v) { return num_write_go(to, v, -4, 6); }
size_t num_format_plain(char *to, double v) { return num_write_go(to, v, INT_MIN, INT_MAX); }

void buf_add_num(struct buf *b, double v)
{
    if (buf_reserve(b, NUM_MAX))
        b->n += num_format(b->p + b->n, v);
}

void buf_add_i64(struct buf *b, int64_t v)
{
    if (buf_reserve(b, NUM_MAX))
        b->n += num_format_i64(b->p + b->n, v);
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    if (buf_reserve(b, NUM_MAX))
        b->n += num_format_u64(b->p + b->n, v);
}

void buf_add_ms(struct buf *b, int64_t ms)
{
    if (buf_reserve(b, NUM_MAX))
        b->n += num_format_ms(b->p + b->n, ms);
}
