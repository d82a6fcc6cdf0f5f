// SPDX-License-Identifier: Apache-2.0
/* Quantiles and fractions of classic histograms, as Prometheus computes them. */
#include "promql/functions/classic.h"

#include "base/map.h"
#include "base/text/num.h"

#include <float.h>
#include <stdlib.h>

static const struct str le = {"le", 2};

/* Relative to their sum; smaller differences are rounding errors. */
static bool nearly_equal(double a, double b)
{
    static const double tolerance = 1e-12;
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);
    if (a == b || (isnan(a) && isnan(b)))
        return true;
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return diff < tolerance * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < tolerance;
}

/* Counts must not decrease with the bound, or the search among them is meaningless. */
static void make_monotonic(struct classic_bucket *b, size_t n, struct classic_fix *fix)
{
    *fix = (struct classic_fix){false, INFINITY, -INFINITY, 0};
    for (size_t i = 1; i < n; i++) {
        double before = b[i - 1].count, diff = before - b[i].count;
        if (nearly_equal(before, b[i].count)) {
            b[i].count = before;
        } else if (b[i].count < before) {
            b[i].count = before;
            fix->forced = true;
            fix->min_upper = fmin(fix->min_upper, b[i].upper);
            fix->max_upper = fmax(fix->max_upper, b[i].upper);
            fix->max_diff = fmax(fix->max_diff, diff);
        }
    }
}

/* The first of n that reaches the rank, or n. */
static size_t bucket_of(const struct classic_bucket *b, size_t n, double rank)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (b[mid].count >= rank)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Interpolates linearly in the bucket that contains the rank. The first bucket starts at 0 when its bound is
 * positive; the last one has no upper bound. */
double classic_quantile(struct classic_bucket *b, size_t n, double q, struct classic_fix *fix)
{
    *fix = (struct classic_fix){0};
    if (isnan(q))
        return NAN;
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    if (b[n - 1].upper != INFINITY)
        return NAN;
    make_monotonic(b, n, fix);
    if (n < 2 || b[n - 1].count == 0)
        return NAN;
    double rank = q * b[n - 1].count;
    size_t at = bucket_of(b, n - 1, rank);
    if (at == n - 1)
        return b[n - 2].upper;
    if (at == 0 && b[0].upper <= 0)
        return b[0].upper;
    double start = at > 0 ? b[at - 1].upper : 0, below = at > 0 ? b[at - 1].count : 0;
    return start + (b[at].upper - start) * ((rank - below) / (b[at].count - below));
}

/* The number of observations below `v`. */
static double classic_rank(const struct classic_bucket *b, size_t n, double v)
{
    double below = 0, lower = b[0].upper <= 0 ? -INFINITY : 0;
    for (size_t i = 0; i < n; i++) {
        if (lower >= v)
            return below;
        if (b[i].upper > v)
            return lower == -INFINITY ? b[i].count : below + (b[i].count - below) * (v - lower) / (b[i].upper - lower);
        below = b[i].count;
        lower = b[i].upper;
    }
    return b[n - 1].count;
}

double classic_fraction(const struct classic_bucket *b, size_t n, double lower, double upper)
{
    double count = b[n - 1].count;
    if (b[n - 1].upper != INFINITY || count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    double from = classic_rank(b, n, lower), to = classic_rank(b, n, upper);
    return ((to > count ? count : to) - (from > count ? count : from)) / count;
}

size_t classic_step(const struct classic *c, uint32_t i, struct classic_bucket *b)
{
    size_t n = 0;
    for (size_t k = 0; k < c->n; k++) {
        double count = c->columns[k].row->v[i];
        if (is_absent(count) || row_hist(c->columns[k].row, i))
            continue;
        if (n > 0 && b[n - 1].upper == c->columns[k].upper)
            b[n - 1].count += count;
        else
            b[n++] = (struct classic_bucket){c->columns[k].upper, count};
    }
    return n;
}

bool classic_any(const struct classic *c, uint32_t i)
{
    for (size_t k = 0; k < c->n; k++)
        if (!is_absent(c->columns[k].row->v[i]) && row_hist(c->columns[k].row, i) == NULL)
            return true;
    return false;
}

static int by_bound(const void *x, const void *y)
{
    double a = ((const struct classic_column *)x)->upper, b = ((const struct classic_column *)y)->upper;
    return a < b ? -1 : a > b;
}

static bool has_kind(const struct eval *ev, const struct row *row, bool hist)
{
    for (uint32_t i = 0; i < ev->grid.n; i++)
        if (!is_absent(row->v[i]) && (row_hist(row, i) != NULL) == hist)
            return true;
    return false;
}

static void add_column(struct eval *ev, struct classic_set *out, struct map *seen, const struct row *row, double upper)
{
    bool added;
    struct labels labels = labels_drop(ev->arena, row->labels, &le, 1);
    struct map_entry *e = map_add(seen, str_n(labels.p, labels.n), &added);
    if (added) {
        e->value.u = out->n;
        arena_grow(ev->arena, &out->items, &out->_cap, out->n + 1, sizeof *out->items);
        out->items[out->n++] = (struct classic){.labels = labels};
    }
    struct classic *c = &out->items[e->value.u];
    arena_grow(ev->arena, &c->columns, &c->_cap, c->n + 1, sizeof *c->columns);
    c->columns[c->n++] = (struct classic_column){upper, row};
}

static void classic_free_map(void *map) { map_free(map); }

static void find_rivals(struct eval *ev, struct classic_set *out, const struct map *seen)
{
    out->rivals = ARENA_ARRAY(ev->arena, const struct classic *, out->n_natives);
    for (size_t i = 0; i < out->n_natives; i++) {
        struct labels l = out->natives[i]->labels;
        struct map_entry *e = map_find(seen, str_n(l.p, l.n));
        if (e == NULL)
            continue;
        out->rivals[i] = &out->items[e->value.u];
        out->items[e->value.u].native = out->natives[i];
    }
}

void classic_split(struct eval *ev, const struct expr *at, const struct value *in, struct classic_set *out)
{
    struct map *seen = ARENA_NEW(ev->arena, struct map);
    eval_on_end(ev, classic_free_map, seen);
    *out = (struct classic_set){.natives = ARENA_ARRAY(ev->arena, const struct row *, in->n)};
    for (size_t r = 0; r < in->n; r++) {
        const struct row *row = &in->rows[r];
        double upper;
        eval_charge(ev, 2 * CHARGE_LABELS + ev->grid.n);
        if (row->h && has_kind(ev, row, true))
            out->natives[out->n_natives++] = row;
        if (!has_kind(ev, row, false))
            continue;
        struct str bound = labels_get(row->labels, le);
        if (num_parse(bound, &upper))
            add_column(ev, out, seen, row, upper);
        else
            eval_warn(ev, at, "bucket label \"le\" is missing or has a malformed value of %s%s", eval_quoted(ev, bound),
                      eval_for_metric(ev, row->labels));
    }
    for (size_t i = 0; i < out->n; i++)
        qsort(out->items[i].columns, out->items[i].n, sizeof *out->items[i].columns, by_bound);
    find_rivals(ev, out, seen);
    map_free(seen);
}
