// SPDX-License-Identifier: Apache-2.0
/* What a pattern means when it is simple enough to be matched without RE2. A part of base/regex/regex.c.
 *
 * The analyser understands literals, escapes of punctuation, small character classes, groups, alternation, `?`, and
 * `.*` and `.+`. Whatever else it meets makes the plan PLAN_GENERAL; it never judges a pattern wrong.
 */
#ifndef BASE_REGEX_REGEX_PLAN_H
#define BASE_REGEX_REGEX_PLAN_H

#include "base/map.h"

enum plan_shape {
    PLAN_GENERAL,  /* ask RE2 */
    PLAN_LITERALS, /* one of a finite set of strings */
    PLAN_AROUND,   /* prefix, anything, middle, anything, suffix */
};

struct regex_plan {
    enum plan_shape shape;
    struct str *literals; /* LITERALS: without duplicates; the bytes of all strings of the plan lie behind them */
    size_t n_literals;
    struct map set;       /* LITERALS: the same, when there are several */
    struct str prefix;    /* AROUND and GENERAL: every match begins with it */
    struct str middle, suffix;
    unsigned gap[2];      /* AROUND: fewest bytes (0 or 1) between prefix and middle, middle and suffix */
    bool has_middle;      /* false: prefix, at least gap[0] bytes, suffix */
};

enum { PLAN_PRODUCT_MAX = 1000 }; /* most strings that a concatenation may multiply to */

struct regex_plan plan_of(struct str pattern);
void regex_plan_free(struct regex_plan *plan);
bool regex_plan_match(const struct regex_plan *plan, struct str s); /* not for PLAN_GENERAL */
size_t regex_plan_bytes(const struct regex_plan *plan);       /* of memory: some dozens a literal */

#endif
