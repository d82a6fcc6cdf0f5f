// SPDX-License-Identifier: Apache-2.0
/* and, or, unless: keeps samples depending on whether the other side has a sample in the same group at the same step.
 */
#include "promql/eval/eval_internal.h"

/* present: per group, the steps at which any row so far has a value; NULL for groups without rows. */
static void set_mark_presence(struct eval *ev, const struct value *side, const uint32_t *groups, uint8_t **present)
{
    for (size_t r = 0; r < side->n; r++) {
        uint8_t **p = &present[groups[r]];
        eval_charge(ev, ev->grid.n);
        if (*p == NULL)
            *p = ARENA_ARRAY(ev->arena, uint8_t, ev->grid.n);
        for (uint32_t i = 0; i < ev->grid.n; i++)
            (*p)[i] |= !is_absent(side->rows[r].v[i]);
    }
}

/* Removes the steps at which the other side is present (with want 1: absent). */
static void set_filter_steps(struct eval *ev, struct value *v, const uint32_t *groups, uint8_t **other, uint8_t want)
{
    for (size_t r = 0; r < v->n; r++) {
        const uint8_t *p = other[groups[r]];
        eval_charge(ev, ev->grid.n);
        for (uint32_t i = 0; i < ev->grid.n; i++)
            if ((p ? p[i] : 0) != want)
                row_clear(&v->rows[r], i);
    }
}

/* --- or ----------------------------------------------------------------------------------------------------------- */

/* a or b or c ... is evaluated in one pass: presence is tracked per group, so that a term costs its own rows, not
 * those of all previous terms. */
struct or_chain {
    struct match_keys keys;
    uint8_t **present;   /* see set_mark_presence */
    size_t n, _cap;
};

static void cover_groups(struct eval *ev, struct or_chain *c)
{
    arena_grow(ev->arena, &c->present, &c->_cap, c->keys.n, sizeof *c->present);
    for (; c->n < c->keys.n; c->n++)
        c->present[c->n] = NULL;
}

static void append_rows(struct eval *ev, struct value *to, const struct value *from)
{
    arena_grow(ev->arena, &to->rows, &to->_cap, to->n + from->n, sizeof *to->rows);
    for (size_t i = 0; i < from->n; i++)
        to->rows[to->n++] = from->rows[i];
}

static void add_term(struct eval *ev, struct or_chain *c, struct value *acc, struct value *term)
{
    const uint32_t *groups = match_keys_of(ev, &c->keys, term);
    cover_groups(ev, c);
    set_filter_steps(ev, term, groups, c->present, 0);
    set_mark_presence(ev, term, groups, c->present);
    value_drop_empty(term, ev->grid.n);
    append_rows(ev, acc, term);
}

static bool set_same_matching(const struct matching *a, const struct matching *b)
{
    bool same = a->on == b->on && a->n_labels == b->n_labels;
    for (size_t i = 0; same && i < a->n_labels; i++)
        same = str_eq(a->labels[i], b->labels[i]);
    return same;
}

static bool continues(const struct expr *b, const struct expr *next)
{
    return next->u.binary.op == OP_OR && set_same_matching(b->u.binary.matching, next->u.binary.matching);
}

const struct expr *eval_or_chain(struct eval *ev, const struct expr *b, const struct expr *e, uint64_t live,
                                 struct value *acc)
{
    struct or_chain c = {0};
    struct value term;
    uint64_t estimate = value_mem_estimate(acc, &ev->grid);
    match_keys_begin(ev, b->u.binary.matching, &c.keys);
    const uint32_t *groups = match_keys_of(ev, &c.keys, acc);
    cover_groups(ev, &c);
    set_mark_presence(ev, acc, groups, c.present);
    for (;; b = b->u.binary.next) {
        eval_expr(ev, b->u.binary.right, &term);
        add_term(ev, &c, acc, &term);
        estimate += value_mem_estimate(&term, &ev->grid);
        ev->live = live;
        eval_hold(ev, estimate);
        if (b == e || !continues(b, b->u.binary.next))
            break;
    }
    match_keys_end(&c.keys);
    if (!ev->delayed_names || ev->grid.n > 1)
        value_merge(ev, acc);
    return b;
}

/* --- and, unless -------------------------------------------------------------------------------------------------- */

void eval_set_operator(struct eval *ev, const struct expr *e, struct value *left, struct value *right,
                       struct value *out)
{
    struct match_groups g;
    match_groups(ev, e->u.binary.matching, left, right, &g);
    uint8_t **present = ARENA_ARRAY(ev->arena, uint8_t *, g.n);
    set_mark_presence(ev, right, g.right, present);
    set_filter_steps(ev, left, g.left, present, e->u.binary.op == OP_AND);
    value_drop_empty(left, ev->grid.n);
    *out = *left;
}
