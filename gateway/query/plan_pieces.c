// SPDX-License-Identifier: Apache-2.0
/* What is requested for a node, and what replaces it in the tree: its values from the servers, or an aggregation of
 * their parts.
 *
 * A few groups, or parts of divided ones, may have no server. They are evaluated here and united with what the servers send: by
 * `or`, since no two parts have series of the same labels. Aggregations of parts may have; those that are evaluated here
 * get a label that tells them apart, which the aggregation of all parts drops.
 */
#include "gateway/query/plan_internal.h"

#include <stdio.h>

static bool plan_is_average(const struct expr *e, const struct plan_value *v)
{
    return v->kind == PLAN_PARTS && e->u.aggregate.op == AGG_AVG;
}

/* The servers of the cells: bits. */
static uint64_t cells_servers(const struct plan_cells *cells, uint32_t n_steps)
{
    uint64_t servers = 0;
    for (size_t i = 0; i < cells->n * n_steps; i++)
        servers |= UINT64_C(1) << cells->servers[i];
    return servers;
}

static void plan_add_request(struct plan *plan, struct arena *a, struct plan_piece *piece, struct plan_request request)
{
    arena_grow(a, &plan->requests, &plan->_cap_requests, plan->n_requests + 1, sizeof *plan->requests);
    plan->requests[plan->n_requests++] = request;
    piece->n_requests++;
}

