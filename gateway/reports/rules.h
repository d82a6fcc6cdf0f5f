// SPDX-License-Identifier: Apache-2.0
/* Rule groups of all servers as one list. Servers of a server group evaluate the same files: their rule groups with the
 * same file and name are one, with the rules of all of them, the alerts of all of them, and the most severe state of
 * an alerting rule. Rule groups of different server groups are kept separate even if their names are equal.
 */
#ifndef GATEWAY_REPORTS_RULES_H
#define GATEWAY_REPORTS_RULES_H

#include "gateway/reports/alerts.h"
#include "model/matcher.h"

struct merged_rule {
    const struct json_value *base;  /* of the first server that has it */
    struct str name, query;
    bool alerting;
    struct labels own, labels;      /* without and with those of the server group */
    int state;                      /* alert_state_rank, the highest */
    struct alert_set alerts;
    const struct report *_last;     /* the last server that was found to have it */
};
struct merged_rule_group {
    const struct json_value *base;
    struct str file, name;
    struct report_servers servers;
    struct merged_rule *rules; size_t n, cap;
};
struct rule_groups { struct merged_rule_group *items; size_t n; };
/* Sorted by file, name and server group. False: the query must end. */
bool rule_groups_merge(const struct report_set *set, struct rule_groups *out, struct query_work *work,
                       struct err *err) MUST_USE;
/* Whether any of n selectors matches the labels as configured: templates are not expanded. */
bool rule_matches(const struct merged_rule *r, const struct matcher *const *sets, const size_t *sizes, size_t n);
/* Writes a rule; alerts: including those that are active. False: the query must end. */
bool rule_write(struct json_writer *w, const struct merged_rule *r, bool alerts, struct query_work *work,
                struct err *err) MUST_USE;

#endif
