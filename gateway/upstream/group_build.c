// SPDX-License-Identifier: Apache-2.0
/* Makes groups of a configured one: each label set of its targets is a group. */
#include "gateway/upstream/group.h"

#include "base/telemetry/log.h"
#include "base/text/url.h"
#include "model/relabel.h"
#include "writer/writer.h"

static struct str or_empty(struct str s) { return s.p ? s : STR(""); }

/* Labels of a discovered target after relabeling. False: it was dropped. */
static bool target_labels(const struct server_group_conf *conf, const struct group_static *s,
                          const struct sd_found *found, struct str address, struct labels_builder *b)
{
    builder_start(b, (struct labels){0});
    builder_set(b, STR("__address__"), address);
    builder_set(b, STR("__scheme__"), conf->scheme);
    builder_set(b, STR("__path_prefix__"), conf->path_prefix);
    builder_set(b, STR("__zone__"), s->zone);
    for (size_t i = 0; i < s->labels.n; i++)
        builder_set(b, s->labels.keys[i], s->labels.values[i]);
    if (found && found->meta.n > 0)
        builder_set(b, found->meta, found->source);
    return relabel_apply(relabel_rules(conf->relabel_configs), b);
}

/* Labels added to series: the target's without internal ones, overridden by the group's. */
static struct labels added_labels(const struct server_group_conf *conf, struct labels target, struct arena *a)
{
    struct labels_builder b = {0};
    struct labels_iter it = labels_iter(target);
    struct label l;
    builder_start(&b, target);
    while (labels_next(&it, &l))
        if (str_starts(l.name, STR("__")))
            builder_del(&b, l.name);
    for (size_t i = 0; i < conf->labels.n; i++)
        builder_set(&b, conf->labels.keys[i], conf->labels.values[i]);
    struct labels out = builder_labels(&b, a);
    builder_free(&b);
    return out;
}

static enum group_failure group_configured_failure(const struct server_group_conf *conf, const struct upstream_env *env)
{
    bool partial = conf->partial_response == GROUP_PARTIAL_AUTO ? env->partial_response
                                                                 : conf->partial_response == GROUP_PARTIAL_ON;
    return conf->ignore_error ? GROUP_IGNORED : conf->downgrade_error || partial ? GROUP_WARNED : GROUP_REQUIRED;
}

static struct group *group_with(struct group_list *list, size_t first, const struct server_group_conf *conf,
                                const struct upstream_env *env, struct labels labels)
{
    for (size_t i = first; i < list->n; i++)
        if (labels_equal(list->items[i].labels, labels))
            return &list->items[i];
    mem_grow(&list->items, &list->cap, list->n + 1, sizeof *list->items);
    list->items[list->n] = (struct group){
        .name = conf->name, .labels = labels, .registry = env->registry,
        .times = conf->times, .aligned_ranges = conf->align_query_range_with_step,
        .overlap = (enum overlap)conf->overlap, .read_mode = (enum read_mode)conf->read_mode,
        .rotates = conf->balance == BALANCE_ROTATE,
        .push_down = (enum push_down)conf->push_down,
        .one_writer = conf->written_by.n > 0 && conf->written_by.items[0].n > 0,
        .failure = group_configured_failure(conf, env),
        .rule = {.ms = conf->anti_affinity == CONF_AUTO ? MERGE_DEFAULT_MS : conf->anti_affinity,
                 .automatic = conf->anti_affinity == CONF_AUTO || conf->anti_affinity_dynamic,
                 .prefer_max = conf->prefer_max}};
    return &list->items[list->n++];
}

/* In the configured order, but servers of this process's zone before others. */
static void group_add_server(struct group *g, struct server *s)
{
    size_t at = g->n_servers;
    g->servers = mem_realloc(g->servers, (g->n_servers + 1) * sizeof(struct server *));
    for (; s->near && at > 0 && !g->servers[at - 1]->near; at--)
        g->servers[at] = g->servers[at - 1];
    g->servers[at] = s;
    g->n_servers++;
}

/* What groups are made of a configured one with. */
struct group_build {
    struct group_list *list;
    size_t first;                  /* of the groups made of it */
    struct arena *arena;
    const struct server_group_conf *conf;
    const struct upstream_env *env;
    size_t n_found, n_invalid;     /* targets that service discovery has found */
    struct err invalid;            /* the first of them */
};

