// SPDX-License-Identifier: Apache-2.0
/* A slice: borrowed bytes, passed by value. Not NUL-terminated; may hold any bytes. {NULL, 0} is the valid empty
 * slice. Any thread. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal)    ((struct str){(literal), sizeof(literal) - 1})
#define STR_ARG(s)      (int)(s).n, (s).p /* for "%.*s" */
#define STR_NONE        ((struct str){NULL, 0})

static inline struct str str_of(const char *z) { return (struct str){z, z ? strlen(z) : 0}; }
static inline struct str str_n(const void *p, size_t n) { return (struct str){p, n}; }
static inline bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool str_is(struct str a, const char *z) { return str_eq(a, str_of(z)); }
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline size_t str_common(struct str a, struct str b) /* how many bytes both begin with */
{
    size_t most = a.n < b.n ? a.n : b.n, n = 0;
    while (n < most && a.p[n] == b.p[n])
        n++;
    return n;
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}
static inline struct str str_skip(struct str s, size_t n)
{
    return n >= s.n ? (struct str){s.p + s.n, 0} : (struct str){s.p + n, s.n - n};
}
static inline struct str str_first(struct str s, size_t n) { return (struct str){s.p, n < s.n ? n : s.n}; }

int str_cmp(struct str a, struct str b);          /* byte order, as memcmp; shorter first */
int str_icmp(struct str a, struct str b);         /* the same, ignoring the case of ASCII letters */
bool str_ieq(struct str a, struct str b);
size_t str_find(struct str s, char c);            /* s.n when not found */
size_t str_count(struct str s, char c);           /* how often it occurs */
bool str_contains_any_case(struct str s, struct str sub); /* ASCII letters are equal in any case */
size_t str_find_str(struct str s, struct str sub); /* s.n when not found; 0 for an empty sub */
struct str str_trim(struct str s);                /* without ASCII white space at both ends */

/* Splits at the first `c`: *item is the part before it, `*rest` the part after. False at the end (when *rest.p is
 * NULL).
 *   struct str rest = STR("a,b"), item;
 *   while (str_cut(&rest, ',', &item)) ...           yields "a", then "b" */
bool str_cut(struct str *rest, char c, struct str *item);

char *str_dup(struct str s) __attribute__((returns_nonnull)); /* NUL-terminated copy; free with mem_free */

/* Levenshtein distance, for "did you mean". Words over 64 bytes count as far. */
unsigned str_distance(struct str a, struct str b);

#endif
