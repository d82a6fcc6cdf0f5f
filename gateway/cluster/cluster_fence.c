// SPDX-License-Identifier: Apache-2.0
/* Until when this member may scrape: as long as its lease is known to be kept, or no member can renew its own
 * (cluster.h, Without etcd). */
#include "gateway/cluster/cluster_internal.h"

#include "base/telemetry/log.h"

enum {
    FENCE_AHEAD_MS = 3000, /* while etcd is away for all members */
    ROUNDS_A_LEASE = 8,    /* of questions to the others, while the lease cannot be renewed */
};

bool cluster_may_scrape(const struct cluster *c) { return loop_mono(c->env.main) < c->fence; }

void cluster_set_fence(const struct cluster *c) { c->env.fence(c->env.arg, c->from == INT64_MAX ? 0 : c->fence); }

static void cluster_log_fence(struct cluster *c, bool frozen)
{
    bool fenced = !cluster_may_scrape(c) && c->from != INT64_MAX;
    if (fenced && !c->fenced)
        log_error("cluster", "this member cannot renew its lease while others can: it scrapes nothing until it can");
    if (frozen && !c->frozen)
        log_warn("cluster", c->unreached && cluster_view_registered(c->view) > 1
                     ? "this member can reach neither etcd nor another member: the members stay as they were last"
                     : "no member can renew its lease in etcd: the members stay as they were last");
    if (c->fenced && !fenced)
        log_info("cluster", "this member may scrape again");
    c->fenced = fenced;
    c->frozen = frozen;
}

/* Whether the last round, which must have ended since this member cannot renew its lease, found none that can. */
static bool cluster_ask_others(struct cluster *c, int64_t now)
{
    int64_t lease = c->conf->lease;
    bool recent = c->asked > 0 && now - c->asked < lease / 2;
    if (recent && peer_check_runs(c->peers))
        return c->frozen;
    bool none = recent && peer_check_renewing(c->peers, lease / 2) == 0;
    c->unreached = recent && peer_check_responded(c->peers) == 0;
    if (recent && !none && now >= membership_renewed(c->membership) + lease)
        c->replaced = true;
    if (recent && now - c->asked < lease / ROUNDS_A_LEASE)
        return none;
    peer_check_start(c->peers, c->view, lease / ROUNDS_A_LEASE);
    c->asked = now;
    return none;
}

void cluster_watch_lease(struct cluster *c)
{
    int64_t now = loop_mono(c->env.main), renewed = membership_renewed(c->membership), lease = c->conf->lease;
    int64_t age = renewed > 0 ? now - renewed : INT64_MAX;
    if (renewed > 0 && renewed + lease > c->fence)
        c->fence = renewed + lease;
    bool frozen = age > lease / 2 && c->view && c->from != INT64_MAX && cluster_ask_others(c, now);
    c->replaced = c->replaced && age > lease;
    if (frozen && !c->replaced && c->fence < now + FENCE_AHEAD_MS)
        c->fence = now + FENCE_AHEAD_MS;
    cluster_log_fence(c, frozen);
    cluster_set_fence(c);
}
