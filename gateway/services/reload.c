// SPDX-License-Identifier: Apache-2.0
/* Applies a configuration, all or nothing:
 *
 * 1. What may fail is prepared beside the running configuration: server groups, the writer's new queues.
 * 2. The scraper accepts or refuses the jobs.
 * 3. The writer commits, and configuration and server groups are swapped. Nothing can fail any more.
 *
 * Code that keeps pointers into a configuration holds a reference to it.
 */
#include "gateway/services/services.h"

#include "base/telemetry/log.h"
#include "base/text/duration.h"
#include "base/os/line_file.h"
#include "gateway/background/breaker_checks.h"
#include "gateway/background/coverage_reader.h"
#include "gateway/background/audits.h"
#include "gateway/background/filter_sync.h"
#include "gateway/background/push_checks.h"
#include "gateway/coverage/coverage.h"
#include "gateway/servers/registry.h"
#include "gateway/services/group_discovery.h"
#include "gateway/services/access_watch.h"
#include "gateway/services/load.h"
#include "gateway/upstream/probe.h"

static void services_on_discovery(void *services, bool found);

void services_init(struct services *s)
{
    s->started = clock_wall_ms();
    active_queries_init(&s->active);
    s->access_log = line_file_new();
    s->query_log = line_file_new();
    via_make_id(s->id);
    reload_history_init(&s->reloads);
    s->access_watch = access_watch_new(s);
    s->_load = config_load_new(s);
    s->servers = server_registry_new();
    s->kube_watches = kube_watches_new(s->control);
    s->group_discovery = group_discovery_new(&(struct group_discovery_env){
        .main = s->control, .kube = s->kube_watches, .registry = s->servers, .changed = services_on_discovery, .arg = s});
    s->prober = server_prober_new(s->control, s->id);
    s->breaker_checks = breaker_checks_new(s->control, s->id);
    s->coverage = coverage_registry_new();
    s->coverage_reader = coverage_reader_new(s->control, s->id);
    s->filter_sync = filter_sync_new(s->control, s->id);
    s->audits = audits_new(s->control, s->id);
    s->push_checks = push_checks_new(s->control, s->id);
    mutex_init(&s->_mutex, RANK_SERVICES);
    mutex_init(&s->_lane_mutex, RANK_SERVICES);
}

static struct config *services_take_config(struct mutex *mutex, struct config *const *config)
{
    mutex_lock(mutex);
    struct config *c = *config ? config_ref(*config) : NULL;
    mutex_unlock(mutex);
    return c;
}

struct config *services_config(struct services *s) { return services_take_config(&s->_mutex, &s->_config); }

struct config *services_config_on_lane(struct services *s)
{
    return services_take_config(&s->_lane_mutex, &s->_lane_config);
}

struct upstream *services_upstream(struct services *s)
{
    mutex_lock(&s->_mutex);
    struct upstream *u = s->_upstream ? upstream_ref(s->_upstream) : NULL;
    mutex_unlock(&s->_mutex);
    return u;
}

void services_note_load(struct services *s, bool ok)
{
    if (!ok)
        atomic_store(&s->reload_failed_at, clock_wall_ms());
    atomic_store(&s->reload_ok, ok);
}

struct query_service services_query_service(const struct services *s, const struct config *c, struct upstream *u)
{
    const struct str_list *features = &s->flags.enable_features;
    return (struct query_service){.source = u ? upstream_source(u) : NULL, .lookback = s->flags.query_lookback,
                                  .subquery_step = c->global.evaluation_interval,
                                  .max_samples = s->flags.query_max_samples,
                                  .delayed_name_removal = str_list_has(features, "promql-delayed-name-removal"),
                                  .per_step_stats = str_list_has(features, "promql-per-step-stats")};
}

static void reload_release_config(void *arg) { config_unref(arg); }

/* ---- the steps ---- */

static struct source *recent_get(void *arg) { return writer_recent(arg); }

static struct written reload_written(void *arg, struct str destination, int64_t from, int64_t to)
{
    return writer_written(arg, destination, from, to);
}

