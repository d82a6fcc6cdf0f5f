// SPDX-License-Identifier: Apache-2.0
/* quantile(): finds the two values next to the rank among a group's values at a step, and interpolates. */
#include "promql/eval/eval_internal.h"

#include "base/text/num.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static size_t nans_to_front(double *v, size_t n)
{
    size_t nans = 0;
    for (size_t i = 0; i < n; i++) {
        double x = v[i];
        if (!isnan(x))
            continue;
        v[i] = v[nans];
        v[nans++] = x;
    }
    return nans;
}

static int by_value(const void *a, const void *b) /* without NaN */
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Moves to k the value that sorting would put there, with no smaller value after it (Hoare's selection; sorts what
 * remains after some rounds). Without NaN. */
static void select_nth(double *v, ptrdiff_t n, ptrdiff_t k)
{
    ptrdiff_t low = 0, high = n - 1;
    for (int rounds = 64; low < high && rounds > 0; rounds--) {
        double pivot = v[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i > j)
                break;
            double x = v[i];
            v[i++] = v[j];
            v[j--] = x;
        }
        if (j < k && k < i)
            return;
        if (k <= j)
            high = j;
        else
            low = i;
    }
    qsort(v + low, (size_t)(high - low + 1), sizeof *v, by_value);
}

static double smallest(const double *v, size_t n)
{
    double least = v[0];
    for (size_t i = 1; i < n; i++)
        least = v[i] < least ? v[i] : least;
    return least;
}

/* NaN sorts before all values. */
static double quantile_of(double q, double *v, size_t n)
{
    if (n == 0 || isnan(q))
        return normal_nan();
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    double rank = q * ((double)n - 1), low = floor(rank), weight = rank - low;
    size_t at = (size_t)low, nans = nans_to_front(v, n);
    if (at >= nans)
        select_nth(v + nans, (ptrdiff_t)(n - nans), (ptrdiff_t)(at - nans));
    double upper = v[at];
    if (at + 1 < n)
        upper = at + 1 < nans ? v[at + 1] : smallest(v + at + 1, n - at - 1);
    return v[at] * (1 - weight) + upper * weight;
}

struct members { const struct row *rows; const uint32_t *numbers; size_t n; };

/* true: a histogram was ignored. */
static bool quantile_members(struct eval *ev, const struct members *in, const double *q, double *scratch, double *out)
{
    bool ignored = false;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        size_t n = 0;
        eval_charge(ev, 8 * in->n);
        for (size_t m = 0; m < in->n; m++) {
            const struct row *r = &in->rows[in->numbers[m]];
            if (row_hist(r, i))
                ignored = true;
            else if (!is_absent(r->v[i]))
                scratch[n++] = r->v[i];
        }
        if (n > 0)
            out[i] = quantile_of(q[i], scratch, n);
    }
    return ignored;
}

/* Annotates the smallest and the largest quantile outside [0, 1], and NaN. */
static void quantile_warn_bounds(struct eval *ev, const struct expr *e, const double *q)
{
    const char *text = "quantile value should be between 0 and 1, got %s";
    double least = q[0], most = q[0];
    bool nan = false;
    char number[NUM_MAX + 1];
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        nan = nan || isnan(q[i]);
        least = fmin(least, q[i]);
        most = fmax(most, q[i]);
    }
    if (nan)
        eval_warn(ev, e->u.aggregate.param, text, "NaN");
    if (most > 1) {
        number[num_format_go(number, most)] = 0;
        eval_warn(ev, e->u.aggregate.param, text, number);
    }
    if (least < 0) {
        number[num_format_go(number, least)] = 0;
        eval_warn(ev, e->u.aggregate.param, text, number);
    }
}

void eval_quantile(struct eval *ev, const struct expr *e, struct value *in, const double *q, struct value *out)
{
    struct row_groups groups;
    struct grouping by = grouping_of(ev, e, STR_NONE);
    double *scratch = ARENA_ARRAY(ev->arena, double, in->n);
    bool ignored = false;
    quantile_warn_bounds(ev, e, q);
    group_rows(ev, &by, in, &groups);
    for (size_t g = 0; g < groups.n; g++) {
        struct members m = {in->rows, groups.rows + groups.start[g], groups.start[g + 1] - groups.start[g]};
        struct row *row = value_add_row(ev, out, groups.labels[g]);
        for (size_t i = 0; i < m.n; i++)
            row->drop_name |= m.rows[m.numbers[i]].drop_name;
        ignored |= quantile_members(ev, &m, q, scratch, row->v);
    }
    if (ignored)
        eval_info(ev, e->u.aggregate.inner, "ignored histogram in quantile aggregation");
    value_drop_empty(out, ev->grid.n);
}
