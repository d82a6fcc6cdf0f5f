// SPDX-License-Identifier: Apache-2.0
/* This process as a member of its cluster: a key in etcd that exists as long as the member renews its lease.
 *
 * The key `members/ID` has what the others need to know (member_record.h). It is created once the lease is granted, if no
 * other process has it: after a crash the process that comes back waits until its former lease ends. When the lease is
 * lost, because etcd did not hear of this member for its length, a new one is requested and the key created again.
 *
 * Nothing blocks, and nothing fails for good: requests are repeated until they succeed. Threads: the loop's.
 */
#ifndef GATEWAY_CLUSTER_MEMBERSHIP_H
#define GATEWAY_CLUSTER_MEMBERSHIP_H

#include "base/etcd/etcd.h"

struct membership;
struct membership_conf {
    struct etcd *etcd;
    struct str key;          /* members/ID with the cluster's prefix; copied */
    int64_t lease_ms;
    /* Writes the value that the key is to have now. */
    void (*write)(void *arg, struct buf *out);
    /* Whether a value is of this process, which may have lost the response to its own request. */
    bool (*is_own)(void *arg, struct str value);
    void (*changed)(void *arg); /* the state has changed; it may not free the membership */
    void *arg;
};
struct membership *membership_new(const struct membership_conf *conf); /* begins at once */
void membership_free(struct membership *m); /* the key remains until the lease ends, unless membership_leave has ended */

void membership_update(struct membership *m);    /* the value has changed: writes it as soon as possible */
bool membership_written(const struct membership *m); /* etcd has the key, with the newest value */
bool membership_registered(const struct membership *m); /* etcd has the key, as far as this process knows */
uint64_t membership_lease(const struct membership *m); /* that the key has; 0: it is not registered */
/* loop_mono at which the request was sent that renewed the lease last: etcd keeps it at least for lease_ms from then on.
 * 0: there is none. */
int64_t membership_renewed(const struct membership *m);
const char *membership_error(const struct membership *m); /* why the last request failed; NULL: it did not */
/* Removes the key. `done` is called when that is done, or has failed. */
void membership_leave(struct membership *m, void (*done)(void *arg), void *arg);

#endif
