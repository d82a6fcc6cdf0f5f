// SPDX-License-Identifier: Apache-2.0
/* Which series of two vectors belong together: those whose labels agree in on(...), or in all but ignoring(...) and
 * the name. Worked out once per series, not once per step.
 */
#include "promql/walk.h"

#include "base/map.h"

struct keying { const struct matching *m; struct names names; struct map *known; struct match_groups *out; size_t cap; };

static uint32_t *group_side(struct eval *ev, struct keying *k, const struct value *side)
{
    uint32_t *groups = ARENA_ARRAY(ev->arena, uint32_t, side->n);
    for (size_t i = 0; i < side->n; i++) {
        struct labels l = k->m->on ? labels_keep(ev->arena, side->rows[i].labels, k->names.items, k->names.n)
                                   : labels_drop(ev->arena, side->rows[i].labels, k->names.items, k->names.n);
        bool added;
        struct map_entry *e = map_add(k->known, str_n(l.p, l.n), &added);
        if (added) {
            arena_grow(ev->arena, &k->out->labels, &k->cap, k->out->n + 1, sizeof *k->out->labels);
            e->value.u = k->out->n;
            k->out->labels[k->out->n++] = l;
        }
        groups[i] = (uint32_t)e->value.u;
    }
    return groups;
}

static void free_map(void *map) { map_free(map); }

void match_groups(struct eval *ev, const struct matching *m, const struct value *left, const struct value *right,
                  struct match_groups *out)
{
    *out = (struct match_groups){0};
    struct keying k = {.m = m, .known = ARENA_NEW(ev->arena, struct map), .out = out};
    k.names = names_sorted(ev, m->labels, m->n_labels, m->on ? STR_NONE : STR(METRIC_NAME));
    eval_on_end(ev, free_map, k.known);
    out->left = group_side(ev, &k, left);
    out->right = group_side(ev, &k, right);
    map_free(k.known);
}
