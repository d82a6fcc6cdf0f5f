// SPDX-License-Identifier: Apache-2.0
/* Text to double, correctly rounded.
 *
 * 1. A decimal is scanned into w * 10^e with w of at most 19 digits.
 * 2. Most sample values then take Clinger's path: w and 10^e are exact doubles, so one multiplication or division
 *    rounds correctly.
 * 3. The others are multiplied by a 128-bit 10^e (after Eisel and Lemire): the true product lies between w * T and w
 *    * (T + 1), T being the table's value, so the 53 bits are known unless a rounding boundary lies between them.
 * 4. In that case, when truncated digits matter, and for subnormal and infinite results, strtod decides: a few in a
 *    million of the values that targets expose.
 */
#include "base/text/num.h"
#include "base/text/num_tables.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_DIGITS = 19, EXP_CLAMP = 1000000 };

struct decimal {
    uint64_t digits; /* the value is digits * 10^exp */
    int64_t exp;
    bool negative;
    bool cut; /* there were more digits, not all of them zero */
};

static inline bool num_is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static inline const char *scan_digits(const char *p, const char *end, uint64_t *digits)
{
    uint64_t d = *digits;
    for (; p < end && num_is_digit(*p); p++)
        d = d * 10 + (uint64_t)(*p - '0');
    *digits = d;
    return p;
}

/* For more than 19 digit characters: keeps the first 19 significant ones and notes whether the rest matters. */
static void cut_digits(const char *p, const char *end, struct decimal *d)
{
    unsigned taken = 0;
    bool fraction = false;
    d->digits = 0;
    d->exp = 0;
    for (; p < end; p++) {
        if (*p == '.') {
            fraction = true;
        } else if (taken < MAX_DIGITS) {
            d->digits = d->digits * 10 + (uint64_t)(*p - '0');
            taken += d->digits > 0;
            d->exp -= fraction;
        } else {
            d->cut |= *p != '0';
            d->exp += !fraction;
        }
    }
}

/* An "e" without digits after it is not part of the number. */
static const char *scan_exponent(const char *p, const char *end, struct decimal *d)
{
    const char *q = p;
    if (q == end || (*q | 0x20) != 'e')
        return p;
    q++;
    bool negative = q < end && *q == '-';
    if (q < end && (*q == '-' || *q == '+'))
        q++;
    if (q == end || !num_is_digit(*q))
        return p;
    int64_t e = 0;
    for (; q < end && num_is_digit(*q); q++)
        if (e < EXP_CLAMP)
            e = e * 10 + (*q - '0');
    d->exp += negative ? -e : e;
    return q;
}

static inline const char *scan_decimal(const char *p, const char *end, struct decimal *d)
{
    *d = (struct decimal){0};
    if (p < end && (*p == '-' || *p == '+'))
        d->negative = *p++ == '-';
    const char *first = p;
    p = scan_digits(p, end, &d->digits);
    size_t n = (size_t)(p - first);
    if (p < end && *p == '.') {
        const char *point = p + 1;
        p = scan_digits(point, end, &d->digits);
        d->exp = point - p;
        n += (size_t)(p - point);
    }
    if (n == 0)
        return NULL;
    if (n > MAX_DIGITS)
        cut_digits(first, p, d);
    return p < end && (*p | 0x20) == 'e' ? scan_exponent(p, end, d) : p;
}

/* w * 10^e for w > 0; false when strtod must decide. */
static bool multiply(uint64_t w, int64_t e, double *v)
{
    if (e < NUM_POW_MIN || e > 308)
        return false;
    int shift = __builtin_clzll(w);
    w <<= shift;
    const struct num_pow *t = num_pow10((int)e);
    unsigned __int128 high = (unsigned __int128)w * t->hi, low = (unsigned __int128)w * t->lo;
    high += low >> 64;
    uint64_t top = (uint64_t)(high >> 64), middle = (uint64_t)high, bottom = (uint64_t)low;
    int upper = (int)(top >> 63);                /* the product has 191 or 192 bits */
    uint64_t mask = ((uint64_t)1 << (9 + upper)) - 1, rest = top & mask;
    if (rest == mask && middle == UINT64_MAX) /* adding w (T is less than 1 too small) might carry into the mantissa */
        return false;
    bool more = rest || middle || bottom || !num_pow10_exact((int)e);
    uint64_t mantissa = top >> (9 + upper);      /* 53 bits and the rounding bit */
    mantissa += (mantissa & 1) && (more || (mantissa & 2));
    mantissa >>= 1;
    int exp = 63 + upper + num_log2_pow10((int)e) - shift + 1023;
    if (mantissa >> 53) {
        mantissa >>= 1;
        exp++;
    }
    if (exp <= 0 || exp >= 2047)
        return false;
    uint64_t bits = (uint64_t)exp << 52 | (mantissa & (((uint64_t)1 << 52) - 1));
    memcpy(v, &bits, sizeof *v);
    return true;
}

