// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/alerts.h"

#include "gateway/query/render.h"

int alert_state_rank(const struct json_value *rule_or_alert)
{
    struct str state = json_value_text(json_value_get(rule_or_alert, "state"));
    return str_is(state, "firing") ? 2 : str_is(state, "pending") ? 1 : 0;
}

/* Times are in UTC, in one form. */
static bool alert_counts_more(const struct json_value *a, const struct json_value *than)
{
    int x = alert_state_rank(a), y = alert_state_rank(than);
    struct str since = json_value_text(json_value_get(a, "activeAt"));
    return x != y ? x > y : str_cmp(since, json_value_text(json_value_get(than, "activeAt"))) < 0;
}

static void alert_set_put(struct alert_set *all, struct arena *a, const struct report *r,
                          const struct json_value *alert, struct labels labels)
{
    bool added;
    if (all->_by_labels == NULL)
        all->_by_labels = report_map(a);
    struct map_entry *e = map_add(all->_by_labels, str_n(labels.p, labels.n), &added);
    if (added) {
        e->value.u = all->n;
        arena_grow(a, &all->items, &all->cap, all->n + 1, sizeof *all->items);
        all->items[all->n++] = (struct merged_alert){.labels = labels, .base = alert};
    }
    struct merged_alert *m = &all->items[e->value.u];
    if (!added && alert_counts_more(alert, m->base))
        m->base = alert;
    report_servers_add(a, &m->servers, r);
}

bool alert_set_add(struct alert_set *all, const struct report_set *set, const struct report *r,
                   const struct json_value *alerts, struct query_work *work, struct err *err)
{
    for (const struct json_value *v = json_value_items(alerts); v; v = v->next) {
        struct labels labels;
        if (!query_charge(work, QUERY_CHARGE_LABELS, err))
            return false;
        if (report_labels(set, r, json_value_get(v, "labels"), NULL, &labels))
            alert_set_put(all, set->q->arena, r, v, labels);
    }
    return true;
}

bool alert_set_write(struct json_writer *w, const struct alert_set *all, struct query_work *work, struct err *err)
{
    json_begin_array(w);
    for (size_t i = 0; i < all->n; i++) {
        const struct merged_alert *m = &all->items[i];
        if (!query_charge(work, QUERY_CHARGE_WRITE, err))
            return false;
        json_begin_object(w);
        json_key(w, "labels");
        render_labels(w, m->labels);
        for (const struct json_value *v = json_value_items(m->base); v; v = v->next) {
            if (str_is(v->key, "labels") || report_servers_key(v->key))
                continue;
            json_key_str(w, v->key);
            json_value_write(w, v);
        }
        report_servers_write(w, &m->servers);
        json_end_object(w);
    }
    json_end_array(w);
    return true;
}
