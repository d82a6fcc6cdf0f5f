// SPDX-License-Identifier: Apache-2.0
/* Targets, their pools and metadata: sluice's own first, then those of the servers of all groups (gateway/reports). With
 * `scope`, targets of this member of a cluster, or of all. */
#include "gateway/api/query.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "gateway/api/call.h"
#include "gateway/config/external_url.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/query/worker.h"
#include "gateway/reports/cluster_targets.h"
#include "gateway/reports/targets.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

/* ---- /api/v1/targets ---- */

static void put_duration(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    buf_add_duration(&text, ms);
    json_field_str(w, key, buf_str(&text));
    buf_free(&text);
}

static void put_members(struct json_writer *w, const struct cluster_target *t)
{
    json_key(w, "members");
    json_begin_array(w);
    for (size_t i = 0; i < t->n_members; i++)
        json_str(w, t->members[i]);
    json_end_array(w);
}

/* of: in a list of the cluster's targets. */
static void put_active(struct json_writer *w, const struct flags *f, const struct target_status *t,
                       const struct cluster_target *of)
{
    struct buf text = {0};
    json_begin_object(w);
    json_key(w, "discoveredLabels");
    render_labels(w, t->discovered);
    json_key(w, "labels");
    render_labels(w, t->labels);
    json_field_str(w, "scrapePool", t->job);
    json_field_str(w, "scrapeUrl", t->url);
    if (of && of->global_url.n > 0)
        buf_add_str(&text, of->global_url);
    else
        external_url_of_target(&text, f, t->url);
    json_field_str(w, "globalUrl", buf_str(&text));
    buf_clear(&text);
    json_field_str(w, "lastError", t->last_error);
    if (t->last_scrape > 0)
        buf_add_rfc3339(&text, t->last_scrape);
    else
        buf_add_z(&text, "0001-01-01T00:00:00Z");
    json_field_str(w, "lastScrape", buf_str(&text));
    json_key(w, "lastScrapeDuration");
    json_double(w, t->last_duration);
    json_field_z(w, "health", target_health_name(t->health));
    put_duration(w, "scrapeInterval", t->interval);
    put_duration(w, "scrapeTimeout", t->timeout);
    json_field_i64(w, "lastSamplesScraped", (int64_t)t->last_samples);
    if (t->standby)
        json_field_bool(w, "standby", true);
    if (of)
        put_members(w, of);
    json_end_object(w);
    buf_free(&text);
}

static bool wanted_pool(struct str pool, struct str job) { return pool.n == 0 || str_eq(pool, job); }

struct targets_filter { struct str pool; bool active, dropped; };

struct targets_reply {
    struct targets_filter filter;
    struct scraper_targets own;
    const struct cluster_target *of_cluster; /* of own.active; NULL: there is no scope */
    struct target_list active, dropped; /* of servers */
    struct dropped_counts counts;
};

/* Those of servers. */
static bool put_reported(struct api_call *c, const struct targets_reply *t, const struct target_list *list, bool active)
{
    for (size_t i = 0; i < list->n; i++) {
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        if (wanted_pool(t->filter.pool, list->items[i].pool))
            target_write(&c->json, &list->items[i], active);
    }
    return true;
}

static bool put_actives(struct api_call *c, const struct targets_reply *t)
{
    json_key(&c->json, "activeTargets");
    json_begin_array(&c->json);
    for (size_t i = 0; t->filter.active && i < t->own.n_active; i++) {
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        if (wanted_pool(t->filter.pool, t->own.active[i].job))
            put_active(&c->json, &c->r->services->flags, &t->own.active[i], t->of_cluster ? &t->of_cluster[i] : NULL);
    }
    bool whole = !t->filter.active || put_reported(c, t, &t->active, true);
    json_end_array(&c->json);
    return whole;
}

static void put_own_dropped(struct json_writer *w, const struct dropped_target *t)
{
    json_begin_object(w);
    json_key(w, "discoveredLabels");
    render_labels(w, t->discovered);
    json_field_str(w, "scrapePool", t->job);
    if (t->error.n > 0)
        json_field_str(w, "lastError", t->error);
    json_end_object(w);
}

static bool put_dropped(struct api_call *c, const struct targets_reply *t)
{
    json_key(&c->json, "droppedTargets");
    json_begin_array(&c->json);
    for (size_t i = 0; t->filter.dropped && i < t->own.n_dropped; i++) {
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        if (wanted_pool(t->filter.pool, t->own.dropped[i].job))
            put_own_dropped(&c->json, &t->own.dropped[i]);
    }
    bool whole = !t->filter.dropped || put_reported(c, t, &t->dropped, false);
    json_end_array(&c->json);
    return whole;
}

