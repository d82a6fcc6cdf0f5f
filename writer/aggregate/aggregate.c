// SPDX-License-Identifier: Apache-2.0
/* A lane's part of a set of rules: samples of a series to the rules that match it. */
#include "writer/aggregate/aggregate_internal.h"

struct aggregate *aggregate_new(const struct aggregate_rule *const *rules, size_t n, unsigned lane, unsigned n_lanes, int64_t now)
{
    struct aggregate *a = mem_zalloc(sizeof *a);
    a->lane = lane;
    a->n_lanes = n_lanes < AGGREGATE_MOST_LANES ? n_lanes : AGGREGATE_MOST_LANES;
    a->free_link = TABLE_NONE;
    table_init(&a->routes, sizeof(struct aggregate_route));
    arena_init(&a->scratch, 0);
    a->builder.scratch = &a->scratch;
    a->parts = mem_zalloc((n + 1) * sizeof *a->parts);
    a->n_parts = n;
    for (size_t i = 0; i < n; i++) {
        struct aggregate_part *p = &a->parts[i];
        p->rule = rules[i];
        aggregate_layout_init(&p->layout, rules[i]);
        table_init(&p->inputs, p->layout.input_size);
        table_init(&p->groups, sizeof(struct aggregate_output_group) + p->layout.words * sizeof(union aggregate_word));
        p->dead_inputs = p->dead_groups = p->swept_inputs = p->swept_groups = TABLE_NONE;
    }
    aggregate_parts_start(a, now);
    return a;
}

void aggregate_free(struct aggregate *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n_parts; i++) {
        struct aggregate_part *p = &a->parts[i];
        for (uint32_t at = 0; at < p->groups.used; at++)
            if (table_id(&p->groups, at) != 0 && (((struct aggregate_output_group *)table_at(&p->groups, at))->flags & GROUP_DEAD) == 0)
                aggregate_group_free(p, at);
        table_free(&p->groups);
        table_free(&p->inputs);
    }
    mem_free(a->parts);
    table_free(&a->routes);
    mem_free(a->links);
    builder_free(&a->builder);
    arena_free(&a->scratch);
    buf_free(&a->out);
    buf_free(&a->text);
    mem_free(a);
}

bool aggregate_push(struct aggregate *a, struct labels labels, const struct sample *samples, size_t n, int64_t now,
                    uint64_t *others)
{
    struct aggregate_route *route = aggregate_route_series(a, labels);
    *others = 0;
    if (route == NULL)
        return false;
    for (uint32_t at = route->link; at != TABLE_NONE; at = a->links[at].next) {
        const struct aggregate_link *link = &a->links[at];
        if (link->owner == a->lane)
            aggregate_receive(&a->parts[link->rule], link->at, samples, n, now);
        else
            *others |= UINT64_C(1) << link->owner;
    }
    return route->matched;
}

void aggregate_push_sent(struct aggregate *a, struct labels labels, const struct sample *samples, size_t n, int64_t now)
{
    uint64_t others;
    aggregate_push(a, labels, samples, n, now, &others);
}

size_t aggregate_rule_count(const struct aggregate *a) { return a->n_parts; }
const struct aggregate_rule *aggregate_rule_at(const struct aggregate *a, size_t rule) { return a->parts[rule].rule; }
const struct aggregate_counts *aggregate_counts(const struct aggregate *a, size_t rule) { return &a->parts[rule].counts; }
