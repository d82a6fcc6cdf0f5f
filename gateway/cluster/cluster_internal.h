// SPDX-License-Identifier: Apache-2.0
/* struct cluster, for cluster.c (the member), cluster_fence.c and cluster_status.c (what other threads see of it). */
#ifndef GATEWAY_CLUSTER_CLUSTER_INTERNAL_H
#define GATEWAY_CLUSTER_CLUSTER_INTERNAL_H

#include "base/etcd/etcd_mirror.h"
#include "base/os/thread.h"
#include "gateway/cluster/cluster.h"
#include "gateway/cluster/gone_members.h"
#include "gateway/cluster/membership.h"
#include "gateway/cluster/peer_check.h"
#include "gateway/cluster/sent_times.h"

struct cluster {
    struct cluster_env env;
    const struct cluster_conf *conf;
    struct etcd *etcd;
    struct etcd_mirror *mirror;
    struct membership *membership;
    struct client_profile *profile; /* of requests to other members */
    struct peer_check *peers;
    struct sent_times *sent;   /* NULL: replica_mode is `all` */
    struct gone_members *gone; /* likewise */
    struct handovers *handovers; /* likewise */
    struct str prefix, key;    /* of the members; of this one */
    struct str address;
    struct arena arena;
    struct loop_timer tick, leave_due, end_due;
    int64_t from, until;       /* announced by this member */
    int64_t started;           /* loop_mono */
    int64_t fence;             /* loop_mono */
    int64_t disturbed;         /* loop_mono at which etcd was last not followed; 0: never */
    bool postponed;            /* a change of the view, until all members follow etcd again */
    bool fenced, frozen;       /* as last logged */
    bool replaced;             /* another member renewed its lease after this one's had ended */
    bool unreached;            /* none of the others that were asked last responded */
    int64_t asked;             /* loop_mono of the last round of questions to the others; 0: none */
    void (*left)(void *arg), (*ended)(void *arg);
    void *left_arg, *ended_arg;
    struct mutex mutex;        /* guards the rest, which other threads read */
    struct cluster_view *view;
    struct cluster_status status; /* without view and times that pass */
    int64_t renewed, current;  /* loop_mono */
    uint64_t changes;
};

size_t cluster_active_members(const struct cluster_view *v, int64_t now);

/* ---- cluster_fence.c ---- */

bool cluster_may_scrape(const struct cluster *c);
/* Tells the scraper. A member that has not announced its first scrape owns nothing, whatever an older view says. */
void cluster_set_fence(const struct cluster *c);
void cluster_watch_lease(struct cluster *c); /* some times a second, and when the lease has been renewed or lost */

#endif
