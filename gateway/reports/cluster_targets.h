// SPDX-License-Identifier: Apache-2.0
/* The targets of all members of the cluster: those that several of them scrape once, as the one that sends their samples
 * shows them. Dropped are those that relabel_configs drop, or that are invalid: not those of other members.
 */
#ifndef GATEWAY_REPORTS_CLUSTER_TARGETS_H
#define GATEWAY_REPORTS_CLUSTER_TARGETS_H

#include "gateway/http/http.h"
#include "model/cluster/cluster_view.h"
#include "model/notes.h"
#include "scraper/scraper.h"

enum target_scope {
    SCOPE_PROCESS,     /* this process, and the servers of its groups */
    SCOPE_MEMBER,      /* this member, without what it knows of the targets of others; no servers */
    SCOPE_CLUSTER      /* all members, as SCOPE_MEMBER */
};
/* The parameter `scope`. False: another value, or this process is no member of a cluster. */
bool target_scope_read(struct http_request *r, enum target_scope *out, struct err *err) MUST_USE;

struct cluster_target {
    struct target_status status;
    struct str members[CLUSTER_REPLICAS_MAX]; size_t n_members; /* that scrape it; the first one's state is shown */
    struct str global_url;               /* as that member reports it; empty: this member's */
};
struct cluster_targets {
    struct scraper_targets all;          /* as if one scraper had them */
    struct cluster_target *targets;      /* of all.active */
};
/* What another than SCOPE_PROCESS has. form: parameters for the members; a failing one gives a warning. Memory as for
 * services_targets. */
bool cluster_targets_read(struct http_request *r, enum target_scope scope, struct str form, int64_t deadline_mono,
                          struct notes *notes, struct cluster_targets *out, struct err *err) MUST_USE;

#endif