/* Free with mem_free. */
static struct upstream_backup *reload_backups(const struct config *c, size_t *n)
{
    struct upstream_backup *found = mem_zalloc((c->n_destinations + 1) * sizeof *found);
    *n = 0;
    for (size_t i = 0; i < c->n_destinations; i++)
        if (c->destinations[i].backup_of.n > 0)
            found[(*n)++] = (struct upstream_backup){c->destinations[i].name, c->destinations[i].backup_of};
    return found;
}

static struct writer_plan reload_plan(const struct config *c)
{
    return (struct writer_plan){.destinations = c->destinations, .n = c->n_destinations, .recent = c->recent,
                                .sharding = c->sharding, .pipeline = &c->pipeline,
                                .external_labels = c->scrape.external_at_scrape ? (struct str_map){0}
                                                                                : c->global.external_labels};
}

static struct upstream *build_upstream(struct services *s, const struct config *c, struct err *err)
{
    struct writer_plan plan = reload_plan(c);
    struct upstream_env env = {.registry = s->servers, .coverage = s->coverage, .recent_alone = c->n_groups == 0,
                               .empty_groups = c->empty_groups, .zone = s->flags.zone,
                               .partial_response = s->flags.query_partial};
    if (c->recent) {
        env.recent_get = recent_get;
        env.recent_put = writer_recent_unref;
        env.recent_from = writer_recent_from;
        env.recent_arg = s->writer;
        env.recent_like = c->recent->like;
    }
    struct group_discovered *found = group_discovery_find(s->group_discovery, c);
    env.discovered = found;
    struct upstream_backup *backups = reload_backups(c, &env.n_backups);
    env.backups = backups;
    env.written = reload_written;
    env.written_arg = s->writer;
    env.placement = writer_placement_new(&plan);
    env.placed_since = upstream_placed_since(s->_upstream, env.placement, clock_wall_ms());
    struct upstream *u = upstream_new(c->groups, c->n_groups, &env, err);
    writer_placement_unref(env.placement);
    mem_free(backups);
    group_discovered_free(found, c->n_groups);
    return u;
}

static struct writer_change *prepare_writer(struct services *s, const struct config *c, struct err *err)
{
    struct writer_plan plan = reload_plan(c);
    return writer_prepare(s->writer, &plan, err);
}

static bool apply_scraper(struct services *s, struct config *c, struct err *err)
{
    if (scraper_apply(s->scraper, c->jobs, c->n_jobs, &c->scrape, reload_release_config, config_ref(c), err))
        return true;
    config_unref(c);
    return false;
}

/* `c` is the running configuration, or the next one. */
static void reload_swap(struct services *s, struct config *c, struct upstream *u)
{
    if (u && s->_upstream)
        upstream_adopt(u, s->_upstream);
    mutex_lock(&s->_mutex);
    struct config *old = s->_config;
    struct upstream *old_upstream = s->_upstream;
    s->_config = c;
    s->_upstream = u;
    mutex_unlock(&s->_mutex);
    if (old_upstream)
        upstream_unref(old_upstream);
    if (old != c)
        config_unref(old);
}

static void reload_swap_config(struct services *s, struct config *c, struct upstream *u)
{
    struct config *old;
    reload_swap(s, c, u);
    mutex_lock(&s->_lane_mutex);
    old = s->_lane_config;
    s->_lane_config = c ? config_ref(c) : NULL;
    mutex_unlock(&s->_lane_mutex);
    config_unref(old);
}

static bool reload_apply_config(struct services *s, struct config *c, struct upstream *u, struct err *err)
{
    struct writer_change *change = prepare_writer(s, c, err);
    if (change == NULL)
        return false;
    if (!apply_scraper(s, c, err)) {
        writer_cancel(change);
        return false;
    }
    writer_commit(change, reload_release_config, config_ref(c));
    reload_swap_config(s, c, u);
    return true;
}

static void note_success(struct services *s, const struct config *c)
{
    atomic_store(&s->reloaded_at, clock_wall_ms());
    for (size_t i = 0; i < c->warnings.n; i++)
        log_warn("config", "warning about the configuration", LOG_STR("warning", c->warnings.items[i]));
}

