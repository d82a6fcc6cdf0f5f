// SPDX-License-Identifier: Apache-2.0
/* Matches the series of two vectors by the labels in on(...), or by all except ignoring(...) and the name. Computed
 * once per series, not once per step. */
#include "promql/eval/eval_internal.h"

#include "base/map.h"

static void match_labels_free_map(void *map) { map_free(map); }

void match_keys_begin(struct eval *ev, const struct matching *m, struct match_keys *k)
{
    *k = (struct match_keys){.m = m, .known = ARENA_NEW(ev->arena, struct map)};
    k->names = names_sorted(ev, m->labels, m->n_labels, m->on ? STR_NONE : STR(METRIC_NAME));
    eval_on_end(ev, match_labels_free_map, k->known);
}

uint32_t *match_keys_of(struct eval *ev, struct match_keys *k, const struct value *side)
{
    uint32_t *groups = ARENA_ARRAY(ev->arena, uint32_t, side->n);
    for (size_t i = 0; i < side->n; i++) {
        eval_charge(ev, 2 * CHARGE_LABELS);
        struct labels l = k->m->on ? labels_keep(ev->arena, side->rows[i].labels, k->names.items, k->names.n)
                                   : labels_drop(ev->arena, side->rows[i].labels, k->names.items, k->names.n);
        bool added;
        struct map_entry *e = map_add(k->known, str_n(l.p, l.n), &added);
        if (added) {
            arena_grow(ev->arena, &k->labels, &k->_cap, k->n + 1, sizeof *k->labels);
            e->value.u = k->n;
            k->labels[k->n++] = l;
        }
        groups[i] = (uint32_t)e->value.u;
    }
    return groups;
}

void match_keys_end(struct match_keys *k) { map_free(k->known); }

void match_groups(struct eval *ev, const struct matching *m, const struct value *left, const struct value *right,
                  struct match_groups *out)
{
    struct match_keys k;
    match_keys_begin(ev, m, &k);
    *out = (struct match_groups){.left = match_keys_of(ev, &k, left), .right = match_keys_of(ev, &k, right)};
    out->n = k.n;
    out->labels = k.labels;
    match_keys_end(&k);
}
