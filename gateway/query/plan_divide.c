// SPDX-License-Identifier: Apache-2.0
/* Divides groups for steps for which none of their servers is complete.
 *
 * Where each replica missed other targets, none of them has everything, but each target is complete on one of them.
 * The series of the group are then divided by the values of a label that identifies targets (env.divide), and the node
 * is planned again with the parts in place of the group:
 *
 *   the rest     everything but the others: the targets that one server has at all steps
 *   each         targets of which some server has each step, though not always the same
 *   lacking      targets that no server has at some steps
 *
 * A part is a group like the original one, whose view injects a matcher on that label. No two parts have series with the
 * same value of it, so that parts are to the planner what groups are that a label distinguishes: sums are aggregated
 * again, by (instance) is the union of the parts. The same holds for the targets within `each` and `lacking`: each of
 * their servers evaluates the node by target, and for each target and step the value of one of them counts.
 *
 * A group that cannot be divided is planned beside the others all the same: it alone is evaluated here.
 *
 * Which servers are complete for a part is decided by its own gaps, as for a group. So the division decides what can be
 * pushed, and never what is complete.
 */
#include "gateway/query/plan_internal.h"

enum { PLAN_MAX_PART_REQUESTS = 64 }; /* of a node; beyond it, reading raw samples is cheaper */

struct part_list { struct plan_group *groups; size_t *numbers; struct plan_part *parts; size_t n; };

static struct plan_group *part_add(struct part_list *l, const struct plan_group *group, size_t number, struct plan_part part)
{
    l->groups[l->n] = *group;
    l->numbers[l->n] = number;
    l->parts[l->n] = part;
    return &l->groups[l->n++];
}

/* A copy of the view that adds this matcher to every selector. */
static const struct label_view *part_view(struct arena *a, const struct label_view *of, const struct matcher *m)
{
    struct label_view *v = ARENA_NEW(a, struct label_view);
    struct matcher *injected = ARENA_ARRAY(a, struct matcher, of->n_injected + 1);
    for (size_t i = 0; i < of->n_injected; i++)
        injected[i] = of->injected[i];
    injected[of->n_injected] = *m;
    *v = *of;
    v->injected = injected;
    v->n_injected++;
    return v;
}

static bool part_list_divide(struct planner *p, const struct plan_value *v, size_t g, const struct grid *steps,
                             struct plan_division *out)
{
    struct plan_read *reads = ARENA_ARRAY(p->arena, struct plan_read, v->n_needs);
    size_t n = 0;
    if (!v->routed[g] || p->groups[g].n_servers < 2)
        return false;
    for (size_t i = 0; i < v->n_needs; i++) {
        const struct plan_need *need = &v->needs[i];
        const struct expr *s = need->selector;
        if (view_route(p->views[g], p->arena, s->u.selector.matchers, s->u.selector.n_matchers, &reads[n].matchers, &reads[n].n)) {
            reads[n].from = need->from + (need->fixed ? 0 : steps->start);
            reads[n++].to = need->to + (need->fixed ? 0 : grid_end(steps));
        }
    }
    return p->env->divide(p->env->arg, p->numbers[g], reads, n, out) && !view_touches(p->views[g], out->label);
}

/* False: the values cannot be selected. */
static bool part_list_add(struct planner *p, struct part_list *l, size_t g, struct str label,
                          const struct plan_value_list *values, bool negative)
{
    struct matcher m;
    if (values->n == 0)
        return true;
    if (!p->env->match(p->env->arg, label, values->items, values->n, negative, &m))
        return false;
    struct plan_part part = {label, values->items, negative ? 0 : values->n};
    part_add(l, &p->groups[g], p->numbers[g], part)->view = part_view(p->arena, p->views[g], &m);
    return true;
}

/* False: the group need not, or cannot, be divided by these values. */
static bool part_list_add_all(struct planner *p, struct part_list *l, const struct plan_value *v, size_t g,
                              const struct grid *steps, const struct plan_division *d)
{
    struct plan_value_list each, lacking;
    size_t before = l->n;
    plan_sort_values(p, v, steps, g, d, &each, &lacking);
    struct plan_value_list all = {ARENA_ARRAY(p->arena, struct str, each.n + lacking.n), 0};
    for (size_t i = 0; i < each.n; i++)
        all.items[all.n++] = each.items[i];
    for (size_t i = 0; i < lacking.n; i++)
        all.items[all.n++] = lacking.items[i];
    if (all.n > 0 && part_list_add(p, l, g, d->label, &all, true) && part_list_add(p, l, g, d->label, &each, false) &&
        part_list_add(p, l, g, d->label, &lacking, false))
        return true;
    l->n = before;
    return false;
}

/* The groups of p, some of them divided. *label: by which of their labels; empty: none is. */
static struct part_list part_list_of(struct planner *p, const struct plan_value *v, const struct grid *steps,
                                     struct str *label)
{
    size_t most = p->n_groups * PLAN_PARTS_OF_GROUP;
    struct part_list l = {.groups = ARENA_ARRAY(p->arena, struct plan_group, most),
                          .numbers = ARENA_ARRAY(p->arena, size_t, most),
                          .parts = ARENA_ARRAY(p->arena, struct plan_part, most)};
    *label = STR_NONE;
    for (size_t g = 0; g < p->n_groups; g++) {
        struct plan_division division = {0};
        if (part_list_divide(p, v, g, steps, &division) && part_list_add_all(p, &l, v, g, steps, &division))
            *label = division.label;
        else
            part_add(&l, &p->groups[g], p->numbers[g], (struct plan_part){0});
    }
    return l;
}

struct expr *plan_divided(struct planner *p, const struct expr *e, const struct plan_value *v, const struct grid *steps,
                          const char *why)
{
    struct plan *plan = p->plan;
    size_t n_pieces = plan->n_pieces, n_requests = plan->n_requests, n_decisions = plan->n_decisions;
    struct str label;
    if (p->parts || p->env->divide == NULL)
        return NULL;
    struct part_list l = part_list_of(p, v, steps, &label);
    if (label.n == 0 && v->n_routed < 2)
        return NULL;
    struct planner parts = {.arena = p->arena, .env = p->env, .groups = l.groups, .n_groups = l.n, .numbers = l.numbers,
                            .parts = l.parts, .plan = plan, .question = p->question, .older = p->older};
    struct expr *copy = expr_rewrite(&(struct expr_rewriter){.arena = p->arena}, (struct expr *)(uintptr_t)e);
    plan_decide(p, e, PLAN_LOCAL, label.n ? plan_why(p, "its series are divided by the label %.*s: %s", STR_ARG(label), why)
                                          : plan_why(p, "its server groups are planned apart: %s", why));
    plan_names_init(&parts);
    plan_cut(&parts, &copy, steps);
    if (plan->n_requests > n_requests && plan->n_requests <= n_requests + PLAN_MAX_PART_REQUESTS)
        return copy;
    plan->n_pieces = n_pieces;
    plan->n_requests = n_requests;
    plan->n_decisions = n_decisions;
    return NULL;
}
