// SPDX-License-Identifier: Apache-2.0
/* Sorted lists of time spans without overlap. Both ends of a span are included, so spans that touch are one. */
#ifndef GATEWAY_COVERAGE_SPANS_H
#define GATEWAY_COVERAGE_SPANS_H

#include "gateway/coverage/coverage.h"

struct span_list { struct coverage_span *items; uint32_t n, cap; }; /* mem_grow; zeroed = empty */

void spans_add(struct span_list *l, struct coverage_span s);    /* joins it with spans that it touches */
void spans_cut_before(struct span_list *l, int64_t t);          /* removes what is earlier than t */
void spans_cut_after(struct span_list *l, int64_t t);
/* Index of the first span that ends at t or later; l->n when there is none. */
uint32_t spans_find(const struct span_list *l, int64_t t);
void spans_free(struct span_list *l);

/* Sorts n spans and joins those that touch. Returns how many are left. */
size_t spans_join(struct coverage_span *items, size_t n);
/* Joins the nearest neighbours until at most `most` are left. Returns how many. */
size_t spans_limit(struct coverage_span *items, size_t n, size_t most);

#endif
