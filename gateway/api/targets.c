// SPDX-License-Identifier: Apache-2.0
#include "gateway/api/api.h"

#include "base/text/num.h"
#include "base/text/duration.h"
#include "gateway/config/external_url.h"
#include "gateway/query/params.h"
#include "gateway/query/render.h"
#include "gateway/services/services.h"

#include <stdlib.h>

/* ---- /api/v1/targets ---- */

static void put_duration(struct json_writer *w, const char *key, int64_t ms)
{
    struct buf text = {0};
    buf_add_duration(&text, ms);
    json_field_str(w, key, buf_str(&text));
    buf_free(&text);
}

static void put_active(struct json_writer *w, const struct flags *f, const struct target_status *t)
{
    struct buf text = {0};
    json_begin_object(w);
    json_key(w, "discoveredLabels");
    render_labels(w, t->discovered);
    json_key(w, "labels");
    render_labels(w, t->labels);
    json_field_str(w, "scrapePool", t->job);
    json_field_str(w, "scrapeUrl", t->url);
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
    json_end_object(w);
    buf_free(&text);
}

static bool wanted_pool(struct str pool, struct str job) { return pool.n == 0 || str_eq(pool, job); }

static void put_actives(struct json_writer *w, const struct flags *f, const struct scraper_targets *t, struct str pool,
                        bool wanted)
{
    json_key(w, "activeTargets");
    json_begin_array(w);
    for (size_t i = 0; wanted && i < t->n_active; i++)
        if (wanted_pool(pool, t->active[i].job))
            put_active(w, f, &t->active[i]);
    json_end_array(w);
}

static void put_dropped(struct json_writer *w, const struct scraper_targets *t, struct str pool, bool wanted)
{
    json_key(w, "droppedTargets");
    json_begin_array(w);
    for (size_t i = 0; wanted && i < t->n_dropped; i++) {
        if (!wanted_pool(pool, t->dropped[i].job))
            continue;
        json_begin_object(w);
        json_key(w, "discoveredLabels");
        render_labels(w, t->dropped[i].discovered);
        json_field_str(w, "scrapePool", t->dropped[i].job);
        if (t->dropped[i].error.n > 0)
            json_field_str(w, "lastError", t->dropped[i].error);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "droppedTargetCounts");
    json_begin_object(w);
    for (size_t i = 0; i < t->n_pools; i++) {
        json_key_str(w, t->pools[i].job);
        json_i64(w, (int64_t)(t->pools[i].dropped + t->pools[i].invalid));
    }
    json_end_object(w);
}

void api_targets(struct http_request *r)
{
    struct scraper_targets t;
    struct json_writer w;
    struct str state = form_get(&r->form, "state"), pool = form_get(&r->form, "scrapePool");
    bool active = str_ieq(state, STR("active")), dropped = str_ieq(state, STR("dropped")), any = !active && !dropped;
    scraper_targets(r->services->scraper, &r->arena, &t);
    api_begin(r, &w);
    json_begin_object(&w);
    put_actives(&w, &r->services->flags, &t, pool, active || any);
    put_dropped(&w, &t, pool, dropped || any);
    json_end_object(&w);
    api_end(&w);
}

static int by_job(const void *a, const void *b)
{
    return str_cmp(((const struct pool_status *)a)->job, ((const struct pool_status *)b)->job);
}

void api_scrape_pools(struct http_request *r)
{
    struct scraper_targets t;
    struct json_writer w;
    scraper_targets(r->services->scraper, &r->arena, &t);
    if (t.n_pools > 0)
        qsort(t.pools, t.n_pools, sizeof *t.pools, by_job);
    api_begin(r, &w);
    json_begin_object(&w);
    json_key(&w, "scrapePools");
    json_begin_array(&w);
    for (size_t i = 0; i < t.n_pools; i++)
        json_str(&w, t.pools[i].job);
    json_end_array(&w);
    json_end_object(&w);
    api_end(&w);
}

/* ---- /api/v1/targets/metadata ---- */

static void put_metadata(struct json_writer *w, const struct target_metadata *m, bool metric_named)
{
    json_begin_object(w);
    json_key(w, "target");
    render_labels(w, m->target);
    if (!metric_named)
        json_field_str(w, "metric", m->metadata.family);
    json_field_z(w, "type", metric_type_name(m->metadata.type));
    json_field_str(w, "help", m->metadata.help);
    json_field_str(w, "unit", m->metadata.unit);
    json_end_object(w);
}

struct metadata_filter { const struct matcher *matchers; size_t n; int64_t limit; };

static bool api_targets_read_filter(struct http_request *r, struct metadata_filter *f, struct err *err)
{
    struct str match = form_get(&r->form, "match_target"), limit = form_get(&r->form, "limit");
    *f = (struct metadata_filter){.limit = -1};
    if (limit.n > 0 && !num_parse_i64(limit, &f->limit))
        return err_set(err, ERR_BAD_DATA, "limit must be a number");
    if (match.n > 0 && !param_selector(&r->arena, match, &f->matchers, &f->n, err))
        return err_wrap(err, "invalid parameter \"match_target\"");
    return true;
}

void api_targets_metadata(struct http_request *r)
{
    struct metadata_filter f;
    struct err err;
    struct json_writer w;
    struct target_metadata *found;
    size_t n;
    struct str metric = form_get(&r->form, "metric");
    if (!api_targets_read_filter(r, &f, &err)) {
        http_error(r, &err);
        return;
    }
    scraper_metadata(r->services->scraper, &r->arena, metric, &found, &n);
    api_begin(r, &w);
    json_begin_array(&w);
    for (size_t i = 0; i < n && f.limit != 0; i++)
        if (matchers_match(f.matchers, f.n, found[i].target)) {
            put_metadata(&w, &found[i], metric.n > 0);
            f.limit--;
        }
    json_end_array(&w);
    api_end(&w);
}
