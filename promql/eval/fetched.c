// SPDX-License-Identifier: Apache-2.0
/* Nodes of a planned tree: a sub-expression whose result servers have computed, and one whose steps have different
 * origins, the older ones fetched, the newer ones evaluated from raw samples, for example. */
#include "promql/eval/eval_internal.h"

#include "base/map.h"

void eval_fetched(struct eval *ev, const struct expr *e, struct value *out)
{
    const struct expr at_once = {.kind = EXPR_SELECTOR, .pos = e->pos, .end = e->end};
    eval_instant(ev, &at_once, e->u.fetched.set, SAMPLE_VALUE, out);
}

static void cut_free_map(void *map) { map_free(map); }

static void cut_add_row(struct eval *ev, const struct expr_part *part, const struct row *from, struct map *seen,
                        struct value *out)
{
    bool added;
    struct map_entry *e = map_add(seen, str_n(from->labels.p, from->labels.n), &added);
    if (added) {
        e->value.u = out->n;
        value_add_row(ev, out, from->labels);
    }
    struct row *to = &out->rows[e->value.u];
    to->drop_name |= from->drop_name;
    eval_charge(ev, CHARGE_LABELS + part->n);
    memcpy(to->v + part->first, from->v, part->n * sizeof *to->v);
    for (uint32_t i = 0; from->h && i < part->n; i++)
        if (from->h[i])
            row_set_hist(ev, to, part->first + i, from->h[i]);
}

/* Each part on its own grid. Within a part a label set occurs once: its rows are the result of a node that has merged
 * them. */
void eval_cut(struct eval *ev, const struct expr *e, struct value *out)
{
    struct grid whole = ev->grid;
    struct map *seen = ARENA_NEW(ev->arena, struct map);
    eval_on_end(ev, cut_free_map, seen);
    for (size_t i = 0; i < e->u.cut.n; i++) {
        const struct expr_part *part = &e->u.cut.parts[i];
        struct value rows;
        ev->grid = grid_part(&whole, part->first, part->n);
        eval_expr(ev, part->value, &rows);
        ev->grid = whole;
        for (size_t r = 0; r < rows.n; r++)
            cut_add_row(ev, part, &rows.rows[r], seen, out);
    }
    map_free(seen);
}