/* Discovery may find a server twice. */
static bool group_has_url(const struct group *g, struct str url)
{
    for (size_t i = 0; i < g->n_servers; i++)
        if (str_eq(g->servers[i]->sent_url, url))
            return true;
    return false;
}

static bool group_check_names(struct labels labels, struct err *err)
{
    struct labels_iter it = labels_iter(labels);
    for (struct label l; labels_next(&it, &l);)
        if (!label_name_valid(l.name))
            return err_set(err, ERR_BAD_DATA, "\"%.*s\" is not a valid label name", STR_ARG(l.name));
    return true;
}

/* once: unless the group has a server with this URL. */
static bool group_add_target(struct group_build *g, struct labels target, bool once, struct err *err)
{
    struct str host = or_empty(labels_get(target, STR("__address__")));
    struct labels added = added_labels(g->conf, target, g->arena);
    struct server *server = mem_zalloc(sizeof *server);
    if (!group_check_names(added, err) ||
        !server_init(server, g->arena, g->conf, g->env->registry, labels_get(target, STR("__scheme__")), host,
                     or_empty(labels_get(target, STR("__path_prefix__"))), err)) {
        mem_free(server);
        return false;
    }
    server->near = g->env->zone.n > 0 && str_eq(labels_get(target, STR("__zone__")), g->env->zone);
    struct group *group = group_with(g->list, g->first, g->conf, g->env, added);
    if (once && group_has_url(group, server->sent_url)) {
        server_free(server);
        mem_free(server);
    } else {
        group_add_server(group, server);
    }
    return true;
}

/* The labels of a target after relabeling; none: it was dropped. */
static struct labels group_target(const struct group_build *g, const struct group_static *s,
                                  const struct sd_found *found, struct str address)
{
    struct labels_builder b = {.scratch = g->arena};
    struct labels target = {0};
    if (target_labels(g->conf, s, found, address, &b))
        target = builder_labels(&b, g->arena);
    builder_free(&b);
    return target;
}

static bool group_add_statics(struct group_build *g, struct err *err)
{
    const struct group_static *statics = g->conf->static_configs.items;
    for (size_t i = 0; i < g->conf->static_configs.n; i++)
        for (size_t k = 0; k < statics[i].targets.n; k++) {
            struct labels target = group_target(g, &statics[i], NULL, statics[i].targets.items[k]);
            if (target.n > 0 && !group_add_target(g, target, false, err))
                return err_wrap(err, "server group \"%.*s\"", STR_ARG(g->conf->name));
        }
    return true;
}

/* --- from discovery --- */

static bool group_check_address(struct str address, struct err *err)
{
    struct buf shown = {0};
    bool ok = address.n > 0 && str_find(address, '/') == address.n;
    if (ok)
        return true;
    url_redact_address(&shown, address);
    err_set(err, ERR_BAD_DATA, "target \"%s\" is not host:port (set scheme and path_prefix by their keys or labels)",
            buf_z(&shown));
    buf_free(&shown);
    return false;
}

static void group_add_found(struct group_build *g, const struct static_group *s, const struct sd_found *found)
{
    for (size_t i = 0; i < s->targets.n; i++) {
        struct group_static as = {.labels = s->labels};
        struct labels target = group_target(g, &as, found, s->targets.items[i]);
        struct err err;
        if (target.n > 0 && (!group_check_address(or_empty(labels_get(target, STR("__address__"))), &err) ||
                             !group_add_target(g, target, true, &err)) &&
            g->n_invalid++ == 0)
            g->invalid = err;
    }
}

static void group_report_invalid(const struct group_build *g)
{
    struct buf text = {0};
    if (g->n_invalid > 0 && g->env->warn) {
        buf_printf(&text, "server group \"%.*s\": %s", STR_ARG(g->conf->name), g->invalid.text);
        if (g->n_invalid > 1)
            buf_printf(&text, " (and %zu more)", g->n_invalid - 1);
        buf_add_z(&text, "; it is not queried");
        g->env->warn(g->env->warn_arg, buf_z(&text));
    } else if (g->n_invalid > 0) {
        log_warn("upstream", "service discovery found an invalid server; not querying it",
                 LOG_STR("group", g->conf->name), "err", g->invalid.text, LOG_U64("invalid_servers", g->n_invalid));
    }
    buf_free(&text);
}

