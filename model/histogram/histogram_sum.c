// SPDX-License-Identifier: Apache-2.0
/* Sums and means of many histograms with Kahan-Neumaier compensation; falls back to a running mean on overflow. */
#include "model/histogram/histogram_flat.h"

void histogram_sum_start(struct histogram_sum *s, struct arena *a)
{
    s->arena = a;
    s->n = 0;
    s->running_mean = s->saw_reset = s->saw_no_reset = false;
}

static void see_hint(struct histogram_sum *s, enum reset_hint hint, unsigned *flags)
{
    s->saw_reset |= hint == RESET_YES;
    s->saw_no_reset |= hint == RESET_NO;
    if (s->saw_reset && s->saw_no_reset)
        *flags |= HISTOGRAM_HINT_COLLISION;
}

/* A gauge makes the result a gauge; two different counter hints make it unknown. */
static enum reset_hint weaker_hint(enum reset_hint x, enum reset_hint y)
{
    if (x == y)
        return x;
    return x == RESET_GAUGE || y == RESET_GAUGE ? RESET_GAUGE : RESET_UNKNOWN;
}

static bool joinable(const struct histogram_sum *s, const struct histogram *h, unsigned *flags)
{
    if (s->n == 0 || histogram_is_custom(&s->now.h) == histogram_is_custom(h))
        return true;
    *flags |= HISTOGRAM_INCOMPATIBLE;
    return false;
}

static void merge_other(struct histogram_sum *s, double sign, unsigned *flags)
{
    flat_reconcile(&s->now, &s->other, s->arena, flags);
    see_hint(s, s->other.h.hint, flags);
    s->now.h.hint = weaker_hint(s->now.h.hint, s->other.h.hint);
    flat_merge(&s->now, s->arena, &s->other, sign);
    s->n++;
}

static void histogram_sum_add_one(struct histogram_sum *s, const struct histogram *h, double sign, unsigned *flags)
{
    if (s->n == 0) {
        flat_load(&s->now, s->arena, h);
        see_hint(s, h->hint, flags);
        s->n = 1;
    } else {
        flat_load(&s->other, s->arena, h);
        merge_other(s, sign, flags);
    }
}

void histogram_sum_add(struct histogram_sum *s, const struct histogram *h, unsigned *flags)
{
    if (joinable(s, h, flags))
        histogram_sum_add_one(s, h, 1, flags);
}

void histogram_sum_sub(struct histogram_sum *s, const struct histogram *h, unsigned *flags)
{
    if (joinable(s, h, flags))
        histogram_sum_add_one(s, h, -1, flags);
}

/* mean(n) = mean(n-1) * (n-1)/n + h/n: no intermediate value exceeds the largest input. */
static void running_mean_add(struct histogram_sum *s, const struct histogram *h, unsigned *flags)
{
    double n = (double)s->n + 1;
    flat_load(&s->other, s->arena, h);
    flat_div(&s->other, n);
    flat_mul(&s->now, (n - 1) / n);
    merge_other(s, 1, flags);
}

/* The sum overflowed: restores the previous sum as a mean. */
static void begin_running_mean(struct histogram_sum *s)
{
    struct flat_histogram spilt = s->now;
    s->now = s->backup;
    s->backup = spilt;
    s->n--;
    s->running_mean = true;
    flat_div(&s->now, (double)s->n);
}

void histogram_mean_add(struct histogram_sum *s, const struct histogram *h, unsigned *flags)
{
    if (!joinable(s, h, flags))
        return;
    if (!s->running_mean) {
        if (s->n > 0)
            flat_copy(&s->backup, s->arena, &s->now);
        histogram_sum_add_one(s, h, 1, flags);
        if (s->n == 1 || !flat_overflows(&s->now))
            return;
        begin_running_mean(s);
    }
    running_mean_add(s, h, flags);
}

void histogram_sum_mul(struct histogram_sum *s, double factor)
{
    flat_mul(&s->now, factor);
}

double histogram_sum_count(const struct histogram_sum *s)
{
    return s->now.h.count + s->now.c_count;
}

struct histogram *histogram_sum_total(const struct histogram_sum *s, struct arena *out)
{
    return s->n == 0 ? NULL : flat_build(&s->now, out, 1);
}

struct histogram *histogram_sum_mean(const struct histogram_sum *s, struct arena *out)
{
    return s->n == 0 ? NULL : flat_build(&s->now, out, s->running_mean ? 1 : (double)s->n);
}
