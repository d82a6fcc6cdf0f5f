// SPDX-License-Identifier: Apache-2.0
/* This process in its cluster: reads the members from etcd, registers itself, and tells the scraper which members take
 * part when (model/cluster/cluster_view.h).
 *
 * Joining. The member registers at once, and takes targets when the first configuration is in force, discovery has run,
 * and wait_for_size members are there: it announces the time of its first scrape, `handover` in advance. Likewise it
 * announces its last one before it stops (cluster_leave).
 *
 * Without etcd. The members stay as they were read last. A member that cannot renew its lease goes on scraping until the
 * lease ends, since nobody replaces it before. From half of that time on it asks others (peer_check.h): if one of them
 * renews its lease, this member alone is cut off and will be replaced: it stops scraping when its lease ends (it is
 * fenced). If none does, or none can be reached, it goes on: nobody is replaced, as far as it knows. A process that was
 * suspended for longer than its lease finds the fence down when it wakes up, and asks first.
 *
 * Threads: all functions in the control thread, unless stated otherwise.
 */
#ifndef GATEWAY_CLUSTER_CLUSTER_H
#define GATEWAY_CLUSTER_CLUSTER_H

#include "gateway/cluster/cluster_conf.h"
#include "gateway/cluster/handovers.h"
#include "model/cluster/cluster_view.h"
#include "base/telemetry/stats.h"

struct cluster;
struct cluster_env {
    struct loop *main;
    struct str default_address;      /* of this process, unless the section has one */
    struct str boot;                 /* id of this process */
    bool (*ready)(void *arg);        /* it may take targets */
    void (*view)(void *arg, struct cluster_view *view); /* the members are others; takes a reference if it keeps it */
    void (*fence)(void *arg, int64_t until_mono);       /* it may scrape until then */
    int64_t (*complete)(void *arg), (*delivered)(void *arg); /* struct sent_times_conf */
    bool (*has_standbys)(void *arg); /* others keep the same scrapes */
    size_t (*not_handed)(void *arg); /* targets that have moved away and that their new owners have not asked for yet */
    /* struct handovers_conf: */
    bool (*take_pages)(void *arg, const struct handover_source *of, struct buf *body,
                       void (*answered)(void *answered_arg, uint64_t id), void *answered_arg, struct err *err);
    void (*release)(void *arg, const struct handover_source *of);
    void *arg;
};
/* The section must live as long. NULL: a client cannot be made. */
struct cluster *cluster_new(const struct cluster_env *env, const struct cluster_conf *conf, struct err *err) MUST_USE;
void cluster_free(struct cluster *c); /* NULL is fine */
/* A target moves here from another member at a time. */
void cluster_expect(struct cluster *c, const struct cluster_member *from, int64_t time, uint64_t target);
/* Announces that this member leaves; `done` is called when the others scrape its targets, at once if there are none. */
void cluster_leave(struct cluster *c, void (*done)(void *arg), void *arg);
/* Removes the member's key, after its samples were sent or written to disk; waits at most a second. */
void cluster_end(struct cluster *c, void (*done)(void *arg), void *arg);

/* ---- any thread ---- */

enum cluster_role { CLUSTER_CONNECTING, CLUSTER_JOINING, CLUSTER_ACTIVE, CLUSTER_LEAVING, CLUSTER_FENCED };
const char *cluster_role_name(enum cluster_role role);
const char *cluster_member_state(const struct cluster_member *m, int64_t now); /* "joining", "active", "leaving", "left" */
struct cluster_status {              /* a copy */
    struct cluster_view *view;       /* a reference; NULL: not known yet */
    enum cluster_role role;
    int64_t renewed_ago;             /* ms since the lease was renewed; -1: there is none */
    int64_t view_at;                 /* Unix ms when the members changed last; 0: never */
    int64_t complete;                /* Unix ms before which its scrapes are complete; INT64_MAX: it has none */
    int64_t sent_until;              /* Unix ms before which its scrapes are sent; 0: not known */
    int64_t current_ago;             /* ms since the members were known to be current; -1: never */
    char error[256];                 /* why etcd is not followed; empty: it is */
};
void cluster_status(struct cluster *c, struct cluster_status *out);
void cluster_status_free(struct cluster_status *s);
void cluster_none(struct err *err);  /* the error of requests about the cluster while there is none */
const struct cluster_conf *cluster_settings(const struct cluster *c); /* of the start: id, name, ... */
struct client_profile *cluster_member_profile(const struct cluster *c); /* of requests to other members; borrowed */
void cluster_collect(struct cluster *c, struct stats_out *o); /* metrics; NULL: none */

#endif
