// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/plan_internal.h"

static size_t plan_name_index(const struct planner *p, struct str name)
{
    size_t i = 0;
    while (i < p->n_names && !str_eq(p->names[i], name))
        i++;
    return i;
}

static bool plan_add_name(struct planner *p, struct str name)
{
    if (plan_name_index(p, name) < p->n_names)
        return true;
    p->too_many_names = p->n_names == PLAN_NAMES_MAX;
    if (!p->too_many_names)
        p->names[p->n_names++] = name;
    return !p->too_many_names;
}

static const struct label_view *plan_view_of_group(const struct planner *p, const struct plan_group *group)
{
    if (group->view)
        return group->view;
    struct label_view *v = ARENA_NEW(p->arena, struct label_view);
    *v = view_of_labels(p->arena, group->labels);
    return v;
}

static struct str plan_divided_by(const struct planner *p, size_t group)
{
    return p->parts ? p->parts[group].label : STR_NONE;
}

bool plan_is_part(const struct planner *p, size_t group) { return plan_divided_by(p, group).n > 0; }

size_t plan_part_values(const struct planner *p, size_t group) { return p->parts ? p->parts[group].n : 0; }

void plan_names_init(struct planner *p)
{
    p->names = ARENA_ARRAY(p->arena, struct str, PLAN_NAMES_MAX);
    p->views = ARENA_ARRAY(p->arena, const struct label_view *, p->n_groups);
    for (size_t g = 0; g < p->n_groups; g++) {
        const struct label_view *v = p->views[g] = plan_view_of_group(p, &p->groups[g]);
        for (size_t i = 0; i < v->n && !p->too_many_names; i++)
            (void)(plan_add_name(p, v->items[i].name) &&
                   (v->items[i].from != VIEW_LABEL || plan_add_name(p, v->items[i].of)));
        if (plan_is_part(p, g))
            (void)plan_add_name(p, plan_divided_by(p, g));
    }
}

plan_names plan_names_of(const struct planner *p, const struct str *items, size_t n)
{
    plan_names found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = plan_name_index(p, items[i]);
        found |= at < p->n_names ? (plan_names)1 << at : 0;
    }
    return found;
}

plan_names plan_names_of_group(const struct planner *p, size_t group)
{
    struct str divided_by = plan_divided_by(p, group);
    plan_names found = plan_names_of(p, &divided_by, 1);
    for (size_t i = 0; i < p->n_names; i++)
        found |= view_touches(p->views[group], p->names[i]) ? (plan_names)1 << i : 0;
    return found;
}

plan_names plan_names_of_groups(const struct planner *p, const struct plan_value *v)
{
    plan_names found = 0;
    for (size_t g = 0; g < p->n_groups; g++)
        found |= v->routed[g] ? plan_names_of_group(p, g) : 0;
    return found;
}

static bool plan_two_apart(const struct planner *p, size_t first, size_t second, plan_names names)
{
    const struct label_view *a = p->views[first], *b = p->views[second];
    struct str divided_by = plan_divided_by(p, first);
    if (p->numbers[first] == p->numbers[second])
        return (names & plan_names_of(p, &divided_by, 1)) != 0;
    for (size_t i = 0; i < p->n_names; i++) {
        const struct view_label *x = view_find(a, p->names[i]), *y = view_find(b, p->names[i]);
        if (names >> i & 1 && x && y && x->from == VIEW_CONSTANT && y->from == VIEW_CONSTANT && !str_eq(x->of, y->of))
            return true;
    }
    return false;
}

bool plan_apart(const struct planner *p, const struct plan_value *v, plan_names names)
{
    for (size_t a = 0; a < p->n_groups; a++) {
        if (v->routed[a] && plan_part_values(p, a) > 0 && !plan_two_apart(p, a, a, names)) /* its targets */
            return false;
        for (size_t b = a + 1; v->routed[a] && b < p->n_groups; b++)
            if (v->routed[b] && !plan_two_apart(p, a, b, names))
                return false;
    }
    return true;
}

bool plan_has_other_groups(const struct planner *p, const struct plan_value *v, size_t group)
{
    for (size_t g = 0; g < p->n_groups; g++)
        if (v->routed[g] && p->numbers[g] != p->numbers[group])
            return true;
    return false;
}

const struct view_label *plan_label_of_group(const struct planner *p, const struct plan_value *v, size_t group)
{
    for (size_t i = 0; i < p->n_names; i++) {
        const struct view_label *own = view_find(p->views[group], p->names[i]);
        bool alone = own && own->from == VIEW_CONSTANT;
        for (size_t g = 0; alone && g < p->n_groups; g++)
            alone = !v->routed[g] || p->numbers[g] == p->numbers[group] ||
                    plan_two_apart(p, group, g, (plan_names)1 << i);
        if (alone)
            return own;
    }
    return NULL;
}

struct label_view plan_view_of(const struct planner *p, size_t group, plan_names present)
{
    const struct label_view *v = p->views[group];
    struct view_label *items = ARENA_ARRAY(p->arena, struct view_label, p->n_names);
    struct label_view out = {.items = items};
    for (size_t i = 0; i < p->n_names; i++) {
        const struct view_label *item = view_find(v, p->names[i]);
        if (!view_touches(v, p->names[i]))
            continue;
        if (!(present >> i & 1))
            items[out.n++] = (struct view_label){.name = p->names[i], .from = VIEW_NOTHING};
        else if (item)
            items[out.n++] = *item;
    }
    return out;
}

bool plan_renames_labels(const struct planner *p, const struct plan_value *v)
{
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; v->routed[g] && i < p->views[g]->n; i++)
            if (p->views[g]->items[i].from == VIEW_LABEL)
                return true;
    return false;
}

static bool plan_view_copies(const struct label_view *v)
{
    for (size_t i = 0; i < v->n; i++)
        for (size_t k = 0; v->items[i].from == VIEW_LABEL && k <= i; k++)
            if (k < i ? v->items[k].from == VIEW_LABEL && str_eq(v->items[k].of, v->items[i].of)
                      : view_find(v, v->items[i].of) == NULL)
                return true;
    return false;
}

bool plan_copies_labels(const struct planner *p, const struct plan_value *v)
{
    for (size_t g = 0; g < p->n_groups; g++)
        if (v->routed[g] && plan_view_copies(p->views[g]))
            return true;
    return false;
}