static size_t count_found(const struct sd_listing *found)
{
    size_t n = 0;
    for (size_t i = 0; i < found->n; i++)
        for (size_t k = 0; found->items[i].groups && k < found->items[i].groups->n; k++)
            n += found->items[i].groups->items[k].targets.n;
    return n;
}

static void group_add_discovered(struct group_build *g, const struct group_discovered *d)
{
    for (size_t i = 0; i < d->found.n; i++) {
        const struct sd_groups *groups = d->found.items[i].groups;
        for (size_t k = 0; groups && k < groups->n; k++)
            group_add_found(g, &groups->items[k], &d->found.items[i]);
    }
    group_report_invalid(g);
}

/* Why discovery has brought no servers. */
static struct str group_lacks_servers(const struct group_build *g, const struct group_discovered *d)
{
    if (g->n_found > GROUP_FOUND_MAX)
        return arena_printf(g->arena, "its service discovery found %zu targets, more than %d", g->n_found,
                            GROUP_FOUND_MAX);
    if (g->n_invalid > 0)
        return arena_printf(g->arena, "its service discovery found %zu invalid targets, first: %s", g->n_invalid,
                            g->invalid.text);
    if (g->n_found > 0)
        return arena_printf(g->arena, "relabel_configs drop all %zu targets of its service discovery", g->n_found);
    return d && d->problem.n > 0 ? arena_str(g->arena, d->problem) : STR("its service discovery found none");
}

/* Keys identify replicas over reloads. For copies the recent store is the last of them; its key is 0. */
static void group_init_replicas(struct group *g, const struct server_group_conf *conf,
                                struct coverage_registry *registry)
{
    struct str by_default[] = {STR("job"), STR("instance")};
    uint64_t *keys = mem_zalloc((g->n_servers + 1) * sizeof *keys);
    for (size_t i = 0; i < g->n_servers; i++)
        keys[i] = g->servers[i]->key;
    g->copies = mem_zalloc(sizeof *g->copies);
    copies_memory_init(g->copies, keys, g->n_servers + 1);
    g->traffic = group_traffic_get(g->registry, g->name);
    g->coverages = registry;
    g->coverage = coverage_get(registry, &(struct coverage_conf){
        .group = g->name, .labels = g->labels, .replicas = keys, .n_replicas = g->n_servers,
        .by = conf->coverage_by.n > 0 ? conf->coverage_by : (struct str_list){by_default, LEN(by_default)},
        .trust_untargeted = conf->trust_untargeted});
    mem_free(keys);
}

static bool group_without_targets(struct str name, const struct upstream_env *env, struct err *err)
{
    err_set(err, ERR_BAD_DATA, "server group \"%.*s\": relabel_configs drop all targets", STR_ARG(name));
    if (!env->empty_groups)
        return false;
    err_set(err, ERR_BAD_DATA, "%s; queries find no data in it", err->text);
    if (env->warn && env->discovered == NULL) /* the load of the configuration, which discovers nothing, has told it */
        env->warn(env->warn_arg, err->text);
    return true;
}

struct str server_group_name(const struct server_group_conf *conf, size_t position, struct buf *scratch)
{
    if (conf->name.n > 0)
        return conf->name;
    buf_clear(scratch);
    buf_printf(scratch, "server_groups[%zu]", position);
    return buf_str(scratch);
}

/* Discovery has not found more than the limit: a group that lacks some of its servers would have wrong results. */
static bool group_add_targets(struct group_build *g, const struct group_discovered *d, struct err *err)
{
    bool discovers = !sd_conf_empty(&g->conf->sd);
    g->n_found = d && discovers ? count_found(&d->found) : 0;
    if (g->n_found <= GROUP_FOUND_MAX) {
        if (!group_add_statics(g, err))
            return false;
        if (g->n_found > 0)
            group_add_discovered(g, d);
    }
    if (g->list->n == g->first && discovers)
        group_with(g->list, g->first, g->conf, g->env, added_labels(g->conf, (struct labels){0}, g->arena))->lacks =
            group_lacks_servers(g, d);
    return g->list->n > g->first || group_without_targets(g->conf->name, g->env, err);
}

