// SPDX-License-Identifier: Apache-2.0
/* Instances of Grafana Agent: those of the file, and those stored in etcd. Each adds its jobs, and its destinations
 * with their own route: they get the samples of its jobs only (model/sink.h). Instances with equal destinations share
 * them; an instance without any uses the destinations without a route, those of metrics.global and of flags.
 *
 * An invalid instance of the file fails the load. An invalid stored instance is skipped and logged: it must not keep a
 * member from scraping the others.
 *
 * A destination's name selects its queue. Names in the file are as `sluice config convert` writes them. Names of stored
 * instances begin with a hash of the list: other credentials or another URL mean another queue, so that no instance is
 * ever sent what another one has left.
 */
#include "gateway/config/config_instances.h"

#include "base/hash.h"
#include "base/telemetry/log.h"
#include "gateway/agent/instance_set.h"
#include "gateway/config/dialect.h"

#include <stdio.h>

/* Paths of files in `metrics.global`. */
static const struct conf_row agent_global_rows[] = {
    {CONF_SECTIONS, "remote_write", 0, .section = &remote_write_section}, {0}};
const struct conf_section agent_global_section = {.name = "metrics.global", .rows = agent_global_rows};

/* ---- metrics ---- */

const struct yaml *config_metrics_node(const struct loader *l)
{
    const struct yaml *node = yaml_get(l->document, "metrics");
    return node ? node : yaml_get(l->document, "prometheus");
}

const struct yaml *config_global_node(const struct loader *l)
{
    const struct yaml *node = yaml_get(l->document, "global");
    return node ? node : yaml_get(config_metrics_node(l), "global");
}

/* Without `remote_write`. */
static struct yaml metrics_global_tree(struct arena *a, const struct yaml *global)
{
    struct yaml kept = {.kind = YAML_MAP, .line = global->line, .file = global->file};
    kept.keys = arena_array(a, global->n + 1, sizeof *kept.keys);
    kept.items = arena_array(a, global->n + 1, sizeof *kept.items);
    for (size_t i = 0; kept.keys && kept.items && i < global->n; i++)
        if (!str_is(global->keys[i].text, "remote_write")) {
            kept.keys[kept.n] = global->keys[i];
            kept.items[kept.n++] = global->items[i];
        }
    return kept;
}

/* The default of all instances: destinations without a route, like those of the file. */
static bool metrics_load_destinations(struct loader *l, const struct yaml *list)
{
    struct conf_items more = {0};
    if (list == NULL || list->kind == YAML_NULL)
        return true;
    if (list->kind != YAML_LIST)
        return conf_err(list, l->err, "metrics.global.remote_write: expected a list");
    more.items = arena_array(l->conf.arena, list->n + 1, remote_write_section.size);
    if (more.items == NULL)
        return config_memory_error(l);
    for (; more.n < list->n; more.n++)
        if (!conf_load(&l->conf, &remote_write_section, &list->items[more.n],
                       (struct destination_conf *)more.items + more.n, l->err))
            return false;
    return config_join(l, l->file.remote_write, more, remote_write_section.size, &l->file.remote_write);
}

static bool metrics_load_global(struct loader *l, const struct yaml *global)
{
    if (global == NULL || global->kind == YAML_NULL)
        return true;
    if (yaml_get(l->document, "global"))
        return conf_err(global, l->err, "metrics.global: there is a section `global`, too; keep one of them");
    if (global->kind != YAML_MAP)
        return conf_err(global, l->err, "metrics.global: expected a mapping");
    struct yaml kept = metrics_global_tree(l->conf.arena, global);
    if (kept.keys == NULL || kept.items == NULL)
        return config_memory_error(l);
    return conf_load(&l->conf, &global_section, &kept, &l->file.global, l->err) &&
           metrics_load_destinations(l, yaml_get(global, "remote_write"));
}

