// SPDX-License-Identifier: Apache-2.0
/* State of targets for the API and /metrics. Any thread; everything is copied under the mutexes. */
#include "scraper/scraper_internal.h"

#include "base/text/url.h"

#include <stdlib.h>

static struct str shown_address(struct arena *a, struct str address)
{
    struct buf shown = {0};
    url_redact_address(&shown, address);
    struct str copy = arena_str(a, buf_str(&shown));
    buf_free(&shown);
    return copy;
}

/* Labels used to build the URL may contain secrets: userinfo, api_key=..., __param_token. */
static struct labels shown_discovered(struct arena *a, struct labels in)
{
    struct labels_builder b = {.scratch = a};
    struct labels_iter it = labels_iter(in);
    builder_start(&b, in);
    for (struct label l; labels_next(&it, &l); ) {
        struct str prefix = STR("__param_");
        if (str_is(l.name, "__address__")) {
            builder_set(&b, l.name, shown_address(a, l.value));
        } else if (str_starts(l.name, prefix) && url_param_secret(str_skip(l.name, prefix.n))) {
            builder_set(&b, l.name, STR("xxxxx"));
        }
    }
    struct labels out = builder_labels(&b, a);
    builder_free(&b);
    return out;
}

static void copy_target(const struct target *t, struct arena *a, struct target_status *out)
{
    *out = (struct target_status){.job = arena_str(a, t->job_name), .url = shown_address(a, t->url), .id = t->id};
    out->discovered = shown_discovered(a, t->discovered);
    out->labels = labels_copy(a, t->labels.wire);
    mutex_lock(&t->lane->mutex);
    const struct target_live *live = &t->live;
    out->interval = t->interval;
    out->timeout = t->timeout;
    out->health = live->health;
    out->last_error = arena_str(a, str_of(live->last_error));
    out->last_scrape = live->last_scrape;
    out->last_duration = live->last_duration;
    out->scrapes = live->scrapes;
    out->failures = live->failures;
    out->last_samples = live->last_samples;
    out->last_bytes = live->last_bytes;
    mutex_unlock(&t->lane->mutex);
}

static int by_job_url_labels(const void *x, const void *y)
{
    const struct target_status *a = x, *b = y;
    int c = str_cmp(a->job, b->job);
    if (c == 0)
        c = str_cmp(a->url, b->url);
    return c ? c : labels_cmp(a->labels, b->labels);
}

static void copy_pool(const struct pool *p, struct arena *a, struct scraper_targets *out, size_t *room)
{
    struct str job = arena_str(a, p->conf->job_name);
    out->pools[out->n_pools++] = (struct pool_status){job, p->dropped_total, p->invalid_total,
                                                     arena_str(a, str_of(p->file_status.missing))};
    for (size_t i = 0; i < p->n; i++)
        copy_target(p->targets[i], a, &out->active[out->n_active++]);
    for (size_t i = 0; i < p->n_dropped && *room > 0; i++, --*room)
        out->dropped[out->n_dropped++] = (struct dropped_target){job, shown_discovered(a, p->dropped[i].discovered),
                                                                  arena_str(a, str_of(p->dropped[i].error))};
}

size_t scraper_target_count(struct scraper *s)
{
    size_t n = 0;
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < s->n_pools; i++)
        n += s->pools[i]->n;
    mutex_unlock(&s->mutex);
    return n;
}

void scraper_targets(struct scraper *s, struct arena *a, struct scraper_targets *out)
{
    size_t active = 0, dropped = 0;
    *out = (struct scraper_targets){0};
    struct arena_limits saved = arena_suspend_limit(a);
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < s->n_pools; i++) {
        active += s->pools[i]->n;
        dropped += s->pools[i]->n_dropped;
    }
    size_t room = dropped < DROPPED_MAX ? dropped : DROPPED_MAX;
    out->active = ARENA_ARRAY(a, struct target_status, active);
    out->dropped = ARENA_ARRAY(a, struct dropped_target, room);
    out->pools = ARENA_ARRAY(a, struct pool_status, s->n_pools);
    for (size_t i = 0; i < s->n_pools; i++)
        copy_pool(s->pools[i], a, out, &room);
    mutex_unlock(&s->mutex);
    arena_restore_limit(a, saved);
    qsort(out->active, out->n_active, sizeof *out->active, by_job_url_labels);
}

/* ---- metadata ---- */

static void copy_metadata(const struct target *t, struct arena *a, struct str metric, struct target_metadata **out,
                          size_t *n, size_t *cap)
{
    struct labels labels = {0};
    mutex_lock(&t->lane->mutex);
    for (uint32_t i = 0; t->metadata && i < t->metadata->n; i++) {
        const struct metadata *m = &t->metadata->families[i]->metadata;
        if (metric.n > 0 && !str_eq(metric, m->family))
            continue;
        if (labels.p == NULL)
            labels = labels_copy(a, t->labels.wire);
        arena_grow(a, out, cap, *n + 1, sizeof **out);
        (*out)[(*n)++] = (struct target_metadata){
            labels, {arena_str(a, m->family), arena_str(a, m->help), arena_str(a, m->unit), m->type}};
    }
    mutex_unlock(&t->lane->mutex);
}

void scraper_metadata(struct scraper *s, struct arena *a, struct str metric, struct target_metadata **out, size_t *n)
{
    size_t cap = 0;
    *out = NULL;
    *n = 0;
    struct arena_limits saved = arena_suspend_limit(a);
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->n; k++)
            copy_metadata(s->pools[i]->targets[k], a, metric, out, n, &cap);
    mutex_unlock(&s->mutex);
    arena_restore_limit(a, saved);
}

