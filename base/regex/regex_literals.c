// SPDX-License-Identifier: Apache-2.0
/* Unions and products of the literal sets that a simple pattern matches, within a budget. */
#include "base/regex/regex_literals.h"

#include "base/regex/regex_plan.h"

void literal_set_add(struct literal_budget *r, struct literal_set *to, struct str s)
{
    arena_grow(r->arena, &to->items, &to->cap, to->n + 1, sizeof *to->items);
    to->items[to->n++] = s;
}

struct literal_sets literal_sets_of(struct literal_budget *r, struct str s)
{
    struct literal_sets one = {0};
    literal_set_add(r, &one.sets[0], s);
    return one;
}

static struct str regex_join_strings(struct arena *a, struct str x, struct str y)
{
    if (x.n == 0 || y.n == 0)
        return x.n ? x : y;
    char *p = arena_bytes(a, x.n + y.n);
    memcpy(p, x.p, x.n);
    memcpy(p + x.n, y.p, y.n);
    return str_n(p, x.n + y.n);
}

static size_t literal_set_bytes(const struct literal_set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->items[i].n;
    return n;
}

static struct literal_set literal_set_product(struct literal_budget *r, const struct literal_set *x,
                                              const struct literal_set *y)
{
    struct literal_set product = {0};
    size_t n = x->n * y->n, bytes = n * sizeof *x->items + literal_set_bytes(x) * y->n + literal_set_bytes(y) * x->n;
    if ((x->n > 1 && y->n > 1 && n > PLAN_PRODUCT_MAX) || bytes > r->budget) {
        r->general = true;
        return product;
    }
    r->budget -= bytes;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < y->n; j++)
            literal_set_add(r, &product, regex_join_strings(r->arena, x->items[i], y->items[j]));
    return product;
}

/* Two adjacent wildcards are one, unless both require a character. */
void literal_sets_append_wild(struct literal_budget *r, struct literal_sets *to, unsigned gap)
{
    const struct literal_set *last = &to->sets[to->wilds];
    bool beside = to->wilds > 0 && last->n == 1 && last->items[0].n == 0;
    if (beside && to->gap[to->wilds - 1] + gap <= 1) {
        to->gap[to->wilds - 1] += gap;
    } else if (beside || to->wilds == WILD_MAX) {
        r->general = true;
    } else {
        to->gap[to->wilds++] = gap;
        literal_set_add(r, &to->sets[to->wilds], STR(""));
    }
}

void literal_sets_append(struct literal_budget *r, struct literal_sets *to, const struct literal_sets *more)
{
    for (unsigned i = 0; i <= more->wilds && !r->general; i++) {
        to->sets[to->wilds] = literal_set_product(r, &to->sets[to->wilds], &more->sets[i]);
        if (i < more->wilds && !r->general)
            literal_sets_append_wild(r, to, more->gap[i]);
    }
}