static size_t plan_add_piece(struct planner *p, const struct expr *e, const struct plan_value *v,
                             const struct plan_choice *choices, const struct grid *steps)
{
    struct plan *plan = p->plan;
    arena_grow(p->arena, &plan->pieces, &plan->_cap_pieces, plan->n_pieces + 1, sizeof *plan->pieces);
    struct plan_piece *piece = &plan->pieces[plan->n_pieces];
    *piece = (struct plan_piece){.average = plan_is_average(e, v),
                                 .aggregated = v->kind == PLAN_PARTS && !plan_selects_series(e->u.aggregate.op),
                                 .steps = *steps,
                                 .first_request = plan->n_requests};
    size_t n_metrics, n_experimental;
    const struct str *metrics = plan_histogram_metrics(p->arena, e, &n_metrics);
    const struct function **experimental = plan_experimental(p->arena, e, &n_experimental);
    for (size_t g = 0; g < p->n_groups; g++) {
        if (!v->routed[g] || !plan_is_chosen(choices[g].server))
            continue;
        struct plan_request r = {
            .piece = plan->n_pieces, .group = p->numbers[g], .others = choices[g].others, .cells = choices[g].cells,
            .view = plan_view_of(p, g, v->present),
            .metrics = metrics, .n_metrics = n_metrics, .experimental = experimental, .n_experimental = n_experimental};
        uint64_t servers = r.cells ? cells_servers(r.cells, steps->n) : 0;
        for (size_t s = 0; s < p->groups[g].n_servers; s++) {
            bool takes = r.cells ? s < 64 && servers >> s & 1 : s == (size_t)choices[g].server;
            if (!takes)
                continue;
            r.server = s;
            r.text = plan_text_for(p, e, g, s, &choices[g], piece->average);
            plan_add_request(plan, p->arena, piece, r);
        }
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

/* --- parts that are evaluated here -------------------------------------------------------------------------------- */

struct part_selectors { struct arena *arena; struct matcher only[2]; size_t n; };

static bool plan_narrow_selector(struct expr *e, void *arg)
{
    const struct part_selectors *part = arg;
    if (e->kind != EXPR_SELECTOR)
        return true;
    size_t n = e->u.selector.n_matchers;
    struct matcher *all = ARENA_ARRAY(part->arena, struct matcher, n + part->n);
    for (size_t i = 0; i < n + part->n; i++)
        all[i] = i < n ? e->u.selector.matchers[i] : part->only[i - n];
    e->u.selector.matchers = all;
    e->u.selector.n_matchers = n + part->n;
    return true;
}

/* e over the series of one group, or part of it. Its view shows the label that divides the group as it is. */
static struct expr *plan_part_here(struct planner *p, const struct expr *e, const struct plan_value *of, size_t group)
{
    const struct label_view *v = p->views[group];
    struct part_selectors part = {.arena = p->arena};
    if (plan_is_part(p, group))
        part.only[part.n++] = v->injected[v->n_injected - 1];
    if (plan_has_other_groups(p, of, group)) {
        const struct view_label *own = plan_label_of_group(p, of, group);
        part.only[part.n++] = (struct matcher){.type = MATCH_EQ, .name = own->name, .value = own->of};
    }
    struct expr_rewriter r = {.arena = p->arena, .enter = plan_narrow_selector, .arg = &part};
    return expr_rewrite(&r, (struct expr *)(uintptr_t)e);
}

static struct expr *plan_string(struct arena *a, struct str text)
{
    struct expr *e = ARENA_NEW(a, struct expr);
    *e = (struct expr){.kind = EXPR_STRING, .type = VALUE_STRING, .u.string = text};
    return e;
}

/* label_replace(inner, "__part__", "3", "", "") */
static struct expr *plan_number_part(struct planner *p, struct expr *inner, size_t number)
{
    struct expr *e = ARENA_NEW(p->arena, struct expr), **args = ARENA_ARRAY(p->arena, struct expr *, 5);
    char text[24];
    snprintf(text, sizeof text, "%zu", number);
    *e = (struct expr){.kind = EXPR_CALL, .type = VALUE_VECTOR, .pos = inner->pos, .end = inner->end};
    args[0] = inner;
    args[1] = plan_string(p->arena, STR(PLAN_PART_LABEL));
    args[2] = plan_string(p->arena, arena_str(p->arena, str_of(text)));
    args[3] = args[4] = plan_string(p->arena, STR(""));
    e->u.call.fn = function_find(STR("label_replace"));
    e->u.call.args = args;
    e->u.call.n_args = 5;
    return e;
}

static struct expr *plan_paren(struct planner *p, struct expr *inner)
{
    struct expr *e = ARENA_NEW(p->arena, struct expr);
    *e = (struct expr){.kind = EXPR_PAREN, .type = inner->type, .pos = inner->pos, .end = inner->end, .u.paren.inner = inner};
    return e;
}

static struct expr *plan_or(struct planner *p, struct expr *left, struct expr *right)
{
    struct expr *e = ARENA_NEW(p->arena, struct expr);
    *e = (struct expr){.kind = EXPR_BINARY, .type = VALUE_VECTOR, .pos = left->pos, .end = left->end};
    e->u.binary.op = OP_OR;
    e->u.binary.left = left;
    e->u.binary.right = plan_paren(p, right);
    e->u.binary.matching = ARENA_NEW(p->arena, struct matching);
    e->u.binary.matching->card = CARD_MANY_TO_MANY;
    return plan_paren(p, e); /* not an operation of the chain around it */
}

/* --- all parts ---------------------------------------------------------------------------------------------------- */

struct pushed_node {
    struct planner *p;
    const struct expr *e;
    const struct plan_value *v;
    const struct plan_choice *choices;
    bool numbered; /* parts that are evaluated here may have the labels of others: they get an additional label */
};

static struct expr *pushed_aggregate_over(const struct pushed_node *n, enum aggregate_op op, struct expr *inner)
{
    struct expr *node = ARENA_NEW(n->p->arena, struct expr);
    *node = *n->e;
    node->u.aggregate.op = op;
    node->u.aggregate.inner = inner;
    return node;
}

/* What the servers sent, and the value of the parts that are evaluated here. If e aggregates: part is what makes a part,
 * and of_parts what makes one of several. */
static struct expr *pushed_unite(const struct pushed_node *n, struct series_set *set, enum aggregate_op part,
                                 enum aggregate_op of_parts)
{
    struct planner *p = n->p;
    struct expr *all = plan_fetched(p, n->e, set);
    all = n->numbered ? pushed_aggregate_over(n, of_parts, all) : all; /* several may have the same labels */
    for (size_t g = 0; g < p->n_groups; g++) {
        if (!n->v->routed[g] || n->choices[g].server != PLAN_NO_SERVER)
            continue;
        struct expr *here = plan_part_here(p, n->e, n->v, g);
        if (here->kind == EXPR_AGGREGATE)
            here->u.aggregate.op = part;
        all = plan_or(p, all, n->numbered ? plan_number_part(p, here, g + 1) : here);
    }
    return all;
}

/* The aggregation of parts, which are in `set`. */
static struct expr *pushed_aggregate(const struct pushed_node *n, enum aggregate_op part, enum aggregate_op of_parts,
                                     struct series_set *set)
{
    struct arena *a = n->p->arena;
    struct expr *node = pushed_aggregate_over(n, of_parts, pushed_unite(n, set, part, of_parts));
    if (n->numbered && node->u.aggregate.without) {
        size_t had = node->u.aggregate.n_labels;
        struct str *labels = ARENA_ARRAY(a, struct str, had + 1);
        for (size_t i = 0; i < had; i++)
            labels[i] = node->u.aggregate.labels[i];
        labels[had] = STR(PLAN_PART_LABEL);
        node->u.aggregate.labels = labels;
        node->u.aggregate.n_labels = had + 1;
    }
    return node;
}

/* sum(sums) / sum(counts), which have the same label sets. */
static struct expr *pushed_divide(const struct pushed_node *n, struct series_set *sets)
{
    struct planner *p = n->p;
    struct expr *node = ARENA_NEW(p->arena, struct expr);
    *node = (struct expr){.kind = EXPR_BINARY, .type = VALUE_VECTOR, .pos = n->e->pos, .end = n->e->end};
    node->u.binary.op = OP_DIV;
    node->u.binary.left = pushed_aggregate(n, AGG_SUM, AGG_SUM, &sets[0]);
    node->u.binary.right = pushed_aggregate(n, AGG_COUNT, AGG_SUM, &sets[1]);
    node->u.binary.matching = ARENA_NEW(p->arena, struct matching);
    return plan_paren(p, node); /* not an operation of the chain around it */
}

/* The sets are arrays of the piece that must not move: pieces grow, so that each run has its own. */
struct expr *plan_pushed(struct planner *p, const struct expr *e, const struct plan_value *v,
                         const struct plan_choice *choices, const struct grid *steps)
{
    size_t at = plan_add_piece(p, e, v, choices, steps), here = 0;
    struct series_set *sets = ARENA_ARRAY(p->arena, struct series_set, 2);
    struct pushed_node n = {.p = p, .e = e, .v = v, .choices = choices};
    for (size_t g = 0; g < p->n_groups; g++)
        here += v->routed[g] && choices[g].server == PLAN_NO_SERVER;
    n.numbered = here > 0 && v->kind == PLAN_PARTS && !plan_selects_series(e->u.aggregate.op);
    p->plan->pieces[at].sets = sets;
    if (v->kind != PLAN_PARTS)
        return pushed_unite(&n, &sets[0], e->kind == EXPR_AGGREGATE ? e->u.aggregate.op : AGG_SUM, AGG_SUM);
    if (p->plan->pieces[at].average)
        return pushed_divide(&n, sets);
    return pushed_aggregate(&n, e->u.aggregate.op, aggregate_of_parts(e->u.aggregate.op), &sets[0]);
}
