// SPDX-License-Identifier: Apache-2.0
/* Targets that the servers of the groups scrape. A target of several servers of a server group (the same pool, URL and
 * labels) is one, with the best health of them: the group has its samples if one server has them. Dropped targets are
 * the same if pool and discovered labels are; their number is the largest that one server of the group has.
 */
#ifndef GATEWAY_REPORTS_TARGETS_H
#define GATEWAY_REPORTS_TARGETS_H

#include "gateway/reports/report.h"
#include "model/query_work.h"

struct merged_target {
    const struct json_value *base;  /* as the server with the best health sent it */
    struct labels labels;           /* with those of the server group; of dropped ones: none */
    struct str pool;
    struct report_servers servers;
};
struct target_list { struct merged_target *items; size_t n, cap; };
struct dropped_count { struct str pool; const struct group *group; uint64_t n; };
struct dropped_counts { struct dropped_count *items; size_t n, cap; };
/* In the order of the configuration. False: the query must end. */
bool targets_merge(const struct report_set *set, struct target_list *active, struct target_list *dropped,
                   struct dropped_counts *counts, struct query_work *work, struct err *err) MUST_USE;
/* Writes a target as its server sent it, with `labels` replaced (active) and the servers added. */
void target_write(struct json_writer *w, const struct merged_target *t, bool active);

#endif