/* Pools of the same name are one. */
static bool put_dropped_counts(struct api_call *c, const struct targets_reply *t)
{
    struct map *pools = report_map(c->q->arena);
    struct str *names;
    bool added;
    for (size_t i = 0; i < t->own.n_pools; i++)
        if (wanted_pool(t->filter.pool, t->own.pools[i].job))
            map_add(pools, t->own.pools[i].job, &added)->value.u += t->own.pools[i].dropped + t->own.pools[i].invalid;
    for (size_t i = 0; i < t->counts.n; i++)
        if (wanted_pool(t->filter.pool, t->counts.items[i].pool))
            map_add(pools, t->counts.items[i].pool, &added)->value.u += t->counts.items[i].n;
    if (!api_sorted_keys(c, pools, &names))
        return false;
    json_key(&c->json, "droppedTargetCounts");
    json_begin_object(&c->json);
    for (size_t i = 0; i < pools->n; i++) {
        json_key_str(&c->json, names[i]);
        json_i64(&c->json, (int64_t)map_find(pools, names[i])->value.u);
    }
    json_end_object(&c->json);
    return true;
}

static bool api_targets_form(void *arg, const struct group *g UNUSED, struct buf *form)
{
    const struct targets_filter *f = arg;
    if (!f->active || !f->dropped)
        form_add(form, "state", f->active ? STR("active") : STR("dropped"));
    if (f->pool.n > 0)
        form_add(form, "scrapePool", f->pool);
    return true;
}

static bool api_targets_of_servers(struct api_call *c, struct targets_reply *t)
{
    struct report_set reports;
    struct report_question what = {.path = "/api/v1/targets", .form = api_targets_form, .arg = &t->filter};
    if (!reports_fetch(c->source, c->q, &what, &reports, &c->err) ||
        !targets_merge(&reports, &t->active, &t->dropped, &t->counts, &c->work, &c->err))
        return false;
    /* what servers reported is in the arena already */
    return services_targets(c->r, c->q->deadline_mono, &t->own, &c->err);
}

static bool api_targets_of_members(struct api_call *c, enum target_scope scope, struct targets_reply *t)
{
    struct cluster_targets found;
    struct buf form = {0};
    (void)api_targets_form(&t->filter, NULL, &form);
    struct str text = arena_str(c->q->arena, buf_str(&form));
    buf_free(&form);
    worker_turn_end(c->q->user);
    if (!cluster_targets_read(c->r, scope, text, c->q->deadline_mono, c->q->notes, &found, &c->err) ||
        !worker_turn_begin(c->q->user, c->q, &c->err))
        return false;
    t->own = found.all;
    t->of_cluster = found.targets;
    return true;
}

static bool api_targets_list(struct api_call *c)
{
    struct targets_reply t = {.filter.pool = form_get(&c->r->form, "scrapePool")};
    enum target_scope scope;
    struct str state = form_get(&c->r->form, "state");
    t.filter.active = !str_ieq(state, STR("dropped"));
    t.filter.dropped = !str_ieq(state, STR("active"));
    if (!target_scope_read(c->r, &scope, &c->err) ||
        !(scope == SCOPE_PROCESS ? api_targets_of_servers(c, &t) : api_targets_of_members(c, scope, &t)))
        return false;
    json_begin_object(&c->json);
    bool ok = put_actives(c, &t) && put_dropped(c, &t) && put_dropped_counts(c, &t);
    json_end_object(&c->json);
    return ok && services_report_complete(c->r, &c->err);
}

/* ---- /api/v1/scrape_pools ---- */

static bool api_scrape_pools_list(struct api_call *c)
{
    struct pool_status *own;
    struct report_set reports;
    struct map *pools = report_map(c->q->arena);
    struct str *names;
    if (!reports_fetch(c->source, c->q, &(struct report_question){.path = "/api/v1/scrape_pools"}, &reports, &c->err))
        return false;
    size_t n_own = scraper_pools(c->r->services->scraper, c->q->arena, &own);
    for (size_t i = 0; i < n_own; i++)
        map_set(pools, own[i].job, NULL);
    for (size_t i = 0; i < reports.n; i++) {
        const struct json_value *v = json_value_items(json_value_get(reports.items[i].data, "scrapePools"));
        for (; v; v = v->next)
            map_set(pools, json_value_text(v), NULL);
    }
    if (!api_sorted_keys(c, pools, &names))
        return false;
    json_begin_object(&c->json);
    json_key(&c->json, "scrapePools");
    json_begin_array(&c->json);
    for (size_t i = 0; i < pools->n; i++)
        json_str(&c->json, names[i]);
    json_end_array(&c->json);
    json_end_object(&c->json);
    return true;
}

/* ---- /api/v1/targets/metadata ---- */

struct metadata_filter { struct arena *arena; const struct matcher *matchers; size_t n; int64_t limit; struct str metric; };

