// SPDX-License-Identifier: Apache-2.0
/* Relabel rules of vmagent's action graphite: the parts of a metric name, such as `servers.*.cpu.*`, become values of
 * labels.
 *
 * A * of `match` matches any number of bytes but dots, up to the first place where the text behind it goes on. In the
 * templates of `labels`, $0 is the name, $1 or ${1} what the first * matched; what refers to no * stays as it is.
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
