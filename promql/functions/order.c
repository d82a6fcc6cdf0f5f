// SPDX-License-Identifier: Apache-2.0
/* Sorted windows, and maximum and minimum with Go's handling of NaN. */
#include "promql/functions/functions_internal.h"

static uint32_t order_position_of(const struct sorted_window *w, double v)
{
    uint32_t lo = 0, hi = w->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (w->v[mid] < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void sorted_add(struct sorted_window *w, double v)
{
    if (isnan(v)) {
        w->nans++;
        return;
    }
    uint32_t at = order_position_of(w, v);
    memmove(w->v + at + 1, w->v + at, (w->n++ - at) * sizeof v);
    w->v[at] = v;
}

void sorted_remove(struct sorted_window *w, double v)
{
    if (isnan(v)) {
        w->nans--;
        return;
    }
    uint32_t at = order_position_of(w, v);
    memmove(w->v + at, w->v + at + 1, (--w->n - at) * sizeof v);
}

static double value_at(const struct sorted_window *w, uint32_t i)
{
    return i < w->nans ? NAN : w->v[i - w->nans];
}

double sorted_quantile(const struct sorted_window *w, double q)
{
    uint32_t n = w->n + w->nans;
    if (n == 0 || isnan(q))
        return NAN;
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    double rank = q * (n - 1), part = rank - floor(rank);
    uint32_t low = (uint32_t)floor(rank), high = low + 1 < n ? low + 1 : n - 1;
    return value_at(w, low) * (1 - part) + value_at(w, high) * part;
}

double go_max(double a, double b)
{
    if (a == INFINITY || b == INFINITY)
        return INFINITY;
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

double go_min(double a, double b)
{
    if (a == -INFINITY || b == -INFINITY)
        return -INFINITY;
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}
