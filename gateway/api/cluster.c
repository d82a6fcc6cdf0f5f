// SPDX-License-Identifier: Apache-2.0
/* The cluster as this member sees it. */
#include "gateway/api/api.h"

#include "base/text/duration.h"
#include "base/text/num.h"
#include "gateway/cluster/cluster.h"
#include "gateway/query/render.h"
#include "gateway/reports/owners.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

/* RFC 3339, or null. */
static void put_cluster_time(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    json_key(w, key);
    if (ms <= 0 || ms == INT64_MAX) {
        json_put_null(w);
        return;
    }
    buf_add_rfc3339(&text, ms);
    json_str(w, buf_str(&text));
    buf_free(&text);
}

/* Milliseconds, or null for < 0. */
static void put_ms_ago(struct json_writer *w, const char *key, int64_t ms)
{
    json_key(w, key);
    if (ms < 0)
        json_put_null(w);
    else
        json_i64(w, ms);
}

static void put_cluster_member(struct json_writer *w, const struct cluster_member *m, int64_t now)
{
    json_begin_object(w);
    json_field_str(w, "id", m->id);
    json_field_str(w, "address", m->address);
    json_field_str(w, "zone", m->zone);
    json_key(w, "weight");
    json_double(w, m->weight);
    json_field_z(w, "state", cluster_member_state(m, now));
    put_cluster_time(w, "from", m->from);
    put_cluster_time(w, "until", m->until);
    json_end_object(w);
}

static void put_this_member(struct json_writer *w, const struct cluster_conf *conf, const struct cluster_status *s)
{
    json_field_str(w, "id", conf->id);
    json_field_str(w, "cluster", conf->name);
    json_field_z(w, "role", cluster_role_name(s->role));
    put_ms_ago(w, "leaseRenewedMsAgo", s->renewed_ago);
    json_field_z(w, "error", s->error);
    json_key(w, "completeMs");
    if (s->complete == INT64_MAX)
        json_put_null(w);
    else
        json_i64(w, s->complete);
    json_field_i64(w, "sentUntilMs", s->sent_until);
}

static bool cluster_of(struct http_request *r, struct cluster_status *s)
{
    if (r->services->cluster == NULL) {
        struct err err;
        cluster_none(&err);
        http_error(r, &err);
        return false;
    }
    cluster_status(r->services->cluster, s);
    return true;
}

/* For the other members: short, and without waiting. */
void api_cluster_member(struct http_request *r)
{
    struct cluster_status s;
    struct json_writer w;
    if (!cluster_of(r, &s))
        return;
    api_begin(r, &w);
    json_begin_object(&w);
    put_this_member(&w, cluster_settings(r->services->cluster), &s);
    json_field_z(&w, "process", r->services->id);
    json_end_object(&w);
    api_end(&w);
    cluster_status_free(&s);
}

/* Without the scheme: what a target is in the format of http_sd_configs. */
static void put_member_target(struct json_writer *w, const struct cluster_conf *conf, const struct cluster_member *m)
{
    size_t at = str_find_str(m->address, STR("://"));
    struct str rest = str_skip(m->address, at + 3);
    size_t end = str_find(rest, '/');
    json_begin_object(w);
    json_key(w, "targets");
    json_begin_array(w);
    json_str(w, str_first(rest, end));
    json_end_array(w);
    json_key(w, "labels");
    json_begin_object(w);
    json_field_str(w, "__scheme__", str_first(m->address, at));
    if (end < rest.n)
        json_field_str(w, "__meta_sluice_cluster_path", str_skip(rest, end));
    json_field_str(w, "__meta_sluice_cluster", conf->name);
    json_field_str(w, "__meta_sluice_cluster_member", m->id);
    json_field_str(w, "__meta_sluice_cluster_zone", m->zone);
    json_end_object(w);
    json_end_object(w);
}

void api_cluster_sd(struct http_request *r)
{
    struct cluster_status s;
    struct json_writer w = {.out = &r->out};
    if (!cluster_of(r, &s))
        return;
    r->content_type = "application/json";
    json_begin_array(&w);
    for (size_t i = 0; s.view && i < s.view->n; i++)
        if (!s.view->members[i].gone)
            put_member_target(&w, cluster_settings(r->services->cluster), &s.view->members[i]);
    json_end_array(&w);
    cluster_status_free(&s);
}

