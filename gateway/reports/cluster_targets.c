// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/cluster_targets.h"

#include "base/text/duration.h"
#include "gateway/reports/members.h"
#include "gateway/reports/report.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"
#include "model/json_labels.h"

#include <stdlib.h>

bool target_scope_read(struct http_request *r, enum target_scope *out, struct err *err)
{
    struct str scope = form_get(&r->form, "scope");
    *out = str_is(scope, "cluster") ? SCOPE_CLUSTER : str_is(scope, "member") ? SCOPE_MEMBER : SCOPE_PROCESS;
    if (*out == SCOPE_PROCESS)
        return scope.n == 0 || err_set(err, ERR_BAD_DATA, "scope must be cluster or member");
    if (r->services->cluster == NULL)
        cluster_none(err);
    return r->services->cluster != NULL;
}

struct merged_targets { /* while it is made */
    struct arena *arena;
    struct cluster_targets *out;
    size_t n, targets_cap, dropped_cap, pools_cap;
    struct map *known, *dropped, *pools; /* indices of targets; what is dropped; indices of pools */
    struct json_labels labels;           /* scratch */
};

/* ---- targets ---- */

static bool member_labels(struct merged_targets *m, const struct json_value *object, struct labels *out)
{
    struct labels found;
    struct err err;
    json_labels_start(&m->labels);
    for (const struct json_value *v = json_value_items(object); v; v = v->next)
        json_labels_add(&m->labels, v->key, json_value_text(v));
    if (!json_labels_end(&m->labels, &found, &err))
        return false;
    *out = labels_copy(m->arena, found);
    return true;
}

/* Of several members with the same target: the one that sends its samples, and of those the one that reaches it. */
static int member_target_rank(const struct target_status *t) { return (t->standby ? 0 : 4) + (t->health == HEALTH_UP); }

static void merge_target(struct merged_targets *m, const struct target_status *t, struct str member, struct str global_url)
{
    struct str parts[] = {t->job, t->url, report_labels_text(t->labels)};
    bool added;
    struct map_entry *e = map_add(m->known, report_key(m->arena, NULL, parts, LEN(parts)), &added);
    if (added) {
        arena_grow(m->arena, &m->out->targets, &m->targets_cap, m->n + 1, sizeof *m->out->targets);
        m->out->targets[m->n].n_members = 0;
        e->value.u = m->n++;
    }
    struct cluster_target *c = &m->out->targets[e->value.u];
    bool shown = added || member_target_rank(t) > member_target_rank(&c->status);
    if (shown) {
        c->status = *t;
        c->global_url = global_url;
    }
    if (c->n_members == LEN(c->members)) /* while targets move */
        return;
    c->members[c->n_members++] = shown ? c->members[0] : member;
    if (shown)
        c->members[0] = member;
}

static void merge_dropped(struct merged_targets *m, const struct dropped_target *d)
{
    struct scraper_targets *all = &m->out->all;
    struct str parts[] = {d->job, report_labels_text(d->discovered)};
    bool added;
    map_add(m->dropped, report_key(m->arena, NULL, parts, LEN(parts)), &added);
    if (!added || d->elsewhere)
        return;
    arena_grow(m->arena, &all->dropped, &m->dropped_cap, all->n_dropped + 1, sizeof *all->dropped);
    all->dropped[all->n_dropped++] = *d;
}

/* Each member drops the same. */
static void merge_pool(struct merged_targets *m, const struct pool_status *p)
{
    struct scraper_targets *all = &m->out->all;
    bool added;
    struct map_entry *e = map_add(m->pools, p->job, &added);
    if (added) {
        arena_grow(m->arena, &all->pools, &m->pools_cap, all->n_pools + 1, sizeof *all->pools);
        all->pools[e->value.u = all->n_pools++] = *p;
        return;
    }
    struct pool_status *known = &all->pools[e->value.u];
    if (p->dropped + p->invalid > known->dropped + known->invalid)
        *known = *p;
}

static void merge_own(struct merged_targets *m, const struct scraper_targets *own, struct str id)
{
    for (size_t i = 0; i < own->n_active; i++)
        merge_target(m, &own->active[i], id, STR_NONE);
    for (size_t i = 0; i < own->n_dropped; i++)
        if (!own->dropped[i].elsewhere)
            merge_dropped(m, &own->dropped[i]);
    for (size_t i = 0; i < own->n_pools; i++) {
        struct pool_status p = own->pools[i];
        p.dropped -= p.elsewhere;
        p.elsewhere = 0;
        merge_pool(m, &p);
    }
}

/* ---- of another member ---- */

static enum target_health member_health(struct str text)
{
    for (int h = HEALTH_UNKNOWN; h <= HEALTH_INVALID; h++)
        if (str_is(text, target_health_name((enum target_health)h)))
            return (enum target_health)h;
    return HEALTH_UNKNOWN;
}

static uint64_t member_count(const struct json_value *v)
{
    double n = json_value_number(v);
    return n > 0 && n < 1e15 ? (uint64_t)n : 0;
}

static int64_t member_duration(const struct json_value *v)
{
    int64_t ms;
    return duration_parse(json_value_text(v), &ms) ? ms : 0;
}

