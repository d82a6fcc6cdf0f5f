// SPDX-License-Identifier: Apache-2.0
/* Compares what was written with what each server of a group returns.
 *
 * 1. Own counts are those of the recent store, which follows a destination that fills the group: samples as they were
 *    sent, whether or not they have been delivered.
 * 2. The same expression is evaluated over the recent store and over each server alone:
 *
 *      sum by (TARGET LABELS) (count_over_time(SELECTOR[WINDOW]))
 *
 *    at the ends of windows that follow each other, all of which lie in the time that the recent store has completely.
 *    Servers are read as for any query, so that counts are those of PromQL, whatever the server is.
 * 3. Per target and window, what was written and not returned is missing, or late if the destination's queue may have it
 *    still; what was returned and not written is extra. Of a group that is filled by backups, windows of which one has all
 *    samples are compared, and outside of an outage there must be none.
 */
#ifndef GATEWAY_AUDIT_AUDIT_H
#define GATEWAY_AUDIT_AUDIT_H

#include "gateway/audit/audit_pending.h"
#include "gateway/query/service.h"

struct audit_question {
    const struct upstream *upstream;   /* of the group */
    const struct group *group;         /* audit_knows */
    struct source *written;            /* the recent store */
    int64_t written_from;              /* Unix ms since when it is complete */
    const struct query_service *settings; /* but for its source */
    const struct matcher *match; size_t n_match;
    int64_t start, end, window;        /* ms */
    const struct audit_fill *fills;    /* of each server */
    size_t max_targets;                /* of each server in the result: those that differ most */
};
struct audit_count { uint64_t written, returned, missing, extra, late; }; /* samples */
struct audit_target {
    struct labels labels;
    struct audit_count count;
    int64_t first;                     /* end of the first window that differs */
};
struct audit_server {
    bool failed; struct err err;       /* it did not respond: nothing is known */
    struct audit_count sum;
    size_t n_targets, n_differing;
    struct audit_target *targets; size_t n; /* that differ, the most first */
};
struct audit_result {
    int64_t start, end;                /* begin of the first window, end of the last */
    struct audit_server *servers;      /* of each of the group */
};
/* Whether it is known what was written to the group: the recent store follows a destination that fills it, or one whose
 * backups fill it. */
bool audit_knows(const struct upstream *u, const struct group *g);
/* On a worker, in the query's arena. False: own counts cannot be read, or there is no complete window. */
bool audit_run(struct query_ctx *q, const struct audit_question *what, struct audit_result *out,
               struct err *err) MUST_USE;

#endif
