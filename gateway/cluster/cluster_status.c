// SPDX-License-Identifier: Apache-2.0
/* The cluster for other threads: its state and metrics. */
#include "gateway/cluster/cluster_internal.h"

#include "base/text/duration.h"

size_t cluster_active_members(const struct cluster_view *v, int64_t now)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        n += v->members[i].from <= now && now < v->members[i].until;
    return n;
}

struct client_profile *cluster_member_profile(const struct cluster *c) { return c->profile; }

const struct cluster_conf *cluster_settings(const struct cluster *c) { return c->conf; }

void cluster_none(struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "this process is no member of a cluster: the configuration has no section `cluster`");
}

const char *cluster_role_name(enum cluster_role role)
{
    static const char *const names[] = {"connecting", "joining", "active", "leaving", "fenced"};
    return names[role];
}

const char *cluster_member_state(const struct cluster_member *m, int64_t now)
{
    return m->from > now ? "joining" : now >= m->until ? "left" : m->until < INT64_MAX ? "leaving" : "active";
}

void cluster_status(struct cluster *c, struct cluster_status *out)
{
    int64_t now = clock_mono_ms();
    mutex_lock(&c->mutex);
    *out = c->status;
    out->view = c->view ? cluster_view_ref(c->view) : NULL;
    out->renewed_ago = c->renewed > 0 ? now - c->renewed : -1;
    out->current_ago = c->current > 0 ? now - c->current : -1;
    mutex_unlock(&c->mutex);
}

void cluster_status_free(struct cluster_status *s) { cluster_view_unref(s->view); }

void cluster_collect(struct cluster *c, struct stats_out *o)
{
    struct cluster_status s;
    if (c == NULL)
        return;
    cluster_status(c, &s);
    stats_single(o, "sluice_cluster_members", STATS_GAUGE, "Members that are registered",
                 s.view ? (double)cluster_view_registered(s.view) : 0);
    stats_single(o, "sluice_cluster_active_members", STATS_GAUGE, "Members that scrape targets",
                 s.view ? (double)cluster_active_members(s.view, clock_wall_ms()) : 0);
    stats_single(o, "sluice_cluster_view_revision", STATS_GAUGE, "Revision of etcd that the members were read at",
                 s.view ? (double)s.view->revision : 0);
    stats_single(o, "sluice_cluster_view_age_seconds", STATS_GAUGE,
                 "Seconds since the members were known to be current; -1: never",
                 s.current_ago < 0 ? -1 : (double)s.current_ago / 1e3);
    stats_single(o, "sluice_cluster_lease_age_seconds", STATS_GAUGE, "Seconds since the lease was renewed; -1: none",
                 s.renewed_ago < 0 ? -1 : (double)s.renewed_ago / 1e3);
    mutex_lock(&c->mutex);
    double changes = (double)c->changes;
    mutex_unlock(&c->mutex);
    stats_single(o, "sluice_cluster_view_changes_total", STATS_COUNTER, "Changes of the members", changes);
    stats_family(o, "sluice_cluster_role", STATS_GAUGE, "1 for the state of this member, 0 for the others");
    for (int r = 0; r <= CLUSTER_FENCED; r++) {
        struct stats_label label = {"role", str_of(cluster_role_name((enum cluster_role)r))};
        stats_value(o, "sluice_cluster_role", &label, 1, r == (int)s.role);
    }
    cluster_status_free(&s);
}