/* The body: numbers of targets that the other member scrapes now, one a line. The response: see scraper_handed_pages. */
void api_cluster_handover(struct http_request *r)
{
    enum { PAGES_MAX = 16 << 20, DEADLINE_MS = 10000 };
    struct str rest = r->body, line;
    struct err err;
    uint64_t *ids = ARENA_ARRAY(&r->arena, uint64_t, HANDOVER_IDS);
    struct scraper_wishes wishes = {.ids = ids};
    while (rest.n > 0 && str_cut(&rest, '\n', &line)) {
        if (wishes.n == HANDOVER_IDS || !num_parse_u64(line, &ids[wishes.n])) {
            err_set(&err, ERR_BAD_DATA, "expected at most %d lines with the number of a target", HANDOVER_IDS);
            http_error(r, &err);
            return;
        }
        wishes.n++;
    }
    r->content_type = "text/plain; charset=utf-8";
    if (!services_handed_pages(r, clock_mono_ms() + DEADLINE_MS, &wishes, PAGES_MAX, &err))
        http_error(r, &err);
}

void api_cluster(struct http_request *r)
{
    struct cluster_status s;
    struct json_writer w;
    if (!cluster_of(r, &s))
        return;
    api_begin(r, &w);
    json_begin_object(&w);
    put_this_member(&w, cluster_settings(r->services->cluster), &s);
    json_field_u64(&w, "revision", s.view ? s.view->revision : 0);
    put_cluster_time(&w, "changedAt", s.view_at);
    put_ms_ago(&w, "currentMsAgo", s.current_ago);
    json_key(&w, "members");
    json_begin_array(&w);
    int64_t now = clock_wall_ms();
    for (size_t i = 0; s.view && i < s.view->n; i++)
        if (!s.view->members[i].gone)
            put_cluster_member(&w, &s.view->members[i], now);
    json_end_array(&w);
    json_end_object(&w);
    api_end(&w);
    cluster_status_free(&s);
}

/* ---- owners of targets ---- */

static void put_choice(struct json_writer *w, const struct owners_report *o, const struct owned_target *t, size_t i)
{
    const struct cluster_choice *c = &t->choices[i];
    const struct cluster_member *m = &o->status.view->members[c->member];
    struct buf hash = {0};
    json_begin_object(w);
    json_field_str(w, "id", m->id);
    json_field_u64(w, "rank", i + 1);
    json_field_u64(w, "owner", c->owner);
    json_field_z(w, "reason", owner_reason(o, t, c));
    buf_printf(&hash, "%016llx", (unsigned long long)c->hash);
    json_field_str(w, "hash", buf_str(&hash));
    buf_free(&hash);
    json_key(w, "score");
    json_double(w, c->score);
    if (c->later_score > 0) {
        json_key(w, "laterScore");
        json_double(w, c->later_score);
    }
    json_field_str(w, "zone", m->zone);
    json_key(w, "weight");
    json_double(w, m->weight);
    json_field_z(w, "state", cluster_member_state(m, clock_wall_ms()));
    json_end_object(w);
}

static void put_owned_target(struct json_writer *w, const struct owners_report *o, const struct owned_target *t)
{
    struct buf key = {0};
    json_begin_object(w);
    json_field_str(w, "scrapePool", t->job);
    json_key(w, "labels");
    render_labels(w, t->labels);
    buf_printf(&key, "%016llx", (unsigned long long)t->key);
    json_field_str(w, "key", buf_str(&key));
    buf_free(&key);
    json_key(w, "members");
    json_begin_array(w);
    for (size_t i = 0; i < o->status.view->n; i++)
        put_choice(w, o, t, i);
    json_end_array(w);
    json_end_object(w);
}

void api_cluster_owners(struct http_request *r)
{
    struct owners_report *o = ARENA_NEW(&r->arena, struct owners_report);
    struct json_writer w;
    struct err err;
    if (r->services->cluster == NULL)
        cluster_none(&err);
    if (r->services->cluster == NULL || !owners_read(r, o, &err)) {
        http_error(r, &err);
        return;
    }
    api_begin(r, &w);
    json_begin_object(&w);
    json_field_u64(&w, "replicationFactor", o->replicas);
    json_field_u64(&w, "matches", o->matches);
    json_key(&w, "targets");
    json_begin_array(&w);
    for (size_t i = 0; i < o->n; i++)
        put_owned_target(&w, o, &o->targets[i]);
    json_end_array(&w);
    json_end_object(&w);
    api_end(&w);
    owners_free(o);
    if (!services_report_complete(r, &err))
        http_error(r, &err);
}
