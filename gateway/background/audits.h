// SPDX-License-Identifier: Apache-2.0
/* Audits of server groups (gateway/audit/audit.h) in the background, off by default: each group that is filled by the
 * destination which the recent store follows is audited every `audit.interval`, one group at a time, on a worker of class
 * background. Results are metrics; missing samples are logged.
 *
 * Called on the main thread, in its loop, except audits_collect. A running audit has references to the upstream and the
 * configuration that it uses, so that a reload need not wait for it.
 */
#ifndef GATEWAY_BACKGROUND_AUDITS_H
#define GATEWAY_BACKGROUND_AUDITS_H

#include "gateway/audit/audit_conf.h"
#include "gateway/audit/audit_pending.h"
#include "gateway/query/service.h"
#include "gateway/query/worker.h"
#include "gateway/upstream/upstream.h"

enum { AUDIT_MS = 120000 /* of one group */ };

struct audits;
struct audits *audits_new(struct loop *loop, const char *id); /* id: of the process, see via.h */
struct audits_setup {
    struct workers *workers;
    struct budget *memory;          /* of queries */
    size_t query_memory;            /* of one query */
    const struct audit_conf *conf;  /* NULL: off */
    struct query_service settings;  /* but for the source */
    struct audit_writer writer;
    void (*release)(void *held);    /* once nothing of the configuration is used any more */
    void *held;
};
/* Audits the groups of u from now on, and keeps a reference. */
void audits_use(struct audits *a, struct upstream *u, const struct audits_setup *setup);
void audits_stop(struct audits *a); /* ends an audit soon, begins none */
void audits_free(struct audits *a); /* after workers_stop */
void audits_collect(struct audits *a, struct stats_out *out); /* metrics; any thread */

#endif
