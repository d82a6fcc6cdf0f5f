// SPDX-License-Identifier: Apache-2.0
/* Series selectors in MetricsQL syntax, for the `if` of relabel rules:
 *
 *   up   {job="a", env=~"dev|test"}   up{job!="a" or env="dev"}
 *
 * In braces `or` separates alternatives; each is a list of matchers that must all match. A name before the braces
 * applies to every alternative. {} has no alternative and, as in vmagent, matches nothing. Regexes are anchored.
 * Immutable once parsed; any thread may match.
 */
#ifndef MODEL_LABEL_FILTER_H
#define MODEL_LABEL_FILTER_H

#include "model/matcher.h"

struct label_filter { const struct matcher *matchers; size_t n; };   /* all must match */
struct label_filters { struct label_filter *any; size_t n, _cap; };  /* any must match; none matches nothing */

/* Parses one selector and adds its alternatives. All memory is in the arena; regexes are freed with it. False with an
 * error that says what was expected and where: ERR_BAD_DATA, or ERR_LIMIT when the arena is full. */
bool label_filters_add(struct label_filters *f, struct arena *a, struct str selector, struct err *err) MUST_USE;
bool label_filters_match(const struct label_filters *f, const struct labels_builder *b);

#endif
