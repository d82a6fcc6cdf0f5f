// SPDX-License-Identifier: Apache-2.0
/* Requests a report from the other members of the cluster, all at once, with the credentials of the key
 * `cluster.members`. One that fails, or does not respond in time, gives a warning that names it. The members answer for
 * themselves alone (`scope=member`), so that no request can come back.
 *
 * On any worker, which waits; the result is in the arena.
 */
#ifndef GATEWAY_REPORTS_MEMBERS_H
#define GATEWAY_REPORTS_MEMBERS_H

#include "base/json/json_value.h"
#include "gateway/cluster/cluster.h"
#include "model/notes.h"

struct members_question {
    struct cluster *cluster;
    const struct cluster_view *view;
    const char *path;               /* "/api/v1/targets" */
    struct str form;                /* its parameters, without scope */
    struct arena *arena;            /* charged to a budget; its limit is not observed */
    struct notes *notes;
    int64_t deadline_mono;          /* clock_mono_ms; 0: none but MEMBERS_TIMEOUT_MS */
    const atomic_bool *canceled;    /* may be NULL */
};
struct member_answer { const struct cluster_member *member; const struct json_value *data; };
struct member_answers { struct member_answer *items; size_t n; }; /* those that responded, sorted by id */
/* False: the client has left. */
bool members_fetch(const struct members_question *q, struct member_answers *out, struct err *err) MUST_USE;

#endif
