// SPDX-License-Identifier: Apache-2.0
/* The members of the cluster as this one sees them. */
#include "base/text/duration.h"
#include "gateway/cluster/cluster.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"
#include "gateway/services/services.h"

static void add_cluster_time(struct buf *out, int64_t ms)
{
    if (ms <= 0 || ms == INT64_MAX)
        buf_add_char(out, '-');
    else
        buf_add_rfc3339(out, ms);
}

static const struct cluster_member *shown_member(const struct cluster_status *s, size_t i) { return &s->view->members[i]; }

static void text_cluster(struct buf *out, const struct cluster_conf *conf, const struct cluster_status *s, int64_t now)
{
    buf_printf(out, "cluster %.*s, member %.*s: %s", STR_ARG(conf->name), STR_ARG(conf->id), cluster_role_name(s->role));
    if (s->error[0])
        buf_printf(out, "; %s", s->error);
    buf_add_char(out, '\n');
    for (size_t i = 0; s->view && i < s->view->n; i++) {
        const struct cluster_member *m = shown_member(s, i);
        if (m->gone)
            continue;
        buf_printf(out, "%.*s state=%s address=%.*s zone=%.*s weight=%g from=", STR_ARG(m->id), cluster_member_state(m, now),
                   STR_ARG(m->address), STR_ARG(m->zone), m->weight);
        add_cluster_time(out, m->from);
        buf_add_z(out, " until=");
        add_cluster_time(out, m->until);
        buf_add_char(out, '\n');
    }
}

static void html_cluster_member(struct buf *out, const struct cluster_member *m, bool self, int64_t now)
{
    const char *state = cluster_member_state(m, now);
    buf_add_z(out, "<tr><td><a href='");
    html_text(out, m->address);
    buf_add_z(out, "/targets'>");
    html_text(out, m->id);
    buf_printf(out, "</a>%s<td data-k=State class=%s>%s<td data-k=Address>", self ? " (this one)" : "",
               str_is(str_of(state), "active") ? "up" : "unknown", state);
    html_text(out, m->address);
    buf_add_z(out, "<td data-k=Zone>");
    html_text(out, m->zone);
    buf_printf(out, "<td class=n data-k=Weight>%g<td data-k=From>", m->weight);
    add_cluster_time(out, m->from);
    buf_add_z(out, "<td data-k=Until>");
    add_cluster_time(out, m->until);
}

static void html_cluster_state(struct http_request *r, const struct cluster_conf *conf, const struct cluster_status *s,
                               int64_t now)
{
    struct buf *out = &r->out;
    buf_add_z(out, "<p>Member <b>");
    html_text(out, conf->id);
    buf_add_z(out, "</b> of cluster <b>");
    html_text(out, conf->name);
    buf_printf(out, "</b> is <b class=%s>%s</b>. The members changed ", s->role == CLUSTER_FENCED ? "down" : "up",
               cluster_role_name(s->role));
    html_ago(out, s->view_at, now);
    if (s->view)
        buf_printf(out, " (revision %llu of etcd)", (unsigned long long)s->view->revision);
    buf_printf(out, ". <a href='%s/service-discovery?state=dropped'>Targets of other members</a>",
               r->services->flags.link_prefix.p);
    if (s->error[0]) {
        buf_add_z(out, "<p class=down>");
        html_text(out, str_of(s->error));
    }
}

static void html_cluster(struct http_request *r, const struct cluster_conf *conf, const struct cluster_status *s, int64_t now)
{
    html_begin(r, "Cluster");
    html_cluster_state(r, conf, s, now);
    buf_add_z(&r->out, "<table><tr><th>Member<th>State<th>Address<th>Zone<th>Weight<th>Scrapes from<th>Until");
    for (size_t i = 0; s->view && i < s->view->n; i++)
        if (!shown_member(s, i)->gone)
            html_cluster_member(&r->out, shown_member(s, i), i == s->view->self, now);
    buf_add_z(&r->out, "</table>");
    html_end(r);
}

void page_cluster(struct http_request *r)
{
    struct cluster_status s;
    struct err err;
    if (r->services->cluster == NULL) {
        cluster_none(&err);
        html_fail(r, "Cluster", &err);
        return;
    }
    const struct cluster_conf *conf = cluster_settings(r->services->cluster);
    cluster_status(r->services->cluster, &s);
    int64_t now = clock_wall_ms();
    if (html_wanted(r))
        html_cluster(r, conf, &s, now);
    else
        text_cluster(&r->out, conf, &s, now);
    cluster_status_free(&s);
}
