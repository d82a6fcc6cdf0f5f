// SPDX-License-Identifier: Apache-2.0
#include "gateway/reports/owners.h"

#include "base/text/duration.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

struct owners_search { struct http_request *r; struct str q, job; struct buf text; };

static bool owners_wants(struct owners_search *s, struct str job, struct str url, struct labels labels)
{
    if (s->job.n > 0 && !str_eq(s->job, job))
        return false;
    buf_clear(&s->text);
    labels_print(&s->text, labels);
    return str_contains_any_case(url, s->q) || str_contains_any_case(buf_str(&s->text), s->q);
}

static void owners_add(struct owners_report *o, struct arena *a, struct str job, struct labels labels, uint64_t key)
{
    if (o->matches++ >= OWNERS_MOST)
        return;
    struct owned_target *t = &o->targets[o->n++];
    *t = (struct owned_target){job, labels, key, ARENA_ARRAY(a, struct cluster_choice, o->status.view->n + 1)};
    cluster_view_explain(o->status.view, key, clock_wall_ms(), o->replicas, t->choices);
}

static void owners_find(struct owners_search *s, const struct scraper_targets *all, struct owners_report *o)
{
    struct arena *a = &s->r->arena;
    for (size_t i = 0; i < all->n_active; i++) {
        const struct target_status *t = &all->active[i];
        if (owners_wants(s, t->job, t->url, t->labels))
            owners_add(o, a, t->job, t->labels, t->owner_key);
    }
    for (size_t i = 0; i < all->n_dropped; i++) {
        const struct dropped_target *d = &all->dropped[i];
        if (d->elsewhere && owners_wants(s, d->job, STR_NONE, d->discovered))
            owners_add(o, a, d->job, d->discovered, d->owner_key);
    }
    buf_free(&s->text);
}

bool owners_read(struct http_request *r, struct owners_report *out, struct err *err)
{
    struct owners_search s = {.r = r, .q = str_trim(form_get(&r->form, "q")), .job = form_get(&r->form, "scrapePool")};
    struct scraper_targets all;
    struct config *c = services_config(r->services);
    int64_t timeout = r->services->flags.query_timeout;
    *out = (struct owners_report){.replicas = c ? c->scrape.cluster.replicas : 1};
    config_unref(c);
    if (!services_targets(r, timeout > 0 ? r->started_mono + timeout : 0, &all, err))
        return false;
    struct arena_limits saved = arena_suspend_limit(&r->arena);
    cluster_status(r->services->cluster, &out->status);
    if (out->status.view)
        owners_find(&s, &all, out);
    arena_restore_limit(&r->arena, saved);
    return true;
}

void owners_free(struct owners_report *o) { cluster_status_free(&o->status); }

static bool owners_zone_taken(const struct owners_report *o, const struct owned_target *t, const struct cluster_choice *c)
{
    const struct cluster_view *v = o->status.view;
    for (size_t i = 0; i < v->n; i++)
        if (t->choices[i].owner > 0 && str_eq(v->members[t->choices[i].member].zone, v->members[c->member].zone))
            return true;
    return false;
}

const char *owner_reason(const struct owners_report *o, const struct owned_target *t, const struct cluster_choice *c)
{
    const struct cluster_member *m = &o->status.view->members[c->member];
    int64_t now = clock_wall_ms();
    if (c->owner == 1)
        return "the highest score";
    if (c->owner > 1)
        return c->later_score > 0 ? "the highest later score of the zones without an owner" : "the next score";
    if (m->from > now || now >= m->until)
        return "takes no part now";
    return c->later_score > 0 && owners_zone_taken(o, t, c) ? "its zone has an owner" : "a lower score";
}
