// SPDX-License-Identifier: Apache-2.0
/* Which members of the cluster own a target, and why: for the API and the page of the cluster. On a worker; memory as for
 * services_targets. */
#ifndef GATEWAY_REPORTS_OWNERS_H
#define GATEWAY_REPORTS_OWNERS_H

#include "gateway/cluster/cluster.h"
#include "gateway/http/http.h"
#include "model/labels.h"

enum { OWNERS_MOST = 20 };
struct owned_target {
    struct str job;
    struct labels labels;            /* of this member's targets those after relabeling, of others those before */
    uint64_t key;
    struct cluster_choice *choices;  /* status.view->n */
};
struct owners_report {
    struct cluster_status status;
    unsigned replicas;
    struct owned_target targets[OWNERS_MOST]; size_t n;
    size_t matches;                  /* n and those beyond */
};
/* The targets of this member and of others, as far as it has stored them, whose URL or labels contain the parameter `q`,
 * of the job `scrapePool` if that is given. `cluster` of the request's services is not NULL. */
bool owners_read(struct http_request *r, struct owners_report *out, struct err *err) MUST_USE;
void owners_free(struct owners_report *o); /* after true */
/* "the highest score", ... */
const char *owner_reason(const struct owners_report *o, const struct owned_target *t, const struct cluster_choice *c);

#endif
