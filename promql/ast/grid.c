// SPDX-License-Identifier: Apache-2.0
#include "promql/ast/grid.h"

enum { SUBQUERY_STEP_MS = 60000 };

struct eval_times eval_times_shifted(const struct grid *g, const struct time_shift *shift)
{
    if (shift->at != AT_NONE)
        return (struct eval_times){shift->at_time - shift->offset, 0};
    return (struct eval_times){g->start - shift->offset, g->step};
}

int64_t subquery_step_of(const struct expr *e, int64_t default_step)
{
    int64_t step = e->u.subquery.step ? e->u.subquery.step : default_step;
    return step > 0 ? step : SUBQUERY_STEP_MS;
}

/* The inner steps of a subquery are multiples of its step since the epoch, whatever the outer grid, so equal
 * subqueries of different queries are evaluated at the same points. The first point is the first multiple inside the
 * (left-open) window. */
bool grid_of_subquery(const struct grid *g, const struct expr *e, int64_t default_step, struct grid *out,
                      int64_t *steps)
{
    struct eval_times times = eval_times_shifted(g, &e->u.subquery.shift);
    int64_t step = subquery_step_of(e, default_step);
    int64_t before = times.first - e->u.subquery.range;
    int64_t last = times.first + (int64_t)(g->n ? g->n - 1 : 0) * times.stride;
    int64_t start = before / step * step;
    if (start <= before)
        start += step;
    *steps = g->n == 0 || last < start ? 0 : (last - start) / step + 1;
    *out = (struct grid){start, step, *steps <= INT32_MAX ? (uint32_t)*steps : 0};
    return *steps <= INT32_MAX;
}
