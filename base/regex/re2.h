// SPDX-License-Identifier: Apache-2.0
/* The C face of RE2: what base/regex/regex.c needs of it and no more. Pure C types, so that re2.cc includes nothing of
 * ours.
 *
 * A compiled pattern is immutable; any number of threads may use it. Dot matches newline. Texts are UTF-8 and need no
 * NUL behind them.
 */
#ifndef BASE_REGEX_RE2_H
#define BASE_REGEX_RE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct re2_pattern;
struct re2_span { const char *p; size_t n; }; /* p == NULL: the group took no part in the match */
struct re2_error {
    const char *what;  /* in the words of Go's regexp/syntax; static */
    char fragment[256]; /* the part of the pattern that is wrong, cut when longer, NUL-terminated */
};

struct re2_pattern *re2_new(const char *pattern, size_t n, struct re2_error *error); /* NULL and error */
void re2_free(struct re2_pattern *re);

bool re2_match(const struct re2_pattern *re, const char *text, size_t n); /* the whole text */
/* The same, and where the first n_groups groups lie; group 0 is the whole match. */
bool re2_match_groups(const struct re2_pattern *re, const char *text, size_t n, struct re2_span *groups,
                      size_t n_groups);
/* The leftmost match that begins at `from` or later; ^ and \b see the text before `from`. */
bool re2_find_groups(const struct re2_pattern *re, const char *text, size_t n, size_t from, struct re2_span *groups,
                     size_t n_groups);

size_t re2_bytes(const struct re2_pattern *re);                                /* memory it takes, about */
size_t re2_groups(const struct re2_pattern *re);                               /* with group 0 */
size_t re2_group_named(const struct re2_pattern *re, const char *name, size_t n); /* 0 = no such name */

#ifdef __cplusplus
}
#endif

#endif
