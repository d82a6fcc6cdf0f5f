// SPDX-License-Identifier: Apache-2.0
/* Alerts of several servers as one set. An alert is identified by its labels, those of the server's group included; of
 * an alert that several servers have, the firing one counts, then the one that has been active for longest. */
#ifndef GATEWAY_REPORTS_ALERTS_H
#define GATEWAY_REPORTS_ALERTS_H

#include "gateway/reports/report.h"
#include "model/query_work.h"

struct merged_alert {
    struct labels labels;
    const struct json_value *base;  /* as the server sent it; `labels` replaces its labels */
    struct report_servers servers;  /* that have it */
};
struct alert_set {
    struct merged_alert *items; size_t n, cap; /* in the order in which they were added */
    struct map *_by_labels;
};
/* The alerts in an array of a report. False: the query must end. */
bool alert_set_add(struct alert_set *all, const struct report_set *set, const struct report *r,
                   const struct json_value *alerts, struct query_work *work, struct err *err) MUST_USE;
/* As an array; false: the query must end. */
bool alert_set_write(struct json_writer *w, const struct alert_set *all, struct query_work *work,
                     struct err *err) MUST_USE;

/* firing: 2, pending: 1, otherwise 0 */
int alert_state_rank(const struct json_value *rule_or_alert);

#endif
