// SPDX-License-Identifier: Apache-2.0
/* The members of the cluster as this one sees them; with the parameter `q`, which of them own the targets that contain it,
 * and why. */
#include "base/text/duration.h"
#include "gateway/cluster/cluster.h"
#include "gateway/pages/html.h"
#include "gateway/pages/pages.h"
#include "gateway/reports/owners.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

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

/* ---- owners of targets ---- */

static void text_owners(struct buf *out, const struct owners_report *o)
{
    buf_printf(out, "%zu targets match\n", o->matches);
    for (size_t i = 0; i < o->n; i++) {
        const struct owned_target *t = &o->targets[i];
        buf_printf(out, "job=\"%.*s\", labels=", STR_ARG(t->job));
        labels_print(out, t->labels);
        buf_printf(out, ", key=%016llx\n", (unsigned long long)t->key);
        for (size_t k = 0; k < o->status.view->n; k++) {
            const struct cluster_choice *c = &t->choices[k];
            const struct cluster_member *m = &o->status.view->members[c->member];
            buf_printf(out, "\trank=%zu, member=%.*s, owner=%u, reason=\"%s\", hash=%016llx, score=%.6g", k + 1,
                       STR_ARG(m->id), c->owner, owner_reason(o, t, c), (unsigned long long)c->hash, c->score);
            if (c->later_score > 0)
                buf_printf(out, ", later_score=%.6g", c->later_score);
            buf_printf(out, ", zone=%.*s, weight=%g\n", STR_ARG(m->zone), m->weight);
        }
    }
}

static void html_owners_of(struct buf *out, const struct owners_report *o, const struct owned_target *t)
{
    struct buf text = {0};
    labels_print(&text, t->labels);
    buf_add_z(out, "<h3>");
    html_text(out, t->job);
    buf_add_z(out, " <code>");
    html_text(out, buf_str(&text));
    buf_printf(out, "</code></h3><p>Key %016llx<table><tr><th>Rank<th>Member<th>Owner<th>Reason<th>Hash<th>Score"
               "<th>Later score<th>Zone<th>Weight", (unsigned long long)t->key);
    for (size_t k = 0; k < o->status.view->n; k++) {
        const struct cluster_choice *c = &t->choices[k];
        const struct cluster_member *m = &o->status.view->members[c->member];
        buf_printf(out, "<tr><td class=n data-k=Rank>%zu<td data-k=Member>", k + 1);
        html_text(out, m->id);
        buf_printf(out, "<td data-k=Owner>%.0u<td data-k=Reason>%s<td data-k=Hash><code>%016llx</code>"
                   "<td class=n data-k=Score>%.6g<td class=n data-k='Later score'>", c->owner, owner_reason(o, t, c),
                   (unsigned long long)c->hash, c->score);
        if (c->later_score > 0)
            buf_printf(out, "%.6g", c->later_score);
        buf_add_z(out, "<td data-k=Zone>");
        html_text(out, m->zone);
        buf_printf(out, "<td class=n data-k=Weight>%g", m->weight);
    }
    buf_add_z(out, "</table>");
    buf_free(&text);
}

static void html_owners(struct http_request *r, const struct owners_report *o)
{
    struct buf *out = &r->out;
    buf_add_z(out, "<h2>Owners of a target</h2><form><input name=q placeholder='URL or label' size=40 value=\"");
    html_text(out, form_get(&r->form, "q"));
    buf_add_z(out, "\"> <button>Show owners</button></form>");
    if (o == NULL)
        return;
    buf_printf(out, "<p>%zu targets match", o->matches);
    if (o->matches > o->n)
        buf_printf(out, "; the first %zu are shown", o->n);
    for (size_t i = 0; i < o->n; i++)
        html_owners_of(out, o, &o->targets[i]);
}

/* ---- the page ---- */

static void html_cluster(struct http_request *r, const struct cluster_conf *conf, const struct cluster_status *s,
                         const struct owners_report *owners, int64_t now)
{
    html_begin(r, "Cluster");
    html_cluster_state(r, conf, s, now);
    buf_add_z(&r->out, "<table><tr><th>Member<th>State<th>Address<th>Zone<th>Weight<th>Scrapes from<th>Until");
    for (size_t i = 0; s->view && i < s->view->n; i++)
        if (!shown_member(s, i)->gone)
            html_cluster_member(&r->out, shown_member(s, i), i == s->view->self, now);
    buf_add_z(&r->out, "</table>");
    html_owners(r, owners);
    html_end(r);
}

static void cluster_write(struct http_request *r, const struct owners_report *owners)
{
    struct cluster_status s;
    const struct cluster_conf *conf = cluster_settings(r->services->cluster);
    int64_t now = clock_wall_ms();
    cluster_status(r->services->cluster, &s);
    if (html_wanted(r)) {
        html_cluster(r, conf, &s, owners, now);
    } else if (owners) {
        text_owners(&r->out, owners);
    } else {
        text_cluster(&r->out, conf, &s, now);
    }
    cluster_status_free(&s);
}

void page_cluster(struct http_request *r)
{
    struct err err;
    bool search = str_trim(form_get(&r->form, "q")).n > 0;
    struct owners_report *owners = search ? ARENA_NEW(&r->arena, struct owners_report) : NULL;
    if (r->services->cluster == NULL)
        cluster_none(&err);
    if (r->services->cluster == NULL || (owners && !owners_read(r, owners, &err))) {
        html_fail(r, "Cluster", &err);
        return;
    }
    cluster_write(r, owners);
    if (owners == NULL)
        return;
    owners_free(owners);
    if (!services_report_complete(r, &err))
        html_fail(r, "Cluster", &err);
}