static void reload_use_audits(struct services *s, struct config *c, struct upstream *u)
{
    struct audits_setup setup = {
        .workers = s->workers, .memory = &s->queries, .query_memory = (size_t)s->flags.query_memory, .conf = c->audit,
        .settings = services_query_service(s, c, NULL), .writer = {s->writer, c->destinations, c->n_destinations},
        .release = reload_release_config, .held = config_ref(c)};
    audits_use(s->audits, u, &setup);
}

/* What works on servers beside queries continues with those of `u`. */
static void reload_use_servers(struct services *s, struct config *c, struct upstream *u)
{
    reload_use_audits(s, c, u);
    push_checks_use(s->push_checks, u, &(struct push_checks_setup){
        .workers = s->workers, .memory = &s->queries, .query_memory = (size_t)s->flags.query_memory,
        .settings = services_query_service(s, c, NULL)});
    server_probe_all(s->prober, u);
    breaker_checks_use(s->breaker_checks, u);
    coverage_reader_use(s->coverage_reader, s->workers, &s->queries, u);
    filter_sync_use(s->filter_sync, s->workers, &s->queries, u);
}

bool services_apply(struct services *s, struct config *c, struct err *err)
{
    struct upstream *u = build_upstream(s, c, err);
    bool ok = u != NULL && services_follow_instances(s, c, err) && services_join_cluster(s, c, err) &&
              reload_apply_config(s, c, u, err);
    if (ok) {
        note_success(s, c);
        services_check_cluster(s, c);
        services_check_instances(s, c);
        access_watch_use(s->access_watch, c->access);
        line_file_use(s->access_log, str_is(s->flags.access_log, "none") ? STR("") : s->flags.access_log);
        line_file_use(s->query_log, c->global.query_log_file);
        reload_use_servers(s, c, u);
        group_discovery_use(s->group_discovery, c);
    } else {
        if (u)
            upstream_unref(u);
        config_unref(c);
    }
    services_note_load(s, ok);
    return ok;
}

void services_reopen(void *services)
{
    struct services *s = services;
    struct err err;
    if (atomic_load(&s->state) == SERVICES_STOPPING || s->_config == NULL)
        return;
    struct writer_change *change = prepare_writer(s, s->_config, &err);
    if (change)
        writer_commit(change, reload_release_config, config_ref(s->_config));
    else
        log_error("remote_write", "cannot apply the destinations of the configuration again; reload it to retry", "err", err.text);
}

/* Discovery has found other servers: the groups of the running configuration are made again, as by a reload. */
static void services_on_discovery(void *services, bool found)
{
    struct services *s = services;
    struct err err;
    if (s->_config == NULL || !(found || upstream_lacks_servers(s->_upstream)))
        return;
    struct upstream *u = build_upstream(s, s->_config, &err);
    if (u == NULL) {
        log_error("upstream", "cannot use the servers that service discovery found; keeping the previous ones", "err",
                  err.text);
        return;
    }
    reload_swap(s, s->_config, u);
    reload_use_servers(s, s->_config, u);
}

bool services_discovery_ready(const struct services *s)
{
    return scraper_ready(s->scraper) && group_discovery_ready(s->group_discovery);
}

void services_stop_discovery(struct services *s) { group_discovery_stop(s->group_discovery); }

bool services_end_reloads(struct services *s)
{
    bool ended = config_load_free(s->_load);
    s->_load = NULL;
    return ended;
}

void services_free(struct services *s)
{
    group_discovery_free(s->group_discovery);
    kube_watches_free(s->kube_watches);
    access_watch_free(s->access_watch);
    reload_history_free(&s->reloads);
    server_prober_free(s->prober);
    breaker_checks_free(s->breaker_checks);
    coverage_reader_free(s->coverage_reader);
    filter_sync_free(s->filter_sync);
    audits_free(s->audits);
    push_checks_free(s->push_checks);
    services_free_instances(s);
    services_free_cluster(s);
    reload_swap_config(s, NULL, NULL);
    server_registry_free(s->servers); /* behind the last upstream */
    coverage_registry_free(s->coverage);
    active_queries_free(&s->active);
    line_file_free(s->access_log);
    line_file_free(s->query_log);
    mutex_free(&s->_mutex);
    mutex_free(&s->_lane_mutex);
}
