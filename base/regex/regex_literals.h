// SPDX-License-Identifier: Apache-2.0
/* What a part of a pattern matches, as far as it is simple: up to three finite sets of strings with `.*` or `.+`
 * between them. A part of base/regex/regex.c: regex_plan.c makes them out of the pattern's text.
 *
 * A union costs no more than the pattern's own length, so it needs no limit; a product is limited to
 * PLAN_PRODUCT_MAX strings, and all products of a pattern together by a budget of bytes.
 */
#ifndef BASE_REGEX_REGEX_LITERALS_H
#define BASE_REGEX_REGEX_LITERALS_H

#include "base/arena.h"

enum { WILD_MAX = 2 };

struct literal_set { struct str *items; size_t n, cap; };
struct literal_sets {
    struct literal_set sets[WILD_MAX + 1]; /* sets[0] wild sets[1] wild sets[2]; those up to `wilds` are not empty */
    unsigned gap[WILD_MAX];        /* what the wildcard needs at least: 0 or 1 */
    unsigned wilds;
};

struct literal_budget {
    struct arena *arena;
    size_t budget; /* bytes that products may still take */
    bool general;  /* something was met that is RE2's business; sticky */
};

void literal_set_add(struct literal_budget *r, struct literal_set *to, struct str s);
struct literal_sets literal_sets_of(struct literal_budget *r, struct str s); /* matches just this */
void literal_sets_append(struct literal_budget *r, struct literal_sets *to, const struct literal_sets *more);
void literal_sets_append_wild(struct literal_budget *r, struct literal_sets *to, unsigned gap);

#endif
