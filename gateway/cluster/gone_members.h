// SPDX-License-Identifier: Apache-2.0
/* Members whose keys were removed without a planned leave, and the time until which their scrapes were sent. The view
 * keeps them for some time (struct cluster_member.gone): members that have kept later scrapes send them.
 *
 * The time is the later of two: what the member wrote to etcd (sent_times.h), and what it reports itself, if it
 * responds. A member that is cut off from etcd still sends what it scraped before its lease ended, so it is polled
 * until its response no longer changes. One that goes on scraping, since it has not noticed yet or cannot have been
 * replaced, is waited for: it registers again, or stops at its fence. Errors of etcd are retried for a quarter of keep_ms. Without either time,
 * nothing is known to be sent; a time in the future, of another clock, counts as now. Until the time is found,
 * `gone_pending` is true and the view should not change; scrapes that are due meanwhile are kept, too.
 *
 * Threads: the loop's.
 */
#ifndef GATEWAY_CLUSTER_GONE_MEMBERS_H
#define GATEWAY_CLUSTER_GONE_MEMBERS_H

#include "base/etcd/etcd.h"
#include "model/cluster/cluster_view.h"

enum { GONE_MOST = 1000 };
struct gone_members;
struct gone_members_conf {
    struct etcd *etcd;
    struct client_profile *profile;  /* of requests to members; referenced */
    struct str members, sent;        /* prefixes of keys; copied */
    int64_t keep_ms;                 /* how long scrapes are kept */
    void (*settled)(void *arg);      /* all times are found */
    void *arg;
};
struct gone_members *gone_new(const struct gone_members_conf *conf);
void gone_free(struct gone_members *g);
/* wait_ms: before anything is asked. After an outage of etcd the members' leases may all have ended, and most are back in
 * a moment. */
void gone_add(struct gone_members *g, const struct cluster_member *m, struct str boot, int64_t wait_ms);
/* The same process has registered again, with the same first scrape: it is not gone, if its time is not found yet. */
void gone_returned(struct gone_members *g, const struct cluster_member *m, struct str boot);
bool gone_pending(const struct gone_members *g);
/* Those whose times are found; texts are valid until gone_tick. back: whether the member, this process, is registered
 * again and has scraped without a break. Returns their number, at most `most`. */
size_t gone_list(const struct gone_members *g, bool (*back)(void *arg, const struct cluster_member *m, struct str boot),
                 void *arg, struct cluster_member *out, size_t most);
/* Forgets members after keep_ms. cleans: deletes their keys `sent/ID`, too, unless they are registered: one member of
 * the cluster should. */
void gone_tick(struct gone_members *g, bool cleans);

#endif
