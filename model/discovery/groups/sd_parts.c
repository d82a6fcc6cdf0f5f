// SPDX-License-Identifier: Apache-2.0
#include "model/discovery/groups/sd_parts.h"

#include "base/hash.h"
#include "base/text/duration.h"

/* 50,000 targets are 12 to a part. */
enum { SD_PARTS = 4096 };

/* What a list has in a part. digest: a sum over its targets, whatever their order; first, n: of the units. */
struct sd_share { uint64_t digest; uint32_t id, first, n; };
struct sd_unit { uint32_t group, target; };
struct sd_layout { struct sd_share *shares; size_t n; struct sd_unit *units; /* all targets, by part */ };

/* set: the number of the last list that has it. */
struct sd_part { uint64_t id, set; struct sd_share share; struct list changed; };

void sd_parts_init(struct sd_parts *p)
{
    *p = (struct sd_parts){0};
    list_init(&p->changed);
}

static uint64_t unit_hash_add(uint64_t sum, struct str s)
{
    return (sum ^ hash_keyed(s.p, s.n)) * UINT64_C(0x9e3779b97f4a7c15) + s.n;
}

static uint64_t group_hash(const struct static_group *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->labels.n; i++)
        sum = unit_hash_add(unit_hash_add(sum, g->labels.keys[i]), g->labels.values[i]);
    return sum;
}

/* The same in every process, so that targets are visited in the same order. */
static size_t address_part(struct str address) { return hash_bytes(address.p, address.n) % SD_PARTS; }

static size_t groups_count(const struct sd_groups *groups)
{
    size_t n = 0;
    for (size_t i = 0; i < groups->n; i++)
        n += groups->items[i].targets.n;
    return n;
}

static void layout_count(struct sd_share *shares, const struct sd_groups *groups)
{
    for (size_t i = 0; i < groups->n; i++) {
        const struct static_group *g = &groups->items[i];
        uint64_t labels = group_hash(g);
        for (size_t k = 0; k < g->targets.n; k++) {
            struct sd_share *share = &shares[address_part(g->targets.items[k])];
            share->digest += unit_hash_add(labels, g->targets.items[k]);
            share->n++;
        }
    }
}

/* Returns the number of parts with targets. */
static size_t layout_begin_parts(struct sd_share *shares)
{
    uint32_t first = 0;
    size_t n = 0;
    for (uint32_t i = 0; i < SD_PARTS; i++) {
        n += shares[i].n > 0;
        shares[i].id = i;
        shares[i].first = first;
        first += shares[i].n;
        shares[i].n = 0;
    }
    return n;
}

static void layout_place(struct sd_unit *units, struct sd_share *shares, const struct sd_groups *groups)
{
    for (size_t i = 0; i < groups->n; i++)
        for (size_t k = 0; k < groups->items[i].targets.n; k++) {
            struct sd_share *share = &shares[address_part(groups->items[i].targets.items[k])];
            units[share->first + share->n++] = (struct sd_unit){(uint32_t)i, (uint32_t)k};
        }
}

/* Groups take 256 MiB at most, so there are far less than 2^32 targets. */
void sd_parts_lay_out(struct sd_groups *groups)
{
    struct sd_layout *l = ARENA_NEW(&groups->arena, struct sd_layout);
    struct sd_share *all = mem_zalloc(SD_PARTS * sizeof *all);
    layout_count(all, groups);
    l->shares = ARENA_ARRAY(&groups->arena, struct sd_share, layout_begin_parts(all));
    l->units = ARENA_ARRAY(&groups->arena, struct sd_unit, groups_count(groups));
    layout_place(l->units, all, groups);
    for (size_t i = 0; i < SD_PARTS; i++)
        if (all[i].n > 0)
            l->shares[l->n++] = all[i];
    mem_free(all);
    groups->layout = l;
}

static struct sd_part *parts_get(struct sd_parts *p, uint64_t id)
{
    bool added;
    struct map_entry *e = map_add(&p->parts, str_n(&id, sizeof id), &added);
    if (!added)
        return e->value.p;
    struct sd_part *part = mem_zalloc(sizeof *part);
    part->id = id;
    e->key = str_n(&part->id, sizeof part->id);
    e->value.p = part;
    return part;
}

static void part_note_change(struct sd_parts *p, struct sd_part *part)
{
    if (!list_linked(&part->changed))
        list_push_back(&p->changed, &part->changed);
}

/* Changed parts are visited in the order in which they changed. */
void sd_parts_set(struct sd_parts *p, struct sd_groups *groups)
{
    if (groups->layout == NULL)
        sd_parts_lay_out(groups);
    sd_groups_unref(p->groups);
    p->groups = groups;
    p->sets++;
    for (size_t i = 0; i < groups->layout->n; i++) {
        const struct sd_share *share = &groups->layout->shares[i];
        struct sd_part *part = parts_get(p, share->id);
        if (part->share.digest != share->digest || part->share.n != share->n)
            part_note_change(p, part);
        part->share = *share;
        part->set = p->sets;
    }
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e)) {
        struct sd_part *part = e->value.p;
        if (part->set == p->sets || part->share.n == 0)
            continue;
        part->share = (struct sd_share){0};
        part_note_change(p, part);
    }
}

static void part_free(struct sd_parts *p, struct sd_part *part)
{
    map_remove(&p->parts, str_n(&part->id, sizeof part->id));
    mem_free(part);
}

static void sd_part_visit(struct sd_parts *p, struct sd_part *part, sd_part_fn *visit, void *arg)
{
    if (part->share.n == 0) {
        visit(arg, part, NULL);
        part_free(p, part);
        return;
    }
    struct sd_groups *view = sd_groups_view(p->groups, part->share.n);
    for (size_t i = 0; i < part->share.n; i++) {
        struct sd_unit u = p->groups->layout->units[part->share.first + i];
        const struct static_group *g = &p->groups->items[u.group];
        view->items[i] = (struct static_group){{&g->targets.items[u.target], 1}, g->labels};
    }
    visit(arg, part, view);
    sd_groups_unref(view);
}

void sd_parts_settle(struct sd_parts *p)
{
    for (struct list *n; (n = list_pop_front(&p->changed)) != NULL;) {
        struct sd_part *part = CONTAINER(n, struct sd_part, changed);
        if (part->share.n == 0)
            part_free(p, part);
    }
}

void sd_parts_visit(struct sd_parts *p, sd_part_fn *visit, void *arg)
{
    sd_parts_settle(p);
    for (size_t i = 0; p->groups && i < p->groups->layout->n; i++)
        sd_part_visit(p, parts_get(p, p->groups->layout->shares[i].id), visit, arg);
}

void sd_parts_visit_changed(struct sd_parts *p, int64_t until, sd_part_fn *visit, void *arg)
{
    for (struct list *n; (n = list_pop_front(&p->changed)) != NULL;) {
        sd_part_visit(p, CONTAINER(n, struct sd_part, changed), visit, arg);
        if (clock_mono_ns() >= until)
            return;
    }
}

void sd_parts_free(struct sd_parts *p)
{
    for (struct map_entry *e = map_next(&p->parts, NULL); e; e = map_next(&p->parts, e))
        mem_free(e->value.p);
    map_free(&p->parts);
    sd_groups_unref(p->groups);
}
