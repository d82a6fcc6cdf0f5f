// SPDX-License-Identifier: Apache-2.0
/* Queries for lists: label names, label values, series, metadata. The servers of all groups are queried concurrently;
 * the union is sorted. */
#ifndef GATEWAY_UPSTREAM_LABEL_QUERIES_H
#define GATEWAY_UPSTREAM_LABEL_QUERIES_H

#include "gateway/upstream/group_query.h"

enum list_kind { LIST_NAMES, LIST_VALUES, LIST_SERIES, LIST_METADATA, LIST_EXEMPLARS };
struct list_question {
    enum list_kind kind;
    struct str name;                 /* VALUES: the label; METADATA: the metric, or empty */
    const struct series_query *sq;   /* all but METADATA */
    size_t limit;
};
struct list_scope { struct group_list *groups; struct recent_link recent; size_t max_response; };
/* Unsorted, with duplicates, in out. */
bool label_query_run(const struct list_scope *scope, struct query_ctx *q, const struct list_question *what,
                     struct label_list *out, struct err *err) MUST_USE;

#endif
