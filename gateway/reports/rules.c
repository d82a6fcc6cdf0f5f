// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/rules.h"

#include "gateway/query/render.h"

struct rules_merge {
    const struct report_set *set;
    struct map *by_name;            /* server group, file, name -> index in groups */
    struct merged_rule_group *groups; size_t n, cap;
    struct query_work *work;
    struct err *err;
};

/* ---- rules of a group ---- */

static bool rule_same(const struct merged_rule *a, const struct merged_rule *b)
{
    return a->alerting == b->alerting && str_eq(a->name, b->name) && str_eq(a->query, b->query) &&
           labels_equal(a->own, b->own) && json_value_number(json_value_get(a->base, "duration")) ==
                                               json_value_number(json_value_get(b->base, "duration"));
}

/* The rule of the group that is this one of server `r`, usually in the same place; a server may have the same rule
 * several times. NULL: none. `failed`: the query must end. */
static struct merged_rule *rule_find(const struct rules_merge *m, struct merged_rule_group *g, size_t place,
                                     const struct merged_rule *rule, const struct report *r, bool *failed)
{
    if (place < g->n && g->rules[place]._last != r && rule_same(&g->rules[place], rule))
        return &g->rules[place];
    for (size_t i = 0; i < g->n; i++) {
        *failed = !query_charge(m->work, 16, m->err);
        if (*failed)
            return NULL;
        if (g->rules[i]._last != r && rule_same(&g->rules[i], rule))
            return &g->rules[i];
    }
    return NULL;
}

static bool rule_group_add(struct rules_merge *m, struct merged_rule_group *g, const struct report *r,
                           const struct json_value *rules)
{
    size_t place = 0;
    for (const struct json_value *v = json_value_items(rules); v; v = v->next, place++) {
        bool failed = false;
        struct merged_rule rule = {.base = v, .name = json_value_text(json_value_get(v, "name")),
                                   .query = json_value_text(json_value_get(v, "query")),
                                   .alerting = str_is(json_value_text(json_value_get(v, "type")), "alerting")};
        if (!query_charge(m->work, QUERY_CHARGE_LABELS, m->err))
            return false;
        if (!report_labels(m->set, r, json_value_get(v, "labels"), &rule.own, &rule.labels))
            continue;
        struct merged_rule *found = rule_find(m, g, place, &rule, r, &failed);
        if (failed)
            return false;
        if (found == NULL) {
            arena_grow(m->set->q->arena, &g->rules, &g->cap, g->n + 1, sizeof *g->rules);
            found = &g->rules[g->n++];
            *found = rule;
        }
        found->_last = r;
        found->state = alert_state_rank(v) > found->state ? alert_state_rank(v) : found->state;
        if (!alert_set_add(&found->alerts, m->set, r, json_value_get(v, "alerts"), m->work, m->err))
            return false;
    }
    return true;
}

/* ---- groups ---- */

static bool rule_groups_add(struct rules_merge *m, const struct report *r, const struct json_value *group)
{
    struct arena *a = m->set->q->arena;
    struct str file = json_value_text(json_value_get(group, "file"));
    struct str name = json_value_text(json_value_get(group, "name"));
    bool added;
    struct map_entry *e = map_add(m->by_name, report_key(a, r->group, (struct str[]){file, name}, 2), &added);
    if (added) {
        e->value.u = m->n;
        arena_grow(a, &m->groups, &m->cap, m->n + 1, sizeof *m->groups);
        m->groups[m->n++] = (struct merged_rule_group){.base = group, .file = file, .name = name};
    }
    struct merged_rule_group *g = &m->groups[e->value.u];
    report_servers_add(a, &g->servers, r);
    return rule_group_add(m, g, r, json_value_get(group, "rules"));
}

static int rule_groups_compare(const void *a, const void *b)
{
    const struct merged_rule_group *x = a, *y = b;
    const struct group *g = x->servers.items[0]->group, *h = y->servers.items[0]->group;
    int order = str_cmp(x->file, y->file);
    order = order ? order : str_cmp(x->name, y->name);
    return order ? order : (g > h) - (g < h); /* groups are in one array, in configured order */
}

bool rule_groups_merge(const struct report_set *set, struct rule_groups *out, struct query_work *work, struct err *err)
{
    struct rules_merge m = {.set = set, .by_name = report_map(set->q->arena), .work = work, .err = err};
    for (size_t i = 0; i < set->n; i++)
        for (const struct json_value *v = json_value_items(json_value_get(set->items[i].data, "groups")); v; v = v->next)
            if (!rule_groups_add(&m, &set->items[i], v))
                return false;
    *out = (struct rule_groups){m.groups, m.n};
    return query_sort(work, set->q->arena, m.groups, m.n, sizeof *m.groups, rule_groups_compare, err);
}

/* ---- filters and output ---- */

bool rule_matches(const struct merged_rule *r, const struct matcher *const *sets, const size_t *sizes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (matchers_match(sets[i], sizes[i], r->labels))
            return true;
    return n == 0;
}

static const char *alert_state_name(int rank) { return rank == 2 ? "firing" : rank == 1 ? "pending" : "inactive"; }

static void rule_write_labels(struct json_writer *w, const struct merged_rule *r)
{
    json_key(w, "labels");
    render_labels(w, r->labels);
}

/* One member as the server sent it, except those that were merged. */
static bool rule_write_member(struct json_writer *w, const struct merged_rule *r, const struct json_value *m,
                              bool alerts, struct query_work *work, struct err *err)
{
    bool merged = r->alerting && str_is(m->key, "alerts");
    if (str_is(m->key, "labels"))
        return true;
    json_key_str(w, m->key);
    if (merged && alerts)
        return alert_set_write(w, &r->alerts, work, err);
    if (merged)
        json_put_null(w);
    else if (r->alerting && str_is(m->key, "state") && r->state > 0)
        json_z(w, alert_state_name(r->state));
    else
        json_value_write(w, m);
    return true;
}

/* In Prometheus labels follow the query, or the times of an alert. */
bool rule_write(struct json_writer *w, const struct merged_rule *r, bool alerts, struct query_work *work,
                struct err *err)
{
    bool labeled = r->labels.count == 0 && json_value_get(r->base, "labels") == NULL;
    if (!query_charge(work, QUERY_CHARGE_WRITE, err))
        return false;
    json_begin_object(w);
    for (const struct json_value *m = json_value_items(r->base); m; m = m->next) {
        if (!labeled && (str_is(m->key, "labels") || str_is(m->key, "health"))) {
            rule_write_labels(w, r);
            labeled = true;
        }
        if (!rule_write_member(w, r, m, alerts, work, err))
            return false;
    }
    json_end_object(w);
    return true;
}
