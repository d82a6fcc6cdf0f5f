/* Double to text: the shortest digits that read back as the same double, the nearest to it where several are as short.
 *
 * Schubfach (R. Giulietti): a double is c * 2^q; what rounds to it lies between (4c - 2) and (4c + 2) quarters of 2^q (the
 * lower side is half as wide at a power of two). Scaled by 10^-k, where k is chosen so that the interval holds at least one
 * and at most a few integers, the borders and the value itself are needed only to the precision of a 128-bit table, with
 * the lowest bit telling whether anything was cut off. Then either a multiple of ten lies inside (one digit less) or one
 * of the two neighbouring integers is the answer. */
#include "base/num.h"
#include "base/num_tables.h"

#include <limits.h>
#include <math.h>

static const double all_exact_below = 9007199254740992; /* 2^53: integers below it are doubles */

struct decimal { uint64_t digits; int exp; }; /* digits * 10^exp, no trailing zero in digits */

/* Upper half of g * c / 2^64, its lowest bit set when anything was below: comparing such numbers compares the true ones. */
static uint64_t round_to_odd(struct num_pow g, uint64_t c)
{
    unsigned __int128 low = (unsigned __int128)g.lo * c, high = (unsigned __int128)g.hi * c;
    high += low >> 64;
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct decimal stripped(uint64_t digits, int exp)
{
    while (digits % 10 == 0) {
        digits /= 10;
        exp++;
    }
    return (struct decimal){digits, exp};
}

static struct num_pow rounded_up(int e)
{
    struct num_pow g = *num_pow10(e);
    g.lo += !num_pow10_exact(e);
    return g;
}

/* v is finite, positive and given by its bits. */
static struct decimal shortest(uint64_t bits)
{
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52);
    uint64_t c = biased ? fraction | (uint64_t)1 << 52 : fraction;
    int q = (biased ? biased : 1) - 1075;
    bool narrow = fraction == 0 && biased > 1, even = c % 2 == 0; /* an even c owns the borders of its interval */
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

/* Writes the digits so that they end at `end`; returns where they begin. */
static inline char *digits_before(char *end, uint64_t v)
{
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
                                "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
                                "949596979899";
    for (; v >= 100; v /= 100)
        memcpy(end -= 2, pairs + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(end -= 2, pairs + 2 * v, 2);
    else
        *--end = (char)('0' + v);
    return end;
}

size_t num_format_u64(char *to, uint64_t v)
{
    char text[20], *end = text + sizeof text, *p = digits_before(end, v);
    memcpy(to, p, (size_t)(end - p));
    return (size_t)(end - p);
}

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

/* 'f': n digits of which `point` stand before the point (negative: as many zeros behind it). */
static char *layout_f(char *to, const char *digits, int n, int point)
{
    if (point <= 0) {
        *to++ = '0';
        *to++ = '.';
        memset(to, '0', (size_t)-point);
        to += -point;
        memcpy(to, digits, (size_t)n);
        return to + n;
    }
    int whole = point < n ? point : n;
    memcpy(to, digits, (size_t)whole);
    to += whole;
    memset(to, '0', (size_t)(point - whole));
    to += point - whole;
    if (n > whole) {
        *to++ = '.';
        memcpy(to, digits + whole, (size_t)(n - whole));
        to += n - whole;
    }
    return to;
}

/* 'e': d.ddde+XX */
static char *layout_e(char *to, const char *digits, int n, int exp)
{
    *to++ = digits[0];
    if (n > 1) {
        *to++ = '.';
        memcpy(to, digits + 1, (size_t)(n - 1));
        to += n - 1;
    }
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
static inline size_t format(char *to, double v, int low, int high)
{
    if (!isfinite(v) || v == 0)
        return format_special(to, v);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    char *p = to;
    if (bits >> 63)
        *p++ = '-';
    struct decimal d = shortest(bits & ~((uint64_t)1 << 63));
    char text[20], *end = text + sizeof text, *digits = digits_before(end, d.digits);
    int n = (int)(end - digits), point = n + d.exp;
    bool plain = point - 1 >= low && point - 1 < high;
    p = plain ? layout_f(p, digits, n, point) : layout_e(p, digits, n, point - 1);
    return (size_t)(p - to);
}

size_t num_format(char *to, double v)
{
    if (fabs(v) < all_exact_below && v == (double)(int64_t)v && v != 0) /* counters, mostly */
        return num_format_i64(to, (int64_t)v);
    return format(to, v, -6, 21);
}

size_t num_format_go(char *to, double v) { return format(to, v, -4, 6); }
size_t num_format_plain(char *to, double v) { return format(to, v, INT_MIN, INT_MAX); }

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