static bool api_targets_read_filter(struct api_call *c, struct metadata_filter *f)
{
    struct str match = form_get(&c->r->form, "match_target"), limit = form_get(&c->r->form, "limit");
    *f = (struct metadata_filter){.arena = c->q->arena, .limit = -1, .metric = form_get(&c->r->form, "metric")};
    if (limit.n > 0 && !num_parse_i64(limit, &f->limit))
        return err_set(&c->err, ERR_BAD_DATA, "limit must be a number");
    if (match.n > 0 && !param_selector(c->q->arena, match, &f->matchers, &f->n, &c->err))
        return err_wrap(&c->err, "invalid parameter \"match_target\"");
    return true;
}

/* Servers do not know how their group shows labels. */
static bool api_targets_metadata_form(void *arg, const struct group *g, struct buf *form)
{
    const struct metadata_filter *f = arg;
    const struct matcher *own;
    size_t n;
    if (!view_translate(&g->view, f->arena, f->matchers, f->n, &own, &n))
        return false;
    if (n > 0) {
        struct buf text = {0};
        matchers_print(&text, own, n);
        form_add(form, "match_target", buf_str(&text));
        buf_free(&text);
    }
    if (f->metric.n > 0)
        form_add(form, "metric", f->metric);
    return true;
}

static void put_metadata(struct json_writer *w, const struct metadata_filter *f, struct labels target,
                         struct str metric, struct str type, struct str help, struct str unit)
{
    json_begin_object(w);
    json_key(w, "target");
    render_labels(w, target);
    if (f->metric.n == 0)
        json_field_str(w, "metric", metric);
    json_field_str(w, "type", type);
    json_field_str(w, "help", help);
    json_field_str(w, "unit", unit);
    json_end_object(w);
}

struct own_metadata { struct api_call *call; struct metadata_filter *filter; };

/* Ends the visit also when the limit is reached. */
static bool api_targets_visit_metadata(void *arg, const struct target_metadata *found, struct err *err)
{
    struct own_metadata *own = arg;
    struct api_call *c = own->call;
    struct metadata_filter *f = own->filter;
    const struct metadata *m = &found->metadata;
    if (f->limit == 0 || c->r->out.over || !query_charge(&c->work, QUERY_CHARGE_WRITE, err))
        return false;
    if (!matchers_match(f->matchers, f->n, found->target))
        return true;
    put_metadata(&c->json, f, found->target, m->family, str_of(metric_type_name(m->type)), m->help, m->unit);
    f->limit--;
    return true;
}

static bool put_own_metadata(struct api_call *c, struct metadata_filter *f)
{
    struct own_metadata own = {c, f};
    struct metadata_visit visit = {.metric = f->metric, .visit = api_targets_visit_metadata, .arg = &own};
    return services_targets_metadata(c->r, c->q->deadline_mono, &visit, &c->err) || f->limit == 0 || c->r->out.over;
}

/* Replicas report the same target once each. */
static bool put_reported_metadata(struct api_call *c, struct metadata_filter *f, const struct report_set *reports,
                                  const struct report *r, struct map *known)
{
    for (const struct json_value *v = json_value_items(r->data); v && f->limit != 0; v = v->next) {
        struct labels target;
        bool added;
        struct str metric = json_value_text(json_value_get(v, "metric")),
                   type = json_value_text(json_value_get(v, "type")), help = json_value_text(json_value_get(v, "help")),
                   unit = json_value_text(json_value_get(v, "unit"));
        if (!api_charge(c, QUERY_CHARGE_WRITE))
            return false;
        if (!report_labels(reports, r, json_value_get(v, "target"), NULL, &target) ||
            !matchers_match(f->matchers, f->n, target))
            continue;
        struct str parts[] = {report_labels_text(target), metric, type, help, unit};
        map_add(known, report_key(c->q->arena, NULL, parts, LEN(parts)), &added);
        if (!added)
            continue;
        put_metadata(&c->json, f, target, metric, type, help, unit);
        f->limit--;
    }
    return true;
}

static bool api_targets_metadata_list(struct api_call *c)
{
    struct metadata_filter f;
    struct report_set reports;
    struct map *known = report_map(c->q->arena);
    if (!api_targets_read_filter(c, &f))
        return false;
    struct report_question what = {.path = "/api/v1/targets/metadata", .form = api_targets_metadata_form, .arg = &f};
    if (!reports_fetch(c->source, c->q, &what, &reports, &c->err))
        return false;
    json_begin_array(&c->json);
    bool ok = put_own_metadata(c, &f);
    for (size_t i = 0; ok && i < reports.n; i++)
        ok = put_reported_metadata(c, &f, &reports, &reports.items[i], known);
    json_end_array(&c->json);
    return ok && services_report_complete(c->r, &c->err);
}

void api_targets(struct http_request *r) { api_respond(r, api_targets_list); }
void api_scrape_pools(struct http_request *r) { api_respond(r, api_scrape_pools_list); }
void api_targets_metadata(struct http_request *r) { api_respond(r, api_targets_metadata_list); }