static bool metrics_load_service(struct loader *l, const struct scraping_service_conf *s)
{
    struct arena *a = l->conf.arena;
    struct arena_limits limits = arena_suspend_limit(a); /* small copies of what the document has already */
    struct yaml etcd = agent_etcd_section(a, &s->kvstore.etcd), cluster = agent_cluster_section(a, s);
    struct yaml ring = agent_etcd_section(a, &s->lifecycler.ring.kvstore.etcd);
    struct etcd_section *section = ARENA_NEW(a, struct etcd_section), *ring_section = ARENA_NEW(a, struct etcd_section);
    struct cluster_conf *cluster_conf = ARENA_NEW(a, struct cluster_conf);
    arena_restore_limit(a, limits);
    l->config->scraping_service = s;
    l->config->instances_etcd = section;
    l->config->ring_etcd = ring_section;
    if (!conf_load(&l->conf, &etcd_section, &etcd, section, l->err) ||
        !conf_load(&l->conf, &etcd_section, &ring, ring_section, l->err))
        return false;
    if (l->file.cluster)
        return true;
    l->file.cluster = cluster_conf;
    return conf_load(&l->conf, &cluster_section, &cluster, l->file.cluster, l->err);
}

bool config_use_metrics(struct loader *l)
{
    const struct metrics_conf *m = l->file.metrics;
    const struct scraping_service_conf *service = metrics_scraping_service(m);
    if (m && l->file.sharding && (service || m->configs.n > 0))
        return conf_err(yaml_get(l->document, "shard"), l->err,
                        "shard: excluded by metrics, whose instances have their own destinations");
    return m == NULL || (metrics_load_global(l, m->global) && (service == NULL || metrics_load_service(l, service)));
}

struct instance_source {               /* where an instance comes from */
    const struct yaml *node;
    struct str name;
    bool stored;
};

/* ---- destinations ---- */

static uint64_t instance_hash(const struct yaml *node)
{
    struct buf text = {0};
    yaml_write(&text, node);
    uint64_t hash = hash_bytes(text.p, text.n);
    buf_free(&text);
    return hash + (hash == 0);
}

static bool instance_has_route(const struct config *c, uint64_t route)
{
    for (size_t i = 0; i < c->n_destinations; i++)
        if (c->destinations[i].route == route)
            return true;
    return false;
}

static struct str instance_destination_name(struct loader *l, const struct instance_source *from, uint64_t route,
                                            size_t i, const struct destination_conf *d)
{
    if (from->stored)
        return d->name.n > 0 ? arena_printf(l->conf.arena, "%012llx-%.*s", (unsigned long long)route >> 16,
                                            STR_ARG(d->name))
                             : arena_printf(l->conf.arena, "%012llx-%zu", (unsigned long long)route >> 16, i + 1);
    if (d->name.n == 0)
        return arena_printf(l->conf.arena, "%.*s-%zu", STR_ARG(from->name), i + 1);
    return config_has_destination(l->config, d->name)
               ? arena_printf(l->conf.arena, "%.*s-%.*s", STR_ARG(from->name), STR_ARG(d->name)) : d->name;
}

bool config_append_destination(struct loader *l, const struct destination_conf *d)
{
    struct config *c = l->config;
    if (!config_grow(l, &c->destinations, &l->cap_destinations, c->n_destinations, sizeof *c->destinations))
        return false;
    c->destinations[c->n_destinations++] = *d;
    return true;
}

static bool instance_add_destinations(struct loader *l, const struct instance_source *from,
                                      const struct instance_conf *i, uint64_t *route)
{
    const struct destination_conf *all = i->remote_write.items;
    *route = 0;
    if (i->remote_write.n == 0)
        return true;
    *route = instance_hash(yaml_get(from->node, "remote_write"));
    if (instance_has_route(l->config, *route))
        return true;
    for (size_t k = 0; k < i->remote_write.n; k++) {
        struct destination_conf d = all[k];
        d.route = *route;
        d.name = instance_destination_name(l, from, *route, k, &d);
        if (d.name.p == NULL)
            return config_memory_error(l);
        if (!config_append_destination(l, &d))
            return false;
        if (from->stored && !config_check_destination(l, l->config->n_destinations - 1, l->err))
            return false;
    }
    return true;
}

/* ---- instances ---- */

