// SPDX-License-Identifier: Apache-2.0
/* VictoriaMetrics rounds to significant figures by way of its storage format, an integer times a power of ten:
 *
 * 1. The value becomes such a pair, with the fewest digits that give it back almost exactly: 1 part in 1e12, or in 1e15
 *    above a million.
 * 2. Digits are cut off until the integer does not exceed 10^figures. The last one cut off decides about rounding up.
 * 3. The pair becomes a value again: for negative exponents by division, which is more exact.
 *
 * Every step rounds, so a shorter way to the same figures differs in the last bit, and receivers that compare replicas
 * would see two values.
 */
#include "base/text/decimal.h"

#include "base/str.h"

#include <math.h>
#include <stdint.h>

struct decimal_pair { uint64_t digits; int exponent; };

/* As a product of two table values, each of which is the nearest double. */
static double decimal_power(int n)
{
    static const double small[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31};
    static const double large[] = {1e00, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288};
    static const double least[] = {1e-00, 1e-32, 1e-64, 1e-96, 1e-128, 1e-160, 1e-192, 1e-224, 1e-256, 1e-288, 1e-320};
    if (n > 308)
        return INFINITY;
    if (n < -323)
        return 0;
    return n >= 0 ? large[n / 32] * small[n % 32] : least[-n / 32] / small[-n % 32];
}

static struct decimal_pair drop_trailing_zeros(struct decimal_pair d)
{
    while (d.digits != 0 && d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    return d;
}

static struct decimal_pair decimal_of_integer(uint64_t u)
{
    struct decimal_pair d = {u, 0};
    while (d.digits >= UINT64_C(1) << 55) { /* digits that 53 bits do not hold */
        d.digits /= 10;
        d.exponent++;
    }
    return drop_trailing_zeros(d);
}

static struct decimal_pair decimal_of_fraction(double v)
{
    double exact = v > 1e6 ? 1e15 : 1e12;
    int scale = 0;
    if (v > 1e6 || v < 1e-6) {
        int exponent;
        frexp(v, &exponent);
        exponent = exponent < -1022 ? -1022 : exponent > 1023 ? 1023 : exponent;
        scale = (int)(exponent * 0.30102999566398119521); /* log10(2) */
        v *= decimal_power(-scale);
    }
    while (v < exact) {
        double whole, rest = modf(v, &whole);
        if (rest * exact < whole || (1 - rest) * exact < whole) {
            v = rest * exact < whole ? whole : whole + 1;
            break;
        }
        v *= 100;
        scale -= 2;
    }
    struct decimal_pair d = {(uint64_t)v, scale};
    return d.digits % 10 ? d : (struct decimal_pair){d.digits / 10, d.exponent + 1};
}

static struct decimal_pair decimal_of(double v)
{
    uint64_t u = v < 0x1p64 ? (uint64_t)v : 0;
    return (double)u == v ? decimal_of_integer(u) : decimal_of_fraction(v);
}

double decimal_round_figures(double v, int figures)
{
    if (figures <= 0 || figures >= 18 || isnan(v) || isinf(v) || v == 0)
        return v;
    struct decimal_pair d = decimal_of(fabs(v));
    uint64_t most = (uint64_t)decimal_power(figures), last = 0;
    while (d.digits > most) {
        last = d.digits % 10;
        d.digits /= 10;
        d.exponent++;
    }
    d.digits += last >= 5;
    double rounded = d.exponent < 0 ? (double)d.digits / decimal_power(-d.exponent) : (double)d.digits * decimal_power(d.exponent);
    return copysign(rounded, v);
}

double decimal_round_digits(double v, int digits)
{
    if (digits <= -100 || digits >= 100 || isnan(v))
        return v;
    double m = decimal_power(digits);
    return round(v * m) / m;
}
