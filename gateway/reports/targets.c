// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/targets.h"

#include "gateway/query/render.h"

struct targets_merge {
    const struct report_set *set;
    struct query_work *work;
    struct err *err;
    struct target_list *list;
    struct map *known;               /* of list */
};

static int target_health_rank(const struct json_value *target)
{
    struct str health = json_value_text(json_value_get(target, "health"));
    return str_is(health, "up") ? 2 : str_is(health, "down") ? 1 : 0;
}

/* id: the labels that identify it besides pool and URL. */
static void target_put(struct targets_merge *m, const struct report *r, const struct json_value *v, struct labels id,
                       struct labels all)
{
    struct arena *a = m->set->q->arena;
    struct str pool = json_value_text(json_value_get(v, "scrapePool"));
    struct str parts[] = {pool, json_value_text(json_value_get(v, "scrapeUrl")), report_labels_text(id)};
    bool added;
    struct map_entry *e = map_add(m->known, report_key(a, r->group, parts, LEN(parts)), &added);
    if (added) {
        e->value.u = m->list->n;
        arena_grow(a, &m->list->items, &m->list->cap, m->list->n + 1, sizeof *m->list->items);
        m->list->items[m->list->n++] = (struct merged_target){.base = v, .labels = all, .pool = pool};
    }
    struct merged_target *t = &m->list->items[e->value.u];
    if (!added && target_health_rank(v) > target_health_rank(t->base))
        t->base = v;
    report_servers_add(a, &t->servers, r);
}

static bool targets_merge_list(struct targets_merge *m, const char *list, const char *identity)
{
    for (size_t i = 0; i < m->set->n; i++) {
        const struct report *r = &m->set->items[i];
        for (const struct json_value *v = json_value_items(json_value_get(r->data, list)); v; v = v->next) {
            struct labels own, all;
            if (!query_charge(m->work, QUERY_CHARGE_WRITE, m->err))
                return false;
            if (report_labels(m->set, r, json_value_get(v, identity), &own, &all))
                target_put(m, r, v, own, all);
        }
    }
    return true;
}

/* The number of pools is small. */
static void targets_count_dropped(struct dropped_counts *counts, struct arena *a, const struct report *r,
                                  const struct json_value *pool)
{
    double n = json_value_number(pool);
    uint64_t count = n > 0 && n < 1e15 ? (uint64_t)n : 0;
    for (size_t i = 0; i < counts->n; i++)
        if (counts->items[i].group == r->group && str_eq(counts->items[i].pool, pool->key)) {
            counts->items[i].n = count > counts->items[i].n ? count : counts->items[i].n;
            return;
        }
    arena_grow(a, &counts->items, &counts->cap, counts->n + 1, sizeof *counts->items);
    counts->items[counts->n++] = (struct dropped_count){pool->key, r->group, count};
}

bool targets_merge(const struct report_set *set, struct target_list *active, struct target_list *dropped,
                   struct dropped_counts *counts, struct query_work *work, struct err *err)
{
    struct targets_merge m = {.set = set, .work = work, .err = err, .list = active, .known = report_map(set->q->arena)};
    *active = *dropped = (struct target_list){0};
    *counts = (struct dropped_counts){0};
    if (!targets_merge_list(&m, "activeTargets", "labels"))
        return false;
    m.list = dropped;
    m.known = report_map(set->q->arena);
    if (!targets_merge_list(&m, "droppedTargets", "discoveredLabels"))
        return false;
    for (size_t i = 0; i < set->n; i++) {
        const struct json_value *pools = json_value_get(set->items[i].data, "droppedTargetCounts");
        for (const struct json_value *v = json_value_items(pools); v; v = v->next) {
            if (!query_charge(work, 16 * counts->n + 1, err))
                return false;
            targets_count_dropped(counts, set->q->arena, &set->items[i], v);
        }
    }
    return true;
}

void target_write(struct json_writer *w, const struct merged_target *t, bool active)
{
    json_begin_object(w);
    for (const struct json_value *m = json_value_items(t->base); m; m = m->next) {
        if (report_servers_key(m->key))
            continue;
        json_key_str(w, m->key);
        if (active && str_is(m->key, "labels"))
            render_labels(w, t->labels);
        else
            json_value_write(w, m);
    }
    report_servers_write(w, &t->servers);
    json_end_object(w);
}
