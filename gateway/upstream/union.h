// SPDX-License-Identifier: Apache-2.0
/* The series of all groups in one set: each label set once. */
#ifndef GATEWAY_UPSTREAM_UNION_H
#define GATEWAY_UPSTREAM_UNION_H

#include "gateway/upstream/response.h"

struct group_union {
    struct query_work work;
    struct arena *arena;
    struct series *series; size_t n, cap;
    const struct group **owners; size_t owners_cap; /* of series[i] */
    struct map *_seen;
};
/* q: whose deadline ends union_add; may be NULL */
void union_begin(struct group_union *u, const struct query_ctx *q, struct arena *a);
/* A series that another group has too: united when both groups say `overlap: merge`, else an error that names both. */
bool union_add(struct group_union *u, const struct group *g, const struct response *response, struct err *err) MUST_USE;
void union_end(struct group_union *u);

/* The evaluator must see one order whichever replica answered first and however a server orders its series: ties of
 * topk and sums of floats depend on it. Servers mostly sort, so that a check is enough. False: the query must end. */
bool series_sort(const struct query_ctx *q, struct series *series, size_t n, struct err *err) MUST_USE;

#endif
