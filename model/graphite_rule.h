// SPDX-License-Identifier: Apache-2.0
/* Relabel rules of vmagent's action graphite: parts of a metric name, matched by a pattern such as `servers.*.cpu.*`,
 * become values of labels.
 *
 * A * of `match` takes the text up to the first occurrence of the literal that follows it, which must contain no dot;
 * there is no backtracking, so that a match takes linear time. In the templates of `labels`, $0 is the name, and $1 or
 * ${1} the text that the first * matched; references to a * that does not exist stay unchanged.
 *
 * Source: https://docs.victoriametrics.com/victoriametrics/relabeling/#graphite-relabeling
 */
#ifndef MODEL_GRAPHITE_RULE_H
#define MODEL_GRAPHITE_RULE_H

#include "base/arena.h"
#include "base/buf.h"

struct graphite_captures { struct str *items; size_t n; }; /* slices of the name */
/* False: the name does not match, or the arena is full. */
bool graphite_match(struct arena *a, struct str match, struct str name, struct graphite_captures *out) MUST_USE;
void graphite_expand(struct buf *out, struct str template, const struct graphite_captures *captures);

#endif