static bool instance_add_jobs(struct loader *l, const struct instance_source *from, const struct instance_conf *i,
                              uint64_t route)
{
    const struct yaml *list = yaml_get(from->node, "scrape_configs");
    for (size_t k = 0; k < i->scrape_configs.n; k++) {
        struct scrape_job *job = (struct scrape_job *)i->scrape_configs.items + k;
        job->route = route;
        if (!config_add_job(l, &list->items[k], job) || (from->stored && !config_check_job(job, l->err)))
            return false;
    }
    return true;
}

static bool instance_check_all(struct loader *l, const struct instance_source *from, const struct instance_conf *i)
{
    const struct scraping_service_conf *service = metrics_scraping_service(l->file.metrics);
    bool files = !from->stored || service == NULL || service->dangerous_allow_reading_files;
    return instance_check(i, from->node, l->config->global.scrape_interval, l->err) &&
           (files || instance_check_no_files(from->node, l->err));
}

static bool instance_add(struct loader *l, const struct instance_source *from, const struct instance_conf *i)
{
    struct config *c = l->config;
    size_t jobs = c->n_jobs, destinations = c->n_destinations;
    uint64_t route;
    if (!instance_check_all(l, from, i) || !instance_add_destinations(l, from, i, &route) ||
        !instance_add_jobs(l, from, i, route) ||
        !config_grow(l, &c->instances, &l->cap_instances, c->n_instances, sizeof *c->instances)) {
        c->n_jobs = jobs;
        c->n_destinations = destinations;
        return false;
    }
    c->instances[c->n_instances++] = (struct config_instance){from->name, jobs, c->n_jobs - jobs, route};
    return true;
}

/* ---- of the file ---- */

static bool instance_is_second(const struct config *c, struct str name)
{
    for (size_t i = 0; i < c->n_instances; i++)
        if (str_eq(c->instances[i].name, name))
            return true;
    return false;
}

bool config_load_instances(struct loader *l, void *arg UNUSED)
{
    const struct conf_items all = l->file.metrics ? l->file.metrics->configs : (struct conf_items){0};
    const struct yaml *list = yaml_get(config_metrics_node(l), "configs");
    if ((all.n > 0 || l->config->scraping_service) && l->file.pipeline.aggregate)
        return conf_err(config_metrics_node(l), l->err,
                        "metrics: results of pipeline.stream_aggregation (-streamAggr.*) belong to "
                        "no instance; aggregate in remote_write");
    for (size_t i = 0; i < all.n; i++) {
        const struct instance_conf *one = (const struct instance_conf *)all.items + i;
        struct instance_source from = {&list->items[i], one->name, false};
        if (instance_is_second(l->config, one->name))
            return conf_err(from.node, l->err,
                            "prometheus instance names must be unique. found multiple instances with name "
                            "%.*s", STR_ARG(one->name));
        l->config->global.stale_on_shutdown |= one->stale_on_shutdown;
        l->config->scrape.stale_on_shutdown |= one->stale_on_shutdown;
        if (!instance_add(l, &from, one))
            return one->name.n > 0 ? err_wrap(l->err, "error validating instance %.*s", STR_ARG(one->name))
                                   : err_wrap(l->err, "error validating instance at index %zu", i);
    }
    return true;
}

/* ---- stored ones ---- */

static void instance_no_warning(void *arg UNUSED, const char *text UNUSED) {}
static void instance_no_key(void *arg UNUSED, const char *key UNUSED) {}

static void instance_first_error(const struct conf_errors *errors, struct err *err)
{
    if (errors->n > 0)
        (void)!conf_errors_first(errors, err);
}

static bool instance_parse(struct loader *l, struct str name, struct str text, struct instance_conf *out,
                           const struct yaml **node)
{
    char shown[200];
    snprintf(shown, sizeof shown, "instance %.*s", (int)(name.n < 100 ? name.n : 100), name.p);
    const char *file = arena_z(l->conf.arena, str_of(shown));
    *node = NULL;
    if (file == NULL)
        return config_memory_error(l);
    l->conf.file = file;
    l->conf.dir = STR_NONE;
    *node = yaml_parse(l->conf.arena, text, l->conf.file, l->err);
    bool ok = *node && conf_load(&l->conf, &instance_section, *node, out, l->err);
    out->name = arena_str(l->conf.arena, name);
    return ok && (out->name.p || config_memory_error(l));
}

