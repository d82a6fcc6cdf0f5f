// SPDX-License-Identifier: Apache-2.0
/* State of targets for the API and /metrics. Workers; the mutex guards what main knows, the lanes' part is a snapshot.
 * */
#include "scraper/scraper_internal.h"

#include "base/map.h"
#include "base/text/duration.h"
#include "base/text/url.h"
#include "scraper/snapshot.h"

#include <stdlib.h>

static struct str shown_as(struct arena *a, struct str text, void (*redact)(struct buf *out, struct str text))
{
    struct buf shown = {0};
    redact(&shown, text);
    struct str copy = arena_str(a, buf_str(&shown));
    buf_free(&shown);
    return copy;
}

static struct str shown_address(struct arena *a, struct str address) { return shown_as(a, address, url_redact_address); }

/* Labels used to build the URL may contain secrets: userinfo, api_key=..., __param_token; so may URLs that list targets. */
static struct labels shown_discovered(struct arena *a, struct labels in)
{
    struct labels_builder b = {.scratch = a};
    struct labels_iter it = labels_iter(in);
    builder_start(&b, in);
    for (struct label l; labels_next(&it, &l); ) {
        struct str prefix = STR("__param_");
        if (str_is(l.name, "__address__")) {
            builder_set(&b, l.name, shown_address(a, l.value));
        } else if (str_is(l.name, "__meta_url")) {
            builder_set(&b, l.name, shown_address(a, l.value));
        } else if (str_is(l.name, "__meta_filepath")) { /* a file, or a URL in its place */
            builder_set(&b, l.name, shown_as(a, l.value, url_redact_path));
        } else if (str_starts(l.name, prefix) && url_param_secret(str_skip(l.name, prefix.n))) {
            builder_set(&b, l.name, STR("xxxxx"));
        }
    }
    struct labels out = builder_labels(&b, a);
    builder_free(&b);
    return out;
}

static void copy_target(const struct target_state *from, struct arena *a, struct target_status *out)
{
    const struct target *t = from->target;
    const struct target_live *live = &from->live;
    *out = (struct target_status){.job = arena_str(a, t->job_name), .url = shown_address(a, t->url), .id = t->id,
                                  .owner_key = from->key,
                                  .health = from->health, .interval = from->interval, .timeout = from->timeout,
                                  .last_scrape = live->last_scrape, .last_duration = live->last_duration,
                                  .scrapes = live->scrapes, .failures = live->failures,
                                  .last_samples = live->last_samples, .last_bytes = live->last_bytes,
                                  .series = live->series, .series_limit = from->series_limit,
                                  .standby = from->standby};
    out->discovered = shown_discovered(a, from->discovered->labels);
    out->labels = labels_copy(a, t->labels.wire);
    if (live->last_error)
        out->last_error = arena_str(a, str_of(live->last_error->text));
}

static int by_job_url_labels(const void *x, const void *y)
{
    const struct target_status *a = x, *b = y;
    int c = str_cmp(a->job, b->job);
    if (c == 0)
        c = str_cmp(a->url, b->url);
    return c ? c : labels_cmp(a->labels, b->labels);
}

/* What main knows; under the mutex. */
static size_t copy_pools(const struct scraper *s, struct arena *a, struct pool_status **out)
{
    *out = ARENA_ARRAY(a, struct pool_status, s->n_pools);
    for (size_t i = 0; i < s->n_pools; i++) {
        const struct pool *p = s->pools[i];
        (*out)[i] = (struct pool_status){arena_str(a, p->conf->job_name), p->dropped_total, p->invalid_total,
                                         p->elsewhere_total,
                                         arena_str(a, str_of(p->sd_status.missing))};
    }
    return s->n_pools;
}

