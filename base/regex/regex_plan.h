// SPDX-License-Identifier: Apache-2.0
/* The plan of a pattern that is simple enough to match without RE2. Internal to base/regex.
 *
 * The analyser understands literals, escapes of punctuation, small character classes, groups, alternation, `?`, `.*`
 * and `.+`. Anything else makes the plan PLAN_GENERAL; it never rejects a pattern.
 */
#ifndef BASE_REGEX_REGEX_PLAN_H
#define BASE_REGEX_REGEX_PLAN_H

#include "base/map.h"

enum plan_shape {
    PLAN_GENERAL,  /* use RE2 */
    PLAN_LITERALS, /* one of a finite set of strings */
    PLAN_AROUND,   /* prefix, anything, middle, anything, suffix */
};

struct regex_plan {
    enum plan_shape shape;
    struct str *literals; /* LITERALS: without duplicates; followed by the bytes of all strings of the plan */
    size_t n_literals;
    struct map set;       /* LITERALS: the same as a map, when there are several */
    struct str prefix;    /* AROUND and GENERAL: prefix of every match */
    struct str middle, suffix;
    unsigned gap[2];      /* AROUND: minimum bytes (0 or 1) between prefix and middle, middle and suffix */
    bool has_middle;      /* false: prefix, at least gap[0] bytes, suffix */
};

enum { PLAN_PRODUCT_MAX = 1000 }; /* maximum number of strings in a product */

struct regex_plan plan_of(struct str pattern);
void regex_plan_free(struct regex_plan *plan);
bool regex_plan_match(const struct regex_plan *plan, struct str s); /* not for PLAN_GENERAL */
size_t regex_plan_bytes(const struct regex_plan *plan);       /* memory use in bytes: a few dozen per literal */

#endif
