// SPDX-License-Identifier: Apache-2.0
#include "base/regex_reading.h"

#include "base/regex_plan.h"

void set_add(struct reading_room *r, struct set *to, struct str s)
{
    arena_grow(r->arena, &to->items, &to->cap, to->n + 1, sizeof *to->items);
    to->items[to->n++] = s;
}

struct reading reading_of(struct reading_room *r, struct str s)
{
    struct reading one = {0};
    set_add(r, &one.sets[0], s);
    return one;
}

static struct str join(struct arena *a, struct str x, struct str y)
{
    if (x.n == 0 || y.n == 0)
        return x.n ? x : y;
    char *p = arena_bytes(a, x.n + y.n);
    memcpy(p, x.p, x.n);
    memcpy(p + x.n, y.p, y.n);
    return str_n(p, x.n + y.n);
}

static size_t set_bytes(const struct set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->items[i].n;
    return n;
}

static struct set product_of(struct reading_room *r, const struct set *x, const struct set *y)
{
    struct set product = {0};
    size_t n = x->n * y->n, bytes = n * sizeof *x->items + set_bytes(x) * y->n + set_bytes(y) * x->n;
    if ((x->n > 1 && y->n > 1 && n > PLAN_PRODUCT_MAX) || bytes > r->budget) {
        r->general = true;
        return product;
    }
    r->budget -= bytes;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < y->n; j++)
            set_add(r, &product, join(r->arena, x->items[i], y->items[j]));
    return product;
}

/* Two wildcards side by side are one, unless both want a character. */
void reading_append_wild(struct reading_room *r, struct reading *to, unsigned gap)
{
    const struct set *last = &to->sets[to->wilds];
    bool beside = to->wilds > 0 && last->n == 1 && last->items[0].n == 0;
    if (beside && to->gap[to->wilds - 1] + gap <= 1) {
        to->gap[to->wilds - 1] += gap;
    } else if (beside || to->wilds == WILD_MAX) {
        r->general = true;
    } else {
        to->gap[to->wilds++] = gap;
        set_add(r, &to->sets[to->wilds], STR(""));
    }
}

void reading_append(struct reading_room *r, struct reading *to, const struct reading *more)
{
    for (unsigned i = 0; i <= more->wilds && !r->general; i++) {
        to->sets[to->wilds] = product_of(r, &to->sets[to->wilds], &more->sets[i]);
        if (i < more->wilds && !r->general)
            reading_append_wild(r, to, more->gap[i]);
    }
}
