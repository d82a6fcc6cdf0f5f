// SPDX-License-Identifier: Apache-2.0
/* Unites the series of all groups in one set without duplicate label sets. */
#ifndef GATEWAY_UPSTREAM_UNION_H
#define GATEWAY_UPSTREAM_UNION_H

#include "gateway/upstream/decode/response.h"
#include "gateway/upstream/group.h"

struct group_union {
    struct query_work work;
    struct arena *arena;
    struct series *series; size_t n, cap;
    const struct group **owners; size_t owners_cap; /* of series[i] */
    struct map *_seen;
};
/* q: its deadline ends union_add; may be NULL */
void union_begin(struct group_union *u, const struct query_ctx *q, struct arena *a);
/* A series that another group has as well is merged if both groups have `overlap: merge` or may share series, each for a
 * time of its own; otherwise it is an error that names both. */
bool union_add(struct group_union *u, const struct group *g, const struct response *response, struct err *err) MUST_USE;
void union_end(struct group_union *u);

/* Sorts series, so that their order depends neither on which replica responded first nor on the server: ties of topk
 * and sums of floats depend on it. Most servers sort, so a check is usually sufficient. False: the query must end. */
bool series_sort(const struct query_ctx *q, struct series *series, size_t n, struct err *err) MUST_USE;

/* Series with the same labels, of replicas and groups, as one, with each exemplar once, by time; in place. */
bool exemplars_unite(const struct query_ctx *q, struct exemplar_set *set, struct err *err) MUST_USE;

#endif
