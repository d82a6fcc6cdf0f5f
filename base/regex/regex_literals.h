// SPDX-License-Identifier: Apache-2.0
/* The strings that a simple part of a pattern matches: up to three finite sets of strings with `.*` or `.+` between
 * them. Internal to base/regex: regex_plan.c builds them from the pattern's text.
 *
 * A union costs at most the pattern's own length, so it needs no limit; a product is limited to PLAN_PRODUCT_MAX
 * strings, and all products of a pattern together to a budget of bytes.
 */
#ifndef BASE_REGEX_REGEX_LITERALS_H
#define BASE_REGEX_REGEX_LITERALS_H

#include "base/arena.h"

enum { WILD_MAX = 2 };

struct literal_set { struct str *items; size_t n, cap; };
struct literal_sets {
    /* sets[0] wildcard sets[1] wildcard sets[2]; those up to `wilds` are not empty */
    struct literal_set sets[WILD_MAX + 1];
    unsigned gap[WILD_MAX];        /* minimum length of each wildcard: 0 or 1 */
    unsigned wilds;
};

struct literal_budget {
    struct arena *arena;
    size_t budget; /* remaining bytes for products */
    bool general;  /* the pattern needs RE2; never reset */
};

void literal_set_add(struct literal_budget *r, struct literal_set *to, struct str s);
struct literal_sets literal_sets_of(struct literal_budget *r, struct str s); /* matches exactly this string */
void literal_sets_append(struct literal_budget *r, struct literal_sets *to, const struct literal_sets *more);
void literal_sets_append_wild(struct literal_budget *r, struct literal_sets *to, unsigned gap);

#endif
