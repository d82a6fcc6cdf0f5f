// SPDX-License-Identifier: Apache-2.0
/* The points in time at which an expression is evaluated: those of the query, and within it those of the inner
 * expression of a subquery, of an expression that is the same at every step, of a part of EXPR_CUT. Pure. */
#ifndef PROMQL_AST_GRID_H
#define PROMQL_AST_GRID_H

#include "promql/ast/ast.h"

struct grid { int64_t start, step; uint32_t n; };      /* ms; step is > 0 even when n is 1 */
static inline int64_t grid_time(const struct grid *g, uint32_t i) { return g->start + (int64_t)i * g->step; }
static inline int64_t grid_end(const struct grid *g) { return grid_time(g, g->n - 1); }
static inline struct grid grid_part(const struct grid *g, uint32_t first, uint32_t n)
{
    return (struct grid){grid_time(g, first), g->step, n};
}
static inline struct grid grid_first(const struct grid *g) { return grid_part(g, 0, g->n ? 1 : 0); }

/* The times at which a grid's steps are evaluated: first, first + stride, ... The stride is 0 for a selector with @. */
struct eval_times { int64_t first, stride; };
struct eval_times eval_times_shifted(const struct grid *g, const struct time_shift *shift);

/* The grid of a subquery's inner expression within a grid; n is 0 when no step is inside the window. default_step: of
 * subqueries that have none, 0 = 1 m. False: more steps than a grid can have; their number is in *steps. */
bool grid_of_subquery(const struct grid *g, const struct expr *subquery, int64_t default_step, struct grid *out,
                      int64_t *steps) MUST_USE;
int64_t subquery_step_of(const struct expr *subquery, int64_t default_step);

#endif