static inline bool convert(const struct decimal *d, double *v)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (d->digits <= (uint64_t)1 << 53 && d->exp >= -22 && d->exp <= 22 && !d->cut) {
        double w = (double)d->digits;
        *v = d->exp < 0 ? w / powers[-d->exp] : w * powers[d->exp];
    } else if (d->digits == 0) {
        *v = 0;
    } else {
        double next;
        if (!multiply(d->digits, d->exp, v) || (d->cut && (!multiply(d->digits + 1, d->exp, &next) || next != *v)))
            return false;
    }
    if (d->negative)
        *v = -*v;
    return true;
}

/* The text is a validated number; the program never sets a locale, so the decimal separator is a point. */
static double num_strtod(const char *p, const char *end)
{
    char small[128], *z = small;
    size_t n = (size_t)(end - p);
    if (n >= sizeof small)
        z = mem_alloc(n + 1);
    memcpy(z, p, n);
    z[n] = 0;
    double v = strtod(z, NULL);
    if (z != small)
        mem_free(z);
    return v;
}

const char *num_scan(const char *p, const char *end, double *v)
{
    struct decimal d;
    const char *stop = scan_decimal(p, end, &d);
    if (stop && !convert(&d, v))
        *v = num_strtod(p, stop);
    return stop;
}

static bool parse_word(struct str s, double *v)
{
    if (str_ieq(s, STR("nan"))) {
        *v = NAN;
        return true;
    }
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = str_skip(s, 1);
    *v = negative ? -INFINITY : INFINITY;
    return str_ieq(s, STR("inf")) || str_ieq(s, STR("infinity"));
}

static bool num_is_hex(char c) { return num_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

/* sign 0x digits . digits p exponent: as in C, but the exponent is mandatory. */
static bool parse_hex(struct str s, double *v)
{
    const char *p = s.p, *end = s.p + s.n;
    p += *p == '-' || *p == '+';
    p += 2;
    size_t digits = 0;
    for (bool point = false; p < end && (num_is_hex(*p) || (*p == '.' && !point)); p++) {
        point |= *p == '.';
        digits += *p != '.';
    }
    if (digits == 0 || p == end || (*p | 0x20) != 'p')
        return false;
    p++;
    p += p < end && (*p == '-' || *p == '+');
    if (p == end)
        return false;
    while (p < end && num_is_digit(*p))
        p++;
    if (p < end || !num_is_digit(p[-1]))
        return false;
    *v = num_strtod(s.p, end);
    return true;
}

bool num_parse(struct str s, double *v)
{
    if (s.n == 0)
        return false;
    const char *end = s.p + s.n, *stop = num_scan(s.p, end, v);
    if (stop == end)
        return true;
    if (stop == NULL)
        return parse_word(s, v);
    return (*stop | 0x20) == 'x' && stop[-1] == '0' && stop - s.p == 1 + !num_is_digit(s.p[0]) && parse_hex(s, v);
}

bool num_parse_u64(struct str s, uint64_t *v)
{
    uint64_t n = 0;
    if (s.n > 1 && s.p[0] == '+')
        s = str_skip(s, 1);
    for (size_t i = 0; i < s.n; i++)
        if (!num_is_digit(s.p[i]) || __builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
            return false;
    *v = n;
    return s.n > 0;
}

bool num_parse_i64(struct str s, int64_t *v)
{
    uint64_t n;
    bool negative = s.n > 0 && s.p[0] == '-';
    if (negative && s.n > 1 && s.p[1] == '+')
        return false;
    if (!num_parse_u64(negative ? str_skip(s, 1) : s, &n) || n > (uint64_t)INT64_MAX + negative)
        return false;
    *v = (int64_t)(negative ? 0 - n : n);
    return true;
}

/* The factor of "", "B", "KB", "Ki", ..., or 0. */
static double unit_factor(struct str unit)
{
    static const char letters[] = "kmgtp";
    if (unit.n > 0 && (unit.p[unit.n - 1] | 0x20) == 'b')
        unit.n--;
    if (unit.n == 0)
        return 1;
    bool binary = unit.n == 2 && unit.p[1] == 'i';
    const char *at = unit.n == 1 || binary ? memchr(letters, unit.p[0] | 0x20, sizeof letters - 1) : NULL;
    return at ? pow(binary ? 1024 : 1000, (double)(at - letters + 1)) : 0;
}

bool num_parse_size(struct str s, uint64_t *bytes)
{
    if (num_parse_u64(s, bytes))
        return true;
    double v;
    const char *stop = s.n && s.p[0] != '-' ? num_scan(s.p, s.p + s.n, &v) : NULL;
    if (stop == NULL)
        return false;
    double factor = unit_factor(str_trim(str_skip(s, (size_t)(stop - s.p))));
    if (factor == 0 || !(v * factor < 0x1p63))
        return false;
    *bytes = (uint64_t)(v * factor);
    return true;
}
