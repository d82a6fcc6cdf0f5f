// SPDX-License-Identifier: Apache-2.0
/* Which destinations have the series that a selector may select, where `shard: {labels: [...]}` distributes series by some
 * of their labels: those that the hash of these labels chooses, as for the series when it was sent (pipeline/sharding.h).
 * A destination whose own rules or labels change them behind the placement is not known by it. */
#include "base/refs.h"
#include "writer/topology.h"

#include <stdlib.h>

struct placement {
    struct refs refs;
    struct arena arena;
    struct sharding_conf conf;     /* labels: those that are hashed, ascending, each once */
    struct sharding sharding;
    struct str_list names;         /* of the destinations; empty: it has none, or changes these labels */
    unsigned *slots;               /* topology_slot of each */
};

static int placement_compare(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str_list placement_sorted(struct arena *a, const struct str_list *from)
{
    struct str_list to = {ARENA_ARRAY(a, struct str, from->n), 0};
    for (size_t i = 0; i < from->n; i++)
        to.items[i] = arena_str(a, from->items[i]);
    qsort(to.items, from->n, sizeof *to.items, placement_compare);
    for (size_t i = 0; i < from->n; i++)
        if (i == 0 || !str_eq(to.items[i], to.items[to.n - 1]))
            to.items[to.n++] = to.items[i];
    return to;
}

static bool placement_is_changed(const struct placement *p, const struct destination_conf *c)
{
    bool changed = c->write_relabel_configs.n > 0;
    for (size_t i = 0; i < p->conf.labels.n; i++)
        for (size_t k = 0; k < c->extra_labels.n; k++)
            changed = changed || str_eq(p->conf.labels.items[i], c->extra_labels.keys[k]);
    return changed;
}

struct placement *writer_placement_new(const struct writer_plan *plan)
{
    if (plan->sharding == NULL || plan->sharding->labels.n == 0 || plan->n == 0 || plan->n > SHARDING_MAX)
        return NULL;
    struct placement *p = mem_zalloc(sizeof *p);
    refs_init(&p->refs);
    arena_init(&p->arena, 0);
    topology_init_sharding(&p->sharding, plan);
    p->conf = (struct sharding_conf){.hash = plan->sharding->hash, .replicas = plan->sharding->replicas,
                                     .labels = placement_sorted(&p->arena, &plan->sharding->labels)};
    p->sharding.conf = &p->conf;
    p->names = (struct str_list){ARENA_ARRAY(&p->arena, struct str, plan->n), plan->n};
    p->slots = ARENA_ARRAY(&p->arena, unsigned, plan->n);
    for (size_t i = 0; i < plan->n; i++)
        p->slots[i] = topology_slot(plan, i);
    for (size_t i = 0; i < plan->n; i++)
        p->names.items[i] = placement_is_changed(p, &plan->destinations[i])
                                ? STR("") : arena_str(&p->arena, plan->destinations[i].name);
    return p;
}

struct placement *writer_placement_ref(struct placement *p)
{
    refs_take(&p->refs);
    return p;
}

void writer_placement_unref(struct placement *p)
{
    if (p == NULL || !refs_drop(&p->refs))
        return;
    arena_free(&p->arena);
    mem_free(p);
}

static bool placement_same_list(const struct str_list *a, const struct str_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = str_eq(a->items[i], b->items[i]);
    return same;
}

bool writer_placement_equal(const struct placement *a, const struct placement *b)
{
    bool same = a->conf.hash == b->conf.hash && a->conf.replicas == b->conf.replicas &&
                placement_same_list(&a->conf.labels, &b->conf.labels) && placement_same_list(&a->names, &b->names);
    for (size_t i = 0; same && i < a->names.n; i++)
        same = a->slots[i] == b->slots[i] && a->sharding.nodes[a->slots[i]] == b->sharding.nodes[a->slots[i]];
    return same;
}

struct str_list writer_placement_labels(const struct placement *p) { return p->conf.labels; }

uint64_t writer_placement_bit(const struct placement *p, struct str destination)
{
    for (size_t i = 0; destination.n > 0 && i < p->names.n; i++)
        if (str_eq(p->names.items[i], destination))
            return UINT64_C(1) << p->slots[i];
    return 0;
}

uint64_t writer_placement_of(const struct placement *p, const struct str *values)
{
    struct buf key = {0};
    for (size_t i = 0; i < p->conf.labels.n; i++)
        if (values[i].n > 0)
            sharding_key_add(&p->sharding, &key, p->conf.labels.items[i], values[i]);
    uint64_t set = sharding_of_key(&p->sharding, buf_str(&key));
    buf_free(&key);
    return set;
}