static struct str why_dropped(const struct scraper *s, const struct pool_dropped *d, struct arena *a)
{
    size_t owner;
    if (d->found_at == 0 || d->invalid)
        return arena_str(a, str_of(d->error));
    if (s->view == NULL)
        return STR("the members of the cluster are not known yet");
    if (cluster_view_owners(s->view, d->part->found[d->found_at - 1].key, clock_wall_ms(), 1, &owner) == 0)
        return STR("no member of the cluster is active");
    return arena_printf(a, "scraped by the cluster's member %.*s", STR_ARG(s->view->members[owner].id));
}

static void copy_dropped(const struct scraper *s, struct arena *a, struct scraper_targets *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_pools; i++)
        n += s->pools[i]->n_dropped;
    size_t most = s->n_pools > 0 ? s->pools[0]->conf->targets_kept.dropped_max : 0;
    size_t room = n < most ? n : most;
    out->dropped = ARENA_ARRAY(a, struct dropped_target, room);
    for (size_t i = 0; i < s->n_pools; i++) {
        const struct pool *p = s->pools[i];
        for (size_t k = 0; k < p->n_dropped && out->n_dropped < room; k++) {
            const struct pool_dropped *d = &p->dropped[k];
            bool elsewhere = d->found_at > 0 && !d->invalid;
            out->dropped[out->n_dropped++] = (struct dropped_target){
                out->pools[i].job, shown_discovered(a, d->discovered), d->invalid, elsewhere, why_dropped(s, d, a),
                elsewhere ? d->part->found[d->found_at - 1].key : 0};
        }
    }
}

