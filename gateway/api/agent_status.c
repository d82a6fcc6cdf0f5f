// SPDX-License-Identifier: Apache-2.0
/* What this member runs, in the form of Grafana Agent: instances, their targets, and the members as its ring. */
#include "gateway/api/agent_api.h"

#include "base/text/duration.h"
#include "gateway/cluster/cluster.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"
#include "gateway/services/target_state.h"

#include <stdlib.h>

enum { AGENT_TARGETS_MS = 10000 };

/* ---- instances ---- */

static int agent_order_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void api_agent_instances(struct http_request *r)
{
    struct config *c = services_config(r->services);
    struct json_writer w;
    agent_begin(r, &w);
    json_begin_array(&w);
    size_t n = c ? c->n_instances : 0;
    struct str *names = ARENA_ARRAY(&r->arena, struct str, n + 1);
    for (size_t i = 0; i < n; i++)
        names[i] = c->instances[i].name;
    qsort(names, n, sizeof *names, agent_order_names);
    for (size_t i = 0; i < n; i++)
        json_str(&w, names[i]);
    json_end_array(&w);
    json_end_object(&w);
    config_unref(c);
}

/* ---- targets ---- */

struct agent_target { struct str instance; const struct target_status *status; };

static struct str agent_instance_of(const struct config *c, struct str job)
{
    for (size_t i = 0; i < c->n_instances; i++)
        for (size_t k = 0; k < c->instances[i].n_jobs; k++)
            if (str_eq(c->jobs[c->instances[i].job + k].job_name, job))
                return c->instances[i].name;
    return STR_NONE;
}

static int agent_order_targets(const void *a, const void *b)
{
    const struct agent_target *x = a, *y = b;
    int order = str_cmp(x->instance, y->instance);
    order = order ? order : str_cmp(x->status->job, y->status->job);
    order = order ? order : str_cmp(labels_get(x->status->labels, STR("job")),
                                    labels_get(y->status->labels, STR("job")));
    return order ? order : str_cmp(labels_get(x->status->labels, STR("instance")),
                                   labels_get(y->status->labels, STR("instance")));
}

static void put_agent_target(struct json_writer *w, const struct agent_target *t)
{
    const struct target_status *s = t->status;
    struct buf text = {0};
    json_begin_object(w);
    json_field_str(w, "instance", t->instance);
    json_field_str(w, "target_group", s->job);
    json_field_str(w, "endpoint", s->url);
    json_field_z(w, "state", target_health_name(s->health));
    json_key(w, "labels");
    render_labels(w, s->labels);
    json_key(w, "discovered_labels");
    render_labels(w, s->discovered);
    if (s->last_scrape > 0)
        buf_add_rfc3339(&text, s->last_scrape);
    else
        buf_add_z(&text, "0001-01-01T00:00:00Z");
    json_field_str(w, "last_scrape", buf_str(&text));
    json_field_i64(w, "scrape_duration_ms", (int64_t)(s->last_duration * 1000));
    json_field_str(w, "scrape_error", s->last_error);
    json_end_object(w);
    buf_free(&text);
}

/* Targets of a job are next to each other. */
static struct agent_target *agent_targets(struct arena *a, const struct config *c, const struct scraper_targets *all)
{
    struct agent_target *list = ARENA_ARRAY(a, struct agent_target, all->n_active + 1);
    for (size_t i = 0; list && i < all->n_active; i++) {
        bool same = i > 0 && str_eq(all->active[i].job, all->active[i - 1].job);
        list[i] = (struct agent_target){same ? list[i - 1].instance : agent_instance_of(c, all->active[i].job),
                                        &all->active[i]};
    }
    if (list)
        qsort(list, all->n_active, sizeof *list, agent_order_targets);
    return list;
}

static bool agent_write_targets(struct http_request *r, const struct config *c, struct err *err)
{
    struct scraper_targets all;
    struct json_writer w;
    if (!services_targets(r, clock_mono_ms() + AGENT_TARGETS_MS, &all, err))
        return false;
    struct agent_target *list = agent_targets(&r->arena, c, &all);
    if (list == NULL)
        return err_set(err, ERR_LIMIT, "no memory for so many targets");
    agent_begin(r, &w);
    json_begin_array(&w);
    for (size_t i = 0; i < all.n_active; i++)
        put_agent_target(&w, &list[i]);
    json_end_array(&w);
    json_end_object(&w);
    return services_report_complete(r, err);
}

void api_agent_targets(struct http_request *r)
{
    struct config *c = services_config(r->services);
    struct err err;
    if (c == NULL)
        agent_error(r, 503, "the program is starting");
    else if (!agent_write_targets(r, c, &err))
        agent_error(r, 503, err.text);
    config_unref(c);
}

/* ---- the ring ---- */

static void put_ring_time(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    buf_add_rfc3339(&text, ms > 0 && ms < INT64_MAX ? ms : 0);
    json_field_str(w, key, buf_str(&text));
    buf_free(&text);
}

static const char *agent_ring_state(const struct cluster_member *m, int64_t now)
{
    return m->from > now ? "JOINING" : now >= m->until ? "LEFT" : m->until < INT64_MAX ? "LEAVING" : "ACTIVE";
}

/* Members have no tokens; those whose lease has ended are not listed. */
static void put_shard(struct json_writer *w, const struct cluster_member *m, int64_t now)
{
    json_begin_object(w);
    json_field_str(w, "id", m->id);
    json_field_z(w, "state", agent_ring_state(m, now));
    json_field_str(w, "address", m->address);
    put_ring_time(w, "timestamp", now);
    put_ring_time(w, "registered_timestamp", m->from);
    json_field_bool(w, "read_only", false);
    put_ring_time(w, "read_only_updated_timestamp", 0);
    json_field_str(w, "zone", m->zone);
    json_key(w, "tokens");
    json_begin_array(w);
    json_end_array(w);
    json_end_object(w);
}

/* HTML is the page /cluster. */
void api_agent_ring(struct http_request *r)
{
    struct cluster_status s;
    struct json_writer w = {.out = &r->out};
    struct str accept = http_header(r, "Accept");
    int64_t now = clock_wall_ms();
    if (r->services->cluster == NULL) {
        http_text(r, 404, "404 page not found\n");
        return;
    }
    if (str_find_str(accept, STR("application/json")) == accept.n) {
        struct buf to = {0};
        buf_printf(&to, "%.*s/cluster", STR_ARG(r->services->flags.path_prefix));
        r->status = 302;
        http_header_add(r, "Location", buf_str(&to));
        buf_free(&to);
        return;
    }
    cluster_status(r->services->cluster, &s);
    r->content_type = "application/json";
    json_begin_object(&w);
    json_key(&w, "shards");
    json_begin_array(&w);
    for (size_t i = 0; s.view && i < s.view->n; i++)
        if (!s.view->members[i].gone)
            put_shard(&w, &s.view->members[i], now);
    json_end_array(&w);
    put_ring_time(&w, "now", now);
    json_end_object(&w);
    cluster_status_free(&s);
}
