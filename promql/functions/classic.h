// SPDX-License-Identifier: Apache-2.0
/* Classic histograms: rows that differ only in the label le, each with the count of observations up to that bound. */
#ifndef PROMQL_FUNCTIONS_CLASSIC_H
#define PROMQL_FUNCTIONS_CLASSIC_H

#include "promql/functions/functions_internal.h"

/* The buckets of one histogram at one step, ascending without duplicate bounds. The last one must be +Inf, otherwise
 * the result is NaN. */
struct classic_bucket { double upper, count; };
struct classic_fix {
    bool forced;
    double min_upper, max_upper, max_diff;
}; /* records counts that were raised to be monotonic */
double classic_quantile(struct classic_bucket *b, size_t n, double q, struct classic_fix *fix);
double classic_fraction(const struct classic_bucket *b, size_t n, double lower, double upper);

/* One classic histogram over all steps: its bounds and the rows with their counts. */
struct classic_column { double upper; const struct row *row; };
struct classic {
    struct labels labels;            /* without le, with the name */
    struct classic_column *columns;  /* ascending bound */
    size_t n, _cap;
    const struct row *native;        /* a native histogram of the same labels, or NULL */
};
/* The histograms of a vector. Where a classic and a native histogram with the same labels have a value at one step,
 * both are ignored. */
struct classic_set {
    struct classic *items; size_t n, _cap;
    const struct row **natives; size_t n_natives;  /* rows that have any native histogram */
    const struct classic **rivals;                 /* per native: the classic one of the same labels, or NULL */
};
void classic_split(struct eval *ev, const struct expr *at, const struct value *in, struct classic_set *out);
/* The buckets at step i, merged where bounds are equal; 0 when there are none. `b` has capacity for c->n. */
size_t classic_step(const struct classic *c, uint32_t i, struct classic_bucket *b);
bool classic_any(const struct classic *c, uint32_t i);

#endif
