// SPDX-License-Identifier: Apache-2.0
/* Unites the series of all groups in one set without duplicate label sets. */
#ifndef GATEWAY_UPSTREAM_UNION_H
#define GATEWAY_UPSTREAM_UNION_H

#include "gateway/upstream/group.h"
#include "gateway/upstream/decode/response.h"

struct union_series {          /* the series at `index` of a group's, merged with `more` */
    struct labels labels;
    uint32_t part, index;      /* part: its union_add, from 0 */
    struct union_series *more; /* of another group; NULL: none */
};
struct group_union {
    struct query_work work;
    struct arena *arena;
    struct union_series *series; size_t n, cap;
    const struct group **groups; size_t n_groups, groups_cap; /* of each part */
    struct map *_seen;
};
/* q: its deadline ends union_add; may be NULL */
void union_begin(struct group_union *u, const struct query_ctx *q, struct arena *a);
/* Adds the n series of a group. A series that another group has as well is merged if both groups have `overlap: merge` or
 * may share series at different times; otherwise it is an error that names both. */
bool union_add(struct group_union *u, const struct group *g, const struct labels *labels, size_t n,
               struct err *err) MUST_USE;
void union_end(struct group_union *u);
bool union_sort(struct group_union *u, struct err *err) MUST_USE; /* by labels: see series_sort */

/* Sorts series, so that their order depends neither on which replica responded first nor on the server: ties of topk
 * and sums of floats depend on it. Most servers sort, so a check is usually sufficient. False: the query must end. */
bool series_sort(const struct query_ctx *q, struct series *series, size_t n, struct err *err) MUST_USE;

/* Series with the same labels, of replicas and groups, as one, with each exemplar once, by time; in place. */
bool exemplars_unite(const struct query_ctx *q, struct exemplar_set *set, struct err *err) MUST_USE;

#endif
