/* quantile(): of each group the values of a step are sorted, and two neighbours interpolated. */
#include "promql/walk.h"

#include "base/num.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b) /* NaN first */
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static double quantile_of(double q, double *v, size_t n)
{
    if (n == 0 || isnan(q))
        return normal_nan();
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    qsort(v, n, sizeof *v, by_value);
    double rank = q * ((double)n - 1), low = floor(rank), weight = rank - low;
    size_t l = (size_t)low, u = l + 1 < n ? l + 1 : n - 1;
    return v[l] * (1 - weight) + v[u] * weight;
}

struct members { const struct row *rows; const uint32_t *numbers; size_t n; };

/* true: a histogram was passed over. */
static bool quantile_members(struct eval *ev, const struct members *in, const double *q, double *scratch, double *out)
{
    bool ignored = false;
    for (uint32_t i = 0; i < ev->grid.n; i++) {
        size_t n = 0;
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

/* The smallest and the largest value out of bounds are named, and NaN. */
static void check_bounds(struct eval *ev, const struct expr *e, const double *q)
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
    check_bounds(ev, e, q);
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
