// SPDX-License-Identifier: Apache-2.0
/* A C interface to RE2 with the functions that base/regex/regex.c needs. It uses only C types, so that re2.cc
 * includes none of our headers.
 *
 * A compiled pattern is immutable; any number of threads may use it. Dot matches newline. Texts are UTF-8, not
 * NUL-terminated.
 */
#ifndef BASE_REGEX_RE2_H
#define BASE_REGEX_RE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct re2_pattern;
struct re2_span { const char *p; size_t n; }; /* p == NULL: the group did not participate in the match */
struct re2_error {
    const char *what;  /* in the wording of Go's regexp/syntax; static */
    char fragment[256]; /* the invalid part of the pattern, truncated when longer, NUL-terminated */
};

struct re2_pattern *re2_new(const char *pattern, size_t n, struct re2_error *error); /* NULL with error */
void re2_free(struct re2_pattern *re);

bool re2_match(const struct re2_pattern *re, const char *text, size_t n); /* anchored: the complete text */
/* The same, with the spans of the first n_groups groups; group 0 is the complete match. */
bool re2_match_groups(const struct re2_pattern *re, const char *text, size_t n, struct re2_span *groups,
                      size_t n_groups);
/* The leftmost match that begins at `from` or later; ^ and \b see the text before `from`. */
bool re2_find_groups(const struct re2_pattern *re, const char *text, size_t n, size_t from, struct re2_span *groups,
                     size_t n_groups);

size_t re2_bytes(const struct re2_pattern *re);                                /* approximate memory use in bytes */
size_t re2_groups(const struct re2_pattern *re);                               /* including group 0 */
size_t re2_group_named(const struct re2_pattern *re, const char *name, size_t n); /* 0 = no such name */

#ifdef __cplusplus
}
#endif

#endif
