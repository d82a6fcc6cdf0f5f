// SPDX-License-Identifier: Apache-2.0
/* A lane's part of a set of rules: samples of a series to the rules that match it. */
#include "writer/aggregate/aggregate_internal.h"

/* --- counts ------------------------------------------------------------------------------------------------------- */

const double aggregate_bounds[AGGREGATE_BOUNDS] = {0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800};

void aggregate_observe(struct aggregate_histogram *h, int64_t ns)
{
    unsigned at = 0;
    while (at < AGGREGATE_BOUNDS && (double)ns > aggregate_bounds[at] * 1e9)
        at++;
    aggregate_count(&h->buckets[at], 1);
    aggregate_count(&h->sum_ns, (uint64_t)ns);
}

/* --- make and free ------------------------------------------------------------------------------------------------ */

static void aggregate_part_clear(struct aggregate_part *p)
{
    table_init(&p->inputs, p->layout.input_size);
    table_init(&p->groups, sizeof(struct aggregate_output_group) + p->layout.words * sizeof(union aggregate_word));
    p->dead_inputs = p->dead_groups = p->swept_inputs = p->swept_groups = TABLE_NONE;
}

struct aggregate *aggregate_new(const struct aggregate_rule *const *rules, struct aggregate_counts *const *counts,
                                size_t n, unsigned lane, unsigned n_lanes, int64_t now)
{
    struct aggregate *a = mem_zalloc(sizeof *a);
    a->lane = lane;
    a->n_lanes = n_lanes < AGGREGATE_MOST_LANES ? n_lanes : AGGREGATE_MOST_LANES;
    aggregate_routes_init(a);
    arena_init(&a->scratch, 0);
    a->builder.scratch = &a->scratch;
    a->parts = mem_zalloc((n + 1) * sizeof *a->parts);
    a->n_parts = n;
    a->own_counts = counts ? NULL : mem_zalloc((n + 1) * sizeof *a->own_counts);
    for (size_t i = 0; i < n; i++) {
        struct aggregate_part *p = &a->parts[i];
        p->rule = rules[i];
        p->counts = counts ? counts[i] : &a->own_counts[i];
        aggregate_layout_init(&p->layout, rules[i]);
        aggregate_part_clear(p);
    }
    a->direct = n == 1 && a->parts[0].layout.inputs && rules[0]->drop_input_labels.n == 0 &&
                rules[0]->input_relabel.n == 0;
    aggregate_parts_start(a, now);
    return a;
}

static void aggregate_part_free(struct aggregate_part *p)
{
    for (uint32_t at = 0; at < p->groups.used; at++) {
        const struct aggregate_output_group *g = table_at(&p->groups, at);
        if (g->id != 0 && (g->flags & GROUP_DEAD) == 0)
            aggregate_group_free(p, at);
    }
    table_free(&p->groups);
    table_free(&p->inputs);
}

void aggregate_free(struct aggregate *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n_parts; i++)
        aggregate_part_free(&a->parts[i]);
    mem_free(a->parts);
    mem_free(a->own_counts);
    aggregate_routes_free(a);
    builder_free(&a->builder);
    arena_free(&a->scratch);
    buf_free(&a->out);
    buf_free(&a->text);
    mem_free(a);
}

/* --- reload ------------------------------------------------------------------------------------------------------- */

static bool aggregate_same_rules(const struct aggregate *a, const struct aggregate *b)
{
    bool same = a->n_parts == b->n_parts;
    for (size_t i = 0; i < a->n_parts && same; i++)
        same = a->parts[i].rule->identity == b->parts[i].rule->identity;
    return same;
}

static void aggregate_part_adopt(struct aggregate_part *p, struct aggregate_part *old)
{
    const struct aggregate_part own = *p;
    *p = *old;
    p->rule = own.rule;
    p->counts = own.counts;
    p->adopted = true;
    aggregate_part_clear(old);
}

void aggregate_adopt(struct aggregate *a, struct aggregate *old)
{
    if (aggregate_same_rules(a, old))
        aggregate_routes_adopt(a, old);
    else
        aggregate_routes_forget(old);
    for (size_t i = 0; i < a->n_parts; i++) {
        size_t k = 0;
        while (k < old->n_parts && old->parts[k].rule->identity != a->parts[i].rule->identity)
            k++;
        if (k == old->n_parts)
            continue;
        aggregate_part_adopt(&a->parts[i], &old->parts[k]);
        memmove(&old->parts[k], &old->parts[k + 1], (--old->n_parts - k) * sizeof *old->parts);
    }
    aggregate_note_dead(a);
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

struct aggregate_match aggregate_find(struct aggregate *a, struct labels labels, uint64_t *hash)
{
    return aggregate_find_near(a, labels, hash, &a->near);
}

void aggregate_add_samples(struct aggregate *a, uint32_t route, const struct sample *samples, size_t n, int64_t now)
{
    aggregate_receive_route(a, route, samples, n, now, false);
}

void aggregate_push_sent(struct aggregate *a, struct labels labels, uint64_t hash, const struct sample *samples,
                         size_t n, int64_t now, bool adopted)
{
    struct aggregate_match m = aggregate_find_near(a, labels, &hash, &a->near_sent);
    if (m.route != AGGREGATE_NO_ROUTE)
        aggregate_receive_route(a, m.route, samples, n, now, adopted);
}

size_t aggregate_rule_count(const struct aggregate *a) { return a->n_parts; }
const struct aggregate_rule *aggregate_rule_at(const struct aggregate *a, size_t rule) { return a->parts[rule].rule; }
const struct aggregate_counts *aggregate_counts(const struct aggregate *a, size_t rule)
{
    return a->parts[rule].counts;
}