/* With its own errors, and without warnings: the same ones would be shown after each change of any instance. */
static bool instance_add_stored(struct loader *l, const struct instance_doc *d, struct err *err)
{
    const struct conf_context before = l->conf;
    struct err *err_before = l->err;
    struct conf_errors errors = {0};
    struct instance_conf i = {0};
    struct instance_source from = {.stored = true};
    l->err = err;
    l->conf.errors = &errors;
    l->conf.warn = instance_no_warning;
    l->conf.ignored = instance_no_key;
    bool ok = instance_parse(l, d->name, d->text, &i, &from.node);
    if (!ok)
        instance_first_error(&errors, err);
    from.name = i.name;
    ok = ok && instance_add(l, &from, &i);
    buf_free(&errors.text);
    l->conf = before;
    l->err = err_before;
    return ok;
}

void config_add_stored(struct loader *l, const struct instance_set *set)
{
    l->config->has_stored_instances = set != NULL;
    for (size_t i = 0; set && i < set->n; i++) {
        struct err err = {0};
        if (instance_add_stored(l, set->docs[i], &err))
            continue;
        l->config->n_invalid_instances++;
        log_error("agent", "a stored instance is invalid; its targets are not scraped",
                  LOG_STR("instance", set->docs[i]->name), "err", err.text);
    }
}

/* ---- one instance, for clients ---- */

static bool instance_list_jobs(struct loader *l, const struct instance_conf *i, struct str_list *out)
{
    const struct scrape_job *jobs = i->scrape_configs.items;
    out->items = ARENA_ARRAY(l->conf.arena, struct str, i->scrape_configs.n + 1);
    if (out->items == NULL)
        return config_memory_error(l);
    for (out->n = 0; out->n < i->scrape_configs.n; out->n++)
        out->items[out->n] = jobs[out->n].job_name;
    return true;
}

enum instance_verdict config_check_instance(const struct config *c, const struct flags *f, struct arena *a,
                                            struct str name, struct str text, struct instance_checked *out,
                                            struct err *err)
{
    struct conf_errors errors = {0};
    struct config draft = {.global = c->global, .scrape = c->scrape, .access = c->access};
    struct loader l = {.flags = f, .config = &draft, .file = *c->file, .err = err};
    size_t own = c->n_instances > 0 ? c->instances[0].job : c->n_jobs; /* jobs of the file come first */
    struct instance_conf i = {0};
    struct instance_source from = {.name = name, .stored = true};
    enum instance_verdict verdict = INSTANCE_VALID;
    l.conf = (struct conf_context){.arena = a, .file = "the instance", .warn = instance_no_warning,
                                   .ignored = instance_no_key, .loose_durations = dialects[f->dialect].loose_durations,
                                   .vmagent_relabeling = dialects[f->dialect].vmagent_relabeling, .strict = f->strict,
                                   .accept_inert = &f->accept_inert, .errors = &errors};
    l.cap_jobs = own;
    draft.jobs = ARENA_ARRAY(a, struct scrape_job, own);
    if (draft.jobs == NULL) {
        (void)!config_memory_error(&l);
        return INSTANCE_INVALID;
    }
    for (; draft.n_jobs < own; draft.n_jobs++)
        draft.jobs[draft.n_jobs] = c->jobs[draft.n_jobs];
    if (!instance_parse(&l, name, text, &i, &from.node)) {
        instance_first_error(&errors, err);
        verdict = instance_check_nulls(from.node, err) ? INSTANCE_UNREADABLE : INSTANCE_INVALID;
    } else if (!instance_list_jobs(&l, &i, &out->jobs) || !instance_add(&l, &from, &i)) {
        instance_first_error(&errors, err);
        verdict = INSTANCE_INVALID;
    }
    out->node = from.node;
    buf_free(&errors.text);
    return verdict;
}
