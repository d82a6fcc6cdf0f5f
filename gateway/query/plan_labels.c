// SPDX-License-Identifier: Apache-2.0
#include "gateway/query/plan_internal.h"

static const struct matcher any_name = {
    .type = MATCH_NE, .name = {METRIC_NAME, sizeof METRIC_NAME - 1}, .value = {"", 0}};

bool labels_route(struct labels group, struct arena *a, const struct matcher *m, size_t n, const struct matcher **out,
                  size_t *n_out)
{
    struct matcher *kept = ARENA_ARRAY(a, struct matcher, n + 1);
    size_t n_kept = 0;
    bool selective = false;
    for (size_t i = 0; i < n; i++) {
        struct str value = labels_get(group, m[i].name);
        if (value.p && !matcher_value(&m[i], value))
            return false;
        if (value.p)
            continue;
        selective = selective || !matcher_matches_empty(&m[i]);
        kept[n_kept++] = m[i];
    }
    if (!selective) /* servers refuse a selector that matches everything unless it says so */
        kept[n_kept++] = any_name;
    *out = kept;
    *n_out = n_kept;
    return true;
}

static size_t plan_name_index(const struct planner *p, struct str name)
{
    size_t i = 0;
    while (i < p->n_names && !str_eq(p->names[i], name))
        i++;
    return i;
}

void plan_names_init(struct planner *p)
{
    p->names = ARENA_ARRAY(p->arena, struct str, PLAN_NAMES_MAX);
    for (size_t g = 0; g < p->env->n_groups; g++) {
        struct labels_iter it = labels_iter(p->env->groups[g].labels);
        for (struct label l; labels_next(&it, &l);) {
            if (plan_name_index(p, l.name) < p->n_names)
                continue;
            p->too_many_names = p->n_names == PLAN_NAMES_MAX;
            if (p->too_many_names)
                return;
            p->names[p->n_names++] = l.name;
        }
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
    plan_names found = 0;
    struct labels_iter it = labels_iter(p->env->groups[group].labels);
    for (struct label l; labels_next(&it, &l);)
        found |= (plan_names)1 << plan_name_index(p, l.name);
    return found;
}

plan_names plan_names_of_groups(const struct planner *p, const struct plan_value *v)
{
    plan_names found = 0;
    for (size_t g = 0; g < p->env->n_groups; g++)
        found |= v->routed[g] ? plan_names_of_group(p, g) : 0;
    return found;
}

static bool plan_two_apart(const struct planner *p, struct labels a, struct labels b, plan_names names)
{
    for (size_t i = 0; i < p->n_names; i++) {
        struct str x = labels_get(a, p->names[i]), y = labels_get(b, p->names[i]);
        if (names >> i & 1 && x.p && y.p && !str_eq(x, y))
            return true;
    }
    return false;
}

bool plan_apart(const struct planner *p, const struct plan_value *v, plan_names names)
{
    for (size_t a = 0; a < p->env->n_groups; a++)
        for (size_t b = a + 1; v->routed[a] && b < p->env->n_groups; b++)
            if (v->routed[b] && !plan_two_apart(p, p->env->groups[a].labels, p->env->groups[b].labels, names))
                return false;
    return true;
}

struct labels plan_labels_added(const struct planner *p, size_t group, plan_names present)
{
    struct labels_builder b = {0};
    struct labels_iter it = labels_iter(p->env->groups[group].labels);
    builder_start(&b, (struct labels){0});
    for (struct label l; labels_next(&it, &l);)
        if (present >> plan_name_index(p, l.name) & 1)
            builder_set(&b, l.name, l.value);
    struct labels out = builder_labels(&b, p->arena);
    builder_free(&b);
    return out;
}
