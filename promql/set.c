// SPDX-License-Identifier: Apache-2.0
/* and, or, unless: at each step by whether the other side has a sample in the same group there. */
#include "promql/walk.h"

/* For each group, at which steps any row of a side has a value; NULL for groups without rows. */
static uint8_t **presence(struct eval *ev, const struct value *side, const uint32_t *groups, size_t n_groups)
{
    uint8_t **present = ARENA_ARRAY(ev->arena, uint8_t *, n_groups);
    for (size_t r = 0; r < side->n; r++) {
        uint8_t **p = &present[groups[r]];
        if (*p == NULL)
            *p = ARENA_ARRAY(ev->arena, uint8_t, ev->grid.n);
        for (uint32_t i = 0; i < ev->grid.n; i++)
            (*p)[i] |= !is_absent(side->rows[r].v[i]);
    }
    return present;
}

/* Takes away the steps at which the other side is present (or, with want 1, those at which it is not). */
static void sieve(struct eval *ev, struct value *v, const uint32_t *groups, uint8_t **other, uint8_t want)
{
    for (size_t r = 0; r < v->n; r++) {
        const uint8_t *p = other[groups[r]];
        for (uint32_t i = 0; i < ev->grid.n; i++)
            if ((p ? p[i] : 0) != want)
                row_clear(&v->rows[r], i);
    }
    value_drop_empty(v, ev->grid.n);
}

static void append_rows(struct eval *ev, struct value *to, const struct value *from)
{
    arena_grow(ev->arena, &to->rows, &to->_cap, to->n + from->n, sizeof *to->rows);
    for (size_t i = 0; i < from->n; i++)
        to->rows[to->n++] = from->rows[i];
}

void eval_set_operator(struct eval *ev, const struct expr *e, struct value *left, struct value *right,
                       struct value *out)
{
    struct match_groups g;
    match_groups(ev, e->u.binary.matching, left, right, &g);
    if (e->u.binary.op == OP_OR) {
        sieve(ev, right, g.right, presence(ev, left, g.left, g.n), 0);
        append_rows(ev, left, right);
    } else {
        sieve(ev, left, g.left, presence(ev, right, g.right, g.n), e->u.binary.op == OP_AND);
    }
    *out = *left;
}
