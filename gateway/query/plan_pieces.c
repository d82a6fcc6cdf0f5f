// SPDX-License-Identifier: Apache-2.0
/* What is requested for a node, and what replaces it in the tree: its values from the servers, or an aggregation of
 * their parts.
 */
#include "gateway/query/plan_internal.h"

static bool plan_is_average(const struct expr *e, const struct plan_value *v)
{
    return v->kind == PLAN_PARTS && e->u.aggregate.op == AGG_AVG;
}

static size_t plan_add_piece(struct planner *p, const struct expr *e, const struct plan_value *v,
                             const int *servers, const struct grid *steps)
{
    struct plan *plan = p->plan;
    arena_grow(p->arena, &plan->pieces, &plan->_cap_pieces, plan->n_pieces + 1, sizeof *plan->pieces);
    struct plan_piece *piece = &plan->pieces[plan->n_pieces];
    *piece = (struct plan_piece){.average = plan_is_average(e, v),
                                 .aggregated = v->kind == PLAN_PARTS && !plan_selects_series(e->u.aggregate.op),
                                 .steps = *steps,
                                 .first_request = plan->n_requests};
    size_t n_metrics;
    const struct str *metrics = plan_histogram_metrics(p->arena, e, &n_metrics);
    for (size_t g = 0; g < p->n_groups; g++) {
        if (!v->routed[g] || servers[g] == PLAN_NO_SAMPLES)
            continue;
        arena_grow(p->arena, &plan->requests, &plan->_cap_requests, plan->n_requests + 1, sizeof *plan->requests);
        plan->requests[plan->n_requests++] = (struct plan_request){
            .piece = plan->n_pieces, .group = p->numbers[g], .server = (size_t)servers[g],
            .text = plan_text_for(p, e, g, piece->average), .view = plan_view_of(p, g, v->present),
            .metrics = metrics, .n_metrics = n_metrics};
        piece->n_requests++;
    }
    return plan->n_pieces++;
}

static struct expr *plan_fetched(struct planner *p, const struct expr *e, struct series_set *set)
{
    struct expr *node = ARENA_NEW(p->arena, struct expr);
    *node = (struct expr){.kind = EXPR_FETCHED, .type = VALUE_VECTOR, .pos = e->pos, .end = e->end};
    node->u.fetched.set = set;
    node->u.fetched.of = e;
    return node;
}

/* The aggregation of parts, which are in `set`. */
static struct expr *plan_aggregate_parts(struct planner *p, const struct expr *e, enum aggregate_op op,
                                         struct series_set *set)
{
    struct expr *node = ARENA_NEW(p->arena, struct expr);
    *node = *e;
    node->u.aggregate.op = op;
    node->u.aggregate.inner = plan_fetched(p, e, set);
    return node;
}

/* sum(sums) / sum(counts), which have the same label sets. */
static struct expr *plan_divide(struct planner *p, const struct expr *e, struct series_set *sets)
{
    struct expr *node = ARENA_NEW(p->arena, struct expr);
    *node = (struct expr){.kind = EXPR_BINARY, .type = VALUE_VECTOR, .pos = e->pos, .end = e->end};
    node->u.binary.op = OP_DIV;
    node->u.binary.left = plan_aggregate_parts(p, e, AGG_SUM, &sets[0]);
    node->u.binary.right = plan_aggregate_parts(p, e, AGG_SUM, &sets[1]);
    node->u.binary.matching = ARENA_NEW(p->arena, struct matching);
    struct expr *paren = ARENA_NEW(p->arena, struct expr); /* not an operation of the chain around it */
    *paren = (struct expr){.kind = EXPR_PAREN, .type = VALUE_VECTOR, .pos = e->pos, .end = e->end, .u.paren.inner = node};
    return paren;
}

/* The sets are arrays of the piece that must not move: pieces grow, so that each run has its own. */
struct expr *plan_pushed(struct planner *p, const struct expr *e, const struct plan_value *v, const int *servers,
                         const struct grid *steps)
{
    size_t at = plan_add_piece(p, e, v, servers, steps);
    struct series_set *sets = ARENA_ARRAY(p->arena, struct series_set, 2);
    p->plan->pieces[at].sets = sets;
    if (v->kind != PLAN_PARTS)
        return plan_fetched(p, e, &sets[0]);
    if (p->plan->pieces[at].average)
        return plan_divide(p, e, sets);
    return plan_aggregate_parts(p, e, aggregate_of_parts(e->u.aggregate.op), &sets[0]);
}
