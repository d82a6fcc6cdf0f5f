// SPDX-License-Identifier: Apache-2.0
/* Series selectors as MetricsQL has them, which is what `if` of a relabel rule holds:
 *
 *   up   {job="a", env=~"dev|test"}   up{job!="a" or env="dev"}
 *
 * In braces `or` separates alternatives, each a list of matchers that must all hold; a name before the braces belongs
 * to every alternative. {} has none and, as in vmagent, accepts nothing. Regexes are anchored. Immutable once parsed;
 * any thread may match.
 */
#ifndef MODEL_LABEL_FILTER_H
#define MODEL_LABEL_FILTER_H

#include "model/matcher.h"

struct label_filter { const struct matcher *matchers; size_t n; };   /* all of them */
struct label_filters { struct label_filter *any; size_t n, _cap; };  /* any of them; none accepts nothing */

/* Parses one selector and adds its alternatives. Everything lives in the arena; regexes are freed with it. False with
 * an error that says what was expected and where: ERR_BAD_DATA, or ERR_LIMIT when the arena is full. */
bool label_filters_add(struct label_filters *f, struct arena *a, struct str selector, struct err *err) MUST_USE;
bool label_filters_match(const struct label_filters *f, const struct labels_builder *b);

#endif