size_t scraper_pools(struct scraper *s, struct arena *a, struct pool_status **out)
{
    struct arena_limits saved = arena_suspend_limit(a);
    mutex_lock(&s->mutex);
    size_t n = copy_pools(s, a, out);
    mutex_unlock(&s->mutex);
    arena_restore_limit(a, saved);
    return n;
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

/* Under the mutex. */
static struct target_snapshot *scraper_snapshot(struct scraper *s, const struct scraper_read *read, struct err *err)
{
    struct snapshot_targets *pools = mem_zalloc((s->n_pools + 1) * sizeof *pools);
    for (size_t i = 0; i < s->n_pools; i++)
        pools[i] = (struct snapshot_targets){s->pools[i]->targets, s->pools[i]->n};
    struct target_snapshot *made = snapshot_new(pools, s->n_pools, s->lanes, s->env.n_lanes, s->env.main, read->memory, err);
    mem_free(pools);
    return made;
}

/* Between targets: the arena may exceed its limits by one of them. */
static bool copy_targets(const struct target_snapshot *from, struct arena *a, size_t max, struct scraper_targets *out,
                         struct err *err)
{
    out->active = ARENA_ARRAY(a, struct target_status, from->n + 1);
    for (size_t i = 0; i < from->n; i++) {
        if (arena_over(a, max)) {
            if (max > 0 && a->used > max)
                arena_full_error(a, max, err);
            else
                snapshot_full_error(from->n, err);
            return false;
        }
        copy_target(&from->states[i], a, &out->active[out->n_active++]);
    }
    qsort(out->active, out->n_active, sizeof *out->active, by_job_url_labels);
    return true;
}

bool scraper_targets(struct scraper *s, const struct scraper_read *read, struct arena *a, struct scraper_targets *out,
                     struct err *err)
{
    *out = (struct scraper_targets){0};
    struct arena_limits saved = arena_suspend_limit(a); /* on_full must not jump: the snapshot would be lost */
    mutex_lock(&s->mutex);
    struct target_snapshot *from = scraper_snapshot(s, read, err);
    if (from) {
        out->n_pools = copy_pools(s, a, &out->pools);
        copy_dropped(s, a, out);
    }
    mutex_unlock(&s->mutex);
    bool ok = from != NULL;
    if (from) {
        snapshot_begin(from, false);
        ok = snapshot_wait(from, read, err) && copy_targets(from, a, saved.max, out, err);
        snapshot_end(from);
    }
    arena_restore_limit(a, saved);
    return ok;
}

/* ---- metadata ---- */

static bool visit_target(const struct target_state *t, const struct metadata_visit *v, struct err *err)
{
    for (uint32_t i = 0; i < t->metadata->n; i++) {
        struct target_metadata m = {t->target->labels.wire, t->metadata->families[i]->metadata};
        if ((v->metric.n == 0 || str_eq(v->metric, m.metadata.family)) && !v->visit(v->arg, &m, err))
            return false;
    }
    return true;
}

static bool visit_targets(const struct target_snapshot *from, const struct scraper_read *read, const struct metadata_visit *v,
                          struct err *err)
{
    struct map seen = {0};
    bool ok = true;
    for (size_t i = 0; i < from->n && ok; i++) {
        bool added = true;
        const struct target_state *t = &from->states[i];
        if (t->metadata == NULL)
            continue;
        if (v->distinct)
            map_add(&seen, str_n(&t->metadata, sizeof t->metadata), &added);
        ok = !added || (!snapshot_read_ended(read, err) && visit_target(t, v, err));
    }
    map_free(&seen);
    return ok;
}

bool scraper_metadata(struct scraper *s, const struct scraper_read *read, const struct metadata_visit *v,
                      struct err *err)
{
    mutex_lock(&s->mutex);
    struct target_snapshot *from = scraper_snapshot(s, read, err);
    mutex_unlock(&s->mutex);
    if (from == NULL)
        return false;
    snapshot_begin(from, true);
    bool ok = snapshot_wait(from, read, err) && visit_targets(from, read, v, err);
    snapshot_end(from);
    return ok;
}

/* ---- /metrics ---- */

struct pool_counts { size_t up, down; };

static struct pool_counts count_pool(const struct pool *p, const char *mechanism)
{
    struct pool_counts c = {0};
    for (size_t i = 0; i < p->n; i++) {
        if (mechanism && !str_is(str_of(mechanism), p->targets[i]->mechanism))
            continue;
        bool up = atomic_load_explicit(&p->targets[i]->health, memory_order_relaxed) == HEALTH_UP;
        *(up ? &c.up : &c.down) += 1;
    }
    return c;
}

static void collect_types(const struct scraper *s, struct stats_out *o)
{
#define MECHANISM(name, ...) #name,
#define TYPE(name, ...) #name "_sd_configs",
    static const char *const mechanisms[] = {SD_KINDS(MECHANISM) "static"};
    static const char *const types[] = {SD_KINDS(TYPE) "static_configs"}; /* vmagent's values */
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
        if (s->pools[i]->conf->sd.file_sd_configs.n > 0)
            stats_value(o, name, &(struct stats_label){"config", s->pools[i]->conf->job_name}, 1,
                        (double)s->pools[i]->sd_status.failing);
    name = "sluice_sd_hung_patterns";
    stats_family(o, name, STATS_GAUGE,
                 "Patterns of file_sd_configs whose file system does not respond; their previous targets are kept");
    for (size_t i = 0; i < s->n_pools; i++)
        if (s->pools[i]->conf->sd.file_sd_configs.n > 0)
            stats_value(o, name, &(struct stats_label){"config", s->pools[i]->conf->job_name}, 1,
                        (double)s->pools[i]->sd_status.hung);
    name = "sluice_sd_failing_sources";
    stats_family(o, name, STATS_GAUGE,
                 "Servers and names of service discovery whose last read failed; their previous targets are kept");
    for (size_t i = 0; i < s->n_pools; i++)
        if (!sd_conf_empty(&s->pools[i]->conf->sd))
            stats_value(o, name, &(struct stats_label){"config", s->pools[i]->conf->job_name}, 1,
                        (double)s->pools[i]->sd_status.unanswered);
    name = "prometheus_sd_file_mtime_seconds";
    stats_family(o, name, STATS_GAUGE, "Unix time of the last modification of a file of file_sd_configs");
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->sd_status.n; k++) {
            const struct sd_status_file *f = &s->pools[i]->sd_status.items[k];
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
