// SPDX-License-Identifier: Apache-2.0
#include "gateway/view/view.h"

#include "promql/promql.h"

const struct view_label *view_find(const struct label_view *v, struct str name)
{
    for (size_t i = 0; i < v->n; i++)
        if (str_eq(v->items[i].name, name))
            return &v->items[i];
    return NULL;
}

bool view_touches(const struct label_view *v, struct str name)
{
    for (size_t i = 0; i < v->n; i++)
        if (str_eq(v->items[i].name, name) || (v->items[i].from == VIEW_LABEL && str_eq(v->items[i].of, name)))
            return true;
    return false;
}

bool view_equal(const struct label_view *a, const struct label_view *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++) {
        const struct view_label *x = &a->items[i], *y = &b->items[i];
        if (x->from != y->from || x->shown != y->shown || !str_eq(x->name, y->name) || !str_eq(x->of, y->of))
            return false;
    }
    return a->n == b->n;
}

/* --- what is shown ------------------------------------------------------------------------------------------------ */

struct str view_show_value(const struct view_label *item, struct arena *a, struct str value)
{
    char first = item->shown == VIEW_LOWER ? 'A' : 'a', last = item->shown == VIEW_LOWER ? 'Z' : 'z';
    if (item->from != VIEW_LABEL)
        return item->from == VIEW_CONSTANT ? item->of : STR_NONE;
    if (item->shown == VIEW_AS_IS || value.n == 0)
        return value;
    struct str changed = arena_str(a, value);
    for (size_t i = 0; i < changed.n; i++)
        if (changed.p[i] >= first && changed.p[i] <= last)
            ((char *)(uintptr_t)changed.p)[i] ^= 0x20;
    return changed;
}

struct labels view_show(const struct label_view *v, struct arena *a, struct labels from)
{
    if (v == NULL || v->n == 0)
        return labels_copy(a, from);
    struct labels_builder b = {0};
    builder_start(&b, from);
    for (size_t i = 0; i < v->n; i++)
        builder_set(&b, v->items[i].name, view_show_value(&v->items[i], a, labels_get(from, v->items[i].of)));
    struct labels out = builder_labels(&b, a);
    builder_free(&b);
    return out;
}

/* --- from labels and rules ---------------------------------------------------------------------------------------- */

struct view_making { struct arena *arena; struct view_label *items; size_t n, cap; };

static struct view_label view_origin(const struct view_making *m, struct str name)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->items[i].name, name))
            return m->items[i];
    return (struct view_label){.name = name, .from = VIEW_LABEL, .of = name};
}

static void view_set(struct view_making *m, struct view_label item)
{
    size_t i = 0;
    bool as_is = item.from == VIEW_LABEL && item.shown == VIEW_AS_IS && str_eq(item.of, item.name);
    while (i < m->n && !str_eq(m->items[i].name, item.name))
        i++;
    if (as_is) {
        if (i < m->n)
            m->items[i] = m->items[--m->n];
        return;
    }
    if (i == m->n)
        arena_grow(m->arena, &m->items, &m->cap, ++m->n, sizeof *m->items);
    m->items[i] = item;
}

static void view_apply(struct view_making *m, const struct view_rule *rule)
{
    struct str source = arena_str(m->arena, rule->source_label);
    struct view_label item = view_origin(m, source);
    if (rule->action == VIEW_LABELDROP) {
        view_set(m, (struct view_label){.name = source, .from = VIEW_NOTHING});
        return;
    }
    if (rule->action != VIEW_REPLACE && item.from != VIEW_NOTHING) {
        enum view_source before = item.from;
        item.shown = rule->action == VIEW_LOWERCASE ? VIEW_LOWER : VIEW_UPPER;
        item.from = VIEW_LABEL;
        if (before == VIEW_CONSTANT) {
            item.of = view_show_value(&item, m->arena, item.of);
            item.from = VIEW_CONSTANT;
            item.shown = VIEW_AS_IS;
        }
    }
    item.name = arena_str(m->arena, rule->target_label);
    view_set(m, item);
}

/* Does some label show the server's label as it is, or is its value fixed? */
static bool view_keeps(const struct label_view *v, struct str name)
{
    const struct view_label *own = view_find(v, name);
    bool kept = own == NULL;
    for (size_t i = 0; i < v->n; i++)
        kept = kept || (v->items[i].from == VIEW_LABEL && v->items[i].shown == VIEW_AS_IS &&
                        str_eq(v->items[i].of, name));
    for (size_t i = 0; i < v->n_injected; i++)
        kept = kept || (v->injected[i].type == MATCH_EQ && str_eq(v->injected[i].name, name));
    return kept;
}

static void view_judge(struct label_view *v, struct arena *a)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct view_label *item = &v->items[i];
        bool other_case = item->from == VIEW_LABEL && item->shown != VIEW_AS_IS;
        v->changes_case = v->changes_case || other_case;
        if (other_case)
            v->refusal = "metrics_relabel_configs change the case of a label";
        if ((item->from == VIEW_NOTHING || (other_case && str_eq(item->of, item->name))) && !view_keeps(v, item->name)) {
            v->unites = true;
            v->refusal = arena_z(a, arena_printf(a, "metrics_relabel_configs drop the label %.*s: series that become "
                                                 "equal are merged here", STR_ARG(item->name)));
        }
    }
    if (view_touches(v, STR(METRIC_NAME)) || view_touches(v, STR("le")))
        v->refusal = "metrics_relabel_configs name a label that functions read (__name__, le)";
}

static bool view_add_injected(struct label_view *v, struct arena *a, const struct str_list *inject, struct err *err)
{
    struct matcher *all = ARENA_ARRAY(a, struct matcher, inject->n);
    for (size_t i = 0; i < inject->n; i++) {
        const struct matcher *one;
        size_t n;
        struct str text = arena_printf(a, "{%.*s}", STR_ARG(inject->items[i]));
        if (!promql_parse_selector(a, text, &one, &n, err) || n != 1)
            return err_set(err, ERR_BAD_DATA, "inject_matchers: \"%.*s\" is not a matcher such as cluster=\"a\"",
                           STR_ARG(inject->items[i]));
        all[v->n_injected++] = *one;
    }
    v->injected = all;
    return true;
}

static void view_free_injected(void *arg)
{
    struct label_view *kept = arg;
    matchers_free((struct matcher *)(uintptr_t)kept->injected, kept->n_injected);
}

bool view_make(struct label_view *v, struct arena *a, struct labels added, const struct view_rule *rules, size_t n_rules,
               const struct str_list *inject, struct err *err)
{
    struct label_view *owner = ARENA_NEW(a, struct label_view);
    *v = view_of_labels(a, added);
    struct view_making m = {a, (struct view_label *)(uintptr_t)v->items, v->n, v->n};
    for (size_t i = 0; i < n_rules; i++)
        view_apply(&m, &rules[i]);
    v->items = m.items;
    v->n = m.n;
    bool ok = view_add_injected(v, a, inject, err);
    *owner = *v;
    if (!arena_at_end(a, view_free_injected, owner) || !ok)
        return false;
    if (n_rules > 0)
        view_judge(v, a);
    return true;
}

struct label_view view_of_labels(struct arena *a, struct labels added)
{
    struct label_view v = {0};
    struct view_label *items = ARENA_ARRAY(a, struct view_label, added.count);
    struct labels_iter it = labels_iter(added);
    for (struct label l; labels_next(&it, &l);)
        items[v.n++] = (struct view_label){.name = l.name, .from = VIEW_CONSTANT, .of = l.value};
    v.items = items;
    return v;
}