/* ---- /metrics ---- */

struct pool_counts { size_t up, down; };

static enum target_health health_of(const struct target *t)
{
    mutex_lock(&t->lane->mutex);
    enum target_health health = t->live.health;
    mutex_unlock(&t->lane->mutex);
    return health;
}

static struct pool_counts count_pool(const struct pool *p, const char *mechanism)
{
    struct pool_counts c = {0};
    for (size_t i = 0; i < p->n; i++) {
        if (mechanism && !str_is(str_of(mechanism), p->targets[i]->mechanism))
            continue;
        *(health_of(p->targets[i]) == HEALTH_UP ? &c.up : &c.down) += 1;
    }
    return c;
}

static void collect_types(const struct scraper *s, struct stats_out *o)
{
    static const char *const mechanisms[] = {"file", "static"};
    static const char *const types[] = {"file_sd_configs", "static_configs"}; /* vmagent's values */
    stats_family(o, "vm_promscrape_targets", STATS_GAUGE,
                 "Targets by discovery mechanism and state of the last scrape");
    for (size_t m = 0; m < LEN(mechanisms); m++) {
        struct pool_counts sum = {0};
        for (size_t i = 0; i < s->n_pools; i++) {
            struct pool_counts c = count_pool(s->pools[i], mechanisms[m]);
            sum.up += c.up;
            sum.down += c.down;
        }
        struct stats_label labels[] = {{"type", str_of(types[m])}, {"status", STR("up")}};
        stats_value(o, "vm_promscrape_targets", labels, 2, (double)sum.up);
        labels[1].value = STR("down");
        stats_value(o, "vm_promscrape_targets", labels, 2, (double)sum.down);
    }
}

static void collect_files(const struct scraper *s, struct stats_out *o)
{
    const char *name = "sluice_sd_failing_files";
    stats_family(o, name, STATS_GAUGE,
                 "Files of file_sd_configs whose last read failed; their previous targets are kept");
    for (size_t i = 0; i < s->n_pools; i++)
        if (s->pools[i]->conf->file_sd_configs.n > 0)
            stats_value(o, name, &(struct stats_label){"config", s->pools[i]->conf->job_name}, 1,
                        (double)s->pools[i]->file_status.failing);
    name = "prometheus_sd_file_mtime_seconds";
    stats_family(o, name, STATS_GAUGE, "Unix time of the last modification of a file of file_sd_configs");
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->file_status.n; k++) {
            const struct pool_file *f = &s->pools[i]->file_status.items[k];
            const struct stats_label labels[] = {{"filename", str_of(f->path)},
                                                 {"config", s->pools[i]->conf->job_name}};
            stats_value(o, name, labels, LEN(labels), f->mtime);
        }
}

static void collect_pools(const struct scraper *s, struct stats_out *o)
{
    const char *name = "vm_promscrape_scrape_pool_targets";
    stats_family(o, name, STATS_GAUGE, "Targets of a job by state of the last scrape; dropped: by relabel_configs");
    for (size_t i = 0; i < s->n_pools; i++) {
        struct pool_counts c = count_pool(s->pools[i], NULL);
        struct stats_label labels[] = {{"scrape_job", s->pools[i]->conf->job_name}, {"status", STR("up")}};
        stats_value(o, name, labels, 2, (double)c.up);
        labels[1].value = STR("down");
        stats_value(o, name, labels, 2, (double)c.down);
        labels[1].value = STR("dropped");
        stats_value(o, name, labels, 2, (double)s->pools[i]->dropped_total);
    }
    name = "prometheus_sd_discovered_targets";
    stats_family(o, name, STATS_GAUGE, "Discovered targets of a job, before relabel_configs");
    for (size_t i = 0; i < s->n_pools; i++) {
        const struct pool *p = s->pools[i];
        struct stats_label labels[] = {{"name", STR("scrape")}, {"config", p->conf->job_name}};
        stats_value(o, name, labels, 2, (double)(p->n + p->dropped_total + p->invalid_total));
    }
    name = "prometheus_target_sync_failed_total";
    stats_family(o, name, STATS_COUNTER, "Targets found that cannot be scraped, at each change of the job's targets");
    for (size_t i = 0; i < s->n_pools; i++)
        stats_value(o, name, &(struct stats_label){"scrape_job", s->pools[i]->conf->job_name}, 1,
                    (double)s->pools[i]->invalid_ever);
    name = "prometheus_target_scrape_pool_targets";
    stats_family(o, name, STATS_GAUGE, "Targets of a job");
    for (size_t i = 0; i < s->n_pools; i++)
        stats_value(o, name, &(struct stats_label){"scrape_job", s->pools[i]->conf->job_name}, 1,
                    (double)s->pools[i]->n);
}

void scraper_collect(struct stats_out *o, void *scraper)
{
    struct scraper *s = scraper;
    mutex_lock(&s->mutex);
    collect_types(s, o);
    collect_pools(s, o);
    collect_files(s, o);
    mutex_unlock(&s->mutex);
}

const char *target_health_name(enum target_health h)
{
    static const char *const names[] = {[HEALTH_UNKNOWN] = "unknown", [HEALTH_UP] = "up", [HEALTH_DOWN] = "down",
                                        [HEALTH_INVALID] = "invalid"};
    return names[h];
}