static bool member_target(struct merged_targets *m, const struct json_value *v, struct target_status *out)
{
    int64_t last;
    struct str scraped = json_value_text(json_value_get(v, "lastScrape"));
    const struct json_value *standby = json_value_get(v, "standby");
    *out = (struct target_status){
        .job = json_value_text(json_value_get(v, "scrapePool")),
        .url = json_value_text(json_value_get(v, "scrapeUrl")),
        .health = member_health(json_value_text(json_value_get(v, "health"))),
        .last_error = json_value_text(json_value_get(v, "lastError")),
        .last_scrape = time_parse(scraped, &last) && last > 0 ? last : 0,
        .last_duration = json_value_number(json_value_get(v, "lastScrapeDuration")),
        .interval = member_duration(json_value_get(v, "scrapeInterval")),
        .timeout = member_duration(json_value_get(v, "scrapeTimeout")),
        .last_samples = member_count(json_value_get(v, "lastSamplesScraped")),
        .standby = standby && standby->kind == JSON_TRUE};
    return (str_starts(out->url, STR("http://")) || str_starts(out->url, STR("https://"))) && /* it becomes a link */
           member_labels(m, json_value_get(v, "discoveredLabels"), &out->discovered) &&
           member_labels(m, json_value_get(v, "labels"), &out->labels);
}

static bool merge_answer(struct merged_targets *m, const struct member_answer *a)
{
    const struct json_value *v = json_value_items(json_value_get(a->data, "activeTargets"));
    for (; v; v = v->next) {
        struct target_status t;
        if (!member_target(m, v, &t))
            return false;
        merge_target(m, &t, a->member->id, json_value_text(json_value_get(v, "globalUrl")));
    }
    for (v = json_value_items(json_value_get(a->data, "droppedTargets")); v; v = v->next) {
        struct dropped_target d = {.job = json_value_text(json_value_get(v, "scrapePool")),
                                   .error = json_value_text(json_value_get(v, "lastError"))};
        d.invalid = d.error.n > 0;
        if (!member_labels(m, json_value_get(v, "discoveredLabels"), &d.discovered))
            return false;
        merge_dropped(m, &d);
    }
    for (v = json_value_items(json_value_get(a->data, "droppedTargetCounts")); v; v = v->next)
        merge_pool(m, &(struct pool_status){.job = v->key, .dropped = (size_t)member_count(v)});
    return true;
}

static bool merge_others(struct merged_targets *m, struct http_request *r, const struct cluster_view *view, struct str form,
                         int64_t deadline_mono, struct notes *notes, struct err *err)
{
    struct member_answers answers;
    struct members_question q = {.cluster = r->services->cluster, .view = view, .path = "/api/v1/targets", .form = form,
                                 .arena = m->arena, .notes = notes, .deadline_mono = deadline_mono,
                                 .canceled = &r->canceled};
    if (!members_fetch(&q, &answers, err))
        return false;
    for (size_t i = 0; i < answers.n; i++)
        if (!merge_answer(m, &answers.items[i]))
            notes_warn(notes, "cluster member %.*s: invalid labels or URL of a target; some of its targets are missing",
                       STR_ARG(answers.items[i].member->id));
    return true;
}

/* ---- all ---- */

static int order_cluster_targets(const void *x, const void *y)
{
    const struct target_status *a = &((const struct cluster_target *)x)->status;
    const struct target_status *b = &((const struct cluster_target *)y)->status;
    int c = str_cmp(a->job, b->job);
    c = c ? c : str_cmp(a->url, b->url);
    return c ? c : labels_cmp(a->labels, b->labels);
}

static void merge_end(struct merged_targets *m)
{
    struct cluster_targets *out = m->out;
    json_labels_free(&m->labels);
    if (m->n > 0)
        qsort(out->targets, m->n, sizeof *out->targets, order_cluster_targets);
    out->all.active = ARENA_ARRAY(m->arena, struct target_status, m->n + 1);
    for (; out->all.n_active < m->n; out->all.n_active++)
        out->all.active[out->all.n_active] = out->targets[out->all.n_active].status;
}

bool cluster_targets_read(struct http_request *r, enum target_scope scope, struct str form, int64_t deadline_mono,
                          struct notes *notes, struct cluster_targets *out, struct err *err)
{
    struct scraper_targets own;
    struct cluster_status status;
    struct merged_targets m = {.arena = &r->arena, .out = out};
    *out = (struct cluster_targets){0};
    if (!services_targets(r, deadline_mono, &own, err))
        return false;
    struct arena_limits saved = arena_suspend_limit(&r->arena); /* the view and scratch memory are not in it */
    m.known = report_map(&r->arena);
    m.dropped = report_map(&r->arena);
    m.pools = report_map(&r->arena);
    cluster_status(r->services->cluster, &status);
    merge_own(&m, &own, cluster_settings(r->services->cluster)->id);
    bool ok = scope != SCOPE_CLUSTER || status.view == NULL ||
              merge_others(&m, r, status.view, form, deadline_mono, notes, err);
    for (size_t i = 0; i < m.n; i++) /* ids of members are in the view */
        for (size_t k = 0; k < out->targets[i].n_members; k++)
            out->targets[i].members[k] = arena_str(&r->arena, out->targets[i].members[k]);
    merge_end(&m);
    cluster_status_free(&status);
    arena_restore_limit(&r->arena, saved);
    return ok;
}
