// SPDX-License-Identifier: Apache-2.0
/* Makes groups of a configured one: each label set of its targets is a group. */
#include "gateway/upstream/group.h"

#include "model/relabel.h"

static struct str or_empty(struct str s) { return s.p ? s : STR(""); }

/* Labels of a discovered target after relabeling. False: it was dropped. */
static bool target_labels(const struct server_group_conf *conf, const struct group_static *s, struct str address,
                          struct labels_builder *b)
{
    builder_start(b, (struct labels){0});
    builder_set(b, STR("__address__"), address);
    builder_set(b, STR("__scheme__"), conf->scheme);
    builder_set(b, STR("__path_prefix__"), conf->path_prefix);
    builder_set(b, STR("__zone__"), s->zone);
    for (size_t i = 0; i < s->labels.n; i++)
        builder_set(b, s->labels.keys[i], s->labels.values[i]);
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
        .name = conf->name, .labels = labels,
        .times = conf->times, .aligned_ranges = conf->align_query_range_with_step,
        .overlap = (enum overlap)conf->overlap, .read_mode = (enum read_mode)conf->read_mode,
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

static bool add_target(struct group_list *list, size_t first, struct arena *a, const struct server_group_conf *conf,
                       const struct upstream_env *env, const struct group_static *s, struct str address,
                       struct err *err)
{
    struct labels_builder b = {.scratch = a};
    struct labels target = {0};
    if (target_labels(conf, s, address, &b))
        target = builder_labels(&b, a);
    builder_free(&b);
    if (target.n == 0)
        return true;
    struct str host = labels_get(target, STR("__address__"));
    struct server *server = mem_zalloc(sizeof *server);
    if (!server_init(server, a, conf, env->registry, labels_get(target, STR("__scheme__")), or_empty(host),
                     or_empty(labels_get(target, STR("__path_prefix__"))), err)) {
        mem_free(server);
        return err_wrap(err, "server group \"%.*s\"", STR_ARG(conf->name));
    }
    server->near = env->zone.n > 0 && str_eq(labels_get(target, STR("__zone__")), env->zone);
    group_add_server(group_with(list, first, conf, env, added_labels(conf, target, a)), server);
    return true;
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
    g->traffic = group_traffic_get(g->servers[0]->registry, g->name);
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
    if (env->warn)
        env->warn(env->warn_arg, err->text);
    return true;
}

bool groups_add(struct group_list *list, struct arena *a, const struct server_group_conf *conf, size_t position,
                const struct upstream_env *env, struct err *err)
{
    struct server_group_conf named = *conf;
    named.name = conf->name.n > 0 ? arena_str(a, conf->name) : arena_printf(a, "server_groups[%zu]", position);
    size_t first = list->n;
    const struct group_static *statics = conf->static_configs.items;
    for (size_t i = 0; i < conf->static_configs.n; i++)
        for (size_t k = 0; k < statics[i].targets.n; k++)
            if (!add_target(list, first, a, &named, env, &statics[i], statics[i].targets.items[k], err))
                return false;
    if (list->n == first)
        return group_without_targets(named.name, env, err);
    for (size_t i = first; i < list->n; i++) {
        struct group *g = &list->items[i];
        g->position = position;
        if (!view_make(&g->view, a, g->labels, conf->metrics_relabel_configs.items, conf->metrics_relabel_configs.n,
                       &conf->inject_matchers, err))
            return err_wrap(err, "server group \"%.*s\"", STR_ARG(named.name));
        g->filter = group_filter_new(&conf->label_filter);
        group_init_replicas(g, conf, env->coverage);
    }
    return true;
}

void groups_free(struct group_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].traffic)
            group_traffic_put(list->items[i].servers[0]->registry, list->items[i].traffic);
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