static struct str_list group_destinations(struct arena *a, const struct str_list *names)
{
    struct str_list copies = {ARENA_ARRAY(a, struct str, names->n + 1), 0};
    for (size_t i = 0; i < names->n; i++)
        if (names->items[i].n > 0)
            copies.items[copies.n++] = arena_str(a, names->items[i]);
    return copies;
}

/* All of the destinations must be backups. */
static struct group_backup group_find_backup(struct arena *a, const struct str_list *names, const struct upstream_env *env)
{
    struct group_backup b = {.arg = env->written_arg, .of = {ARENA_ARRAY(a, struct str, names->n + 1), 0}};
    for (size_t i = 0; i < names->n; i++)
        for (size_t k = 0; k < env->n_backups; k++)
            if (str_eq(env->backups[k].name, names->items[i]))
                b.of.items[b.of.n++] = arena_str(a, env->backups[k].of);
    b.written = names->n > 0 && b.of.n == names->n ? env->written : NULL;
    return b;
}

/* Senders' clocks may be ahead: samples of later times may have been placed otherwise before. */
enum { PLACED_AHEAD_MS = 300000 };

/* Only of a group that shows the labels which place its series as its servers have them. */
static struct group_shard group_find_shard(const struct group *g, const struct upstream_env *env)
{
    struct group_shard shard = {.placement = env->placement, .since = env->placed_since + PLACED_AHEAD_MS};
    struct str_list labels = env->placement ? writer_placement_labels(env->placement) : (struct str_list){0};
    for (size_t i = 0; i < labels.n; i++)
        if (view_find(&g->view, labels.items[i]))
            return (struct group_shard){0};
    for (size_t i = 0; shard.placement && i < g->written_by.n; i++) {
        uint64_t bit = writer_placement_bit(env->placement, g->written_by.items[i]);
        shard.destinations |= bit;
        shard.placement = bit ? shard.placement : NULL;
    }
    shard.placement = shard.destinations ? shard.placement : NULL;
    return shard;
}

bool groups_add(struct group_list *list, struct arena *a, const struct server_group_conf *conf, size_t position,
                const struct upstream_env *env, struct err *err)
{
    struct buf scratch = {0};
    struct server_group_conf named = *conf;
    named.name = arena_str(a, server_group_name(conf, position, &scratch));
    buf_free(&scratch);
    struct group_build build = {.list = list, .first = list->n, .arena = a, .conf = &named, .env = env};
    if (!group_add_targets(&build, env->discovered ? &env->discovered[position] : NULL, err))
        return false;
    struct str_list written_by = group_destinations(a, &conf->written_by);
    struct group_backup backup = group_find_backup(a, &written_by, env);
    for (size_t i = build.first; i < list->n; i++) {
        struct group *g = &list->items[i];
        g->position = position;
        g->written_by = written_by;
        g->backup = backup;
        if (!view_make(&g->view, a, g->labels, conf->metrics_relabel_configs.items, conf->metrics_relabel_configs.n,
                       &conf->inject_matchers, err))
            return err_wrap(err, "server group \"%.*s\"", STR_ARG(named.name));
        g->shard = group_find_shard(g, env);
        g->filter = group_filter_new(&conf->label_filter);
        group_init_replicas(g, conf, env->coverage);
    }
    return true;
}

void groups_free(struct group_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].traffic)
            group_traffic_put(list->items[i].registry, list->items[i].traffic);
        for (size_t k = 0; k < list->items[i].n_servers; k++) {
            server_free(list->items[i].servers[k]);
            mem_free(list->items[i].servers[k]);
        }
        mem_free(list->items[i].servers);
        group_filter_free(list->items[i].filter);
        if (list->items[i].copies)
            copies_memory_free(list->items[i].copies);
        mem_free(list->items[i].copies);
        if (list->items[i].coverage)
            coverage_put(list->items[i].coverages, list->items[i].coverage);
    }
    mem_free(list->items);
    *list = (struct group_list){0};
}
