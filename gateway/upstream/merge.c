// SPDX-License-Identifier: Apache-2.0
/* The rule is promxy's, which its users know the results of: (L is the last sample put out, B the buffer)
 *   before the base:   samples of the other with t < base[0].t - B
 *   at a base sample x with x.t - L > 2B:   samples of the other with L + B < t < x.t - B, then x
 *   behind the base:   samples of the other with t > L + B
 * Floats and histograms are two sequences; both are folded in the same way. A stale marker is a sample like any other.
 * With the automatic buffer, copies of one stream are told from independent scrapes, and united by time instead.
 */
#include "gateway/upstream/merge.h"

#include <stdlib.h>

/* Anything with a time: floats and histograms have t first. */
struct sequence { const char *items; size_t n, size; };
struct output { char *items; size_t n; int64_t last; };

static int64_t time_at(const struct sequence *s, size_t i)
{
    int64_t t;
    memcpy(&t, s->items + i * s->size, sizeof t);
    return t;
}
_Static_assert(offsetof(struct sample, t) == 0 && offsetof(struct hist_sample, t) == 0,
               "time_at reads the first member");

static void put(struct output *out, const struct sequence *s, size_t i)
{
    memcpy(out->items + out->n * s->size, s->items + i * s->size, s->size);
    out->n++;
    out->last = time_at(s, i);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum { ENOUGH_GAPS = 3, MOST_GAPS = 64 };

static size_t add_gaps(const struct sequence *s, int64_t *gaps, size_t n)
{
    size_t stride = s->n / MOST_GAPS + 1; /* gaps all over the sequence, not only those of its beginning */
    for (size_t i = 1; i < s->n && n < MOST_GAPS; i += stride)
        if (time_at(s, i) > time_at(s, i - 1))
            gaps[n++] = time_at(s, i) - time_at(s, i - 1);
    return n;
}

static int64_t buffer_of(const struct merge_rule *rule, const struct sequence *base, const struct sequence *other)
{
    int64_t gaps[MOST_GAPS];
    if (!rule->automatic)
        return rule->ms;
    size_t n = add_gaps(base, gaps, 0);
    if (n < ENOUGH_GAPS)
        n = add_gaps(other, gaps, n);
    if (n < ENOUGH_GAPS)
        return rule->ms;
    qsort(gaps, n, sizeof *gaps, ascending);
    return gaps[n / 2] / 2;
}

/* With prefer_max: the first sample of the other within the buffer of x. *cursor only moves forward. */
static bool rival(const struct sequence *other, int64_t t, int64_t buffer, size_t *cursor)
{
    while (*cursor < other->n && time_at(other, *cursor) < t && t - time_at(other, *cursor) >= buffer)
        (*cursor)++;
    if (*cursor == other->n)
        return false;
    int64_t apart = time_at(other, *cursor) - t;
    return apart == 0 || (apart < 0 ? -apart : apart) < buffer;
}

static void prefer_larger(struct output *out, const struct sequence *other, size_t i)
{
    struct sample *mine = (struct sample *)(void *)out->items + out->n - 1;
    struct sample theirs;
    memcpy(&theirs, other->items + i * other->size, sizeof theirs);
    if (theirs.v > mine->v)
        mine->v = theirs.v;
}

static size_t fold(const struct sequence *base, const struct sequence *other, int64_t buffer, bool prefer_max,
                   struct output *out)
{
    size_t cursor = 0, rivals = 0, filled = 0;
    for (; cursor < other->n && time_at(other, cursor) < time_at(base, 0) - buffer; filled++)
        put(out, other, cursor++);
    for (size_t i = 0; i < base->n; i++) {
        int64_t t = time_at(base, i);
        bool first = out->n == 0;
        if (!first && t - out->last > 2 * buffer)
            for (int64_t from = out->last; cursor < other->n && time_at(other, cursor) < t; cursor++)
                if (time_at(other, cursor) > from + buffer && time_at(other, cursor) < t - buffer) {
                    put(out, other, cursor);
                    filled++;
                }
        put(out, base, i);
        if (prefer_max && !first && rival(other, t, buffer, &rivals))
            prefer_larger(out, other, rivals);
    }
    for (int64_t from = out->last; cursor < other->n; cursor++)
        if (time_at(other, cursor) > from + buffer) {
            put(out, other, cursor);
            filled++;
        }
    return filled;
}

/* Both have the same samples at the same times: the usual case of two healthy readers of one stream. */
static bool same(const struct sequence *x, const struct sequence *y)
{
    return x->n == y->n && memcmp(x->items, y->items, x->n * x->size) == 0;
}

static struct sequence join(struct arena *a, struct sequence x, struct sequence y)
{
    if (x.n == 0 || y.n == 0)
        return x.n == 0 ? y : x;
    struct output out = {.items = arena_array(a, x.n + y.n, x.size)};
    for (size_t i = 0, k = 0; i < x.n || k < y.n;) {
        bool mine = k == y.n || (i < x.n && time_at(&x, i) <= time_at(&y, k));
        const struct sequence *from = mine ? &x : &y;
        size_t at = mine ? i++ : k++;
        if (out.n == 0 || time_at(from, at) != out.last)
            put(&out, from, at);
    }
    return (struct sequence){out.items, out.n, x.size};
}

static int64_t smallest_gap(const struct sequence *s, int64_t least)
{
    for (size_t i = 1; i < s->n; i++)
        if (time_at(s, i) - time_at(s, i - 1) < least)
            least = time_at(s, i) - time_at(s, i - 1);
    return least;
}

/* Two storages that one sender fills hold copies of one stream: what both have stands at the very same times. Two
 * servers that scrape by themselves are milliseconds to half an interval apart; the interval is the smallest gap that
 * either shows, since holes only make gaps larger. Copies are united by time, which is exact, also for single samples
 * that one side lacks and for series that come at no regular interval. */
static bool copies(const struct merge_rule *rule, const struct sequence *x, const struct sequence *y)
{
    int64_t apart_least = smallest_gap(x, smallest_gap(y, 2 * rule->ms)) / 2;
    size_t shared = 0, near = 0;
    for (size_t i = 0, k = 0; i < x->n && k < y->n;) {
        int64_t apart = time_at(x, i) - time_at(y, k);
        shared += apart == 0;
        near += apart != 0 && apart < apart_least && apart > -apart_least;
        i += apart <= 0;
        k += apart >= 0;
    }
    return shared >= near;
}

static struct sequence merge(const struct merge_rule *rule, struct arena *a, struct sequence x, struct sequence y,
                             uint64_t *filled)
{
    if (x.n == 0 || y.n == 0)
        return x.n == 0 ? y : x;
    const struct sequence *base = y.n > x.n ? &y : &x, *other = base == &x ? &y : &x;
    bool floats = x.size == sizeof(struct sample);
    if (floats && same(&x, &y))
        return x;
    if (rule->automatic && !rule->prefer_max && copies(rule, base, other)) {
        struct sequence both = join(a, *base, *other);
        *filled += both.n - base->n;
        return both;
    }
    struct output out = {.items = arena_array(a, x.n + y.n, x.size)};
    *filled += fold(base, other, buffer_of(rule, base, other), rule->prefer_max && floats, &out);
    return (struct sequence){out.items, out.n, x.size};
}

static struct sequence floats_of(const struct series *s)
{
    return (struct sequence){(const char *)s->samples, s->n_samples, sizeof *s->samples};
}

static struct sequence hists_of(const struct series *s)
{
    return (struct sequence){(const char *)s->hists, s->n_hists, sizeof *s->hists};
}

static void set(struct series *s, struct sequence floats, struct sequence hists)
{
    s->samples = (const struct sample *)(const void *)floats.items;
    s->n_samples = (uint32_t)floats.n;
    s->hists = (const struct hist_sample *)(const void *)hists.items;
    s->n_hists = (uint32_t)hists.n;
}

void merge_series(const struct merge_rule *rule, struct arena *a, struct series *into, const struct series *more,
                  uint64_t *filled)
{
    struct sequence floats = merge(rule, a, floats_of(into), floats_of(more), filled);
    set(into, floats, merge(rule, a, hists_of(into), hists_of(more), filled));
}

void merge_pieces(struct arena *a, struct series *into, const struct series *more)
{
    struct sequence floats = join(a, floats_of(into), floats_of(more));
    set(into, floats, join(a, hists_of(into), hists_of(more)));
}
